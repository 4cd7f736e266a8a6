"""What every simulated exchange does alike, found by its folder."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from yarl import URL

from proxy.sim import Recorded, SimulatedExchange, registry
from proxy.sim.exchange import Holder, Sample, Simulated
from tests.sim.client import HandClock


@pytest.fixture(params=registry.kinds())
async def server(
    request: pytest.FixtureRequest, clock: HandClock
) -> AsyncIterator[SimulatedExchange[Simulated]]:
    running = SimulatedExchange(registry.make(request.param), clock=clock)
    await running.start()
    yield running
    await running.stop()


async def send(
    server: SimulatedExchange[Simulated], holder: Holder, sample: Sample
) -> tuple[int, bytes]:
    """Send a sample without the headers of somebody else, whom the exchange need not know."""
    sample = sample._replace(headers={})
    signed = server.exchange.signed(holder, sample, server.clock.wall_ms())
    host, port = server.addresses[sample.venue]
    async with (
        aiohttp.ClientSession() as session,
        session.request(
            sample.method,
            URL(f"http://{host}:{port}{signed.target}", encoded=True),
            data=signed.body or None,
            headers=signed.headers,
            skip_auto_headers=[] if "Content-Type" in signed.headers else ["Content-Type"],
        ) as answer,
    ):
        return answer.status, await answer.read()


async def test_a_sample_order_of_each_venue_is_taken(server: SimulatedExchange[Simulated]) -> None:
    told: list[Recorded] = []
    server.on_order = told.append
    user = server.exchange.new_user("1001")
    for sample in server.exchange.samples:
        status, body = await send(server, user, sample)
        assert status == 200, body
        record = server.requests[-1]
        assert (record.accepted, record.uid, record.venue) == (True, "1001", sample.venue), body
        assert told[-1] is record
        assert server.exchange.is_order(record)
        assert len(record.order_ids) == 1
        assert server.exchange.codes(record) != []
    assert len(server.orders) == len(server.exchange.samples) == len(told)
    assert {order["uid"] for order in server.orders} == {"1001"}


async def test_a_key_that_nobody_has_is_refused(server: SimulatedExchange[Simulated]) -> None:
    stranger = registry.make(server.exchange.kind).new_user("1001")
    for sample in server.exchange.samples:
        await send(server, stranger, sample)
        record = server.requests[-1]
        assert (record.accepted, record.uid) == (False, "")
    assert server.orders == []


async def test_a_user_can_be_removed_and_put_back(server: SimulatedExchange[Simulated]) -> None:
    exchange = server.exchange
    user = exchange.new_user("1001")
    (sample, *_) = exchange.samples
    assert exchange.remove_user(user.api_key)
    assert not exchange.remove_user(user.api_key)
    await send(server, user, sample)
    assert not server.requests[-1].accepted
    fields = {"api_key": user.api_key, "secret": user.secret, "uid": "7"}
    if user.passphrase:
        fields["passphrase"] = user.passphrase
    assert exchange.add_user(fields).uid == "7"
    await send(server, user, sample)
    assert (server.requests[-1].accepted, server.requests[-1].uid) == (True, "7")
    exchange.clear()
    assert server.orders == []
    assert list(exchange.users) == [user.api_key]
    assert [account["uid"] for account in exchange.accounts()].count("7") == 1


async def test_each_venue_has_a_port_and_a_back_door(server: SimulatedExchange[Simulated]) -> None:
    assert list(server.addresses) == list(server.exchange.venues)
    assert len(set(server.addresses.values())) == len(server.exchange.venues)
    async with aiohttp.ClientSession() as session:
        for host, port in server.addresses.values():
            async with session.get(f"http://{host}:{port}/sim/state") as answer:
                assert (await answer.json())["requests"] == 0


async def test_an_error_on_request_is_in_the_exchanges_own_envelope(
    server: SimulatedExchange[Simulated],
) -> None:
    user = server.exchange.new_user("1001")
    (sample, *_) = server.exchange.samples
    host, port = server.address
    fault = {"kind": "code", "code": "510", "status": 429, "headers": {"Retry-After": "3"}}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"http://{host}:{port}/sim/faults", json=fault) as answer,
    ):
        assert answer.status == 200
    status, body = await send(server, user, sample)
    assert status == 429
    assert str(json.loads(body)["code"]) == server.requests[-1].code == "510"
    assert server.orders == []


def test_users_show_no_secret_and_differ() -> None:
    for kind in registry.kinds():
        exchange = registry.make(kind)
        one, other = exchange.new_user("1"), exchange.new_user("2")
        assert one.api_key != other.api_key
        assert list(exchange.users.values()) == [one, other]
        assert one.secret not in repr(one)
        assert not one.passphrase or one.passphrase not in repr(one)
        assert not one.demo


def test_texts_to_paste_name_the_key_and_where_to() -> None:
    for kind in registry.kinds():
        exchange = registry.make(kind)
        user = exchange.new_user("1")
        texts = exchange.pastes(f"http://127.0.0.1:8080/{kind}", user)
        assert texts
        assert all(user.api_key in each.text and user.secret in each.text for each in texts)
        plain = [each.text for each in texts if each.text.startswith("python3 - <<'EOF'\n")]
        assert plain
        for text in plain:
            compile("\n".join(text.splitlines()[1:-1]), kind, "exec")


def test_venues_that_take_orders_are_served_and_a_broker_can_be_one() -> None:
    for kind in registry.kinds():
        exchange = registry.make(kind)
        assert {sample.venue for sample in exchange.samples} <= set(exchange.venues)
        assert exchange.operator["main"]["broker_code"]
