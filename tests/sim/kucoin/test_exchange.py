"""The whole: every row answers, the bot's side signs what it takes, the back door changes it."""

from __future__ import annotations

import json

import pytest

from proxy.sim.kucoin import Kucoin, SimulatedKucoin, User
from proxy.sim.kucoin.bot import signed
from proxy.sim.kucoin.desk import DEMO_PARTNERS
from proxy.sim.kucoin.routes import ACTS
from tests.sim.client import HandClock
from tests.sim.kucoin.client import Client

EVERYTHING = User(
    "6422da9c97b45100018c6e66",
    "s",
    "p",
    "600",
    perm="General,Spot,Margin,Futures,Earn,Withdraw,Transfer,LeadtradeFutures",
)


def test_every_function_belongs_to_a_row() -> None:
    rows = {(row.venue, row.name) for row in Kucoin().table.rows}
    assert {(venue, name) for venue, acts in ACTS.items() for name in acts} <= rows


async def test_every_row_answers_in_the_envelope(client: Client, kucoin: SimulatedKucoin) -> None:
    kucoin.exchange.add_user({name: getattr(EVERYTHING, name) for name in User.__slots__})
    kucoin.exchange.change_account({"uid": "600", "broker": True})
    kucoin.exchange.set_limit("edge", 10_000, 1)
    for name in kucoin.exchange.table.pools:
        kucoin.exchange.set_limit(name, 1_000_000, 1)
    for row in kucoin.exchange.table.rows:
        path = row.path.replace("{", "").replace("}", "")
        body: dict[str, str] | None = (
            {} if row.method == "POST" or path.endswith("multi-cancel") else None
        )
        change = client.partner(row.venue, EVERYTHING)
        answer = await client.call(
            row.method, path, body, venue=row.venue, user=EVERYTHING, change=change
        )
        refused = ("400100", "900001", "100001", "300000")
        assert answer.code in ("200000", *refused), (row, answer.content)
        assert len(answer.rate) == 3, row


async def test_rows_can_be_added_at_any_venue(client: Client) -> None:
    rows = ["GET /api/v9/new 1 spot general", "futures: GET /api/v9/new 1 futures general"]
    await client.sim("POST", "endpoints", {"rows": rows})
    for venue, limit in (("main", 4000), ("futures", 2000)):
        assert (await client.call("GET", "/api/v9/new", venue=venue)).rate[0] == limit


@pytest.mark.parametrize(
    ("version", "sealed", "code"),
    [("3", True, "200000"), ("2", True, "200000"), ("", False, "400009"), ("3", False, "400004")],
)
async def test_a_bots_passphrase_comes_in_several_forms(
    client: Client, clock: HandClock, version: str, sealed: bool, code: str
) -> None:
    user = client.exchange.exchange.new_user("9")
    sample = client.exchange.exchange.samples[0]._replace(headers={})
    made = signed(user, sample, clock.wall_ms(), version=version, sealed=sealed)
    answer = await client.send(sample.method, made.target, made.body, made.headers)
    assert answer.code == code


async def test_samples_carry_somebody_elses_code(client: Client, clock: HandClock) -> None:
    exchange = client.exchange.exchange
    user = exchange.new_user("9")
    for sample in exchange.samples:
        assert json.loads(sample.body)["clientOid"]
        made = exchange.signed(user, sample, clock.wall_ms())
        answer = await client.send(
            sample.method, made.target, made.body, made.headers, sample.venue
        )
        assert answer.code == "400200"
        (code,) = exchange.codes(client.exchange.requests[-1])
        assert code.startswith("ccxt")


def test_what_makes_an_operator_is_told() -> None:
    operator = Kucoin.operator
    assert operator["main"]["broker_code"] == DEMO_PARTNERS["main"].id
    assert operator["futures"]["broker_key"] == DEMO_PARTNERS["futures"].key
    assert operator["main"]["broker_key"] != operator["futures"]["broker_key"]


def test_there_is_no_demo_trading() -> None:
    exchange = Kucoin()
    with pytest.raises(ValueError, match="demo"):
        exchange.new_user("1", demo=True)
    fields = {"api_key": "k", "secret": "s", "passphrase": "p", "uid": "1"}
    with pytest.raises(ValueError, match="demo"):
        exchange.add_user(fields | {"demo": True})
    with pytest.raises(ValueError, match="vip"):
        exchange.add_user(fields | {"vip": 13})
    assert exchange.accounts() == []
