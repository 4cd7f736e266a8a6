"""What the proxy itself refuses of MEXC, as a bot sees it: status, code, shape, words, facts.

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

from tests.e2e.bot import Answered, Triple, next_ms
from tests.e2e.mexc_bot import FUTURES_ORDER, MexcBot, spot_query
from tests.e2e.mexc_house import (
    ACCOUNT_PATH,
    CREATE_PATH,
    FUTURES_READ,
    ORDER_PATH,
    MexcHouse,
    bare,
    keyed,
    mac,
    mexc_house_in,
    pretty,
    stamp,
    stamped,
    taken,
    wired,
)
from tests.e2e.processes import eventually, free_port
from tests.e2e.wire import wire_to

pytestmark = pytest.mark.e2e

P: Final = spot_query()
DEADLINE_S: Final = 1.2
LEVERAGE_PATH: Final = "/api/v1/private/position/change_leverage"
DEDUCT_PATH: Final = "/api/v3/mxDeduct/enable"
NARROW: Final = {
    f"{row}{subject}": "1/3s"
    for row, subject in (
        (f"POST {DEDUCT_PATH}", ""),
        (f"POST {DEDUCT_PATH}", " per user"),
        (f"futures POST {LEVERAGE_PATH}", ""),
        (f"futures POST {LEVERAGE_PATH}", " per ip"),
    )
}
# The contract's table and the exchange's own words, which the message begins with.
STALE: Final = "Timestamp for this request is outside of the recvWindow."
SPOT: Final = {
    "missing_credentials": (400, 400, "api key required"),
    "unknown_key": (400, 10072, "Api key info invalid"),
    "user_disabled": (400, 10072, "Api key info invalid"),
    "bad_signature": (400, 700002, "Signature for this request is not valid."),
    "stale_timestamp": (400, 700003, STALE),
    "replayed": (400, 700003, STALE),
    "ip_not_allowed": (400, 700006, "IP"),
    "forbidden_endpoint": (403, 700007, "No permission to access the endpoint."),
    "bad_request": (400, 700004, ""),
    "body_too_large": (413, 700013, ""),
    "rate_limited": (429, 429, "Too Many Requests"),
    "expired": (400, 700003, STALE),
    "upstream_unreachable": (503, 503, ""),
    "exchange_ban": (503, 503, ""),
    "upstream_unknown": (504, 504, ""),
}
FUTURES: Final = {
    "missing_credentials": (401, 401, ""),
    "unknown_key": (401, 402, ""),
    "user_disabled": (401, 402, ""),
    "bad_signature": (401, 602, ""),
    "stale_timestamp": (401, 513, ""),
    "replayed": (401, 513, ""),
    "ip_not_allowed": (401, 406, ""),
    "forbidden_endpoint": (403, 701, ""),
    "bad_request": (400, 600, ""),
    "body_too_large": (413, 600, ""),
    "rate_limited": (200, 510, "Requests are too frequent, please try again later"),
    "upstream_unreachable": (503, 501, ""),
    "exchange_ban": (503, 501, ""),
    "upstream_unknown": (504, 504, ""),
}
TIMING: Final = re.compile(
    r"proxy;dur=\d+\.?\d*, limit;dur=\d+\.?\d*, exchange;dur=\d+\.?\d*", re.ASCII
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MexcHouse]:
    sections: dict[str, dict[str, Any]] = {
        "server": {"max_body": "4KiB"},
        "limits": {"max_wait": "400ms"},
        "security": {"anonymous_public": "none"},
        "exchanges.mexc": {"deadline": f"{DEADLINE_S * 1000:.0f}ms"},
        "exchanges.mexc.limits": NARROW,
    }
    with mexc_house_in(tmp_path_factory.mktemp("refusals"), sections) as house:
        yield house


@pytest.fixture
def house(running: MexcHouse) -> MexcHouse:
    running.forget()
    return running


def assert_refused(answer: Answered, slug: str, *facts: str, futures: bool = False) -> None:
    """Compare an answer with the contract, whole."""
    status, code, words = (FUTURES if futures else SPOT)[slug]
    assert (answer.status, answer.slug) == (status, slug), pretty(answer)
    content = answer.content
    assert content["code"] == code
    assert isinstance(content["code"], int)
    if futures:
        assert set(content) == {"success", "code", "message", "msg"}
        assert content["success"] is False
        assert content["message"] == content["msg"]
    else:
        assert set(content) == {"code", "msg"}
    assert answer.headers["content-type"].startswith("application/json")
    message = content["msg"]
    assert message.startswith(words), message
    assert not message.startswith("["), message
    sent = "PERHAPS SENT" if slug == "upstream_unknown" else "NOT SENT"
    bracket = message[message.index("[tagproxy") :]
    assert bracket.startswith(f"[tagproxy {slug}:"), message
    assert bracket.endswith(f" {sent}, req {answer.headers['x-request-id']}]"), message
    assert all(fact in bracket for fact in facts), message
    assert TIMING.fullmatch(answer.headers.get("server-timing", "")), pretty(answer)
    assert ("retry-after" in answer.headers) == (slug == "rate_limited")


def both(bot: MexcBot, **changes: Any) -> list[tuple[Answered, bool]]:
    """A read and an order of spot and of futures, and whether it is futures'."""
    bot = replace(bot, **changes)
    return [
        (bot.call("GET", ACCOUNT_PATH), False),
        (bot.order(), False),
        (bot.order_in_body(), False),
        (bot.call("GET", FUTURES_READ), True),
        (bot.futures_order(), True),
    ]


