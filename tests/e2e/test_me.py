"""What a bot may ask the proxy of its own account: `GET /<exchange>/tagproxy/me`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from tests.e2e.bot import Answered, Bot, Triple, encoded
from tests.e2e.house import House, house_in, placed, pretty
from tests.e2e.load import order_of
from tests.e2e.processes import eventually, fetch, free_port
from tests.e2e.reloading import reload

pytestmark = pytest.mark.e2e

ME: Final = "/tagproxy/me"
WITHDRAWAL: Final = "/api/v5/asset/withdrawal"
BALANCE_PATH: Final = "/api/v5/account/balance"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house_in(tmp_path_factory.mktemp("me")) as house:
        yield house


@pytest.fixture
def house(running: House) -> House:
    running.forget()
    return running


def told(bot: Bot, target: str = ME, **kwargs: Any) -> dict[str, Any]:
    answer = bot.call("GET", target, **kwargs)
    assert answer.status == 200, pretty(answer)
    content: dict[str, Any] = answer.content
    return content


def test_it_says_whose_key_this_is_and_asks_nobody(house: House) -> None:
    bot = house.newcomer("--allow", "deposit", uid="700001", main_uid="700000", perm="read_only")
    said = told(bot)
    assert house.simulator.requests == []
    assert (said["name"], said["exchange"], said["account"]) == (house.newest, "okx", "main")
    assert (said["mode"], said["state"], said["allow"]) == ("sign", "active", ["deposit"])
    assert said["real_key"]["health"] == "unknown"
    assert said["base_url"] == house.proxy.base_url
    assert said["your_address"] == "127.0.0.1"
    bot.call("GET", BALANCE_PATH)
    real = told(bot)["real_key"]
    assert (real["health"], real["uid"], real["main_uid"]) == ("ok", "700001", "700000")
    assert real["permissions"] == ["read_only"]


def test_each_of_an_accounts_keys_may_ask(house: House) -> None:
    issued, own = told(house.bot), told(house.own_bot)
    assert issued["name"] == own["name"] == "alice"
    assert issued["key"]["issued_id"]
    assert own["key"]["issued_id"] == ""
    assert issued["real_key"] == own["real_key"]


def test_the_prefix_may_be_signed_too(house: House) -> None:
    """As clients do that have the whole base URL in their path."""
    prefix = urlsplit(house.bot.base_url).path
    signed = house.bot.headers("GET", prefix + ME)
    assert told(house.bot, headers=signed)["name"] == "alice"
    signed = house.bot.headers("GET", f"{ME}?x=1")
    assert told(house.bot, f"{ME}?x=1", headers=signed)["name"] == "alice"


def test_nobody_else_is_told(house: House) -> None:
    wrong = Bot(house.bot.base_url, Triple(house.issued.api_key, "wrong", house.issued.passphrase))
    unknown = Bot(house.bot.base_url, Triple(house.real.api_key[::-1], "wrong", "wrong"))
    stale = house.bot.headers("GET", ME, now_ms=int(time.time() * 1000) - 40_000)
    other = house.bot.headers("GET", BALANCE_PATH)
    answers = {
        "bad_signature": wrong.call("GET", ME),
        "unknown_key": unknown.call("GET", ME),
        "stale_timestamp": house.bot.call("GET", ME, headers=stale),
    }
    for slug, answer in answers.items():
        assert (answer.status, answer.slug) == (401, slug)
        assert "alice" not in answer.body.decode()
    assert house.bot.call("GET", ME, headers=other).slug == "bad_signature"
    status, body = fetch(house.bot.base_url + ME)
    assert (status, json.loads(body)["code"]) == (401, "50103")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD"])
def test_it_can_only_be_read(house: House, method: str) -> None:
    answer = house.bot.call(method, ME)
    assert answer.status >= 400
    assert house.received == []


def stale_ones(said: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for each in said["last_refusals"] if each["slug"] == "stale_timestamp"]


def test_refusals_are_listed_with_what_to_do_newest_first(house: House) -> None:
    bot = house.newcomer()
    assert bot.call("POST", WITHDRAWAL, {"ccy": "BTC"}).slug == "forbidden_endpoint"
    wrong = Bot(bot.base_url, Triple(bot.triple.api_key, "wrong", "wrong"))
    assert wrong.call("GET", BALANCE_PATH).slug == "bad_signature"
    signed = bot.headers("POST", "/api/v5/trade/order", encoded(order_of("BTC-USDT")))
    for slug in ("", "replayed"):
        content = order_of("BTC-USDT")
        assert bot.call("POST", "/api/v5/trade/order", content, headers=signed).slug == slug
    said = told(bot)
    # how the newcomer was found to be known
    assert said["refusals_24h"].pop("stale_timestamp") == len(stale_ones(said))
    said["last_refusals"] = [each for each in said["last_refusals"] if each not in stale_ones(said)]
    assert [(each["slug"], each["endpoint"]) for each in said["last_refusals"]] == [
        ("replayed", "POST trade/order"),
        ("bad_signature", "GET account/balance"),
        ("forbidden_endpoint", "POST asset/withdrawal"),
    ]
    assert all(each["what_to_do"] for each in said["last_refusals"])
    assert "class withdraw is not granted" in said["last_refusals"][-1]["facts"]
    now_s = time.time()
    for each in said["last_refusals"]:
        assert abs(datetime.fromisoformat(each["at"]).timestamp() - now_s) < 30
    assert said["refusals_24h"] == {"replayed": 1, "bad_signature": 1, "forbidden_endpoint": 1}
    assert said["orders_24h"] == 1


def test_the_last_twenty_refusals_are_kept(house: House) -> None:
    bot = house.newcomer()
    for _ in range(25):
        bot.call("POST", WITHDRAWAL, {})
    said = told(bot)
    assert len(said["last_refusals"]) == 20
    assert said["refusals_24h"]["forbidden_endpoint"] == 25


def test_budgets_show_what_is_left(house: House) -> None:
    bot = house.newcomer()
    for _ in range(3):
        assert placed(bot.order(instId="ETH-USDT"))
    budgets = {each["of"]: each for each in told(bot)["budgets"]}
    budget = budgets["ETH-USDT"]
    assert (budget["left"], budget["count"], budget["window_ms"]) == (57, 60, 2000)
    assert "trade/order" in budget["limit"]


def test_the_clocks_difference_is_told(house: House) -> None:
    slow = house.bot.headers("GET", ME, now_ms=int(time.time() * 1000) - 5_000)
    assert told(house.bot, headers=slow)["clock_offset_ms"] == pytest.approx(-5_000, abs=1_000)


def test_no_secret_is_told(house: House) -> None:
    house.bot.call("GET", BALANCE_PATH)
    text = json.dumps(told(house.bot))
    for triple in (house.real, house.issued):
        assert triple.secret not in text
        assert triple.passphrase not in text
        assert triple.api_key not in text
        assert triple.api_key[-4:] in text or triple is house.real


def test_a_key_that_the_exchange_does_not_take_is_unwell(house: House) -> None:
    real = house.simulator.add_user()
    bot = house.proxy.bot(house.proxy.add_user("unwell", real))
    assert bot.call("GET", BALANCE_PATH).code == "0"
    house.simulator.control("DELETE", f"users?api_key={real.api_key}")
    assert bot.call("GET", BALANCE_PATH).code == "50119"
    assert told(bot)["real_key"]["health"] == "50119"


def test_a_public_url_is_what_bots_are_told(house: House) -> None:
    port = free_port()
    reload(
        house.proxy,
        {
            "server": {"public_url": "https://proxy.example/trade"},
            "exchanges.okx": {"egress": ["127.0.0.1"], "listen": f"127.0.0.1:{port}"},
        },
    )
    said = told(house.bot)
    assert said["base_url"] == "https://proxy.example/trade/okx"
    assert said["bind_real_key_to"] == ["127.0.0.1"]
    at_its_own_port = Bot(f"http://127.0.0.1:{port}", house.issued)
    assert told(at_its_own_port)["name"] == "alice"


def test_an_account_that_is_closed_hears_why(house: House) -> None:
    bot = house.newcomer()
    name = house.newest
    house.proxy.run("users", "disable", name, "--mode", "close-only", "--reason", "has left us")
    eventually("it is closed", lambda: told(bot)["state"] == "close-only")
    assert told(bot)["reason"] == "has left us"
    house.proxy.run("users", "disable", name, "--mode", "block", "--reason", "has left us")

    def refused() -> Answered | None:
        answer = bot.call("GET", ME)
        return answer if answer.slug == "user_disabled" else None

    eventually("it is blocked", lambda: refused() is not None)
    answer = refused()
    assert answer is not None
    assert "has left us" in answer.content["msg"]
