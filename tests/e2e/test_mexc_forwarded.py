"""MEXC accounts whose secret nobody gave us: `keyless` puts our code on, `observe` only looks.

The simulator verifies the bot's own signature, so whatever it takes came through unchanged.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

import pytest

from tests.e2e.bot import Answered, Signed, next_ms
from tests.e2e.mexc_bot import FUTURES_ORDER, ORDER, MexcBot, spot_query
from tests.e2e.mexc_house import (
    ACCOUNT_PATH,
    CODE,
    CREATE_PATH,
    FUTURES_READ,
    ORDER_PATH,
    MexcHouse,
    assert_ours,
    bare,
    counted,
    headers_of,
    keyed,
    mac,
    mexc_house_in,
    more,
    pretty,
    sources,
    stamp,
    taken,
    wired,
)

pytestmark = pytest.mark.e2e

P: Final = spot_query()
BODY: Final = (
    b'{ "symbol":"BTC_USDT" ,"side":1,"type":1,"openType":2,"vol":10,"price":40000.0,"leverage":20}'
)
DEDUCT_PATH: Final = "/api/v3/mxDeduct/enable"
NARROW: Final = {f"POST {DEDUCT_PATH}{subject}": "1/30s" for subject in ("", " per user")}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MexcHouse]:
    sections: dict[str, dict[str, Any]] = {
        "limits": {"max_wait": "300ms"},
        "exchanges.mexc.limits": NARROW,
    }
    with mexc_house_in(tmp_path_factory.mktemp("forwarded"), sections) as house:
        yield house


@pytest.fixture
def house(running: MexcHouse) -> MexcHouse:
    running.forget()
    return running


@pytest.fixture(scope="module")
def unsigned(running: MexcHouse) -> dict[str, MexcBot]:
    """A bot for each mode that holds no secret, and one with a code and limits of its own."""
    users = [{"name": each, "mode": each} for each in ("keyless", "observe")]
    own = {"name": "own", "mode": "keyless", "code": "theirCODE"}
    return dict(zip(("keyless", "observe", "own"), running.imported(*users, own), strict=True))


@pytest.fixture(scope="module")
def keyless(unsigned: dict[str, MexcBot]) -> MexcBot:
    return unsigned["keyless"]


@pytest.fixture(scope="module")
def observed(unsigned: dict[str, MexcBot]) -> MexcBot:
    return unsigned["observe"]


@pytest.fixture(params=["keyless", "observe"])
def mode(request: pytest.FixtureRequest, keyless: MexcBot, observed: MexcBot) -> MexcBot:
    return keyless if request.param == "keyless" else observed


def as_it_was(house: MexcHouse, target: str, body: bytes, headers: dict[str, str]) -> bool:
    """Whether the last request has the bot's own target, body and authentication."""
    request = house.last
    sent = headers_of(request)
    auth = ("x-mexc-apikey", "apikey", "request-time", "signature")
    own = {name.lower(): value for name, value in headers.items() if name.lower() in auth}
    assert {name: sent[name] for name in auth if name in sent} == own
    assert (request["target"], request["body"].encode("latin-1")) == (target, body)
    return True


def spot_forms(bot: MexcBot) -> list[tuple[str, bytes]]:
    """Orders as different clients sign them, and the exchange takes them."""
    forms = []
    for query, body in (
        (f"{P}&{stamp()}&signature=$", ""),
        ("", f"{P}&{stamp()}&signature=$"),
        (f"signature=$&{P}&recvWindow=9000&{stamp()}", ""),
        (f"{P}&note=a%20b%2Cc%5B%5D&{stamp()}&signature=$", ""),
        (P, f"{stamp()}&signature=$"),
    ):
        said = "".join(
            "&".join(part for part in text.split("&") if part != "signature=$")
            for text in (query, body)
        )
        signature = mac(bot, said)
        target = f"{ORDER_PATH}?{query.replace('$', signature)}" if query else ORDER_PATH
        forms.append((target, body.replace("$", signature).encode()))
    return forms


# ---- untouched ---------------------------------------------------------------------------------


def test_a_spot_order_leaves_as_the_bot_signed_it(house: MexcHouse, mode: MexcBot) -> None:
    headers = {"X-MEXC-APIKEY": mode.triple.api_key}
    for target, body in spot_forms(mode):
        answer = keyed(mode, target, body)
        assert taken(answer), pretty(answer)
        assert as_it_was(house, target, body, headers)
    assert len(house.exchange.orders) == 5


@pytest.mark.parametrize("below", ["", "/futures"])
def test_a_futures_order_leaves_as_the_bot_signed_it(
    house: MexcHouse, mode: MexcBot, below: str
) -> None:
    bot = replace(mode, base_url=mode.base_url + below)
    for body in (BODY, json.dumps(FUTURES_ORDER).encode()):
        signed = bot.signed("POST", CREATE_PATH, body)
        answer = bare(bot, "POST", CREATE_PATH, body, signed.headers | {"Recv-Window": "20"})
        assert taken(answer), pretty(answer)
        assert as_it_was(house, CREATE_PATH, body, signed.headers)
        assert headers_of(house.last)["recv-window"] == "20"


def test_reads_batches_and_cancels_leave_as_they_were_signed(
    house: MexcHouse, mode: MexcBot
) -> None:
    batch = quote(json.dumps([ORDER]), safe="")
    calls = [
        ("GET", ACCOUNT_PATH),
        ("GET", FUTURES_READ),
        ("POST", f"/api/v3/batchOrders?batchOrders={batch}"),
        ("DELETE", "/api/v3/openOrders?symbol=BTCUSDT"),
        ("POST", "/api/v3/userDataStream"),
    ]
    for method, target in calls:
        signed = mode.signed(method, target)
        answer = bare(mode, method, signed.target, b"", signed.headers)
        assert taken(answer), pretty(answer)
        assert as_it_was(house, signed.target, b"", signed.headers)