# ---- who asks ----------------------------------------------------------------------------------


def test_a_key_must_be_there(house: MexcHouse) -> None:
    for method, target in (("GET", ACCOUNT_PATH), ("POST", f"{ORDER_PATH}?{P}")):
        assert_refused(bare(house.bot, method, target), "missing_credentials")
        signed = house.bot.signed(method, target)
        answer = bare(house.bot, method, signed.target, b"", {"Content-Type": "application/json"})
        assert_refused(answer, "missing_credentials", "X-MEXC-APIKEY")
    for method, target in (("GET", FUTURES_READ), ("POST", CREATE_PATH)):
        assert_refused(bare(house.bot, method, target), "missing_credentials", futures=True)
    assert house.received == []


@pytest.mark.parametrize("name", ["ApiKey", "Request-Time", "Signature"])
def test_every_futures_header_must_be_there(house: MexcHouse, name: str) -> None:
    signed = house.bot.signed("POST", CREATE_PATH, json.dumps(FUTURES_ORDER).encode())
    for headers in (
        {each: value for each, value in signed.headers.items() if each != name},
        signed.headers | {name: ""},
    ):
        answer = bare(house.bot, "POST", CREATE_PATH, signed.body, headers)
        assert_refused(answer, "missing_credentials", name, futures=True)
    assert house.received == []


@pytest.mark.parametrize("left_out", ["timestamp", "signature"])
@pytest.mark.parametrize("place", ["query", "body"])
def test_time_and_signature_must_be_there(house: MexcHouse, left_out: str, place: str) -> None:
    now = stamp()
    said = f"{P}&{now}" if left_out == "signature" else P
    sent = said if left_out == "signature" else f"{said}&signature={mac(house.bot, said)}"
    if place == "query":
        answer = keyed(house.bot, f"{ORDER_PATH}?{sent}")
    else:
        answer = keyed(house.bot, ORDER_PATH, sent.encode())
    assert_refused(answer, "missing_credentials", left_out)
    answer = keyed(house.bot, ACCOUNT_PATH, method="GET")
    assert_refused(answer, "missing_credentials")
    assert house.received == []


def test_a_key_nobody_has_is_unknown(house: MexcHouse) -> None:
    for answer, futures in both(house.bot, triple=MexcBot.fresh()):
        assert_refused(answer, "unknown_key", futures=futures)
    assert house.received == []


def test_a_wrong_secret_makes_a_bad_signature(house: MexcHouse) -> None:
    bot = house.newcomer()
    for answer, futures in both(bot, triple=Triple(bot.triple.api_key, house.issued.secret)):
        assert_refused(answer, "bad_signature", futures=futures)
    assert house.received == []


def test_a_disabled_user_is_told_so_only_by_its_own_key(house: MexcHouse) -> None:
    bot = house.newcomer()
    done = house.proxy.run("users", "disable", house.newest, "--reason", "owes us money")
    assert done.returncode == 0, done.stderr
    eventually("it is disabled", lambda: bot.order().slug == "user_disabled")
    house.forget()
    for answer, futures in both(bot):
        assert_refused(answer, "user_disabled", "owes us money", futures=futures)
    for answer, futures in both(bot, triple=Triple(bot.triple.api_key, "wrong")):
        assert_refused(answer, "bad_signature", futures=futures)
        assert b"owes" not in answer.body
    assert house.received == []


