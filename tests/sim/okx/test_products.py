"""Tagged calls beyond orders: what they need, and where the code shows again."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.sim.okx import SimulatedOkx
from tests.sim.client import DEMO, Client, HandClock

ALGO = {
    "instId": "BTC-USDT-SWAP",
    "tdMode": "cross",
    "side": "buy",
    "ordType": "conditional",
    "sz": "1",
    "tpTriggerPx": "60000",
    "tpOrdPx": "-1",
}
PAIR = {"baseCcy": "BTC", "quoteCcy": "USDT", "side": "buy"}
TAGGED: dict[str, dict[str, Any]] = {
    "trade/order-algo": ALGO,
    "sprd/order": {
        "sprdId": "BTC-USDT_BTC-USDT-SWAP",
        "side": "buy",
        "ordType": "limit",
        "sz": "1",
        "px": "1",
    },
    "rfq/create-rfq": {"counterparties": ["x"], "legs": [{"instId": "BTC-USDT"}]},
    "rfq/create-quote": {"rfqId": "1", "quoteSide": "buy", "legs": [{"px": "1"}]},
    "asset/convert/estimate-quote": PAIR | {"rfqSz": "1", "rfqSzCcy": "BTC"},
    "copytrading/algo-order": {"subPosId": "1"},
    "copytrading/close-subposition": {"subPosId": "1"},
    "copytrading/first-copy-settings": {
        "uniqueCode": "x",
        "copyMgnMode": "cross",
        "copyInstIdType": "copy",
    },
    "copytrading/amend-copy-settings": {
        "uniqueCode": "x",
        "copyMgnMode": "cross",
        "copyInstIdType": "copy",
    },
    "tradingBot/grid/order-algo": {
        "instId": "BTC-USDT",
        "algoOrdType": "grid",
        "maxPx": "2",
        "minPx": "1",
        "gridNum": "5",
    },
    "tradingBot/grid/copy-order-algo": {"instId": "BTC-USDT"},
    "tradingBot/dca/create": {"instId": "BTC-USDT", "algoOrdType": "spot_dca"},
    "tradingBot/recurring/order-algo": {
        "stgyName": "x",
        "recurringList": [{"ccy": "BTC", "ratio": "1"}],
        "period": "daily",
        "amt": "100",
        "investmentCcy": "USDT",
        "tdMode": "cash",
    },
    "finance/staking-defi/purchase": {"productId": "1", "investData": [{"ccy": "ETH"}]},
}


@pytest.mark.parametrize("name", TAGGED)
async def test_a_tagged_call_takes_a_tag_and_checks_its_form(
    client: Client, okx: SimulatedOkx, name: str
) -> None:
    good = await client.call("POST", name, TAGGED[name] | {"tag": "code0001"})
    assert good.code == "0", good.content
    okx.reset()
    bad = await client.call("POST", name, TAGGED[name] | {"tag": "a" * 17})
    assert bad.code == "51000" or bad.item_codes == ["51000"]


@pytest.mark.parametrize("name", TAGGED)
async def test_a_tagged_call_without_its_parameters_is_refused(client: Client, name: str) -> None:
    answer = await client.call("POST", name, {"tag": "code0001"})
    assert answer.code == "50014" or answer.item_codes == ["50014"]


async def test_a_conversion_with_a_tag_shows_under_that_tag_only(client: Client) -> None:
    asked = await client.call(
        "POST", "asset/convert/estimate-quote", PAIR | {"rfqSz": "1", "rfqSzCcy": "BTC"}
    )
    trade = PAIR | {"quoteId": asked.content["data"][0]["quoteId"], "sz": "1", "szCcy": "BTC"}
    done = await client.call("POST", "asset/convert/trade", trade | {"tag": "code0001"})
    assert done.code == "0"
    shown = {
        query: len((await client.call("GET", f"asset/convert/history{query}")).content["data"])
        for query in ("", "?tag=code0001", "?tag=code0002")
    }
    assert shown == {"": 0, "?tag=code0001": 1, "?tag=code0002": 0}
    again = await client.call("POST", "asset/convert/trade", trade)
    assert again.code == "52915"


async def test_a_quote_lives_ten_seconds(client: Client, clock: HandClock) -> None:
    asked = await client.call(
        "POST", "asset/convert/estimate-quote", PAIR | {"rfqSz": "1", "rfqSzCcy": "BTC"}
    )
    clock.advance(10.1)
    trade = PAIR | {"quoteId": asked.content["data"][0]["quoteId"], "sz": "1", "szCcy": "BTC"}
    assert (await client.call("POST", "asset/convert/trade", trade)).code == "52915"


async def test_an_algo_order_lives_until_cancelled(client: Client) -> None:
    placed = await client.call("POST", "trade/order-algo", ALGO | {"tag": "code0001"})
    target = {"instId": ALGO["instId"], "algoId": placed.content["data"][0]["algoId"]}
    found = await client.call("GET", f"trade/order-algo?algoId={target['algoId']}")
    assert found.content["data"][0]["tag"] == "code0001"
    listing = "trade/orders-algo-pending?ordType=conditional"
    assert len((await client.call("GET", listing)).content["data"]) == 1
    assert (await client.call("POST", "trade/cancel-algos", [target])).code == "0"
    assert (await client.call("POST", "trade/cancel-algos", [target])).item_codes == ["51400"]
    assert (await client.call("GET", listing)).content["data"] == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"ordType": "limit"}, "51000"),
        ({"tpTriggerPx": ""}, "50014"),
        ({"ordType": "trigger"}, "50014"),
        ({"sz": ""}, "50014"),
        ({"algoClOrdId": "a-b"}, "51000"),
    ],
)
async def test_an_algo_order_that_makes_no_sense_is_refused(
    client: Client, changes: dict[str, Any], code: str
) -> None:
    answer = await client.call("POST", "trade/order-algo", ALGO | changes)
    assert answer.item_codes == [code]


async def test_demo_has_no_earn_purchase(client: Client) -> None:
    demo = {"x-simulated-trading": "1"}
    answer = await client.call(
        "POST",
        "finance/staking-defi/purchase",
        TAGGED["finance/staking-defi/purchase"],
        user=DEMO,
        change=demo,
    )
    assert answer.code == "50038"


async def test_an_algo_order_can_be_amended_and_its_end_is_remembered(client: Client) -> None:
    name = {"algoClOrdId": "mine"}
    assert (await client.call("POST", "trade/order-algo", ALGO | name)).code == "0"
    again = await client.call("POST", "trade/order-algo", ALGO | name)
    assert again.item_codes == ["51065"]
    target = {"instId": ALGO["instId"]} | name
    amended = await client.call("POST", "trade/amend-algos", target | {"newTpTriggerPx": "61000"})
    assert amended.code == "0"
    found = await client.call("GET", "trade/order-algo?algoClOrdId=mine")
    assert found.content["data"][0]["tpTriggerPx"] == "61000"
    assert (await client.call("POST", "trade/cancel-advance-algos", [target])).code == "0"
    ended = await client.call("GET", "trade/orders-algo-history?ordType=conditional&state=canceled")
    assert len(ended.content["data"]) == 1


@pytest.mark.parametrize(
    ("method", "target", "content", "code"),
    [
        ("GET", "trade/order-algo", None, "50014"),
        ("GET", "trade/order-algo?algoId=1", None, "51603"),
        ("GET", "trade/orders-algo-pending", None, "50014"),
        ("GET", "trade/orders-algo-history?ordType=oco", None, "50014"),
        ("POST", "trade/cancel-advance-algos", {}, "50002"),
        ("POST", "trade/cancel-advance-algos", [1], "50002"),
        ("GET", "sprd/order", None, "50014"),
        ("GET", "sprd/order?ordId=1", None, "51603"),
        ("POST", "sprd/order", {"sprdId": "NO"}, "51001"),
        ("POST", "sprd/cancel-order", {"ordId": "1"}, "51400"),
        ("POST", "asset/convert/estimate-quote", {"baseCcy": "NO", "quoteCcy": "USDT"}, "52912"),
        ("POST", "trade/order-precheck", {"instId": "BTC-USDT"}, "50014"),
        ("POST", "account/set-leverage", {"lever": "3"}, "50014"),
    ],
)
async def test_calls_that_make_no_sense(
    client: Client, method: str, target: str, content: Any, code: str
) -> None:
    assert (await client.call(method, target, content)).code == code


async def test_a_spread_order_lives_until_cancelled(client: Client) -> None:
    spread = TAGGED["sprd/order"] | {"clOrdId": "mine", "tag": "code0001"}
    assert (await client.call("POST", "sprd/order", spread)).code == "0"
    found = await client.call("GET", "sprd/order?clOrdId=mine")
    assert found.content["data"][0]["tag"] == "code0001"
    assert len((await client.call("GET", "sprd/orders-pending")).content["data"]) == 1
    assert (await client.call("POST", "sprd/cancel-order", {"clOrdId": "mine"})).code == "0"
    assert (await client.call("GET", "sprd/orders-pending")).content["data"] == []
