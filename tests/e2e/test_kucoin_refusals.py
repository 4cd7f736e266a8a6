"""What the proxy itself refuses, as a bot of KuCoin's sees it, spot and futures alike.

`internal`, `shutting_down` and `not_ready` cannot be provoked from outside in a test that is not a
race, `tests/test_pipeline.py` has them.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import pytest

from tests.e2e.bot import Answered, Triple
from tests.e2e.kucoin_bot import (
    FUTURES_ORDER,
    FUTURES_ORDER_PATH,
    ORDER_PATH,
    KucoinBot,
    named,
    spot_order,
)
from tests.e2e.kucoin_house import (
    ACCOUNTS_PATH,
    KucoinHouse,
    assert_ours,
    kucoin_house_in,
    placed,
    pretty,
)
from tests.e2e.wire import chunked, head_of, request_of, wire_to

pytestmark = pytest.mark.e2e

DEADLINE_S: Final = 1.5
# Each of these takes all that its pool holds here.
EARN_PATH: Final = "/api/v1/earn/orders"
COPY_PATH: Final = "/api/v1/copy-trade/futures/orders"
EARN: Final = {"productId": "1", "amount": "1", "accountType": "MAIN"}
EARNS: Final = "General,Spot,Earn,LeadtradeFutures"
TICKERS: Final = {
    "main": "/api/v1/market/orderbook/level1?symbol=BTC-USDT",
    "futures": "/api/v1/ticker?symbol=XBTUSDTM",
}
READS: Final = {"main": ACCOUNTS_PATH, "futures": "/api/v1/positions"}
ORDER_PATHS: Final = {"main": ORDER_PATH, "futures": FUTURES_ORDER_PATH}
BRACKET: Final = re.compile(r"\[tagproxy (\w+):(?: (.*),)? (NOT SENT|PERHAPS SENT), req (\S+)\]")

# The contract's table and the exchange's own words, which the message begins with.
REFUSALS: Final = {
    "missing_credentials": (400, "400001", "Please check the header of your request for KC-API"),
    "unknown_key": (401, "400003", "KC-API-KEY not exists"),
    "user_disabled": (401, "400003", "KC-API-KEY not exists"),
    "bad_passphrase": (401, "400004", "Invalid KC-API-PASSPHRASE"),
    "bad_signature": (401, "400005", "Invalid KC-API-SIGN"),
    "stale_timestamp": (400, "400002", "Invalid KC-API-TIMESTAMP"),
    "replayed": (400, "400002", "Invalid KC-API-TIMESTAMP"),
    "ip_not_allowed": (403, "400006", "Invalid request ip"),
    "forbidden_endpoint": (403, "400007", "Access denied, require more permission"),
    "bad_request": (400, "400100", "Parameter Error"),
    "tag_conflict": (400, "400100", "Parameter Error"),
    "body_too_large": (413, "400100", "Parameter Error"),
    "rate_limited": (429, "429000", "Too Many Requests"),
    "upstream_unreachable": (503, "503000", "Service Unavailable"),
    "upstream_unknown": (504, "504000", "Gateway Timeout"),
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KucoinHouse]:
    sections: dict[str, dict[str, Any]] = {
        "server": {"max_body": "4KiB"},
        "tagging": {"on_conflict": "reject"},
        "limits": {"max_wait": "0s"},
        "security": {"anonymous_public": "none"},
        "exchanges.kucoin": {"deadline": f"{DEADLINE_S * 1000:.0f}ms"},
        "exchanges.kucoin.limits": {"earn": "5/3s", "copytrading": "2/3s"},
    }
    with kucoin_house_in(tmp_path_factory.mktemp("refusals"), sections) as house:
        yield house


@pytest.fixture
def house(running: KucoinHouse) -> KucoinHouse:
    running.forget()
    return running


@pytest.fixture(params=["main", "futures"])
def venue(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def bot(house: KucoinHouse, venue: str) -> KucoinBot:
    """Alice's, at a venue, without another's partner."""
    return replace(house.bot if venue == "main" else house.futures_bot, partner="")


def order_of(venue: str) -> dict[str, Any]:
    return spot_order() if venue == "main" else named(FUTURES_ORDER)


def assert_refused(answer: Answered, slug: str, *facts: str) -> None:
    """Compare an answer with the contract, whole."""
    status, code, words = REFUSALS[slug]
    assert (answer.status, answer.slug) == (status, slug), pretty(answer)
    content = answer.content
    assert set(content) == {"code", "msg"}
    assert content["code"] == code
    assert answer.headers["content-type"].startswith("application/json")
    message = content["msg"]
    assert message.startswith(words), message
    bracket = BRACKET.search(message)
    assert bracket is not None, message
    assert message.endswith(bracket[0])
    sent = "PERHAPS SENT" if slug == "upstream_unknown" else "NOT SENT"
    assert bracket.group(1, 3, 4) == (slug, sent, answer.headers["x-request-id"])
    assert all(fact in (bracket[2] or "") for fact in facts), message
    assert "server-timing" in answer.headers
    assert ("retry-after" in answer.headers) == (slug == "rate_limited")


# ---- who asks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["KEY", "SIGN", "TIMESTAMP", "PASSPHRASE"])
def test_every_credential_header_must_be_there(
    house: KucoinHouse, bot: KucoinBot, venue: str, name: str
) -> None:
    name = f"KC-API-{name}"
    answer = bot.call("GET", READS[venue], headers={name: ""})
    assert_refused(answer, "missing_credentials", name)
    assert house.received == []


def test_nobody_reads_without_a_key_where_that_is_forbidden(
    house: KucoinHouse, bot: KucoinBot, venue: str
) -> None:
    below = "/kucoin" if venue == "main" else "/kucoin/futures"
    for target in (READS[venue], TICKERS[venue], "/api/v1/new/thing"):
        with wire_to(bot) as wire:
            wire.send(f"GET {below}{target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert_refused(wire.answer(), "missing_credentials")
    assert house.received == []


@pytest.mark.parametrize("key", ["6422da9c97b45100018c6e62", "x", "k" * 2000, "é"])
def test_a_key_nobody_has(bot: KucoinBot, venue: str, key: str) -> None:
    answer = bot.call("GET", READS[venue], headers={"KC-API-KEY": key})
    assert_refused(answer, "unknown_key")


def test_a_wrong_secret(house: KucoinHouse, bot: KucoinBot, venue: str) -> None:
    wrong = Triple(bot.triple.api_key, "wrong", bot.triple.passphrase)
    answer = replace(bot, triple=wrong).call("POST", ORDER_PATHS[venue], order_of(venue))
    assert_refused(answer, "bad_signature")
    assert house.received == []


@pytest.mark.parametrize("what", ["body", "target", "method", "time", "venue"])
def test_the_signature_covers_everything(
    house: KucoinHouse, bot: KucoinBot, venue: str, what: str
) -> None:
    path = ORDER_PATHS[venue]
    body = json.dumps(order_of(venue)).encode()
    other = "/kucoin/futures" if venue == "main" else "/kucoin"
    headers = bot.headers(
        "PUT" if what == "method" else "POST",
        (other if what == "venue" else "") + path + ("?a=1" if what == "target" else ""),
        body + (b" " if what == "body" else b""),
    )
    if what == "time":
        headers["KC-API-TIMESTAMP"] = str(int(headers["KC-API-TIMESTAMP"]) - 1)
    answer = bot.call("POST", path, body, headers=headers)
    assert_refused(answer, "bad_signature")
    assert house.received == []


@pytest.mark.parametrize("sign", ["x", "=", "A" * 44, "é" * 20, "-"])
def test_what_is_no_signature(bot: KucoinBot, venue: str, sign: str) -> None:
    assert_refused(bot.call("GET", READS[venue], headers={"KC-API-SIGN": sign}), "bad_signature")


def test_a_wrong_passphrase_is_told_only_to_who_can_sign(bot: KucoinBot, venue: str) -> None:
    key, secret = bot.triple.api_key, bot.triple.secret
    for sealed in (True, False):
        for triple, slug in (
            (Triple(key, secret, "Wrong-1"), "bad_passphrase"),
            (Triple(key, "wrong", "Wrong-1"), "bad_signature"),
        ):
            wrong = replace(bot, triple=triple, sealed=sealed)
            assert_refused(wrong.call("GET", READS[venue]), slug)


def test_keys_secrets_and_passphrases_are_not_mixed(house: KucoinHouse) -> None:
    issued, real = house.issued, house.real
    bot = replace(house.bot, partner="")
    mixed = Triple(issued.api_key, issued.secret, real.passphrase)
    for sealed in (True, False):
        refused = replace(bot, triple=mixed, sealed=sealed).order()
        assert_refused(refused, "bad_passphrase")
    mixed = Triple(real.api_key, issued.secret, issued.passphrase)
    assert_refused(replace(bot, triple=mixed).order(), "bad_signature")


@pytest.mark.parametrize("off_ms", [-6_000, 6_000, -86_400_000])
def test_a_stale_timestamp(house: KucoinHouse, bot: KucoinBot, venue: str, off_ms: int) -> None:
    now_ms = int(time.time() * 1000) + off_ms
    body = json.dumps(order_of(venue)).encode()
    headers = bot.headers("POST", ORDER_PATHS[venue], body, now_ms=now_ms)
    answer = bot.call("POST", ORDER_PATHS[venue], body, headers=headers)
    assert_refused(answer, "stale_timestamp")
    off = re.search(r"-?\d{4,}", answer.content["msg"])
    assert off is not None
    assert abs(int(off[0]) - off_ms) < 1000
    assert house.received == []


@pytest.mark.parametrize(
    "stamp",
    [
        "now",
        "1700000000",
        "2026-11-21T00:00:00.000Z",
        "-1",
        "1e12",
        "9" * 400,
        "١٧٠٠٠٠٠٠٠٠٠٠٠",
        "0x1",
    ],
)
def test_what_is_no_timestamp_in_milliseconds(bot: KucoinBot, venue: str, stamp: str) -> None:
    headers = {"KC-API-TIMESTAMP": stamp.encode().decode("latin-1")}
    assert_refused(bot.call("GET", READS[venue], headers=headers), "stale_timestamp")


def test_seconds_and_microseconds_are_no_milliseconds(bot: KucoinBot, venue: str) -> None:
    """Signed as they are: the time alone is wrong."""
    now_ms = int(time.time() * 1000)
    for stamp in (now_ms // 1000, now_ms * 1000):
        headers = bot.headers("GET", READS[venue], now_ms=stamp)
        assert_refused(bot.call("GET", READS[venue], headers=headers), "stale_timestamp")


def test_a_bot_from_elsewhere(house: KucoinHouse, venue: str) -> None:
    bot = house.newcomer("--ip", "10.1.0.0/16,192.0.2.7/32")
    below = "" if venue == "main" else "/futures"
    answer = replace(bot, base_url=bot.base_url + below).call("GET", READS[venue])
    assert_refused(answer, "ip_not_allowed", "127.0.0.1")


def test_nothing_of_an_account_is_told_to_who_cannot_sign(house: KucoinHouse) -> None:
    wrong = replace(house.bot, triple=replace(house.issued, secret="wrong"))
    told = [
        wrong.order(),
        wrong.call("POST", "/api/v3/withdrawals", {"amount": "1"}),
        wrong.call("POST", "/api/ua/v1/unified/order", {}),
        wrong.call("POST", ORDER_PATH, b"no JSON"),
        wrong.call("POST", "/api/v1/hf/orders/multi", b"no JSON"),
        wrong.call("POST", "/api/v1/new/thing", {}),
        wrong.call("GET", ACCOUNTS_PATH),
    ]
    for answer in told:
        assert_refused(answer, "bad_signature")
    assert len({re.sub(r"req .*", "", answer.content["msg"]) for answer in told}) == 1


# ---- replays -----------------------------------------------------------------------------------


def test_an_order_passes_once(house: KucoinHouse, bot: KucoinBot, venue: str) -> None:
    path, body = ORDER_PATHS[venue], json.dumps(order_of(venue)).encode()
    headers = bot.headers("POST", path, body)
    assert placed(bot.call("POST", path, body, headers=headers))
    again = (
        headers,
        headers | {"User-Agent": "other"},
        headers | {"KC-API-KEY-VERSION": "2"},
        headers | {"KC-API-PASSPHRASE": bot.triple.passphrase},  # in clear this time
        headers | {"KC-API-PARTNER": "tagproxyDEMO"},
    )
    for each in again:
        answer = bot.call("POST", path, body, headers=each)
        if answer.slug != "tag_conflict":
            assert_refused(answer, "replayed")
    assert len(house.exchange.orders) == 1


def test_reads_and_cancels_may_be_repeated(house: KucoinHouse, bot: KucoinBot, venue: str) -> None:
    cancel = "/api/v1/hf/orders/abc?symbol=BTC-USDT" if venue == "main" else "/api/v1/orders/abc"
    for method, target in (("GET", READS[venue]), ("DELETE", cancel)):
        headers = bot.headers(method, target)
        for _ in range(2):
            assert bot.call(method, target, headers=headers).slug == ""
    assert len(house.received) == 4


def test_a_refused_write_has_not_used_up_its_signature(house: KucoinHouse) -> None:
    """It was never sent: the same bytes may come again once there is a slot."""
    bot = replace(house.newcomer(perm=EARNS), partner="")
    assert placed(bot.call("POST", EARN_PATH, EARN))
    body = json.dumps(EARN).encode()
    headers = bot.headers("POST", EARN_PATH, body)
    for _ in range(2):
        answer = bot.call("POST", EARN_PATH, body, headers=headers)
        assert_refused(answer, "rate_limited")


# ---- what is asked -----------------------------------------------------------------------------


def test_too_often(house: KucoinHouse, venue: str) -> None:
    bot = replace(house.newcomer(perm=EARNS), partner="")
    path, order, limit = EARN_PATH, EARN, "earn 5/3s"
    if venue == "futures":
        bot = replace(bot, base_url=f"{bot.base_url}/futures")
        path, order, limit = COPY_PATH, named(FUTURES_ORDER), "copytrading 2/3s"
    assert placed(bot.call("POST", path, order))
    answer = bot.call("POST", path, order)
    facts = ("your account, ", limit, "waited ", "next slot in ")
    assert_refused(answer, "rate_limited", *facts)
    assert 0 < int(answer.headers["retry-after"]) <= 4
    assert len(house.received) == 1


def test_too_large_a_body(house: KucoinHouse, bot: KucoinBot, venue: str) -> None:
    answer = bot.call("POST", ORDER_PATHS[venue], order_of(venue) | {"remark": "x" * 5_000})
    assert_refused(answer, "body_too_large")
    body = json.dumps(order_of(venue) | {"remark": "x" * 5_000}).encode()
    with wire_to(bot) as wire:
        head = head_of(bot, "POST", ORDER_PATHS[venue], body)
        wire.send(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(body, 1000))
        assert_refused(wire.answer(), "body_too_large")
    assert house.received == []


@pytest.mark.parametrize("body", [b"no JSON", b"[]", b"{}", b'{"orderList": 1}', b"[1]", b""])
def test_a_batch_that_cannot_be_read(house: KucoinHouse, venue: str, body: bytes) -> None:
    bot = replace(house.bot if venue == "main" else house.futures_bot, partner="")
    path = "/api/v1/hf/orders/multi" if venue == "main" else "/api/v1/orders/multi"
    assert_refused(bot.call("POST", path, body), "bad_request")
    assert house.received == []


def test_a_get_with_a_body(house: KucoinHouse, bot: KucoinBot, venue: str) -> None:
    assert_refused(bot.call("GET", READS[venue], b"{}"), "bad_request")
    assert house.received == []


def test_a_partner_of_somebody_elses(house: KucoinHouse, bot: KucoinBot, venue: str) -> None:
    named = replace(bot, partner="ccxt")
    answer = named.call("POST", ORDER_PATHS[venue], order_of(venue))
    assert_refused(answer, "tag_conflict", "partner ccxt is not the operator's")
    assert house.received == []


def test_an_exchange_that_does_not_answer(house: KucoinHouse, bot: KucoinBot, venue: str) -> None:
    house.exchange.fault("hang")
    assert_refused(bot.call("POST", ORDER_PATHS[venue], order_of(venue)), "upstream_unknown")
    assert len(house.received) == 1


def test_what_nobody_knows_is_read_and_not_written(
    house: KucoinHouse, bot: KucoinBot, venue: str
) -> None:
    answer = bot.call("GET", "/api/v9/new/thing")
    assert (answer.status, answer.slug) == (404, "")
    assert_ours(house.last)
    for method in ("POST", "DELETE", "PUT"):
        refused = bot.call(method, "/api/v9/new/thing", {} if method == "POST" else None)
        assert_refused(refused, "forbidden_endpoint")
    assert len(house.received) == 1


# ---- hostile -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lines",
    [
        b"KC-API-KEY: x\r\n",
        b"kc-api-sign: x\r\n",
        b"KC-API-TIMESTAMP: 1\r\n",
        b"Kc-Api-Passphrase: x\r\n",
        b"KC-API-KEY-VERSION: 2\r\n",
        b"Content-Length: 5\r\n",
        b"Host: y\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"KC-API-PARTNER: a\r\n b\r\n",  # folded
        b"KC-API-PARTNER : a\r\n",
        b"KC-API-PARTNER: a\x00b\r\n",
        b"KC-API-PARTNER: a\rKC-API-PARTNER: b\r\n",
    ],
)
def test_doubled_and_malformed_headers_never_arrive_twice(
    house: KucoinHouse, bot: KucoinBot, venue: str, lines: bytes
) -> None:
    body = json.dumps(order_of(venue)).encode()
    request = request_of(bot, "POST", ORDER_PATHS[venue], body)
    head, end, rest = request.partition(b"\r\n\r\n")
    with wire_to(bot) as wire:
        wire.send(head + b"\r\n" + lines + end[2:] + rest)
        answer = wire.answer()
    assert placed(answer) or (answer.slug and 400 <= answer.status < 500), pretty(answer)
    for each in house.received:
        assert_ours(each)


@pytest.mark.parametrize(
    "target",
    [
        "/api/v1/accounts?a=1\r\nX: y",
        "/api/v1/accounts?a=1\nX: y",
        "/api/v1/accounts ?a=1",
        "/api/v1/accounts#x",
        "/api/v1/accounts?a=\x00",
    ],
)
def test_no_line_breaks_into_the_head(house: KucoinHouse, bot: KucoinBot, target: str) -> None:
    lines = "".join(f"{k}: {v}\r\n" for k, v in bot.headers("GET", target).items())
    with wire_to(bot) as wire:
        wire.send(f"GET /kucoin{target} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())
        assert wire.answer().status in (400, 401)
    assert house.received == []


@pytest.mark.parametrize("target", ["?a=%0d%0aX-Evil:%201", "?a=%0D%0AKC-API-PARTNER:%20ccxt"])
def test_an_encoded_line_break_stays_encoded(
    house: KucoinHouse, bot: KucoinBot, venue: str, target: str
) -> None:
    answer = bot.call("GET", READS[venue] + target)
    assert answer.slug == "", pretty(answer)
    assert house.last["target"] == READS[venue] + target
    assert_ours(house.last)


def test_very_long_ids_are_the_exchanges_to_refuse(
    house: KucoinHouse, bot: KucoinBot, venue: str
) -> None:
    content = order_of(venue) | {"clientOid": "x" * 3_000}
    answer = bot.call("POST", ORDER_PATHS[venue], content)
    assert (answer.status, answer.code, answer.slug) == (400, "400100", "")
    assert house.line(answer)["client_order_id"] == ""
    name = "x" * 450
    path = f"/api/v1/hf/orders/client-order/{name}" if venue == "main" else f"/api/v1/orders/{name}"
    answer = bot.call("DELETE", path)
    assert answer.slug == "", pretty(answer)
    assert name not in str(house.line(answer))


def test_guessing_is_throttled_without_waiting(house: KucoinHouse) -> None:
    guesser = replace(house.bot, triple=Triple("guessed-key", "wrong", "guess"))
    request = request_of(guesser, "GET", ACCOUNTS_PATH)
    with wire_to(guesser) as wire:
        began = time.monotonic()
        for _ in range(100):
            wire.send(request)
            answer = wire.answer()
            assert_refused(answer, answer.slug)
        assert time.monotonic() - began < 5
    assert placed(house.bot.call("GET", ACCOUNTS_PATH))


# ---- the unified account -----------------------------------------------------------------------


def test_the_unified_accounts_mode_may_be_asked(house: KucoinHouse) -> None:
    """ccxt asks for it before anything else."""
    answer = house.bot.call("GET", "/api/ua/v1/account/mode")
    assert placed(answer), pretty(answer)
    assert answer.content["data"] == {"selfAccountMode": "CLASSIC"}
    assert_ours(house.last)


UNIFIED_WRITES: Final = [
    ("POST", "/api/ua/v1/unified/order/place"),
    ("POST", "/api/ua/v1/classic/order/place"),
    ("DELETE", "/api/ua/v1/unified/order/cancel"),
    ("POST", "/api/ua/v1/account/transfer"),
    ("PUT", "/api/ua/v2/anything"),
    ("GET", "/api/ua/v2/account/fee/kcs-deduct"),
]


@pytest.mark.parametrize(("method", "path"), UNIFIED_WRITES)
def test_writes_of_the_unified_account_are_refused_in_words(
    house: KucoinHouse, bot: KucoinBot, method: str, path: str
) -> None:
    answer = bot.call(method, path, {} if method != "GET" else None)
    assert_refused(answer, "forbidden_endpoint", "unified account")
    assert house.received == []
