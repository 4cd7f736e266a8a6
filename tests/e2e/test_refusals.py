"""What the proxy itself refuses, as a bot sees it: status, code, words, facts, headers.

`internal`, `shutting_down` and `not_ready` cannot be provoked from outside in a test that is not a
race, `tests/test_pipeline.py` has them; `exchange_ban` is in `test_bans.py`.
"""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest

from tests.e2e.bot import FOREIGN_TAG, ORDER, Answered, Bot, Triple
from tests.e2e.house import House, compact, house_in, milliseconds, order, placed, pretty
from tests.e2e.processes import eventually, free_port
from tests.e2e.wire import wire_to

pytestmark = pytest.mark.e2e

ORDER_PATH: Final = "/api/v5/trade/order"
ALGO_PATH: Final = "/api/v5/trade/order-algo"
BALANCE_PATH: Final = "/api/v5/account/balance"
DEADLINE_S: Final = 1.5
CONNECTIONS_MAX: Final = 40
ALGO: Final = {
    "tdMode": "cash",
    "side": "sell",
    "ordType": "conditional",
    "sz": "1000",
    "tpTriggerPx": "60000",
    "tpOrdPx": "-1",
}

# The contract's table and the exchange's own words, which the message begins with.
REFUSALS: Final = {
    "missing_credentials": (401, "50103", "Request header OK-ACCESS-KEY can not be empty."),
    "unknown_key": (401, "50111", "Invalid OK-ACCESS-KEY"),
    "user_disabled": (401, "50111", "Invalid OK-ACCESS-KEY"),
    "bad_passphrase": (401, "50105", "Request header OK-ACCESS-PASSPHRASE incorrect."),
    "bad_signature": (401, "50113", "Invalid Sign"),
    "stale_timestamp": (401, "50102", "Timestamp request expired"),
    "replayed": (401, "50102", "Timestamp request expired"),
    "ip_not_allowed": (401, "50110", "Your IP"),
    "forbidden_endpoint": (403, "50120", "This API key doesn't have permission"),
    "bad_request": (400, "51000", "Parameter"),
    "tag_conflict": (400, "51000", "Parameter"),
    "body_too_large": (413, "51000", "Parameter"),
    "rate_limited": (429, "50011", "Too Many Requests"),
    "expired": (200, "50037", "Order expired"),
    "upstream_unreachable": (503, "50001", "Service temporarily unavailable"),
    "overloaded": (503, "50001", "Service temporarily unavailable"),
    "upstream_unknown": (504, "50004", "API endpoint request timeout"),
}
TIMING: Final = re.compile(
    r"proxy;dur=\d+\.?\d*, limit;dur=\d+\.?\d*, exchange;dur=\d+\.?\d*", re.ASCII
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    nowhere = f"127.0.0.1:{free_port()}"
    sections: dict[str, dict[str, Any]] = {
        "server": {"max_body": "4KiB", "max_connections": CONNECTIONS_MAX},
        "tagging": {"on_conflict": "reject"},
        "limits": {"max_wait": "0s"},
        "security": {"anonymous_public": "none"},
        "exchanges.okx": {"deadline": f"{DEADLINE_S * 1000:.0f}ms"},
        "exchanges.okx.limits": {f"POST {ALGO_PATH}": "1/3s"},
        "exchanges.okx-eea": {
            "kind": "okx",
            "rest_url": f"https://{nowhere}",
            "ws_url": f"wss://{nowhere}",
            "broker_code": "x",
        },
    }
    with house_in_reachable(tmp_path_factory, sections) as house:
        yield house


@contextlib.contextmanager
def house_in_reachable(
    tmp_path_factory: pytest.TempPathFactory, sections: dict[str, dict[str, Any]]
) -> Iterator[House]:
    with house_in(tmp_path_factory.mktemp("refusals"), sections, wait=False) as house:
        eventually("the proxy answers", lambda: answers(house.bot))
        yield house


def answers(bot: Bot) -> bool:
    with contextlib.suppress(OSError):
        return placed(bot.call("GET", BALANCE_PATH))
    return False


@pytest.fixture
def house(running: House) -> House:
    running.forget()
    return running


def assert_refused(answer: Answered, slug: str, *facts: str) -> None:
    """Compare an answer with the contract, whole."""
    status, code, words = REFUSALS[slug]
    assert (answer.status, answer.slug) == (status, slug), pretty(answer)
    content = answer.content
    assert set(content) == {"code", "msg", "data"}
    assert (content["code"], content["data"]) == (code, [])
    assert answer.headers["content-type"].startswith("application/json")
    message = content["msg"]
    assert message.startswith(words), message
    request_id = answer.headers["x-request-id"]
    sent = "PERHAPS SENT" if slug == "upstream_unknown" else "NOT SENT"
    bracket = message[message.index("[") :]
    assert bracket.startswith(f"[tagproxy {slug}: "), message
    assert bracket.endswith(f" {sent}, req {request_id}]"), message
    assert all(fact in bracket for fact in facts), message
    assert TIMING.fullmatch(answer.headers.get("server-timing", "")), pretty(answer)
    assert ("retry-after" in answer.headers) == (slug == "rate_limited")


def without(headers: Mapping[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in names}


# ---- who asks -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["OK-ACCESS-KEY", "OK-ACCESS-SIGN", "OK-ACCESS-TIMESTAMP", "OK-ACCESS-PASSPHRASE"]
)
def test_every_credential_header_must_be_there(house: House, name: str) -> None:
    answer = house.bot.call("GET", BALANCE_PATH, headers={name: ""})
    assert_refused(answer, "missing_credentials", name)
    assert house.received == []


@pytest.mark.parametrize("target", [BALANCE_PATH, "/api/v5/public/time", "/api/v5/new/thing"])
def test_nobody_reads_without_a_key_where_that_is_forbidden(house: House, target: str) -> None:
    with wire_to(house.bot) as wire:
        wire.send(f"GET /okx{target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert_refused(wire.answer(), "missing_credentials")
    assert house.received == []


@pytest.mark.parametrize("key", ["11111111-2222-3333-4444-555555555555", "x", "k" * 2000, "é"])
def test_a_key_nobody_has(house: House, key: str) -> None:
    stranger = house.proxy.bot(Triple("x", house.issued.secret, house.issued.passphrase))
    answer = stranger.call("GET", BALANCE_PATH, headers={"OK-ACCESS-KEY": key})
    assert_refused(answer, "unknown_key")


def test_a_key_of_another_table_is_unknown(house: House) -> None:
    assert_refused(Bot(house.proxy.base_url + "-eea", house.real).order(), "unknown_key")


def test_a_wrong_secret(house: House) -> None:
    wrong = house.proxy.bot(Triple(house.issued.api_key, "A" * 32, house.issued.passphrase))
    assert_refused(wrong.order(), "bad_signature")
    assert house.received == []


@pytest.mark.parametrize("what", ["body", "target", "method", "time"])
def test_the_signature_covers_everything(house: House, what: str) -> None:
    body = compact(order())
    headers = house.bot.headers(
        "PUT" if what == "method" else "POST",
        ORDER_PATH + ("?a=1" if what == "target" else ""),
        body + (b" " if what == "body" else b""),
    )
    if what == "time":
        headers["OK-ACCESS-TIMESTAMP"] = headers["OK-ACCESS-TIMESTAMP"][:-4] + "000Z"
        headers["OK-ACCESS-SIGN"] = house.bot.headers("POST", ORDER_PATH, body, now_ms=1)[
            "OK-ACCESS-SIGN"
        ]
    answer = house.bot.call("POST", ORDER_PATH, body, headers=headers)
    assert_refused(answer, "bad_signature")
    assert house.received == []


@pytest.mark.parametrize("sign", ["x", "=", "A" * 44, "é" * 20, " "])
def test_what_is_no_signature(house: House, sign: str) -> None:
    answer = house.bot.call("GET", BALANCE_PATH, headers={"OK-ACCESS-SIGN": sign.strip() or "-"})
    assert_refused(answer, "bad_signature")


def test_a_wrong_passphrase_is_told_only_to_who_can_sign(house: House) -> None:
    wrong = Triple(house.issued.api_key, house.issued.secret, "Wrong-passphrase-1")
    assert_refused(house.proxy.bot(wrong).order(), "bad_passphrase")
    guess = Triple(house.issued.api_key, "B" * 32, "Wrong-passphrase-1")
    assert_refused(house.proxy.bot(guess).order(), "bad_signature")


def test_keys_secrets_and_passphrases_are_not_mixed(house: House) -> None:
    """The real passphrase does not go with issued credentials, nor the other way round."""
    mixed = Triple(house.issued.api_key, house.issued.secret, house.real.passphrase)
    assert_refused(house.proxy.bot(mixed).order(), "bad_passphrase")
    mixed = Triple(house.real.api_key, house.issued.secret, house.issued.passphrase)
    assert_refused(house.proxy.bot(mixed).order(), "bad_signature")


@pytest.mark.parametrize("off_ms", [-31_000, 31_000, -86_400_000])
def test_a_stale_timestamp(house: House, off_ms: int) -> None:
    now_ms = int(time.time() * 1000) + off_ms
    body = compact(order())
    headers = house.bot.headers("POST", ORDER_PATH, body, now_ms=now_ms)
    answer = house.bot.call("POST", ORDER_PATH, body, headers=headers)
    assert_refused(answer, "stale_timestamp")
    off = re.search(r"-?\d{4,}", answer.content["msg"])
    assert off is not None
    assert abs(int(off[0]) - off_ms) < 1000


@pytest.mark.parametrize("off_ms", [-25_000, 25_000])
def test_a_clock_within_half_a_minute_is_good(house: House, off_ms: int) -> None:
    now_ms = int(time.time() * 1000) + off_ms
    body = compact(order())
    headers = house.bot.headers("POST", ORDER_PATH, body, now_ms=now_ms)
    assert placed(house.bot.call("POST", ORDER_PATH, body, headers=headers))


@pytest.mark.parametrize("stamp", ["now", "1700000000000", "2026-13-01T00:00:00.000Z", "-"])
def test_what_is_no_timestamp(house: House, stamp: str) -> None:
    answer = house.bot.call("GET", BALANCE_PATH, headers={"OK-ACCESS-TIMESTAMP": stamp})
    assert_refused(answer, "stale_timestamp")


def test_an_order_passes_once(house: House) -> None:
    body = compact(order(clOrdId="once"))
    headers = house.bot.headers("POST", ORDER_PATH, body)
    assert placed(house.bot.call("POST", ORDER_PATH, body, headers=headers))
    for again in (headers, headers | {"User-Agent": "other"}, headers | {"expTime": "9" * 13}):
        answer = house.bot.call("POST", ORDER_PATH, body, headers=again)
        assert_refused(answer, "replayed")
    prefixed = house.bot.call("POST", ORDER_PATH, body, headers=headers)
    assert_refused(prefixed, "replayed")
    assert len(house.simulator.orders) == 1


def test_reads_and_cancels_may_be_repeated(house: House) -> None:
    headers = house.bot.headers("GET", BALANCE_PATH)
    for _ in range(2):
        assert placed(house.bot.call("GET", BALANCE_PATH, headers=headers))
    body = compact({"instId": "BTC-USDT", "ordId": "1"})
    headers = house.bot.headers("POST", "/api/v5/trade/cancel-order", body)
    for _ in range(2):
        answer = house.bot.call("POST", "/api/v5/trade/cancel-order", body, headers=headers)
        assert answer.slug == ""
    assert len(house.received) == 4


def test_a_bot_from_elsewhere(house: House) -> None:
    bot = house.newcomer("--ip", "10.1.0.0/16,192.0.2.7/32")
    assert_refused(bot.order(), "ip_not_allowed", "127.0.0.1")
    assert placed(house.newcomer("--ip", "127.0.0.0/8").order(tag=""))


def test_a_disabled_user(house: House) -> None:
    bot = house.newcomer()
    done = house.proxy.run("users", "disable", house.newest, "--reason", "unpaid")
    assert done.returncode == 0, done.stderr
    eventually("the user is disabled", lambda: bot.order(tag="").slug == "user_disabled")
    assert_refused(bot.order(tag=""), "user_disabled", "unpaid")
    wrong = house.proxy.bot(Triple(bot.triple.api_key, "C" * 32, bot.triple.passphrase))
    assert_refused(wrong.order(), "bad_signature")


def test_nothing_of_an_account_is_told_to_who_cannot_sign(house: House) -> None:
    """Grants, limits and tags stay unknown: every such answer is the same one."""
    wrong = house.proxy.bot(Triple(house.issued.api_key, "D" * 32, house.issued.passphrase))
    assert placed(house.bot.call("POST", ALGO_PATH, ALGO | {"instId": "XRP-USDT"}))
    told = [
        wrong.call("POST", "/api/v5/asset/withdrawal", {"amt": "1"}),
        wrong.call("POST", ALGO_PATH, ALGO | {"instId": "XRP-USDT"}),
        wrong.call("POST", ORDER_PATH, order(tag=FOREIGN_TAG)),
        wrong.call("POST", ORDER_PATH, b"no JSON"),
        wrong.call("POST", "/api/v5/new/thing", {}),
        wrong.call("GET", BALANCE_PATH, headers={"expTime": "1"}),
    ]
    for answer in told:
        assert_refused(answer, "bad_signature")
    shown = {re.sub(r"req .*", "", answer.content["msg"]) for answer in told}
    assert len(shown) == 1


def test_failed_attempts_are_throttled_without_waiting(house: House) -> None:
    guesser = house.proxy.bot(Triple("guessed-key", "E" * 32, "guess"))
    with wire_to(guesser) as wire:
        answers: list[Answered] = []
        for _ in range(150):
            began = time.monotonic()
            head = guesser.headers("GET", BALANCE_PATH)
            lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
            wire.send(f"GET /okx{BALANCE_PATH} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())
            answers.append(wire.answer())
            assert time.monotonic() - began < 1
    seen = [answer.slug for answer in answers]
    assert set(seen) == {"unknown_key", "rate_limited"}
    assert seen == sorted(seen, reverse=True), "throttled from some attempt on"
    assert_refused(answers[-1], "rate_limited")
    assert 0 < int(answers[-1].headers["retry-after"]) <= 60
    assert placed(house.bot.order(tag="")), "another key from the same address is free"


# ---- what is asked --------------------------------------------------------------------------


def test_a_call_that_was_not_granted(house: House) -> None:
    answer = house.bot.call("POST", "/api/v5/asset/withdrawal", {"amt": "1"})
    assert_refused(answer, "forbidden_endpoint", "withdraw")


def test_a_body_that_is_no_order(house: House) -> None:
    assert_refused(house.bot.call("POST", ORDER_PATH, b"{"), "bad_request", "JSON")


def test_another_brokers_code(house: House) -> None:
    assert_refused(house.bot.order(), "tag_conflict", FOREIGN_TAG)


def test_an_odd_path(house: House) -> None:
    assert_refused(house.bot.call("GET", "/api/v5//trade/order"), "bad_request", "path")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large(house: House, chunked: bool) -> None:
    body = compact(order(note="x" * 5000))
    with wire_to(house.bot) as wire:
        head = "".join(
            f"{name}: {value}\r\n"
            for name, value in house.bot.headers("POST", ORDER_PATH, body).items()
        )
        framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
        wire.send(f"POST /okx{ORDER_PATH} HTTP/1.1\r\nHost: x\r\n{head}{framing}\r\n\r\n".encode())
        wire.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked else body)
        assert_refused(wire.answer(), "body_too_large")
    assert house.received == []


# ---- when there is no room, or no exchange --------------------------------------------------


def test_a_limit_that_is_used_up(house: House) -> None:
    algo = ALGO | {"instId": "DOGE-USDT"}
    assert placed(house.bot.call("POST", ALGO_PATH, algo))
    body = compact(algo)
    headers = house.bot.headers("POST", ALGO_PATH, body)
    began = time.monotonic()
    answer = house.bot.call("POST", ALGO_PATH, body, headers=headers)
    assert time.monotonic() - began < 0.5
    assert_refused(answer, "rate_limited", "your account", "order-algo", "DOGE-USDT", "1/3s")
    match = re.search(r"waited (\d+) ms, next slot in (\d+) ms", answer.content["msg"])
    assert match is not None, answer.content
    assert 0 < int(match[2]) <= 3_100
    assert 1 <= int(answer.headers["retry-after"]) <= 4
    assert int(answer.headers["retry-after"]) * 1000 >= int(match[2])
    # it was never sent, so the same signature is good as soon as there is a slot
    eventually(
        "there is a slot again",
        lambda: placed(house.bot.call("POST", ALGO_PATH, body, headers=headers)),
    )
    assert len(house.received) == 2


def test_a_deadline_that_has_passed(house: House) -> None:
    answer = house.bot.call("POST", ORDER_PATH, ORDER, headers={"expTime": "1700000000000"})
    assert_refused(answer, "expired")
    assert house.received == []


def test_an_exchange_that_cannot_be_reached(house: House) -> None:
    real = house.simulator.add_user()
    done = house.proxy.run("users", "add", "eve", "--exchange", "okx-eea", stdin=real.as_json())
    assert done.returncode == 0, done.stderr
    bot = Bot(house.proxy.base_url + "-eea", real)
    eventually("eve is known", lambda: bot.order(tag="").slug != "unknown_key")
    body = compact(ORDER)
    headers = bot.headers("POST", ORDER_PATH, body)
    for _ in range(2):  # never sent: the signature is still good
        answer = bot.call("POST", ORDER_PATH, body, headers=headers)
        assert_refused(answer, "upstream_unreachable", "connect")
    assert_refused(bot.call("GET", BALANCE_PATH), "upstream_unreachable")


def test_an_exchange_that_does_not_answer(house: House) -> None:
    house.simulator.fault("hang")
    began = time.monotonic()
    body = compact(ORDER)
    headers = house.bot.headers("POST", ORDER_PATH, body)
    answer = house.bot.call("POST", ORDER_PATH, body, headers=headers)
    assert DEADLINE_S - 0.1 < time.monotonic() - began < DEADLINE_S + 0.5
    assert_refused(answer, "upstream_unknown")
    again = house.bot.call("POST", ORDER_PATH, body, headers=headers)
    assert_refused(again, "replayed")
    assert len(house.received) == 1


def test_too_many_connections(house: House) -> None:
    with contextlib.ExitStack() as stack:
        address = ("127.0.0.1", house.proxy.port)
        for _ in range(CONNECTIONS_MAX):
            stack.enter_context(socket.create_connection(address))
        wire = stack.enter_context(wire_to(house.bot))
        answer = wire.answer()
        assert (answer.status, answer.slug) == (503, "overloaded")
        assert wire.closed()
    eventually("there is room again", lambda: placed(house.bot.order(tag="")))


# ---- every answer ---------------------------------------------------------------------------


def test_every_answer_has_an_id_and_its_times(house: House) -> None:
    house.simulator.fault("slow", delay_ms=120)
    given = [
        house.bot.order(tag=""),
        house.bot.order(tag="", sz="0"),
        house.bot.call("GET", BALANCE_PATH),
        house.bot.call("GET", BALANCE_PATH, headers={"OK-ACCESS-SIGN": "x"}),
        house.bot.call("GET", "/api/v5//odd"),
        Bot(f"http://127.0.0.1:{house.proxy.port}", house.issued).call("GET", "/nowhere"),
    ]
    with wire_to(house.bot) as wire:
        wire.send(b"NO HTTP AT ALL\r\n\r\n")
        given.append(wire.answer())
    ids = [answer.headers["x-request-id"] for answer in given]
    assert len(set(ids)) == len(given)
    assert milliseconds(given[0], "exchange") >= 120 > milliseconds(given[0], "proxy")
    timed = [TIMING.fullmatch(answer.headers.get("server-timing", "")) for answer in given]
    lacking = [pretty(answer) for answer, match in zip(given, timed, strict=True) if not match]
    assert lacking == []
