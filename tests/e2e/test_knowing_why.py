"""What an operator can say of an account a few seconds later, and after any restart: when it was
last seen, what was refused and why, and whether the exchange takes its key."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from tests.e2e.bot import Bot
from tests.e2e.house import House, house_in, placed
from tests.e2e.load import ORDER_PATH, order_of
from tests.e2e.processes import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(45)]

SOON_S: Final = 5.0  # it is written down every two
SECTIONS: Final[dict[str, dict[str, Any]]] = {
    "limits": {"max_wait": "0s"},
    "exchanges.okx.limits": {f"POST {ORDER_PATH}": "2/60s"},
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house_in(tmp_path_factory.mktemp("why"), SECTIONS) as house:
        yield house


def shown(house: House, name: str) -> dict[str, Any]:
    done = house.proxy.run("users", "show", name, "--json")
    assert done.returncode == 0, done.stderr
    (account,) = json.loads(done.stdout)["accounts"]
    return dict(account)


def soon(what: str, holds: Callable[[], bool]) -> None:
    eventually(what, holds, timeout_s=SOON_S)


def test_what_happened_just_before_the_end_is_told_too(house: House) -> None:
    """A clean end loses nothing."""
    bot = house.newcomer()
    assert bot.call("POST", ORDER_PATH, b"{").slug == "bad_request"
    assert house.proxy.stop() == 0
    assert shown(house, house.newest)["last_refusal"]["slug"] == "bad_request"
    house.proxy.start()


def test_a_key_that_the_exchange_ends_shows(house: House) -> None:
    real = house.simulator.add_user()
    bot = house.proxy.bot(house.proxy.add_user("ended", real))
    assert placed(bot.call("GET", "/api/v5/account/balance"))
    house.simulator.control("DELETE", f"users?api_key={real.api_key}")
    assert bot.call("GET", "/api/v5/account/balance").code == "50119"
    soon("it is not", lambda: shown(house, "ended")["key_health"] == "50119")


def test_who_was_not_seen_is_listed(house: House) -> None:
    bot = house.newcomer()
    seen = house.newest
    assert placed(bot.call("GET", "/api/v5/account/balance"))
    house.simulator.add_user()
    real = house.simulator.add_user()
    house.proxy.add_user("never-seen", real)

    def idle() -> list[str]:
        done = house.proxy.run("users", "list", "--idle", "1h", "--json")
        assert done.returncode == 0, done.stderr
        return [each["name"] for each in json.loads(done.stdout)]

    soon("who was seen is not idle", lambda: seen not in idle())
    assert "never-seen" in idle()


def test_an_address_that_is_not_allowed_shows_though_no_signature_was_looked_at(
    house: House,
) -> None:
    bot = house.newcomer("--ip", "192.0.2.0/24")
    assert bot.call("GET", "/api/v5/account/balance").slug == "ip_not_allowed"
    soon("it shows", lambda: "ip_not_allowed" in shown(house, house.newest)["refusals_24h"])


def fail_in_every_way(bot: Bot) -> dict[str, int]:
    """Place two orders and be refused for five reasons; return how often for which."""
    order = order_of("BTC-USDT")
    for _ in range(2):
        assert placed(bot.call("POST", ORDER_PATH, order))
    slugs = [
        bot.call("POST", ORDER_PATH, order).slug,
        bot.call("POST", ORDER_PATH, order).slug,
        bot.call("POST", ORDER_PATH, order, headers={"OK-ACCESS-SIGN": "x"}).slug,
        bot.call("POST", ORDER_PATH, order, headers={"OK-ACCESS-PASSPHRASE": "x"}).slug,
        bot.call("POST", ORDER_PATH, b"{").slug,
        bot.call("GET", "/api/v5/asset/deposit-address?ccy=BTC").slug,
    ]
    counted = {slug: slugs.count(slug) for slug in slugs}
    assert counted == {
        "rate_limited": 2,
        "bad_signature": 1,
        "bad_passphrase": 1,
        "bad_request": 1,
        "forbidden_endpoint": 1,
    }
    return counted


def test_refusals_show_within_seconds_and_survive_every_restart(house: House) -> None:
    bot = house.newcomer()
    name = house.newest
    before = datetime.now(UTC).replace(microsecond=0)
    counted = fail_in_every_way(bot)
    limited = bot.call("POST", ORDER_PATH, order_of("BTC-USDT"))
    counted["rate_limited"] += 1

    def told() -> dict[str, int]:
        refusals: dict[str, int] = shown(house, name)["refusals_24h"]
        return refusals

    soon("all is told", lambda: told().get("rate_limited") == counted["rate_limited"])
    account = shown(house, name)
    found = account["refusals_24h"]
    found.pop("stale_timestamp", None)  # how the newcomer was found to be known
    assert found == counted
    assert account["orders_24h"] == 2
    last = account["last_refusal"]
    assert (last["slug"], last["endpoint"]) == ("rate_limited", "POST trade/order")
    facts = last["facts"].partition(", waited")[0]
    assert facts == "your account, trade/order BTC-USDT 2/1m"
    assert facts in limited.content["msg"]
    assert before <= datetime.fromisoformat(last["at"]) < datetime.now(UTC)
    assert before <= datetime.fromisoformat(account["last_seen"]) < datetime.now(UTC)
    assert account["key_health"] == "ok"
    assert abs(account["clock_offset_ms"]) < 5_000

    def same() -> bool:
        now = shown(house, name)
        now["refusals_24h"].pop("stale_timestamp", None)
        return now == account

    for end in (house.proxy.kill, house.proxy.stop):
        end()
        assert same(), "told without a process that serves, too"
        house.proxy.start()
        assert same()
