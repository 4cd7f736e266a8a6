"""Every order leaves with the operator's code, and with no other byte changed.

Sent by a bot, looked at where the exchange received it. https://www.okx.com/docs-v5/broker_en/
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.e2e.bot import FOREIGN_TAG
from tests.e2e.harness import BROKER_CODE
from tests.e2e.house import House, compact, house_in, order, placed, pretty
from tests.e2e.wire import chunked, head_of, wire_to

pytestmark = pytest.mark.e2e

API: Final = "/api/v5/"
LEG: Final = {"instId": "BTC-USDT-SWAP", "sz": "1", "side": "buy"}
COPY: Final = {"uniqueCode": "25CD5A80241D6FE6", "copyMgnMode": "copy", "copyInstIdType": "copy"}
# what must be there, and no more
TAGGED: Final[dict[str, dict[str, Any]]] = {
    "trade/order": order(),
    "trade/order-algo": {
        "instId": "BTC-USDT",
        "tdMode": "cash",
        "side": "sell",
        "ordType": "conditional",
        "sz": "0.001",
        "tpTriggerPx": "60000",
        "tpOrdPx": "-1",
    },
    "sprd/order": {
        "sprdId": "BTC-USDT_BTC-USDT-SWAP",
        "side": "buy",
        "ordType": "limit",
        "sz": "1",
        "px": "10",
    },
    "rfq/create-rfq": {"counterparties": ["Trader1"], "legs": [LEG]},
    "rfq/create-quote": {"rfqId": "22534", "quoteSide": "buy", "legs": [LEG]},
    "copytrading/algo-order": {"subPosId": "510526", "tpTriggerPx": "60000"},
    "copytrading/close-subposition": {"subPosId": "510526"},
    "copytrading/first-copy-settings": COPY,
    "copytrading/amend-copy-settings": COPY,
    "tradingBot/grid/order-algo": {
        "instId": "BTC-USDT",
        "algoOrdType": "grid",
        "maxPx": "60000",
        "minPx": "40000",
        "gridNum": "10",
    },
    "tradingBot/grid/copy-order-algo": {"instId": "BTC-USDT", "algoId": "1"},
    "tradingBot/dca/create": {"instId": "BTC-USDT", "algoOrdType": "spot_dca"},
    "tradingBot/recurring/order-algo": {
        "stgyName": "weekly",
        "recurringList": [{"ccy": "BTC", "ratio": "1"}],
        "period": "weekly",
        "amt": "100",
        "investmentCcy": "USDT",
        "tdMode": "cross",
    },
    "finance/staking-defi/purchase": {
        "productId": "1234",
        "investData": [{"ccy": "ZIL", "amt": "100"}],
    },
}
CONVERSION: Final = {"baseCcy": "BTC", "quoteCcy": "USDT", "side": "buy"}
OURS: Final = b'"tag":"%b"' % BROKER_CODE.encode()

# A body as the bot wrote it; "@" stands where the tag's value is, ours in the second.
BODIES: Final = {
    "odd numbers": (
        '{"instId":"BTC-USDT","a":0.10000000000000001,"b":1e-8,"c":123456789012345678901234567890,'
        '"d":-0.0,"e":1E+40,"tdMode":"cash","tag":@,"side":"buy","ordType":"limit","px":"1.10",'
        '"sz":"0.0010"}'
    ),
    "white space": (
        '\r\n { "instId" :\t"BTC-USDT" , "tdMode": "cash","side":"buy",\n"ordType":"limit",'
        '"px":"1","sz":"0.001" , "tag"  :\n @ } \n'
    ),
    "escapes": (
        '{"instId":"BTC\\u002dUSDT","tdMode":"c\\u0061sh","side":"buy","ordType":"limit","px":"1",'
        '"sz":"0.001","note":"\\ud83d\\ude00 \\/ \\" é \\\\","tag":@}'
    ),
    "unknown fields": (
        '{"instId":"BTC-USDT","tdMode":"cash","side":"buy","ordType":"limit","px":"1",'
        '"sz":"0.001","x":{"y":[{},[],null,true,"]}"]},"":"","tag":@,"Tag":"kept","tags":["kept"]}'
    ),
    "repeated fields": (
        '{"instId":"BTC-USDT","sz":"7","tdMode":"cash","side":"buy","ordType":"limit","px":"1",'
        '"sz":"0.001","tag":@,"px":"2","px":"3"}'
    ),
    "a tag in a text": (
        '{"note":"{\\"tag\\":\\"kept\\"}","instId":"BTC-USDT","tdMode":"cash","side":"buy",'
        '"ordType":"limit","px":"1","sz":"0.001","tag":@}'
    ),
    "an escaped key": (
        '{"instId":"BTC-USDT","tdMode":"cash","side":"buy","ordType":"limit","px":"1",'
        '"sz":"0.001","\\u0074a\\u0067":@}'
    ),
    "the key twice": (
        '{"tag":@,"instId":"BTC-USDT","tdMode":"cash","side":"buy","ordType":"limit","px":"1",'
        '"sz":"0.001","tag":@}'
    ),
    "the key twice, once escaped": (
        '{"tag":@,"instId":"BTC-USDT","tdMode":"cash","side":"buy","ordType":"limit","px":"1",'
        '"sz":"0.001","t\\u0061g":@}'
    ),
    "nested in an attached order": (
        '{"instId":"BTC-USDT","tdMode":"cash","side":"buy","ordType":"limit","px":"1",'
        '"sz":"0.001","attachAlgoOrds":[{"tpTriggerPx":"9","tag":@},{"\\u0074ag":@}],"tag":@}'
    ),
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house_in(tmp_path_factory.mktemp("tags")) as house:
        yield house


@pytest.fixture
def house(running: House) -> House:
    running.forget()
    return running


@pytest.mark.parametrize("name", TAGGED)
def test_a_foreign_code_is_replaced_in_place(house: House, name: str) -> None:
    body = compact(TAGGED[name] | {"tag": FOREIGN_TAG, "last": 1})
    answer = house.bot.call("POST", API + name, body)
    assert placed(answer), pretty(answer)
    assert house.last_body == body.replace(FOREIGN_TAG.encode(), BROKER_CODE.encode())


@pytest.mark.parametrize("name", TAGGED)
@pytest.mark.parametrize("tag", [{}, {"tag": ""}, {"tag": None}])
def test_an_order_without_a_code_gets_ours(house: House, name: str, tag: dict[str, Any]) -> None:
    answer = house.bot.call("POST", API + name, TAGGED[name] | tag)
    assert placed(answer), pretty(answer)
    assert json.loads(house.last_body) == TAGGED[name] | {"tag": BROKER_CODE}


def test_closing_a_position_is_tagged(house: House) -> None:
    swap = {"instId": "BTC-USDT-SWAP", "tdMode": "cross", "ordType": "market", "side": "buy"}
    assert placed(house.bot.call("POST", API + "trade/order", {**swap, "sz": "1"}))
    closing = {"instId": "BTC-USDT-SWAP", "mgnMode": "cross", "tag": FOREIGN_TAG}
    answer = house.bot.call("POST", API + "trade/close-position", closing)
    assert placed(answer), pretty(answer)
    assert answer.content["data"][0]["tag"] == BROKER_CODE


def test_conversions_are_tagged_and_found_again(house: House) -> None:
    """A conversion placed with a tag is only told to who asks by the same tag."""
    wanted = CONVERSION | {"rfqSz": "1", "rfqSzCcy": "BTC", "tag": ""}
    quote = house.bot.call("POST", API + "asset/convert/estimate-quote", wanted)
    assert placed(quote), pretty(quote)
    assert json.loads(house.last_body)["tag"] == BROKER_CODE
    quote_id = quote.content["data"][0]["quoteId"]
    trade = CONVERSION | {"sz": "1", "szCcy": "BTC", "quoteId": quote_id}
    assert placed(house.bot.call("POST", API + "asset/convert/trade", trade))
    assert json.loads(house.last_body)["tag"] == BROKER_CODE
    for query in ("", "?limit=10", f"?tag={FOREIGN_TAG}&limit=10", "?tag=", "?t%61g=x"):
        answer = house.bot.call("GET", f"{API}asset/convert/history{query}")
        assert [row["quoteId"] for row in answer.content["data"]] == [quote_id], query
        assert house.received[-1]["target"].count(f"tag={BROKER_CODE}") == 1


def test_each_of_twenty_orders_is_tagged(house: House) -> None:
    sent = [FOREIGN_TAG, "", "absent", None, BROKER_CODE]
    tags: list[dict[str, Any]] = [{} if tag == "absent" else {"tag": tag} for tag in sent]
    orders = [order(clOrdId=f"batch{number}") | tags[number % 5] for number in range(20)]
    answer = house.bot.call("POST", API + "trade/batch-orders", orders)
    assert placed(answer), pretty(answer)
    assert [each["clOrdId"] for each in house.simulator.orders] == [
        f"batch{number}" for number in range(20)
    ]
    assert {each["tag"] for each in house.simulator.orders} == {BROKER_CODE}


@pytest.mark.parametrize("tag", ['"6b9ad766b55dBCDE"', '""', "null", '"\\u0041"'])
@pytest.mark.parametrize("name", BODIES)
def test_the_body_changes_in_nothing_but_the_tag(house: House, name: str, tag: str) -> None:
    text = BODIES[name]
    answer = house.bot.call("POST", API + "trade/order", text.replace("@", tag).encode())
    assert placed(answer), pretty(answer)
    if name == "nested in an attached order" and tag in ('""', "null"):
        # an empty one is no code: it may stay where nothing reads it
        text = text.replace("@", tag, 2)
    assert house.last_body == text.replace("@", f'"{BROKER_CODE}"').encode()
    assert [each["tag"] for each in house.simulator.orders] == [BROKER_CODE]


@pytest.mark.parametrize("name", BODIES)
def test_a_code_put_in_changes_no_other_byte(house: House, name: str) -> None:
    body = BODIES[name].replace(',"tag":@', "").replace('"tag":@,', "").replace("@", "null")
    answer = house.bot.call("POST", API + "trade/order", body.encode())
    assert placed(answer), pretty(answer)
    assert [each["tag"] for each in house.simulator.orders] == [BROKER_CODE]
    received = house.last_body
    if received.count(BROKER_CODE.encode()) == 1 and OURS + b"," in received:
        received = received.replace(OURS + b",", b"")
    else:  # null stood under an escaped key
        received = received.replace(b'"' + BROKER_CODE.encode() + b'"', b"null")
    assert received == body.encode()


def test_a_batch_keeps_its_bytes(house: House) -> None:
    orders = [text.replace("@", '"a"').strip() for text in BODIES.values()]
    body = " [ " + " ,\n".join(orders) + "] "
    answer = house.bot.call("POST", API + "trade/batch-orders", body.encode())
    assert placed(answer), pretty(answer)
    assert (
        house.last_body
        == body.replace('"a":', "@:")
        .replace('"a"', f'"{BROKER_CODE}"')
        .replace("@:", '"a":')
        .encode()
    )


def test_a_chunked_body_is_tagged(house: House) -> None:
    body = BODIES["escapes"].replace("@", '"6b9ad766b55dBCDE"').encode()
    with wire_to(house.bot) as wire:
        head = head_of(house.bot, "POST", API + "trade/order", body)
        wire.send(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(body))
        answer = wire.answer()
    assert placed(answer), pretty(answer)
    assert house.last_body == BODIES["escapes"].replace("@", f'"{BROKER_CODE}"').encode()


@pytest.mark.parametrize(
    "body",
    [
        b'{"instId":"BTC-USDT","tag":{"a":1}}',
        b'{"instId":"BTC-USDT","tag":["6b9ad766b55dBCDE"]}',
        b'{"instId":"BTC-USDT","instId":"ETH-USDT","tag":"a"}',
        b'{"instId":"BTC-USDT"} {"tag":"a"}',
        b'{"instId":"BTC-USDT","a":NaN}',
        b'{"instId":"BTC-USDT","a":01}',
        b'{"instId":"BTC-USDT",}',
        b'{"instId":"BTC-USDT" // "tag":"a"\n}',
        b"{'instId':'BTC-USDT'}",
        b'{"instId":"\xff"}',
        b'\xef\xbb\xbf{"instId":"BTC-USDT"}',
        b'{"instId":"BTC-USDT","note":"\\ud800"}',
        "{}".encode("utf-16"),
        b'[{"instId":"BTC-USDT"}]',
        b'"tag"',
        b"",
        b"[" * 5000,
    ],
)
def test_what_cannot_be_tagged_for_certain_is_refused(house: House, body: bytes) -> None:
    answer = house.bot.call("POST", API + "trade/order", body)
    assert (answer.status, answer.code, answer.slug) == (400, "51000", "bad_request")
    assert house.received == []


@pytest.mark.parametrize(
    "body",
    [
        b'{"instId":"BTC-USDT"}',
        b"[]",
        b"[1]",
        b'[{"instId":"BTC-USDT"},null]',
        b'[[{"instId":"BTC-USDT"}]]',
        compact([order()] * 21),
    ],
)
def test_a_batch_that_is_none_is_refused(house: House, body: bytes) -> None:
    answer = house.bot.call("POST", API + "trade/batch-orders", body)
    assert (answer.status, answer.code, answer.slug) == (400, "51000", "bad_request")
    assert house.received == []


def test_a_tag_in_the_query_of_an_order_is_refused(house: House) -> None:
    answer = house.bot.call("POST", API + "trade/order?tag=6b9ad766b55dBCDE", order())
    assert (answer.status, answer.slug) == (400, "bad_request")
    assert house.received == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("trade/cancel-order", {"instId": "BTC-USDT", "ordId": "1", "tag": "kept"}),
        ("trade/amend-order", {"instId": "BTC-USDT", "ordId": "1", "newSz": "2", "tag": "kept"}),
        ("trade/cancel-batch-orders", [{"instId": "BTC-USDT", "ordId": "1"}]),
        ("trade/order-precheck", order()),
        ("trade/mass-cancel", {"instType": "OPTION", "instFamily": "BTC-USD"}),
        ("account/set-leverage", {"instId": "BTC-USDT", "lever": "3", "mgnMode": "cross"}),
        ("tradingBot/grid/stop-order-algo", [{"algoId": "1", "instId": "BTC-USDT"}]),
    ],
)
def test_a_call_without_a_place_for_a_code_is_not_touched(
    house: House, name: str, content: Any
) -> None:
    body = json.dumps(content, indent=1).encode()
    answer = house.bot.call("POST", API + name, body)
    assert answer.slug == "", pretty(answer)
    assert house.last_body == body


@pytest.mark.parametrize(
    ("sent", "received"),
    [("mine", BROKER_CODE), (BROKER_CODE, BROKER_CODE), ("", ""), (None, None)],
)
def test_a_timer_follows_what_was_done_to_the_orders(
    house: House, sent: str | None, received: str | None
) -> None:
    bot = house.newcomer()
    body = compact({"timeOut": "60"} | ({} if sent is None else {"tag": sent}))
    answer = bot.call("POST", API + "trade/cancel-all-after", body)
    assert placed(answer), pretty(answer)
    assert json.loads(house.last_body).get("tag") == received


def test_tagged_orders_and_foreign_codes_are_counted(house: House) -> None:
    def counted() -> tuple[float, float, float, float]:
        metric = house.proxy.metric
        found = [
            metric("tagproxy_foreign_codes_total", exchange="okx", venue="main", found=found)
            for found in ("none", "ours", "other")
        ]
        tagged = metric("tagproxy_orders_tagged_total", exchange="okx", via="rest")
        return tagged, found[0], found[1], found[2]

    before = counted()
    bot = house.bot
    bot.order()
    bot.call("POST", API + "trade/batch-orders", [order(), order(), order()])
    bot.call("POST", API + "trade/order", order(tag=BROKER_CODE))
    after = counted()
    assert [new - old for new, old in zip(after, before, strict=True)] == [5, 1, 1, 1]
