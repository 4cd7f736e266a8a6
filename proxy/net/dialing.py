"""Opens one connection to an exchange, TLS included, and words what can go wrong with it.

TCP's own handshake is timed: it is the way there and back with nothing else on it. RFC 8305 for
hosts with several addresses.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from typing import TYPE_CHECKING, Any, Final, TypeVar, final

from aiohappyeyeballs import start_connection

from proxy.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Callable

P = TypeVar("P", bound=asyncio.Protocol)

# for the two sides to agree on the end of a TLS session
CLOSING_NS: Final = 1_000_000_000


@final
class Dialer:
    """Where to connect to, and from where. `timeout_ns` includes the TLS handshake."""

    __slots__ = ("_context", "_from", "_host", "_local", "_now_ns", "_port", "_timeout_s", "name")

    def __init__(
        self,
        host: str,
        port: int,
        *,
        ssl_context: ssl.SSLContext | None,
        local_address: str | None,
        timeout_ns: int,
        now_ns: Callable[[], int],
    ) -> None:
        self.name = f"connect to {host}:{port}"
        self._host = host
        self._port = port
        self._context = ssl_context
        self._local = local_address
        self._from = "" if local_address is None else f" from {local_address}"
        self._timeout_s = timeout_ns / 1e9
        self._now_ns = now_ns

    async def dial(self, factory: Callable[[], P]) -> tuple[P, int]:
        """Return the protocol of a new connection, and how long TCP's handshake took in ns.

        Raises UpstreamError.
        """
        with_tls = self._context is not None
        try:
            async with asyncio.timeout(self._timeout_s):
                connected, took_ns = await self._connected()
                _, protocol = await asyncio.get_running_loop().create_connection(
                    factory,
                    sock=connected,
                    ssl=self._context,
                    server_hostname=self._host if with_tls else None,
                    ssl_handshake_timeout=self._timeout_s if with_tls else None,
                    ssl_shutdown_timeout=CLOSING_NS / 1e9 if with_tls else None,
                )
        except TimeoutError as error:
            raise UpstreamError(f"connecting{self._from} took too long", sent=False) from error
        except OSError as error:
            raise self._failed(_reason(error)) from error
        except Exception as error:  # the resolver and the TLS layer have errors of their own
            raise self._failed(type(error).__name__) from error
        return protocol, took_ns

    def _failed(self, reason: str) -> UpstreamError:
        return UpstreamError(f"cannot connect{self._from}: {reason}", sent=False)

    async def _connected(self) -> tuple[socket.socket, int]:
        """A connected socket, whichever of the host's addresses answers first."""
        loop = asyncio.get_running_loop()
        here: list[Any] | None = None
        family = 0
        if self._local is not None:
            here = await loop.getaddrinfo(self._local, 0, type=socket.SOCK_STREAM)
            family = here[0][0]
        there = await loop.getaddrinfo(
            self._host, self._port, family=family, type=socket.SOCK_STREAM
        )
        began_ns = self._now_ns()
        connected = await start_connection(there, local_addr_infos=here, happy_eyeballs_delay=0.25)
        took_ns = self._now_ns() - began_ns
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connected, took_ns


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message}"
    if isinstance(error.errno, int) and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or type(error).__name__
