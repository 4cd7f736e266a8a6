"""Opens one connection to an exchange, TLS included, and words what can go wrong with it."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Final, TypeVar, final

from proxy.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Callable

P = TypeVar("P", bound=asyncio.Protocol)

# for the two sides to agree on the end of a TLS session
CLOSING_NS: Final = 1_000_000_000


@final
class Dialer:
    """Where to connect to, and from where. `timeout_ns` includes the TLS handshake."""

    __slots__ = ("_context", "_host", "_local", "_port", "_timeout_s", "name")

    def __init__(
        self,
        host: str,
        port: int,
        *,
        ssl_context: ssl.SSLContext | None,
        local_address: str | None,
        timeout_ns: int,
    ) -> None:
        self.name = f"connect to {host}:{port}"
        self._host = host
        self._port = port
        self._context = ssl_context
        self._local = (local_address, 0) if local_address is not None else None
        self._timeout_s = timeout_ns / 1e9

    async def dial(self, factory: Callable[[], P]) -> P:
        """Return the protocol of a new connection. Raises UpstreamError."""
        with_tls = self._context is not None
        try:
            async with asyncio.timeout(self._timeout_s):
                _, protocol = await asyncio.get_running_loop().create_connection(
                    factory,
                    self._host,
                    self._port,
                    ssl=self._context,
                    server_hostname=self._host if with_tls else None,
                    local_addr=self._local,
                    ssl_handshake_timeout=self._timeout_s if with_tls else None,
                    ssl_shutdown_timeout=CLOSING_NS / 1e9 if with_tls else None,
                )
        except TimeoutError as error:
            raise UpstreamError("connecting took too long", sent=False) from error
        except OSError as error:
            raise UpstreamError(f"cannot connect: {_reason(error)}", sent=False) from error
        except Exception as error:  # the resolver and the TLS layer have errors of their own
            raise UpstreamError(f"cannot connect: {type(error).__name__}", sent=False) from error
        return protocol


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message}"
    return error.strerror or type(error).__name__
