"""Certificate and key of the bots' port."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from proxy.errors import ConfigError
from tests.config.conftest import WHOLE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from proxy.config import Config

    Load = Callable[..., Config]

TEXT = '[server]\nlisten = "0.0.0.0:8443"\ntls_cert = "cert.pem"\ntls_key = "key.pem"\n' + WHOLE
START = datetime(2026, 1, 1, tzinfo=UTC)


def _pem(key: ec.EllipticCurvePrivateKey, password: bytes = b"") -> bytes:
    locked = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked)


@pytest.fixture
def key(tmp_path: Path) -> ec.EllipticCurvePrivateKey:
    """A key, with a certificate of it in `cert.pem` and itself in `key.pem`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "proxy.example")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, START, START + timedelta(days=1))
    ).sign(key, hashes.SHA256())
    (tmp_path / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(_pem(key))
    return key


@pytest.mark.usefixtures("key")
def test_with_tls_the_bots_port_may_be_open(loaded: Load, tmp_path: Path) -> None:
    config = loaded(TEXT)
    assert config.server.tls_cert == tmp_path / "cert.pem"
    assert config.server.tls_key == tmp_path / "key.pem"
    assert config.cautions == ()


@pytest.mark.usefixtures("key")
def test_another_certificates_key_is_a_fault(loaded: Load, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(_pem(ec.generate_private_key(ec.SECP256R1())))
    with pytest.raises(ConfigError, match=r":3: server.tls_cert: tls_key belongs to another"):
        loaded(TEXT)


def test_a_key_under_a_password_is_a_fault_and_nobody_is_asked(
    loaded: Load, tmp_path: Path, key: ec.EllipticCurvePrivateKey
) -> None:
    (tmp_path / "key.pem").write_bytes(_pem(key, b"hunter2"))
    with pytest.raises(ConfigError, match=r":4: server.tls_key: the key is locked by a password"):
        loaded(TEXT)