def test_a_key_may_be_bound_to_addresses(house: MexcHouse) -> None:
    real = house.exchange.add_user()
    command = ("users", "add", "far", "--exchange", "mexc", "--issue", "--ip", "192.0.2.0/24")
    done = house.proxy.run(*command, stdin=real.as_json())
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    bot = house.proxy.mexc_bot(Triple(shown["api_key"], shown["secret"]))
    eventually("it is known", lambda: bot.order().slug == "ip_not_allowed")
    for answer, futures in both(bot):
        assert_refused(answer, "ip_not_allowed", "127.0.0.1", futures=futures)
    assert house.received == []


# ---- when --------------------------------------------------------------------------------------


@pytest.mark.parametrize("off_ms", [1_500, 60_000, -5_500, -3_600_000])
def test_a_spot_timestamp_is_good_for_its_window(house: MexcHouse, off_ms: int) -> None:
    now = next_ms() + off_ms
    target = f"{ORDER_PATH}?{P}"
    assert_refused(house.bot.call("POST", target, now_ms=now), "stale_timestamp", "ms off")
    answer = house.bot.call("POST", ORDER_PATH, P.encode(), now_ms=now)
    assert_refused(answer, "stale_timestamp", "ms off")
    assert house.received == []


@pytest.mark.parametrize(
    ("off_ms", "window"), [(700, ""), (-4_000, ""), (-9_000, "10000"), (-58_000, "60000")]
)
def test_a_spot_timestamp_within_its_window_is_good(
    house: MexcHouse, off_ms: int, window: str
) -> None:
    bot = replace(house.bot, recv_window=window)
    for body in (b"", P.encode()):
        target = ORDER_PATH if body else f"{ORDER_PATH}?{P}"
        answer = bot.call("POST", target, body or None, now_ms=next_ms() + off_ms)
        assert taken(answer), pretty(answer)


@pytest.mark.parametrize("window", ["60001", "-1", "abc", "1e3", "5000.0", ""])
def test_a_window_that_makes_no_sense_is_a_bad_request(house: MexcHouse, window: str) -> None:
    now = f"recvWindow={window}&{stamp()}"
    said = f"{P}&{now}&signature={mac(house.bot, f'{P}&{now}')}"
    for answer in (
        keyed(house.bot, f"{ORDER_PATH}?{said}"),
        keyed(house.bot, ORDER_PATH, said.encode()),
    ):
        assert_refused(answer, "bad_request", "recvWindow")
    assert house.received == []


@pytest.mark.parametrize("off_ms", [11_000, -11_000, 3_600_000])
def test_a_futures_timestamp_is_good_for_ten_seconds(house: MexcHouse, off_ms: int) -> None:
    body = json.dumps(FUTURES_ORDER).encode()
    for method, target, sent in (("POST", CREATE_PATH, body), ("GET", FUTURES_READ, None)):
        answer = house.bot.call(method, target, sent, now_ms=next_ms() + off_ms)
        assert_refused(answer, "stale_timestamp", "ms off", futures=True)
    for near in (-8_000, 8_000):
        assert taken(house.bot.call("POST", CREATE_PATH, body, now_ms=next_ms() + near))


@pytest.mark.parametrize("time_sent", ["soon", "-5", "1.7e12", "2026-11-21T00:00:00Z"])
def test_a_time_that_is_none_is_stale(house: MexcHouse, time_sent: str) -> None:
    said = f"{P}&timestamp={time_sent}"
    answer = keyed(house.bot, f"{ORDER_PATH}?{said}&signature={mac(house.bot, said)}")
    assert_refused(answer, "stale_timestamp")
    headers = house.bot.headers("GET", FUTURES_READ) | {"Request-Time": time_sent}
    answer = bare(house.bot, "GET", FUTURES_READ, b"", headers)
    assert_refused(answer, "stale_timestamp", futures=True)
    assert house.received == []


def test_a_bots_own_deadline_ends_its_wait(house: MexcHouse) -> None:
    """A slot would come in time for the proxy's own wait, but not for recvWindow."""
    bot = replace(house.newcomer(), recv_window="300")
    target = f"{DEDUCT_PATH}?mxDeductEnable=true"
    assert taken(bot.call("POST", target))
    assert_refused(bot.call("POST", target), "expired", "deadline")
    assert len(house.received) == 1


