"""What connections to an exchange trust."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from proxy.errors import CommandError
from proxy.net.tls import exchange_tls
from proxy.sim.authority import Authority

if TYPE_CHECKING:
    from pathlib import Path


def test_certificates_are_checked_and_old_versions_refused() -> None:
    context = exchange_tls(None)
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_one_more_authority_is_trusted_beside_the_systems(tmp_path: Path) -> None:
    before = exchange_tls(None).cert_store_stats()["x509_ca"]
    ca_file = Authority(tmp_path).ca_file
    assert exchange_tls(ca_file).cert_store_stats()["x509_ca"] == before + 1


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_a_file_that_holds_no_certificate_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(CommandError, match=r"ca\.pem: "):
        exchange_tls(file)
