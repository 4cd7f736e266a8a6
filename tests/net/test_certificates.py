"""Certificates of the bots' port: what is refused, and renewal while bots are connected."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from proxy.net.certificates import BadCertificate, RenewableTls, server_context
from proxy.sim.authority import Authority
from tests.net.conftest import OpenPort, Port

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.fixture
def old(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "old")


@pytest.fixture
def new(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "new")


async def serves(port: Port, trusted: Authority) -> None:
    """See that a new bot that trusts this authority alone is served."""
    port.tls = trusted.client_context()
    bot = await port.bot()
    bot.write(GET)
    assert (await bot.answer()).status == 200


async def test_a_renewed_certificate_is_for_new_connections_and_the_old_live_on(
    open_port: OpenPort, old: Authority, new: Authority
) -> None:
    tls = RenewableTls(server_context(old.certificate_file, old.key_file))
    port = await open_port(tls=(tls.context, old.client_context()))
    before = await port.bot()
    before.write(GET)
    await before.answer()
    tls.newest = server_context(new.certificate_file, new.key_file)
    await serves(port, new)
    port.tls = old.client_context()
    with pytest.raises(ssl.SSLCertVerificationError):
        await port.bot()
    before.write(GET * 2)
    for _ in range(2):
        assert (await before.answer()).status == 200


async def test_a_saved_session_outlives_the_certificate_it_began_with(
    open_port: OpenPort, old: Authority, new: Authority
) -> None:
    tls = RenewableTls(server_context(old.certificate_file, old.key_file))
    port = await open_port(tls=(tls.context, old.client_context()))
    client = old.client_context()
    client.maximum_version = ssl.TLSVersion.TLSv1_2  # tickets come with the handshake

    def visit(session: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, bool | None]:
        with (
            socket.create_connection(port.address, timeout=8) as plain,
            client.wrap_socket(plain, server_hostname="localhost", session=session) as wrapped,
        ):
            wrapped.sendall(GET)
            assert wrapped.recv(12) == b"HTTP/1.1 200"
            return wrapped.session, wrapped.session_reused

    session, _ = await asyncio.to_thread(visit, None)
    tls.newest = server_context(new.certificate_file, new.key_file)
    assert (await asyncio.to_thread(visit, session))[1] is True
    await serves(port, new)


def _with_password(key: Path) -> bytes:
    loaded: Any = serialization.load_pem_private_key(key.read_bytes(), None)
    encryption = serialization.BestAvailableEncryption(b"password")
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    content: bytes = loaded.private_bytes(pem, form, encryption)
    return content


@pytest.fixture
def bad(
    request: pytest.FixtureRequest, old: Authority, new: Authority, tmp_path: Path
) -> tuple[Path, Path]:
    """A certificate and a key that cannot be used."""
    chain, key = new.certificate_file, new.key_file
    file = tmp_path / "bad.pem"
    contents = {
        "too large": chain.read_bytes() + b"\n" * 2**20,
        "half a file": chain.read_bytes()[:200],
        "empty": b"",
        "a password": _with_password(key),
    }
    if request.param in contents:
        file.write_bytes(contents[request.param])
    return {
        "another's key": (chain, old.key_file),
        "no file": (file, key),
        "a folder": (chain, tmp_path),
        "the wrong way round": (key, chain),
        "a password": (chain, file),
    }.get(request.param, (file, key))


@pytest.mark.parametrize(
    "bad",
    [
        "another's key",
        "no file",
        "a folder",
        "too large",
        "half a file",
        "empty",
        "the wrong way round",
        "a password",
    ],
    indirect=True,
)
async def test_a_certificate_that_cannot_be_used_leaves_the_old_one_in_force(
    open_port: OpenPort, old: Authority, bad: tuple[Path, Path]
) -> None:
    tls = RenewableTls(server_context(old.certificate_file, old.key_file))
    port = await open_port(tls=(tls.context, old.client_context()))
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(BadCertificate) as caught:
        tls.newest = server_context(*bad)
    assert any(str(file) in str(caught.value) for file in bad)
    assert "PRIVATE" not in str(caught.value)
    assert len(os.listdir("/proc/self/fd")) == before
    await serves(port, old)


def test_the_words_for_a_key_that_does_not_fit(old: Authority, new: Authority) -> None:
    with pytest.raises(BadCertificate, match="the key is not the certificate's"):
        server_context(new.certificate_file, old.key_file)


def test_certificate_and_key_may_stand_in_one_file(old: Authority, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(old.key_file.read_bytes() + old.certificate_file.read_bytes())
    context = server_context(both, None)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