# ---- what --------------------------------------------------------------------------------------


@pytest.mark.parametrize("futures", [False, True])
def test_a_signature_that_placed_an_order_is_used_up(house: MexcHouse, futures: bool) -> None:
    body = json.dumps(FUTURES_ORDER).encode() if futures else b""
    target = CREATE_PATH if futures else f"{ORDER_PATH}?{P}"
    signed = house.bot.signed("POST", target, body)
    first = bare(house.bot, "POST", signed.target, signed.body, signed.headers)
    assert taken(first), pretty(first)
    for _ in range(2):
        again = bare(house.bot, "POST", signed.target, signed.body, signed.headers)
        assert_refused(again, "replayed", futures=futures)
    assert len(house.exchange.orders) == 1


def test_the_same_signature_in_another_place_or_case_is_used_up_too(house: MexcHouse) -> None:
    said = f"{P}&{stamp()}"
    signature = mac(house.bot, said)
    assert taken(keyed(house.bot, f"{ORDER_PATH}?{said}&signature={signature}"))
    for answer in (
        keyed(house.bot, ORDER_PATH, f"{said}&signature={signature}".encode()),
        keyed(house.bot, f"{ORDER_PATH}?signature={signature}", said.encode()),
        keyed(house.bot, f"{ORDER_PATH}?{said}", f"signature={signature}".encode()),
        keyed(house.bot, f"{ORDER_PATH}?{said}&signature={signature.upper()}"),
        keyed(house.bot, f"{ORDER_PATH}?signature={signature}&{said}"),
    ):
        assert_refused(answer, "replayed")
    assert len(house.exchange.orders) == 1


def test_reads_and_cancels_may_be_repeated(house: MexcHouse) -> None:
    for method, target in (("GET", ACCOUNT_PATH), ("DELETE", "/api/v3/openOrders?symbol=BTCUSDT")):
        signed = house.bot.signed(method, target)
        for _ in range(2):
            answer = bare(house.bot, method, signed.target, b"", signed.headers)
            assert taken(answer), pretty(answer)


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/api/v3/capital/withdraw?coin=USDT", b""),
        ("/api/v3/capital/transfer/internal", b"asset=USDT&amount=1"),
        ("/api/v3/apiKeyInfo?ip=192.0.2.1", b""),
        ("/api/v3/new/thing", b"a=1"),
        ("/api/v1/private/new/thing", b'{"a":1}'),
        ("/api/v1/private/withdraw/apply", b'{"a":1}'),
        ("/open/api/v2/order/place", b"a=1"),
        ("/api/v3/margin/order", b"symbol=BTCUSDT"),
    ],
)
def test_what_is_not_granted_or_not_known_is_forbidden(
    house: MexcHouse, target: str, body: bytes
) -> None:
    answer = house.bot.call("POST", target, body or None)
    assert_refused(answer, "forbidden_endpoint", futures="/api/v1/" in target)
    assert house.received == []


@pytest.mark.parametrize(
    "target", ["/open/api/v2/account/info", "/api/v3/margin/loan?asset=USDT", "/open/api/v2/x?a=1"]
)
def test_what_is_never_served_says_so(house: MexcHouse, target: str) -> None:
    answer = house.bot.call("GET", target)
    assert_refused(answer, "forbidden_endpoint", "not served")
    assert house.received == []


@pytest.mark.parametrize(
    "path",
    [
        "/api/v3/order/",
        "/api/v3//order",
        "/api/v3/./order",
        "/api/v3/../v3/order",
        "/api/v3/%6frder",
        "/api/v3/order;a=1",
        "/api/v3\\order",
        "/api/v3/Order",
        "/api/v3/order%20",
        "/api/v1/private/order/create/",
        "/api/v1/private/order//create",
        "/api/v1/private/order/Create",
    ],
)
def test_an_order_has_one_path(house: MexcHouse, path: str) -> None:
    answer = house.bot.call("POST", f"{path}?{P}")
    assert_refused(answer, "bad_request", futures=path.startswith("/api/v1/"))
    assert house.received == []


def test_a_body_may_not_be_larger_than_told(house: MexcHouse) -> None:
    answer = house.bot.call("POST", ORDER_PATH, f"{P}&note={'x' * 5000}".encode())
    assert_refused(answer, "body_too_large")
    answer = house.bot.call("POST", CREATE_PATH, FUTURES_ORDER | {"note": "x" * 5000})
    assert_refused(answer, "body_too_large", futures=True)
    assert house.received == []


