"""TLS towards an exchange: 1.3 where it offers it, 1.2 at the least."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from proxy.errors import CommandError

if TYPE_CHECKING:
    from pathlib import Path


def exchange_tls(ca_file: Path | None) -> ssl.SSLContext:
    """Return what connections to an exchange trust. Raises `CommandError` for a bad `ca_file`."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise CommandError(f"{ca_file}: {error.strerror or error}") from error
    return context
