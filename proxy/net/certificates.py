"""The certificate that bots see: read, checked as a whole, and renewed without a stop."""

from __future__ import annotations

import contextlib
import os
import ssl
from typing import TYPE_CHECKING, Final, final

from proxy.errors import TagproxyError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FILE_BYTES_MAX: Final = 1024 * 1024
_NO_PASSWORD: Final = ""  # OpenSSL would ask for one on the terminal


@final
class BadCertificate(TagproxyError):
    """A certificate that cannot be used. The text names files, never what is in them."""


@final
class RenewableTls:
    """TLS of listeners, which keep `context` for life: it hands each handshake over to `newest`.

    A certificate loaded into a context in use would stand beside one of another kind of key.
    """

    __slots__ = ("context", "newest")

    def __init__(self, first: ssl.SSLContext) -> None:
        self.context = self.newest = first
        first.sni_callback = self._hand_over

    def _hand_over(
        self, connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: ssl.SSLContext
    ) -> None:
        del name  # there may be none: this is called all the same
        connection.context = self.newest


def server_context(certificate: Path, key: Path | None) -> ssl.SSLContext:
    """Return the TLS side of the bots' port. Without `key` it stands in `certificate`.

    Raises `BadCertificate`.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    chain = _content(certificate)
    secret = chain if key is None else _content(key)
    with _held(chain) as chain_name, _held(secret) as secret_name:
        try:
            context.load_cert_chain(chain_name, secret_name, _NO_PASSWORD)
        except ssl.SSLError as error:
            raise BadCertificate(_what(error, certificate, key)) from error
    return context


def _content(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            content = opened.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise BadCertificate(f"{file}: {error.strerror}") from error
    if len(content) > _FILE_BYTES_MAX:
        raise BadCertificate(f"{file}: too large")
    return content


@contextlib.contextmanager
def _held(content: bytes) -> Iterator[str]:
    """A file name for `content`, which nobody can change meanwhile: OpenSSL reads files only."""
    descriptor = os.memfd_create("tagproxy-tls")
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _what(error: ssl.SSLError, certificate: Path, key: Path | None) -> str:
    files = f"{certificate} and {key}" if key is not None else str(certificate)
    if "KEY_VALUES_MISMATCH" in str(error):
        return f"{files}: the key is not the certificate's"
    return f"{files}: no certificate and key in PEM, or the key has a password"