def test_a_get_has_no_body(house: MexcHouse) -> None:
    for target, futures in ((ACCOUNT_PATH, False), (FUTURES_READ, True)):
        signed = house.bot.signed("GET", target)
        answer = bare(house.bot, "GET", signed.target, b"{}", signed.headers)
        assert answer.slug in ("bad_request", "bad_signature"), pretty(answer)
        assert_refused(answer, answer.slug, futures=futures)
    assert house.received == []


def test_a_futures_post_has_no_query(house: MexcHouse) -> None:
    """One client sends its orders so; the exchange would sign the body alone."""
    query = "&".join(f"{name}={value}" for name, value in sorted(FUTURES_ORDER.items()))
    answer = stamped(house.bot, "POST", f"{CREATE_PATH}?{query}", query)
    assert_refused(answer, "bad_request", "JSON body", futures=True)
    body = json.dumps(FUTURES_ORDER)
    answer = stamped(house.bot, "POST", f"{CREATE_PATH}?vol=100", body, body.encode())
    assert_refused(answer, "bad_request", futures=True)
    assert house.received == []


def test_too_many_are_told_when_to_come_again(house: MexcHouse) -> None:
    bot = house.newcomer()
    leverage = {"symbol": "BTC_USDT", "leverage": 5, "openType": 1, "positionType": 1}
    calls: list[tuple[str, Any, str]] = [
        (f"{DEDUCT_PATH}?mxDeductEnable=true", None, "mxDeduct/enable"),
        (LEVERAGE_PATH, leverage, "change_leverage"),
    ]
    for target, content, name in calls:
        bot.call("POST", target, content)
        answer = bot.call("POST", target, content)
        futures = target == LEVERAGE_PATH
        assert_refused(answer, "rate_limited", name, "next slot in", "waited", futures=futures)
        assert 1 <= int(answer.headers["retry-after"]) <= 4
    assert len(house.received) <= 2


# ---- the exchange ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["process-drop", "drop", "garbage", "hang"])
@pytest.mark.parametrize("futures", [False, True])
def test_nobody_knows_is_said_so(house: MexcHouse, kind: str, futures: bool) -> None:
    house.exchange.fault(kind)
    began = time.monotonic()
    answer = house.bot.futures_order() if futures else house.bot.order()
    assert time.monotonic() - began < DEADLINE_S + 1
    assert_refused(answer, "upstream_unknown", futures=futures)
    assert len(house.received) == 1


def test_an_exchange_that_is_not_there_is_unreachable(
    house: MexcHouse, tmp_path_factory: pytest.TempPathFactory
) -> None:
    nowhere = f"https://127.0.0.1:{free_port()}"
    from tests.e2e.harness import proxy_in

    sections = {"exchanges.mexc": {"rest_url": nowhere, "deadline": "1s"}}
    with proxy_in(
        tmp_path_factory.mktemp("gone"), house.simulator, sections, start=False, kinds=("mexc",)
    ) as proxy:
        issued = proxy.add_user("ann", MexcBot.fresh(), exchange="mexc")
        proxy.start(wait=False)
        bot = proxy.mexc_bot(issued)

        def known() -> bool:
            try:
                return bot.order().slug == "upstream_unreachable"
            except OSError:
                return False

        eventually("the proxy answers", known)
        for answer, futures in both(bot):
            assert_refused(answer, "upstream_unreachable", futures=futures)


def test_me_is_told_of_its_refusals(house: MexcHouse) -> None:
    bot = house.newcomer()
    assert bot.call("POST", "/api/v3/capital/withdraw?coin=USDT").slug == "forbidden_endpoint"
    answer = bot.call("GET", "/tagproxy/me")
    assert answer.status == 200, pretty(answer)
    text = json.dumps(answer.content)
    assert "forbidden_endpoint" in text
    assert "v3/capital/withdraw" in text
    assert house.received == []


def test_a_wrong_first_byte_is_answered_in_spots_shape(house: MexcHouse) -> None:
    with wire_to(house.bot) as wire:
        wire.send(b"POST /mexc/api/v3/order HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n")
        answer = wire.answer()
    assert (answer.status, answer.slug) == (400, "bad_request"), pretty(answer)
    assert wired(house.bot, "GET", ACCOUNT_PATH).status == 200
