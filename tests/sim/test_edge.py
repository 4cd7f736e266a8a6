"""The edge refuses an address: pages that are not the exchange's, for a time, nothing processed."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import pytest

from proxy.sim.edge import page
from proxy.sim.faults import Fault, Faults
from proxy.sim.okx import SimulatedOkx
from tests.sim.client import ORDER, START_MS, Client, HandClock, connected

HERE, THERE = "127.0.0.2", "127.0.0.3"


async def raw(client: Client, target: str = "public/time") -> tuple[int, str, str, str]:
    """Status, content type, body and Retry-After."""
    async with client.session.get(f"{client.base}/api/v5/{target}") as answer:
        after = answer.headers.get("Retry-After", "")
        return answer.status, answer.content_type, await answer.text(), after


@pytest.mark.parametrize(
    ("kind", "status", "words", "after"),
    [
        ("ban-1015", 429, "error code: 1015", ""),
        ("ban-403", 403, "you have been blocked", ""),
        ("ban-418", 418, "teapot", "1"),
        ("ban-429", 429, "Too Many Requests", "1"),
    ],
)
async def test_each_ban_is_a_page_of_the_edge(
    client: Client, kind: str, status: int, words: str, after: str
) -> None:
    await client.sim("POST", "faults", {"kind": kind})
    answered = await raw(client)
    assert answered[:2] == (status, "text/html")
    assert words in answered[2]
    assert answered[3] == after
    assert (await raw(client))[0] == 200


@pytest.mark.parametrize("kind", ["ban-1015", "ban-403", "ban-418", "ban-429"])
async def test_nothing_is_processed_or_counted_behind_a_ban(
    client: Client, okx: SimulatedOkx, kind: str
) -> None:
    await client.sim("POST", "faults", {"kind": kind, "process": True})
    answer = await client.call("POST", "trade/order", ORDER)
    assert answer.status in (403, 418, 429)
    assert (okx.orders, okx.budgets.windows) == ([], {})
    assert (okx.requests[-1].fault, okx.requests[-1].uid) == (kind, "")


async def test_a_ban_lasts_and_is_for_one_address(okx: SimulatedOkx, clock: HandClock) -> None:
    async with connected(okx, clock, HERE) as here, connected(okx, clock, THERE) as there:
        fault = {"kind": "ban-418", "source": HERE, "for_ms": 2500}
        await there.sim("POST", "faults", fault)
        seen = []
        for seconds in (0.0, 1.0, 1.499, 0.001):
            clock.advance(seconds)
            seen.append((await raw(here))[::3])
            assert (await raw(there))[0] == 200
        assert seen == [(418, "3"), (418, "2"), (418, "1"), (200, "")]


async def test_a_ban_of_nobody_in_particular_stays_with_the_first_it_meets(
    okx: SimulatedOkx, clock: HandClock
) -> None:
    async with connected(okx, clock, HERE) as here, connected(okx, clock, THERE) as there:
        okx.faults.coming.append(Fault("ban-1015", for_ms=1000, skip=1))
        assert (await raw(here))[0] == 200
        clock.advance(60)
        assert (await raw(there))[0] == 429
        assert (await raw(here))[0] == 200
        assert (await raw(there))[0] == 429
        assert okx.faults.coming[0].source == THERE


async def test_other_faults_may_be_of_one_address_and_last_too(
    okx: SimulatedOkx, clock: HandClock
) -> None:
    async with connected(okx, clock, HERE) as here, connected(okx, clock, THERE) as there:
        fault = {"kind": "code", "code": "50013", "status": 429, "source": HERE, "for_ms": 10}
        await here.sim("POST", "faults", fault)
        assert [(await raw(client))[0] for client in (there, here, here)] == [200, 429, 429]
        await here.sim("POST", "faults", {"kind": "drop", "source": THERE})
        with pytest.raises(aiohttp.ClientError):
            await there.call("POST", "trade/order", ORDER)
        assert okx.requests[-1].fault == "drop"


@pytest.mark.parametrize(
    ("kind", "retry_after", "shown"),
    [
        ("ban-1015", "left", "5"),
        ("ban-1015", "120", "120"),
        ("ban-403", 7, "7"),
        ("ban-418", "-", None),
        ("ban-429", "soon", "soon"),
    ],
)
def test_retry_after_says_what_it_is_told(kind: str, retry_after: Any, shown: str | None) -> None:
    fault = Fault(kind, for_ms=5000, retry_after=retry_after, until_ns=5_000_000_000)
    assert page(fault, "www.okx.com", 0, START_MS).headers.get("Retry-After") == shown


def test_retry_after_may_be_a_date() -> None:
    fault = Fault("ban-418", for_ms=5000, retry_after="date", until_ns=5_000_000_000)
    value = page(fault, "www.okx.com", 1_000_000_000, START_MS).headers["Retry-After"]
    until = datetime.fromtimestamp((START_MS + 4000) / 1000, UTC)
    assert parsedate_to_datetime(value) == until


def test_a_page_has_the_status_it_is_told() -> None:
    assert page(Fault("ban-1015", status=503), "www.okx.com", 0, START_MS).status == 503


def test_a_ban_that_is_over_makes_room_for_the_next() -> None:
    faults = Faults()
    faults.coming += [Fault("ban-418", for_ms=1), Fault("drop")]
    kinds = []
    for now_ns in (5, 1_000_004, 1_000_005, 1_000_006):
        fault = faults.take("GET", "/", "x", now_ns)
        kinds.append(fault.kind if fault else "")
    assert kinds == ["ban-418", "ban-418", "drop", ""]
