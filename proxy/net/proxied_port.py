"""A port whose connections begin with a PROXY protocol header, before TLS and HTTP.

asyncio can put nothing before a server's TLS handshake. So connections are accepted here by hand,
the header is read to its last byte and no further, and the socket goes to the event loop as if it
had just been accepted.
"""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

from proxy.net.proxy_protocol import BadPreface, read, unmapped
from proxy.tasks import spawn

if TYPE_CHECKING:
    import ssl

    from proxy.net.server import Listener

Networks: TypeAlias = tuple[IPv4Network | IPv6Network, ...]

_ACCEPTS_AT_ONCE: Final = 64
_RETRY_S: Final = 0.1  # out of descriptors or memory
_PEEK_BYTES: Final = 512


@final
class Arrival:
    """A connection on its way from `accept` to its protocol: header, then TLS handshake."""

    __slots__ = ("_heard", "_port", "_socket", "_task")

    def __init__(self, port: ProxiedPort, accepted: socket.socket) -> None:
        self._port = port
        self._socket = accepted
        self._heard = False
        self._task: asyncio.Task[None] | None = None  # as long as it may be cancelled

    def start(self) -> None:
        """Go on in the background."""
        self._task = spawn("arrival", self._run(), self._port.died)

    def drain(self) -> None:
        """Close if the peer has said nothing yet."""
        if not self._heard:
            self.abort()

    def abort(self) -> None:
        """Close now."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        port = self._port
        accepted = self._socket
        try:
            try:
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                async with asyncio.timeout(port.listener.limits.head_timeout_ns / 1e9):
                    source = await self._source()
            except BaseException:
                accepted.close()
                raise
            if not port.with_tls:
                self._task = None  # the loop's next two steps are too short to be cut off
            await port.hand_over(accepted, source)
        except BadPreface as fault:
            port.refuse(str(fault))
        except TimeoutError:
            if self._heard:
                port.refuse("the PROXY protocol header took too long")
        except OSError:
            pass  # it hung up, or failed its handshake
        finally:
            port.listener.arrived(self)

    async def _source(self) -> IPv4Address | IPv6Address | None:
        """Take the header, and nothing behind it, off the socket."""
        accepted = self._socket
        head = b""
        while True:
            try:
                here = accepted.recv(_PEEK_BYTES, socket.MSG_PEEK)
            except BlockingIOError:
                await _readable(accepted)
                continue
            if not here:
                if self._heard:
                    raise BadPreface("half a PROXY protocol header")
                raise ConnectionResetError
            self._heard = True
            preface = read(head + here)
            if preface is not None:
                accepted.recv(preface.size - len(head))
                return preface.source
            head += accepted.recv(len(here))


@final
class ProxiedPort:
    """The sockets of one address. Only peers in `trusted` may speak; () is everybody."""

    __slots__ = ("_context", "_sockets", "_tired", "_trusted", "listener")

    def __init__(
        self, listener: Listener[Any], ssl_context: ssl.SSLContext | None, trusted: Networks
    ) -> None:
        self.listener = listener
        self._context = ssl_context
        self._trusted = trusted
        self._sockets: list[socket.socket] = []
        self._tired = False  # the last accept failed

    @property
    def with_tls(self) -> bool:
        """Whether a TLS handshake follows the header."""
        return self._context is not None

    async def open(self, host: str, port: int, backlog: int) -> tuple[str, int]:
        """Listen, and return the host and port actually bound. Raises OSError."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        try:
            for family, kind, protocol, _, address in dict.fromkeys(found):
                listening = socket.socket(family, kind, protocol)
                self._sockets.append(listening)
                listening.settimeout(0)
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listening.bind(address)
                listening.listen(backlog)
        except OSError:
            self.close()
            raise
        for listening in self._sockets:
            loop.add_reader(listening, self._accept, listening)
        bound = self._sockets[0].getsockname()
        return bound[0], bound[1]

    def close(self) -> None:
        """Accept nothing more."""
        loop = asyncio.get_running_loop()
        for listening in self._sockets:
            loop.remove_reader(listening)
            listening.close()
        self._sockets.clear()

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_ACCEPTS_AT_ONCE):
            try:
                accepted, peer = listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                self._rest(listening, error)
                return
            self._tired = False
            self._receive(accepted, peer)

    def _rest(self, listening: socket.socket, error: OSError) -> None:
        """Accept nothing for a moment: the system is out of something."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(listening)
        loop.call_later(_RETRY_S, self._resume, listening)
        if not self._tired:
            self._tired = True
            loop.call_exception_handler(
                {"message": "connections cannot be accepted", "exception": error}
            )

    def _resume(self, listening: socket.socket) -> None:
        if listening in self._sockets:
            asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    def _receive(self, accepted: socket.socket, peer: tuple[Any, ...]) -> None:
        if not self._trusts(peer[0]):
            accepted.close()
            self.refuse("a peer that may not speak the PROXY protocol here")
            return
        arrival = Arrival(self, accepted)
        if not self.listener.expect(arrival):
            accepted.close()
            return
        accepted.settimeout(0)
        arrival.start()

    def _trusts(self, peer: str) -> bool:
        if not self._trusted:
            return True
        address = unmapped(ip_address(peer))
        return any(address in network for network in self._trusted)

    # ---- for the arrivals -------------------------------------------------------------------

    async def hand_over(
        self, accepted: socket.socket, source: IPv4Address | IPv6Address | None
    ) -> None:
        """Give the connection its protocol, after its TLS handshake. Raises OSError."""
        limits = self.listener.limits
        with_tls = self.with_tls
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: self.listener.connection(source),
            accepted,
            ssl=self._context,
            ssl_handshake_timeout=limits.head_timeout_ns / 1e9 if with_tls else None,
            ssl_shutdown_timeout=limits.linger_timeout_ns / 1e9 if with_tls else None,
        )

    def refuse(self, what: str) -> None:
        """Let the handler take note of a connection that ends here: nobody reads its answer."""
        self.listener.handler.malformed(None, 400, what)

    @staticmethod
    def died(name: str, error: BaseException) -> None:
        """Report a fault of our own."""
        asyncio.get_running_loop().call_exception_handler(
            {"message": f"{name} failed", "exception": error}
        )


async def _readable(waiting: socket.socket) -> None:
    """Wait until there is something to read, or the peer hung up."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(waiting, _settle, ready)
    try:
        await ready
    finally:
        loop.remove_reader(waiting)


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
