"""The admin port: what it answers and to whom."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
import pytest

from proxy.admin.server import AdminServer
from proxy.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ANYWHERE = ("127.0.0.1", 0)


class _Peer:
    """One who asks the admin port."""

    def __init__(self) -> None:
        self.missing: list[str] = []
        self.metrics = Metrics()
        self.server = AdminServer(self.metrics, lambda: self.missing)

    async def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, str, str]:
        """Status, content type and body."""
        host, port = self.server.address
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, f"http://{host}:{port}{path}", headers=headers) as answer,
        ):
            return answer.status, answer.headers["Content-Type"], await answer.text()


@pytest.fixture
async def peer() -> AsyncIterator[_Peer]:
    peer = _Peer()
    await peer.server.start(ANYWHERE)
    yield peer
    await peer.server.stop()


async def test_metrics_are_shown_as_text(peer: _Peer) -> None:
    peer.metrics.exchange_rate_limited("okx").n += 3
    status, kind, body = await peer.ask("/metrics")
    assert (status, kind.partition(";")[0]) == (200, "text/plain")
    assert 'tagproxy_exchange_rate_limited_total{exchange="okx"} 3.0\n' in body
    assert "# EOF" not in body


async def test_whoever_asks_for_openmetrics_gets_it(peer: _Peer) -> None:
    kind = "application/openmetrics-text; version=1.0.0"
    status, answered, body = await peer.ask("/metrics", Accept=kind)
    assert (status, answered.partition(";")[0]) == (200, "application/openmetrics-text")
    assert body.endswith("# EOF\n")


async def test_a_living_process_is_healthy_even_when_it_is_not_ready(peer: _Peer) -> None:
    peer.missing = ["accounts are not loaded"]
    assert (await peer.ask("/healthz"))[0] == 200


async def test_readiness_lists_what_is_missing(peer: _Peer) -> None:
    assert await peer.ask("/readyz") == (200, "application/json", "[]")
    peer.missing = ["accounts are not loaded", "okx: no connection"]
    assert await peer.ask("/readyz") == (
        503,
        "application/json",
        '["accounts are not loaded","okx: no connection"]',
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/metrics/"),
        ("GET", "/okx/api/v5/public/time"),
        ("POST", "/metrics"),
        ("DELETE", "/readyz"),
        ("OPTIONS", "/healthz"),
    ],
)
async def test_everything_else_is_not_found(peer: _Peer, method: str, path: str) -> None:
    assert (await peer.ask(path, method))[0] == 404


async def test_a_head_request_is_answered_without_a_body(peer: _Peer) -> None:
    status, _, body = await peer.ask("/healthz", "HEAD")
    assert (status, body) == (200, "")


async def test_a_port_in_use_is_an_error_and_leaves_nothing_open(peer: _Peer) -> None:
    second = AdminServer(Metrics(), list)
    with pytest.raises(OSError, match="address already in use"):
        await second.start(peer.server.address)
    await second.stop()


async def test_after_the_stop_nobody_listens() -> None:
    peer = _Peer()
    host, port = await peer.server.start(ANYWHERE)
    await peer.server.stop()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, port)


async def test_it_can_be_started_again_somewhere_else(peer: _Peer) -> None:
    before = peer.server.address
    await peer.server.stop()
    await peer.server.start(("127.0.0.2", 0))
    assert peer.server.address[0] == "127.0.0.2"
    assert (await peer.ask("/metrics"))[0] == 200
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*before)


@pytest.mark.parametrize("same_port", [False, True])
async def test_it_moves_without_a_gap_for_who_is_connected(peer: _Peer, same_port: bool) -> None:
    host, port = before = peer.server.address
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
    await reader.readuntil(b"ok\n")
    after = await peer.server.move(("127.0.0.2", port if same_port else 0))
    assert after == peer.server.address
    assert after[0] == "127.0.0.2"
    assert (await peer.ask("/metrics"))[0] == 200
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*before)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
    await reader.readuntil(b"ok\n")
    writer.close()
    await writer.wait_closed()


async def test_it_moves_to_all_addresses_of_the_port_that_it_has(peer: _Peer) -> None:
    """The system does not let both be open at once."""
    _, port = peer.server.address
    assert await peer.server.move(("0.0.0.0", port)) == ("0.0.0.0", port)
    peer.server._address = ("127.0.0.1", port)
    assert (await peer.ask("/metrics"))[0] == 200


@pytest.mark.parametrize("same_port", [False, True])
async def test_it_stays_where_it_is_if_it_cannot_move(peer: _Peer, same_port: bool) -> None:
    before = peer.server.address
    other = AdminServer(Metrics(), list)
    await other.start(("127.0.0.2", before[1] if same_port else 0))
    with pytest.raises(OSError, match="address already in use"):
        await peer.server.move(other.address)
    assert peer.server.address == before
    assert (await peer.ask("/metrics"))[0] == 200
    with pytest.raises(OSError, match="requested address"):
        await peer.server.move(("203.0.113.7", 0))
    assert (await peer.ask("/metrics"))[0] == 200
    await other.stop()
