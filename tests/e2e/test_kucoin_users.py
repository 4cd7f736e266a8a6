"""`tagproxy users` for accounts of KuCoin's, at a running proxy; and that no secret of theirs is
written anywhere."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
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
    OPERATOR,
    KucoinHouse,
    assert_signed,
    headers_of,
    kucoin_house_in,
    mac,
    placed,
    pretty,
)
from tests.e2e.processes import eventually, fetch

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]  # commands are processes

OWNED: Final = ("--exchange", "kucoin")
SIGNATURES: Final = ("kc-api-sign", "kc-api-partner-sign")
QUERY_VALUE: Final = "PLANTEDqueryVALUE77"
BODY_VALUE: Final = "PLANTEDbodyVALUE77"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KucoinHouse]:
    with kucoin_house_in(tmp_path_factory.mktemp("users")) as house:
        yield house


@pytest.fixture
def house(running: KucoinHouse) -> KucoinHouse:
    running.forget()
    return running


def users(house: KucoinHouse, *arguments: str, stdin: str = "") -> str:
    done = house.proxy.run("users", *arguments, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return done.stdout


def fails(house: KucoinHouse, *arguments: str, stdin: str = "") -> str:
    """Run a command that must fail; return its one line of words."""
    done = house.proxy.run("users", *arguments, stdin=stdin)
    assert (done.returncode, done.stdout) == (1, ""), done
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def bot_of(house: KucoinHouse, shown: dict[str, Any]) -> KucoinBot:
    triple = Triple(shown["api_key"], shown["secret"], shown["passphrase"])
    return house.proxy.kucoin_bot(triple)


def slug_of(bot: KucoinBot) -> str:
    return bot.call("GET", ACCOUNTS_PATH).slug


# ---- check -------------------------------------------------------------------------------------


def test_check_says_whether_orders_would_be_ours_and_places_none(house: KucoinHouse) -> None:
    real = house.exchange.add_user("9001", main_uid="9000", ips="127.0.0.1", perm="General,Spot")
    house.proxy.add_user("checked", real, exchange="kucoin")
    house.forget()
    text = users(house, "check", "checked")
    for words in (
        "the key works",
        "uid 9001",
        "permissions: General, Spot",
        "bound to 127.0.0.1",
        f"POST /api/v1/hf/orders would carry our code: {OPERATOR['main']['broker_code']}",
        f"POST /api/v1/orders would carry our code: {OPERATOR['futures']['broker_code']}",
    ):
        assert words in text, text
    assert "FAULT" not in text
    assert real.secret not in text
    assert house.exchange.orders == []
    assert {each["method"] for each in house.exchange.requests} == {"GET"}
    (report,) = json.loads(users(house, "check", "checked", "--json"))
    assert (report["well"], report["uid"]) == (True, "9001")
    assert report["permissions"] == ["General", "Spot"]
    assert report["bound_to"] == ["127.0.0.1"]
    assert abs(report["addresses"][0]["clock_offset_ms"]) < 500


def test_check_of_a_key_that_the_exchange_dropped_fails(house: KucoinHouse) -> None:
    house.newcomer(uid="9002")
    for user in house.exchange.control("GET", "state")["users"]:
        if user["uid"] == "9002":
            house.exchange.control("DELETE", f"users?api_key={user['api_key']}")
    done = house.proxy.run("users", "check", house.newest)
    assert (done.returncode, done.stderr) == (1, "")
    assert "the key does not work" in done.stdout


def test_check_sees_a_clock_that_is_off(house: KucoinHouse) -> None:
    house.newcomer()
    house.exchange.control("POST", "clock", {"offset_ms": 3_000})
    done = house.proxy.run("users", "check", house.newest, "--json")
    (report,) = json.loads(done.stdout)
    assert abs(report["addresses"][0]["clock_offset_ms"] - 3_000) < 500


# ---- import, set, set-key ----------------------------------------------------------------------


def imported(house: KucoinHouse, *lines: dict[str, Any]) -> list[dict[str, Any]]:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    return [json.loads(line) for line in users(house, "import", "-", stdin=text).splitlines()]


def test_many_accounts_come_at_once(house: KucoinHouse) -> None:
    reals = [house.exchange.add_user() for _ in range(3)]
    bare = {"api_key": reals[2].api_key}
    lines = [
        {"name": "many0", "issue": True, **json.loads(reals[0].as_json())},
        {"name": "many1", "code": "importedCODE", **json.loads(reals[1].as_json())},
        {"name": "many2", "mode": "keyless", **bare},
    ]
    lines = [line | {"exchange": "kucoin"} for line in lines]
    told = imported(house, *lines)
    issued = told[0]["issued"] if isinstance(told[0].get("issued"), dict) else told[0]
    bots = [
        bot_of(house, issued),
        house.proxy.kucoin_bot(reals[1]),
        house.proxy.kucoin_bot(reals[2]),
    ]
    eventually("all are known", lambda: not any(slug_of(bot) for bot in bots))
    house.forget()
    assert placed(bots[0].order())
    assert_signed(house.last, reals[0])
    assert bots[1].order().code == "400200"  # a partner that the exchange does not know
    assert headers_of(house.last)["kc-api-partner"] == "importedCODE"
    assert placed(bots[2].order())
    assert headers_of(house.last)["kc-api-key"] == reals[2].api_key
    again = imported(house, *lines)
    assert len(again) == 3
    assert not any("secret" in line for line in again)


def test_a_key_in_another_form_is_refused(house: KucoinHouse) -> None:
    for triple in (
        {"api_key": "a", "secret": "b"},
        {"api_key": "a b", "secret": "b", "passphrase": "c"},
        {"api_key": "a", "secret": "b", "passphrase": "c\n"},
    ):
        said = fails(house, "add", "odd", *OWNED, stdin=json.dumps(triple))
        assert "passphrase" in said or "api_key" in said


def test_a_code_and_grants_are_changed_while_it_runs(house: KucoinHouse) -> None:
    bot = house.newcomer()
    users(house, "set", house.newest, *OWNED, "--code", "changedCODE")

    def code() -> str:
        """That of the last request; one may fall into the change, and is told to come again."""
        answer = bot.call("GET", ACCOUNTS_PATH)
        assert answer.slug in ("", "not_ready"), pretty(answer)
        return headers_of(house.last)["kc-api-partner"] if house.received else ""

    eventually("the code is another", lambda: code() == "changedCODE")
    headers = headers_of(house.last)
    said = headers["kc-api-timestamp"] + "changedCODE" + headers["kc-api-key"]
    assert headers["kc-api-partner-sign"] == mac(OPERATOR["main"]["broker_key"], said)
    done = house.proxy.run("users", "set", house.newest, *OWNED, "--code", "no good")
    assert done.returncode == 2, done
    assert len(done.stderr.splitlines()) == 1
    users(house, "set", house.newest, *OWNED, "--allow", "withdraw")
    path = "/api/v3/withdrawals"
    eventually("it may", lambda: bot.call("POST", path, {}).slug != "forbidden_endpoint")


def test_a_new_real_key_is_used_at_once_and_issued_ones_stay(house: KucoinHouse) -> None:
    bot = house.newcomer(uid="9100")
    house.ask(bot)
    second = house.exchange.add_user("9100")
    users(house, "set-key", house.newest, *OWNED, stdin=second.as_json())

    def key() -> str:
        assert placed(bot.call("GET", ACCOUNTS_PATH))
        return headers_of(house.last)["kc-api-key"]

    eventually("the new key is used", lambda: key() == second.api_key)
    assert_signed(house.last, second)  # its passphrase too
    stranger = house.exchange.add_user("9101")
    said = fails(house, "set-key", house.newest, *OWNED, stdin=stranger.as_json())
    assert "user 9101, the account of 9100; --force" in said
    users(house, "set-key", house.newest, *OWNED, "--force", stdin=stranger.as_json())
    eventually("that key is used", lambda: key() == stranger.api_key)


# ---- rotate, issue, revoke ---------------------------------------------------------------------


def test_issued_keys_come_and_go_one_by_one(house: KucoinHouse) -> None:
    real = house.exchange.add_user()
    first = house.proxy.add_user("keys", real, exchange="kucoin")
    more = json.loads(users(house, "issue", "keys", *OWNED, "--label", "second"))
    assert re.fullmatch(r"[0-9a-f]{24}", more["api_key"])
    assert re.fullmatch(r"[0-9a-f-]{36}", more["secret"])
    assert 7 <= len(more["passphrase"]) <= 32
    second = bot_of(house, more)
    bots = [house.proxy.kucoin_bot(first), second, house.proxy.kucoin_bot(real)]
    eventually("all three work", lambda: not any(slug_of(bot) for bot in bots))
    for bot in bots:
        assert placed(bot.order())
        assert placed(replace(bot, base_url=f"{bot.base_url}/futures").futures_order())
        assert_signed(house.last, real)
    users(house, "revoke", more["id"])
    eventually("it is over", lambda: slug_of(second) == "unknown_key")
    assert [slug_of(bot) for bot in bots] == ["", "unknown_key", ""]


def test_rotation_replaces_the_issued_ones_alone(house: KucoinHouse) -> None:
    real = house.exchange.add_user()
    old = house.proxy.kucoin_bot(house.proxy.add_user("turned", real, exchange="kucoin"))
    new = bot_of(house, json.loads(users(house, "rotate", "turned", *OWNED, "--overlap", "24h")))
    eventually("both work", lambda: not slug_of(old) and not slug_of(new))
    last = bot_of(house, json.loads(users(house, "rotate", "turned", *OWNED)))
    eventually("the last works", lambda: not slug_of(last))
    eventually("the second is over", lambda: slug_of(new) == "unknown_key")
    assert placed(last.order())
    assert placed(house.proxy.kucoin_bot(real).order())


# ---- secrets -----------------------------------------------------------------------------------


def traffic(house: KucoinHouse, triple: Triple, sent: set[str]) -> list[Answered]:
    """Send what passes and what fails in every way; note every signature sent."""
    answers = []
    bot = house.proxy.kucoin_bot(triple)
    swapped = Triple(triple.api_key, triple.passphrase, triple.secret)  # secrets in odd places
    odd = Triple(triple.secret, triple.secret, triple.passphrase)
    for venue, path in (("main", ORDER_PATH), ("futures", FUTURES_ORDER_PATH)):
        here = bot if venue == "main" else replace(bot, base_url=f"{bot.base_url}/futures")
        body = json.dumps(_order(venue) | {"remark": BODY_VALUE}).encode()
        calls: list[tuple[KucoinBot, str, str, bytes]] = [
            (here, "POST", path, body),
            (replace(here, sealed=False, version=""), "POST", path, body),
            (here, "GET", f"{ACCOUNTS_PATH}?a={QUERY_VALUE}", b""),
            (here, "GET", f"/api/v1/new/thing?a={QUERY_VALUE}", b""),
            (here, "POST", "/api/v3/withdrawals", body),
            (here, "POST", f"{path}/multi", b"{" + BODY_VALUE.encode()),
            (here, "GET", f"/api/v1//{QUERY_VALUE}?a={QUERY_VALUE}", b""),
            (replace(here, triple=swapped), "POST", path, body),
            (replace(here, triple=odd, sealed=False), "GET", f"/api/v1/fills?a={QUERY_VALUE}", b""),
        ]
        for caller, method, target, content in calls:
            headers = caller.headers(method, target, content)
            sent |= {headers["KC-API-SIGN"], headers.get("KC-API-PARTNER-SIGN", "-" * 44)}
            first = caller.call(method, target, content, headers=headers)
            answers += [first, caller.call(method, target, content, headers=headers)]
        for kind in ("process-drop", "garbage", "html"):
            house.exchange.fault(kind, path=path)
            answers.append(here.call("POST", path, json.dumps(_order(venue)).encode()))
    return answers


def _order(venue: str) -> dict[str, Any]:
    return spot_order() if venue == "main" else named(FUTURES_ORDER)


def test_nothing_secret_is_written_anywhere(tmp_path: Path) -> None:
    with kucoin_house_in(tmp_path) as house:
        sent: set[str] = set()
        answers = traffic(house, house.issued, sent) + traffic(house, house.real, sent)
        assert any(placed(answer) for answer in answers), pretty(answers[0])
        for request in house.exchange.requests:
            arrived = headers_of(request)
            sent |= {value for name, value in arrived.items() if name in SIGNATURES}
        triples = (house.real, house.issued)
        kept = {text for triple in triples for text in (triple.secret, triple.passphrase)}
        kept |= {mac(triple.secret, triple.passphrase) for triple in triples}
        kept |= {each["broker_key"] for each in OPERATOR.values()}
        said = [
            house.proxy.run(*arguments)
            for arguments in (
                ("users", "show", "alice", "--json"),
                ("users", "check", "alice", "--json"),
                ("users", "list"),
                ("check",),
            )
        ]
        metrics = fetch(f"{house.proxy.admin_url}/metrics")[1]
        eventually("the log is out", lambda: len(house.proxy.log) > len(answers) - 10)
        assert house.proxy.stop() == 0
        haystacks = {
            str(path.relative_to(tmp_path)): path.read_bytes()
            for path in (tmp_path / "proxy").rglob("*")
            if path.is_file() and path.name != "proxy.toml"  # the operator's own words
        }
        haystacks["metrics"] = metrics
        haystacks["commands"] = "".join(done.stdout + done.stderr for done in said).encode()
        haystacks["refusals"] = b"".join(
            answer.body + str(dict(answer.headers)).encode() for answer in answers if answer.slug
        )
        secrets = kept | sent | {QUERY_VALUE, BODY_VALUE}
        assert _found(haystacks, secrets) == []
        # the search itself finds what is there
        assert _found({"x": b"." + house.real.secret.encode()}, secrets) == ["x"]


def _found(haystacks: dict[str, bytes], secrets: set[str]) -> list[str]:
    found = []
    for secret in secrets - {"-" * 44}:
        plain = secret.encode()
        forms = (plain, base64.b64encode(plain).rstrip(b"=")[:-1], plain.hex().encode())
        found += [where for where, text in haystacks.items() if any(form in text for form in forms)]
    return found
