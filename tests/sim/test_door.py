"""Addresses that requests come from are told apart: budgets, bound keys, connections."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import ssl
from pathlib import Path

from proxy.sim import Authority
from proxy.sim.okx import SimulatedOkx
from tests.sim.client import BOUND, LIVE, Client, HandClock, connected

HERE, THERE = "127.0.0.2", "127.0.0.3"
TIME = "/api/v5/public/time"


async def read_time(client: Client, times: int) -> list[str]:
    return [(await client.send("GET", TIME, b"", {})).code for _ in range(times)]


async def test_each_address_has_a_budget_of_its_own(
    okx: SimulatedOkx, clock: HandClock, client: Client
) -> None:
    async with connected(okx, clock, HERE) as here, connected(okx, clock, THERE) as there:
        assert await read_time(here, 11) == ["0"] * 10 + ["50011"]
        assert await read_time(there, 3) == ["0"] * 3
    seen = await client.sim("GET", f"breaches?subject={HERE}")
    assert list(seen["breaches"].values()) == [1]
    (bucket,) = seen["buckets"].values()
    assert (bucket["rule"], bucket["subject"]) == (f"GET {TIME}#0", HERE)
    assert (bucket["accepted"], bucket["most_in_sliding"]) == (10, 11)
    everything = await client.sim("GET", "breaches")
    assert {each["subject"] for each in everything["buckets"].values()} == {HERE, THERE}
    arrivals = await client.sim("GET", f"arrivals?bucket=GET {TIME}%230 {THERE}")
    assert [within for _, _, within in arrivals] == [True] * 3


async def test_a_key_is_bound_to_its_addresses_alone(okx: SimulatedOkx, clock: HandClock) -> None:
    user = dataclasses.replace(BOUND, ips=f"{HERE},203.0.113.7")
    okx.world.users[user.api_key] = user
    async with connected(okx, clock, HERE) as here, connected(okx, clock, THERE) as there:
        assert (await here.call("GET", "account/balance", user=user)).code == "0"
        refused = await there.call("GET", "account/balance", user=user)
        assert (refused.status, refused.code) == (401, "50110")
        assert THERE in refused.content["msg"]


async def test_connections_and_requests_are_counted_by_address(
    okx: SimulatedOkx, clock: HandClock, client: Client
) -> None:
    async with connected(okx, clock, HERE) as here:
        await asyncio.gather(*(read_time(here, 1) for _ in range(3)))
        await client.sim("POST", "limits", {f"GET {TIME}": "1/2"})
        await client.sim("POST", "faults", {"kind": "ban-403", "source": HERE})
        await read_time_or_page(here)
        await read_time(here, 1)
        seen = await client.sim("GET", "sources")
        assert list(seen) == [HERE]
        assert 1 <= seen[HERE].pop("opened") == seen[HERE].pop("open") <= 3
        assert seen[HERE] == {"resumed": 0, "requests": 5, "refused": 1, "banned": 1}
        await client.sim("POST", "reset")
        assert (await client.sim("GET", "sources"))[HERE]["opened"] == 0
        assert (await client.sim("GET", "sources"))[HERE]["open"] >= 1
    async with asyncio.timeout(5):
        while await client.sim("GET", "sources"):
            pass


async def read_time_or_page(client: Client) -> None:
    async with client.session.get(client.base + TIME) as answer:
        await answer.read()


async def test_a_resumed_handshake_is_told_from_a_full_one(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    exchange = SimulatedOkx([LIVE], clock=HandClock())
    host, port = await exchange.start(ssl=authority.server_context())
    context = authority.client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # its ticket comes before any answer
    try:
        session = await _handshake(host, port, context, None)
        await _handshake(host, port, context, session)
        counts = exchange.door.shown()[host]
        assert (counts["opened"], counts["resumed"]) == (2, 1)
    finally:
        await exchange.stop()


async def _handshake(
    host: str, port: int, context: ssl.SSLContext, session: ssl.SSLSession | None
) -> ssl.SSLSession | None:
    def connect() -> ssl.SSLSession | None:
        with (
            socket.create_connection((host, port)) as plain,
            context.wrap_socket(plain, server_hostname=host, session=session) as tls,
        ):
            head = f"GET {TIME} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n"
            tls.sendall(head.encode())
            assert tls.recv(12) == b"HTTP/1.1 200"
            return tls.session

    return await asyncio.to_thread(connect)


async def test_the_back_door_is_not_among_the_connections(
    okx: SimulatedOkx, clock: HandClock
) -> None:
    async with connected(okx, clock, HERE) as here:
        await here.sim("GET", "state")
        assert okx.door.shown() == {}
        await read_time(here, 1)
        await here.sim("GET", "state")
        counts = okx.door.shown()[HERE]
        assert (counts["requests"], counts["open"]) == (1, counts["opened"])
