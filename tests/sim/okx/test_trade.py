"""What happens to orders: accepted, refused with the right code, found again, ended."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.sim.okx import SimulatedOkx
from tests.sim.client import DEMO, ORDER, Client, HandClock

SWAP = ORDER | {"instId": "BTC-USDT-SWAP", "tdMode": "cross", "sz": "1"}
NAME = "a" * 32


async def place(client: Client, **changes: Any) -> dict[str, Any]:
    answer = await client.call("POST", "trade/order", ORDER | changes)
    assert answer.code == "0", answer.content
    item: dict[str, Any] = answer.content["data"][0]
    return item


async def test_an_accepted_order_echoes_its_tag_and_name(client: Client, okx: SimulatedOkx) -> None:
    item = await place(client, tag="code0001", clOrdId=NAME)
    assert (item["tag"], item["clOrdId"], item["sCode"]) == ("code0001", NAME, "0")
    assert okx.orders[0]["tag"] == "code0001"
    assert okx.requests[0].order_ids == (item["ordId"],)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"instId": "NO-SUCH"}, "51001"),
        ({"instId": ""}, "50014"),
        ({"side": "long"}, "51000"),
        ({"side": None}, "50014"),
        ({"ordType": "unknown"}, "51000"),
        ({"tdMode": "margin"}, "51000"),
        ({"px": ""}, "50014"),
        ({"px": "-1"}, "51000"),
        ({"px": "nan"}, "51000"),
        ({"sz": "0"}, "51000"),
        ({"sz": "abc"}, "51000"),
        ({"sz": True}, "51000"),
        ({"sz": "0.000001"}, "51020"),
        ({"sz": "0.000000000001", "instId": "BTC-USDT"}, "51020"),
        ({"sz": "1.000000000001"}, "51121"),
        ({"sz": "1000000"}, "51008"),
        ({"tag": "a" * 17}, "51000"),
        ({"tag": "my-tag"}, "51000"),
        ({"tag": "töö"}, "51000"),
        ({"clOrdId": "a" * 33}, "51000"),
        ({"clOrdId": "a_b"}, "51000"),
        ({"reduceOnly": "maybe"}, "51000"),
        ({"tgtCcy": "eur"}, "51000"),
        ({"posSide": "long"}, "51000"),
        ({"attachAlgoOrds": "x"}, "51000"),
    ],
)
async def test_an_order_that_makes_no_sense_is_refused(
    client: Client, okx: SimulatedOkx, changes: dict[str, Any], code: str
) -> None:
    answer = await client.call("POST", "trade/order", ORDER | changes)
    assert (answer.status, answer.code, answer.item_codes) == (200, "1", [code])
    assert okx.orders == []


@pytest.mark.parametrize("absent", ["", None])
async def test_unset_fields_may_be_empty_or_null(client: Client, absent: str | None) -> None:
    unset = dict.fromkeys(("tag", "clOrdId", "ccy", "posSide", "tgtCcy", "reduceOnly"), absent)
    item = await place(client, **unset)
    assert (item["tag"], item["clOrdId"]) == ("", "")


async def test_numbers_may_be_json_numbers(client: Client, okx: SimulatedOkx) -> None:
    body = b'{"instId":"BTC-USDT","tdMode":"cash","side":"buy","ordType":"limit","px":1e-8,"sz":1}'
    assert (await client.call("POST", "trade/order", body)).code == "0"
    assert okx.orders[0]["px"] == "1e-8"


async def test_a_name_is_unique_among_pending_orders_only(client: Client) -> None:
    first = await place(client, clOrdId=NAME)
    again = await client.call("POST", "trade/order", ORDER | {"clOrdId": NAME})
    assert again.item_codes == ["51016"]
    ended = {"instId": "BTC-USDT", "ordId": first["ordId"]}
    assert (await client.call("POST", "trade/cancel-order", ended)).code == "0"
    second = await place(client, clOrdId=NAME)
    found = await client.call("GET", f"trade/order?instId=BTC-USDT&clOrdId={NAME}")
    assert found.content["data"][0]["ordId"] == second["ordId"]


@pytest.mark.parametrize(("bad", "code"), [(0, "0"), (1, "2"), (2, "1")])
async def test_a_batch_says_how_much_of_it_failed(client: Client, bad: int, code: str) -> None:
    items = [ORDER | ({"sz": "0"} if number < bad else {}) for number in range(2)]
    answer = await client.call("POST", "trade/batch-orders", items)
    assert answer.code == code
    assert answer.item_codes == ["51000"] * bad + ["0"] * (2 - bad)


@pytest.mark.parametrize("content", [[], [ORDER] * 21, ORDER, [ORDER, 1]])
async def test_a_batch_is_one_to_twenty_objects(client: Client, content: Any) -> None:
    assert (await client.call("POST", "trade/batch-orders", content)).status == 400


async def test_amend_and_cancel_reach_pending_orders_only(
    client: Client, okx: SimulatedOkx
) -> None:
    item = await place(client)
    target = {"instId": "BTC-USDT", "ordId": item["ordId"]}
    amended = await client.call("POST", "trade/amend-order", target | {"newPx": "41000"})
    assert (amended.code, okx.orders[0]["px"]) == ("0", "41000")
    assert "tag" not in amended.content["data"][0]
    assert (await client.call("POST", "trade/amend-order", target)).item_codes == ["50014"]
    assert (await client.call("POST", "trade/cancel-batch-orders", [target])).code == "0"
    assert (await client.call("POST", "trade/cancel-order", target)).item_codes == ["51400"]
    late = await client.call("POST", "trade/amend-batch-orders", [target | {"newSz": "2"}])
    assert late.item_codes == ["51503"]


async def test_orders_are_listed_where_they_belong(client: Client) -> None:
    resting = await place(client)
    market = await place(client, ordType="market", px="")
    pending = await client.call("GET", "trade/orders-pending?instType=SPOT")
    assert [each["ordId"] for each in pending.content["data"]] == [resting["ordId"]]
    history = await client.call("GET", "trade/orders-history?instType=SPOT")
    assert [each["state"] for each in history.content["data"]] == ["filled"]
    fills = await client.call("GET", f"trade/fills?ordId={market['ordId']}")
    assert len(fills.content["data"]) == 1
    assert (await client.call("GET", "trade/orders-history")).code == "50014"
    assert (await client.call("GET", "trade/order?instId=BTC-USDT&ordId=1")).code == "51603"
    assert (await client.call("GET", "trade/orders-pending?limit=101")).code == "51000"


async def test_a_position_can_be_closed_once(client: Client) -> None:
    market = SWAP | {"ordType": "market", "px": ""}
    assert (await client.call("POST", "trade/order", market)).code == "0"
    held = await client.call("GET", "account/positions")
    assert [each["pos"] for each in held.content["data"]] == ["1"]
    close = {"instId": "BTC-USDT-SWAP", "mgnMode": "cross", "tag": "code0001"}
    closed = await client.call("POST", "trade/close-position", close)
    assert closed.content["data"][0]["tag"] == "code0001"
    assert (await client.call("POST", "trade/close-position", close)).code == "51023"
    wrong = await client.call("POST", "trade/close-position", close | {"tag": "no-tag"})
    assert (wrong.status, wrong.code) == (400, "51000")


@pytest.mark.parametrize(
    ("timer_tag", "left"), [("", []), ("mine", ["other"]), ("MINE", ["mine", "other"])]
)
async def test_the_timer_kills_orders_of_exactly_its_tag(
    client: Client, okx: SimulatedOkx, clock: HandClock, timer_tag: str, left: list[str]
) -> None:
    await place(client, tag="mine")
    await place(client, tag="other")
    timer = {"timeOut": "10"} | ({"tag": timer_tag} if timer_tag else {})
    assert (await client.call("POST", "trade/cancel-all-after", timer)).code == "0"
    clock.advance(9.9)
    await client.call("GET", "account/config")
    assert {order["state"] for order in okx.orders} == {"live"}
    clock.advance(0.1)
    await client.call("GET", "account/config")
    assert [order["tag"] for order in okx.orders if order["state"] == "live"] == left


@pytest.mark.parametrize("seconds", ["9", "121", "-1", "x", "1.5"])
async def test_the_timer_takes_zero_or_ten_to_a_hundred_and_twenty_seconds(
    client: Client, seconds: str
) -> None:
    answer = await client.call("POST", "trade/cancel-all-after", {"timeOut": seconds})
    assert (answer.status, answer.code) == (400, "51000")


async def test_at_most_twenty_tags_have_timers(client: Client, clock: HandClock) -> None:
    codes = []
    for number in range(21):
        timer = {"timeOut": "120", "tag": f"t{number}"}
        codes.append((await client.call("POST", "trade/cancel-all-after", timer)).code)
    assert codes == ["0"] * 20 + ["51071"]


async def test_demo_and_live_orders_are_apart(client: Client, okx: SimulatedOkx) -> None:
    await place(client)
    demo = {"x-simulated-trading": "1"}
    listed = await client.call("GET", "trade/orders-pending", user=DEMO, change=demo)
    assert listed.content["data"] == []
    assert [order["uid"] for order in okx.orders] == ["100"]


async def test_a_dry_run_places_nothing(client: Client, okx: SimulatedOkx) -> None:
    assert (await client.call("POST", "trade/order-precheck", ORDER)).code == "0"
    assert okx.orders == []


async def test_mass_cancel_ends_market_maker_orders_of_a_family(
    client: Client, okx: SimulatedOkx
) -> None:
    option = ORDER | {"instId": "BTC-USD-281229-40000-C", "tdMode": "cross", "sz": "1"}
    for kind in ("mmp", "limit"):
        placed = await client.call("POST", "trade/order", option | {"ordType": kind})
        assert placed.code == "0", placed.content
    which = {"instType": "OPTION", "instFamily": "BTC-USD"}
    assert (await client.call("POST", "trade/mass-cancel", which)).code == "0"
    assert [order["state"] for order in okx.orders] == ["canceled", "live"]


async def test_hedge_mode_needs_a_side(client: Client) -> None:
    await client.call("POST", "account/set-position-mode", {"posMode": "long_short_mode"})
    assert (await client.call("POST", "trade/order", SWAP)).item_codes == ["50014"]
    assert (await client.call("POST", "trade/order", SWAP | {"posSide": "long"})).code == "0"
