"""What accounts of MEXC may do, and the operator's commands for a kind that has no passphrase."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import pytest

from tests.e2e.bot import Answered, Triple
from tests.e2e.mexc_bot import MexcBot
from tests.e2e.mexc_house import (
    ACCOUNT_PATH,
    ALL_PERMISSIONS,
    CREATE_PATH,
    FUTURES_READ,
    ORDER_PATH,
    STREAM_PATH,
    UID_PATH,
    MexcHouse,
    assert_ours,
    headers_of,
    mexc_house_in,
    path_of,
    pretty,
    taken,
)
from tests.e2e.processes import eventually

pytestmark = pytest.mark.e2e

MOVED: Final = "asset=USDT&amount=1&fromAccountType=SPOT&toAccountType=FUTURES"
# class, method, target, content: everything the reference says is not for every bot
SENSITIVE: Final[list[tuple[str, str, str, Any]]] = [
    ("withdraw", "POST", "/api/v3/capital/withdraw?coin=USDT&address=x&amount=1", None),
    ("withdraw", "POST", "/api/v3/capital/withdraw", b"coin=USDT&address=x&amount=1"),
    ("withdraw", "POST", "/api/v3/capital/withdraw/apply", b"coin=USDT"),
    ("withdraw", "DELETE", "/api/v3/capital/withdraw?id=1", None),
    ("transfer", "POST", "/api/v3/capital/transfer", MOVED.encode()),
    ("transfer", "POST", "/api/v3/capital/transfer/internal", b"asset=USDT&amount=1&toAccount=x"),
    ("transfer", "POST", "/api/v3/capital/sub-account/universalTransfer", MOVED.encode()),
    ("deposit", "POST", "/api/v3/capital/deposit/address", b"coin=USDT&network=TRC20"),
    ("deposit", "GET", "/api/v3/capital/deposit/address?coin=USDT", None),
    ("keys", "POST", "/api/v3/apiKeyInfo?ip=192.0.2.1", None),
    ("keys", "POST", "/api/v3/apiKeyInfo", b"ip=192.0.2.1"),
    (
        "keys",
        "POST",
        "/api/v3/sub-account/apiKey",
        b"subAccount=a&note=n&permissions=SPOT_DEAL_READ",
    ),
    ("keys", "GET", "/api/v3/sub-account/apiKey?subAccount=a", None),
    ("keys", "DELETE", "/api/v3/sub-account/apiKey?subAccount=a&apiKey=k", None),
    ("subaccount", "POST", "/api/v3/sub-account/virtualSubAccount", b"subAccount=a&note=n"),
    ("subaccount", "POST", "/api/v3/sub-account/futures", b"subAccount=a"),
    ("subaccount", "POST", "/api/v3/sub-account/margin", b"subAccount=a"),
    ("broker", "GET", "/api/v3/broker/sub-account/list", None),
    ("broker", "GET", "/api/v3/broker/sub-account/universalTransfer?startTime=1", None),
    ("broker", "POST", "/api/v3/broker/sub-account/universalTransfer", {"asset": "USDT"}),
    ("broker", "POST", "/api/v3/broker/sub-account/virtualSubAccount", {"subAccount": "b"}),
    ("broker", "POST", "/api/v3/broker/sub-account/apiKey", {"subAccount": "b"}),
    ("broker", "GET", "/api/v3/broker/sub-account/apiKey?subAccount=b", None),
    ("broker", "DELETE", "/api/v3/broker/sub-account/apiKey?subAccount=b&apiKey=k", None),
    ("broker", "GET", "/api/v3/broker/sub-account/onceToken?subAccount=b", None),
    ("broker", "POST", "/api/v3/broker/capital/withdraw/apply", {"coin": "USDT"}),
    ("broker", "POST", "/api/v3/broker/capital/deposit/subAddress", {"coin": "USDT"}),
    ("broker", "GET", "/api/v3/broker/rebate/taxQuery?page=1", None),
    # no row knows these
    ("withdraw", "GET", "/api/v3/capital/withdraw/everything", None),
    ("transfer", "GET", "/api/v4/transfer/history", None),
    ("keys", "GET", "/api/v3/apikey/list", None),
    ("broker", "GET", "/api/v3/broker/secrets", None),
    ("subaccount", "GET", "/api/v1/private/sub-account/list", None),
]
CLASSES: Final = ("withdraw", "transfer", "deposit", "keys", "subaccount", "broker")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MexcHouse]:
    with mexc_house_in(tmp_path_factory.mktemp("users")) as house:
        yield house


@pytest.fixture
def house(running: MexcHouse) -> MexcHouse:
    running.forget()
    return running


@pytest.fixture(scope="module")
def granted(running: MexcHouse) -> dict[str, MexcBot]:
    """A bot for each class that was granted that one alone."""
    fields: dict[str, Any] = {"broker": True, "perm": ALL_PERMISSIONS}
    bots = running.imported(*({"name": each, "allow": [each]} for each in CLASSES), **fields)
    for bot in bots:
        running.introduce(bot)
    return dict(zip(CLASSES, bots, strict=True))


def users(house: MexcHouse, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    done = house.proxy.run("users", *arguments, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return done


def fails(house: MexcHouse, code: int, *arguments: str, stdin: str = "") -> str:
    """Run a command that must fail; return its one line of words."""
    done = house.proxy.run("users", *arguments, stdin=stdin)
    assert (done.returncode, done.stdout) == (code, ""), done
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def soon(what: str, holds: Any) -> None:
    eventually(what, holds, timeout_s=3)


def slug_of(bot: MexcBot) -> str:
    return bot.call("GET", ACCOUNT_PATH).slug


def issued_by(done: subprocess.CompletedProcess[str]) -> tuple[Triple, str]:
    shown = json.loads(done.stdout)
    assert not shown.get("passphrase"), sorted(shown)
    return Triple(shown["api_key"], shown["secret"]), shown["id"]


# ---- classes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("of_class", "method", "target", "content"), SENSITIVE)
def test_a_sensitive_call_needs_its_class_and_no_other_will_do(
    house: MexcHouse,
    granted: dict[str, MexcBot],
    of_class: str,
    method: str,
    target: str,
    content: Any,
) -> None:
    others = [house.bot, *(bot for name, bot in granted.items() if name != of_class)]
    for bot in others:
        answer = bot.call(method, target, content)
        assert (answer.status, answer.slug) == (403, "forbidden_endpoint"), pretty(answer)
        futures = target.startswith("/api/v1/")
        assert answer.content["code"] == (701 if futures else 700007)
        assert of_class in answer.content["msg"]
    assert house.received == []
    answer = granted[of_class].call(method, target, content)
    assert answer.slug == "", pretty(answer)
    assert_ours(house.received)
    assert len(house.received) == 1


def test_a_brokers_json_stays_a_body_and_everything_else_moves(
    house: MexcHouse, granted: dict[str, MexcBot]
) -> None:
    body = b'{ "subAccount":"b2", "note":"\\u00e9",\n"list":[1] }'
    answer = granted["broker"].call(
        "POST", "/api/v3/broker/sub-account/virtualSubAccount?recvWindow=7000", body
    )
    assert taken(answer), pretty(answer)
    assert house.last["body"].encode() == body
    assert "signature=" in house.last["target"]
    assert "recvWindow=7000" in house.last["target"]
    assert headers_of(house.last)["content-type"] == "application/json"


def test_a_wrong_signature_learns_nothing_of_grants(house: MexcHouse) -> None:
    bot = replace(house.bot, triple=Triple(house.issued.api_key, "guess"))
    answer = bot.call("POST", "/api/v3/capital/withdraw?coin=USDT")
    assert answer.slug == "bad_signature", pretty(answer)
    assert b"withdraw" not in answer.body


# ---- closing -----------------------------------------------------------------------------------


def test_close_only_passes_what_closes(house: MexcHouse) -> None:
    bot = house.newcomer()
    resting = bot.order().content["orderId"]
    held = bot.futures_order(type=5)  # at once
    assert taken(held), pretty(held)
    users(house, "disable", house.newest, "--mode", "close-only", "--reason", "winding down")
    soon("only closing is left", lambda: bot.order().slug == "forbidden_endpoint")
    refused = [
        bot.order(),
        bot.order(side="SELL"),
        bot.order_in_body(),
        bot.batch({"symbol": "BTCUSDT"}),
        bot.futures_order(),
        bot.futures_order(side=3),
        bot.futures_order(reduceOnly=False),
        bot.futures_order(reduceOnly=True, positionMode=1),
        bot.futures_order(reduceOnly="true"),
        bot.call("POST", CREATE_PATH, b'{"side":1,"side":4,"reduceOnly":true}'),
        bot.call("POST", "/api/v1/private/position/reverse", {"symbol": "BTC_USDT"}),
        bot.call("POST", "/api/v1/private/position/change_margin", {"positionId": 1}),
        bot.call("POST", "/api/v3/capital/convert", b"asset=USDT"),
    ]
    assert {each.slug for each in refused} == {"forbidden_endpoint"}, list(map(pretty, refused))
    assert all("winding down" in each.content["msg"] for each in refused)
    passed = [
        bot.call("GET", ACCOUNT_PATH),
        bot.call("GET", FUTURES_READ),
        bot.call("DELETE", f"{ORDER_PATH}?symbol=BTCUSDT&orderId={resting}"),
        bot.futures_order(side=4, type=5),
        bot.futures_order(side=1, reduceOnly=True, positionMode=2),
        bot.call("POST", "/api/v1/private/position/close_all", {}),
        bot.call("POST", "/api/v1/private/order/cancel_all", {}),
        bot.call("POST", STREAM_PATH),
    ]
    assert [each.slug for each in passed] == [""] * len(passed), list(map(pretty, passed))
    users(house, "enable", house.newest)
    soon("it trades again", lambda: bot.order().slug == "")


# ---- commands ----------------------------------------------------------------------------------


def test_a_key_of_mexc_has_no_passphrase(house: MexcHouse) -> None:
    real = house.exchange.add_user()
    told = json.loads(real.as_json())
    assert set(told) == {"api_key", "secret"}
    words = fails(
        house,
        *(1, "add", "pass", "--exchange", "mexc"),
        stdin=json.dumps(told | {"passphrase": "p4ss"}),
    )
    assert "passphrase" in words
    assert "p4ss" not in words
    users(house, "add", "nopass", "--exchange", "mexc", stdin=json.dumps(told | {"passphrase": ""}))
    soon("nopass is served", lambda: slug_of(house.proxy.mexc_bot(real)) == "")


@pytest.mark.parametrize(
    "told",
    [
        {"api_key": "only"},
        {"secret": "only"},
        {"api_key": "", "secret": "s"},
        {"api_key": "a b", "secret": "s"},
    ],
)
def test_half_a_key_is_none(house: MexcHouse, told: dict[str, str]) -> None:
    words = fails(house, 1, "add", "half", "--exchange", "mexc", stdin=json.dumps(told))
    assert "api_key" in words or "secret" in words


def test_issued_credentials_look_like_mexcs(house: MexcHouse) -> None:
    assert house.issued.api_key.startswith("mx0")
    assert len(house.issued.secret) == 32
    assert int(house.issued.secret, 16)
    assert house.issued.passphrase == ""


def test_credentials_are_issued_rotated_and_revoked(house: MexcHouse) -> None:
    house.newcomer()
    name = house.newest
    first, first_id = issued_by(users(house, "issue", name, "--exchange", "mexc", "--label", "b2"))
    bot = house.proxy.mexc_bot(first)
    soon("the second is served", lambda: slug_of(bot) == "")
    rotated, _ = issued_by(users(house, "rotate", name, "--exchange", "mexc", "--overlap", "0s"))
    soon("the new one is served", lambda: slug_of(house.proxy.mexc_bot(rotated)) == "")
    soon("the old one is not", lambda: slug_of(bot) == "unknown_key")
    third, third_id = issued_by(users(house, "issue", name, "--exchange", "mexc"))
    soon("it is served", lambda: slug_of(house.proxy.mexc_bot(third)) == "")
    assert first_id != third_id
    users(house, "revoke", third_id)
    soon("it is revoked", lambda: slug_of(house.proxy.mexc_bot(third)) == "unknown_key")
    assert taken(house.proxy.mexc_bot(rotated).order())


def test_the_real_key_is_replaced_and_the_issued_ones_stay(house: MexcHouse) -> None:
    bot = house.newcomer(uid="777001")
    name = house.newest
    new = house.exchange.add_user(uid="777001")
    users(house, "set-key", name, "--exchange", "mexc", stdin=new.as_json())

    def leaves_with_it() -> bool:
        assert taken(bot.call("GET", ACCOUNT_PATH))
        return headers_of(house.last)["x-mexc-apikey"] == new.api_key

    soon("the new key is used", leaves_with_it)
    other = house.exchange.add_user(uid="777002")
    words = fails(house, 1, "set-key", name, "--exchange", "mexc", stdin=other.as_json())
    assert "777002" in words
    assert "--force" in words
    users(house, "set-key", name, "--exchange", "mexc", "--force", stdin=other.as_json())


def test_users_are_imported_twice_without_harm(house: MexcHouse) -> None:
    reals = [house.exchange.add_user() for _ in range(2)]
    lines = "\n".join(
        json.dumps(
            {"name": f"imp{number}", "exchange": "mexc", "issue": True} | json.loads(real.as_json())
        )
        for number, real in enumerate(reals)
    )
    results = [
        json.loads(line) for line in users(house, "import", "-", stdin=lines).stdout.splitlines()
    ]
    assert len(results) == 2
    for number, result in enumerate(results):
        text = json.dumps(result)
        assert reals[number].secret not in text
        assert result["name"] == f"imp{number}"
    for real in reals:
        soon("it is served", lambda real=real: slug_of(house.proxy.mexc_bot(real)) == "")
    again = users(house, "import", "-", stdin=lines).stdout.splitlines()
    assert len(again) == 2
    keyless = json.dumps(
        {"name": "imp9", "exchange": "mexc", "mode": "keyless", "api_key": "mx0abc"}
    )
    users(house, "import", "-", stdin=keyless)


def test_check_tells_of_the_key_and_the_orders_code(house: MexcHouse) -> None:
    house.newcomer(uid="888001")
    done = house.proxy.run("users", "check", house.newest)
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert "888001" in done.stdout
    assert "tagproxyDEMO02" in done.stdout
    assert not [each for each in house.received if each["method"] != "GET"]
    gone = MexcBot.fresh()
    users(house, "add", "gone", "--exchange", "mexc", stdin=gone.as_json())
    failed = house.proxy.run("users", "check", "gone")
    assert failed.returncode == 1, failed
    assert gone.secret not in failed.stdout + failed.stderr
    assert "10072" in failed.stdout + failed.stderr


def test_what_is_shown_of_a_user_tells_no_secret(house: MexcHouse) -> None:
    text = users(house, "show", "alice", "--json").stdout
    assert "alice" in text
    assert house.issued.api_key[-4:] in text
    for triple in (house.real, house.issued):
        assert triple.secret not in text


# ---- one account, one budget -------------------------------------------------------------------


def test_the_uid_unites_what_keys_of_one_account_use(house: MexcHouse) -> None:
    """Two keys of one account draw on one budget; those of two accounts do not."""
    uid = "999001"
    first, second = house.newcomer(uid=uid), house.newcomer(uid=uid)
    shown = [_me(bot)["real_key"]["uid"] for bot in (first, second, house.bot)]
    assert shown == [uid, uid, "500001"]
    target = "/api/v3/allOrders?symbol=BTCUSDT"
    assert taken(first.call("GET", target))
    assert taken(house.bot.call("GET", target))
    before = [_left(bot) for bot in (second, house.bot)]
    for _ in range(3):
        assert taken(first.call("GET", target))
    assert [_left(bot) for bot in (second, house.bot)] == [before[0] - 30, before[1]]
    assert not [each for each in house.exchange.requests if path_of(each) == UID_PATH]


def _me(bot: MexcBot) -> Any:
    answer: Answered = bot.call("GET", "/tagproxy/me")
    assert answer.status == 200, pretty(answer)
    return answer.content


def _left(bot: MexcBot) -> int:
    """How much of an account's own weight for a read is left."""
    (left,) = (
        each["left"] for each in _me(bot)["budgets"] if each["limit"].endswith("allOrders per user")
    )
    return int(left)