SENT: Final = {
    "none": (b"", "none", []),
    "empty": (b"source:\r\n", "none", []),
    "ours": (b"SOURCE: " + CODE.encode() + b"\r\n", "ours", [CODE]),
    "ccxt": (b"source: CCXT\r\n", "other", ["CCXT"]),
    "twice": (b"source: CCXT\r\nSource: EASYT\r\n", "other", ["CCXT, EASYT"]),
}
CALLS: Final = [
    ("POST", f"{ORDER_PATH}?{P}", b""),
    ("POST", CREATE_PATH, BODY),
    ("GET", ACCOUNT_PATH, b""),
    ("GET", FUTURES_READ, b""),
]


@pytest.mark.parametrize("sent", SENT)
@pytest.mark.parametrize("call", CALLS, ids=["spot", "futures", "spot read", "futures read"])
def test_keyless_carries_our_code_and_observe_the_bots(
    house: MexcHouse,
    keyless: MexcBot,
    observed: MexcBot,
    sent: str,
    call: tuple[str, str, bytes],
) -> None:
    lines, found, own = SENT[sent]
    method, target, body = call
    before = counted(house.proxy)
    answer = wired(keyless, method, target, body, lines)
    assert taken(answer), pretty(answer)
    assert_ours(house.received)
    expected = {found: 1.0, "tagged": 1.0} if method == "POST" else {}
    assert more(house.proxy, before) == expected
    before = counted(house.proxy)
    answer = wired(observed, method, target, body, lines)
    assert taken(answer), pretty(answer)
    assert sources(house.last) == own
    ours = {"tagged": 1.0} if found == "ours" else {}
    assert more(house.proxy, before) == ({found: 1.0} | ours if method == "POST" else {})


def test_keyless_accounts_may_have_a_code_of_their_own(
    house: MexcHouse, unsigned: dict[str, MexcBot]
) -> None:
    bot = unsigned["own"]
    assert taken(bot.order())
    assert taken(bot.futures_order())
    assert_ours(house.received, "theirCODE")


# ---- what is still refused ---------------------------------------------------------------------


def test_the_exchange_judges_the_signature(house: MexcHouse, mode: MexcBot) -> None:
    wrong = replace(mode, triple=replace(mode.triple, secret="0" * 32))
    for answer, code in ((wrong.order(), 700002), (wrong.futures_order(), 602)):
        assert (answer.slug, answer.content["code"]) == ("", code), pretty(answer)
    assert len(house.received) == 2
    assert house.exchange.orders == []


def test_me_is_for_those_whose_signature_can_be_verified(house: MexcHouse, mode: MexcBot) -> None:
    answer = mode.call("GET", "/tagproxy/me")
    assert (answer.status, answer.slug) == (403, "forbidden_endpoint"), pretty(answer)
    assert house.received == []


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/api/v3/capital/withdraw?coin=USDT", b""),
        ("/api/v3/apiKeyInfo?ip=1.2.3.4", b""),
        ("/api/v3/broker/capital/withdraw/apply", b"coin=USDT"),
        ("/api/v3/new/thing", b"a=1"),
        ("/open/api/v2/order", b"a=1"),
        ("/api/v1/private/new/thing", b"{}"),
    ],
)
def test_grants_are_kept(house: MexcHouse, mode: MexcBot, target: str, body: bytes) -> None:
    answer = mode.call("POST", target, body or None)
    assert (answer.status, answer.slug) == (403, "forbidden_endpoint"), pretty(answer)
    assert "granted" not in answer.content["msg"]
    assert house.received == []


@pytest.mark.parametrize("off_ms", [-6_000, 2_000])
def test_a_stale_timestamp_is_refused_here(house: MexcHouse, mode: MexcBot, off_ms: int) -> None:
    answer = mode.call("POST", f"{ORDER_PATH}?{P}", now_ms=next_ms() + off_ms)
    assert (answer.status, answer.slug) == (400, "stale_timestamp"), pretty(answer)
    assert house.received == []


def test_limits_are_kept(house: MexcHouse, mode: MexcBot) -> None:
    bot = mode
    answers: list[Answered] = [
        bot.call("POST", f"{DEDUCT_PATH}?mxDeductEnable=true") for _ in range(2)
    ]
    assert answers[-1].slug == "rate_limited", pretty(answers[-1])
    assert "your account" not in answers[-1].content["msg"]
    assert len(house.received) <= 1


def test_a_secret_is_neither_needed_nor_kept(house: MexcHouse) -> None:
    bot = house.forwarded("keyless", secret=True)
    assert taken(bot.order())
    written = house.proxy.written()
    assert not [name for name, text in written.items() if bot.triple.secret.encode() in text]


def test_a_form_label_goes_on(house: MexcHouse, mode: MexcBot) -> None:
    """The exchange would judge another label than the bot's; the body is not ours to move."""
    signed: Signed = mode.signed("POST", ORDER_PATH, P.encode())
    headers = signed.headers | {"Content-Type": "application/json; charset=utf-8"}
    answer = bare(mode, "POST", signed.target, signed.body, headers)
    assert taken(answer), pretty(answer)
    assert headers_of(house.last)["content-type"] == "application/json; charset=utf-8"
