"""Commands that ask the exchange or change much, beside a proxy that goes on serving."""

from __future__ import annotations

import base64
import json
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.bot import FOREIGN_TAG, Bot, Triple
from tests.e2e.conftest import StartProxy
from tests.e2e.harness import BROKER_CODE, Proxy, Simulator
from tests.e2e.house import House, house_in, placed
from tests.e2e.processes import environment, eventually

pytestmark = pytest.mark.e2e

WITHIN_S: Final = 3.0
PENDING_PATH: Final = "/api/v5/trade/orders-pending"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house_in(tmp_path_factory.mktemp("commands")) as house:
        yield house


@pytest.fixture
def house(running: House) -> House:
    running.forget()
    return running


def users(house: House, *arguments: str, stdin: str = "") -> str:
    done = house.proxy.run("users", *arguments, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return done.stdout


def fails(house: House, *arguments: str, stdin: str = "") -> str:
    """Run a command that must fail; return its one line of words."""
    done = house.proxy.run("users", *arguments, stdin=stdin)
    assert (done.returncode, done.stdout) == (1, ""), done
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def account(house: House, name: str) -> Any:
    return json.loads(users(house, "show", name, "--json"))["accounts"][0]


def slug_of(bot: Bot) -> str:
    return bot.call("GET", PENDING_PATH).slug


def soon(what: str, holds: Any) -> None:
    eventually(what, holds, timeout_s=WITHIN_S)


def imported(house: House, *lines: dict[str, Any]) -> list[dict[str, Any]]:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    return [json.loads(line) for line in users(house, "import", "-", stdin=text).splitlines()]


def line_of(name: str, real: Triple, **fields: Any) -> dict[str, Any]:
    return {"name": name, "exchange": "okx", **json.loads(real.as_json()), **fields}


# ---- check --------------------------------------------------------------------------------


def test_check_asks_the_exchange_over_tls_and_places_nothing(house: House) -> None:
    real = house.simulator.add_user("9001", main_uid="9000", ips="127.0.0.1")
    house.proxy.add_user("checked", real)
    house.forget()
    text = users(house, "check", "checked")
    for words in (
        "the key works",
        "uid 9001, a sub-account of 9000",
        "permissions: read_only, trade",
        "bound to 127.0.0.1",
        f"POST /api/v5/trade/order would carry our code: {BROKER_CODE}",
    ):
        assert words in text
    assert "FAULT" not in text
    assert real.secret not in text
    assert {each["method"] for each in house.received} == {"GET"}
    assert house.simulator.orders == []


def test_check_of_a_key_that_the_exchange_dropped_fails(house: House) -> None:
    house.newcomer(uid="9002")
    name = house.newest
    assert json.loads(users(house, "check", name, "--json"))[0]["well"] is True
    for user in house.simulator.control("GET", "state")["users"]:
        if user["uid"] == "9002":
            house.simulator.control("DELETE", f"users?api_key={user['api_key']}")
    done = house.proxy.run("users", "check", name)
    assert (done.returncode, done.stderr) == (1, "")
    assert "the key does not work: HTTP 401" in done.stdout


def test_check_trusts_nobody_without_the_exchanges_certificate(
    simulator: Simulator, start_proxy: StartProxy, real: Triple
) -> None:
    proxy = start_proxy(start=False)
    proxy.add_user("alice", real)
    del proxy.sections["exchanges.okx"]["ca_file"]
    proxy.configure({})
    done = proxy.run("users", "check", "alice")
    assert done.returncode == 1
    assert "cannot be reached: certificate" in done.stdout
    assert simulator.requests == []


# ---- set, set-key -------------------------------------------------------------------------


def test_set_reaches_a_running_proxy(house: House) -> None:
    bot = house.newcomer()
    users(house, "set", house.newest, "--exchange", "okx", "--ip", "10.0.0.0/8")
    soon("the bot is outside", lambda: slug_of(bot) == "ip_not_allowed")
    users(house, "set", house.newest, "--exchange", "okx", "--ip", "", "--code", "OwnCode1")
    soon("the bot is inside again", lambda: slug_of(bot) == "")
    assert placed(bot.order())
    assert [each["tag"] for each in house.simulator.orders] == ["OwnCode1"]


def test_an_account_set_to_observe_is_forwarded_as_its_bots_sign(house: House) -> None:
    real = house.simulator.add_user()
    users(house, "add", "watched", "--exchange", "okx", stdin=real.as_json())
    bot = house.proxy.bot(real)
    soon("the bot is served", lambda: slug_of(bot) == "")
    users(house, "set", "watched", "--exchange", "okx", "--mode", "observe")

    def forwarded() -> bool:
        house.forget()
        return placed(bot.order()) and house.simulator.orders[0]["tag"] == FOREIGN_TAG

    soon("its order keeps its own code", forwarded)
    before = house.proxy.metric("tagproxy_foreign_codes_total", found="other")
    assert placed(bot.order())
    assert house.proxy.metric("tagproxy_foreign_codes_total", found="other") == before + 1


def test_a_new_key_of_the_same_user_serves_the_same_issued_credentials(house: House) -> None:
    bot = house.newcomer(uid="9101")
    name = house.newest
    assert slug_of(bot) == ""
    soon("the uid is known", lambda: account(house, name)["uid"] == "9101")
    new = house.simulator.add_user("9101")
    users(house, "set-key", name, "--exchange", "okx", stdin=new.as_json())

    def with_the_new_key() -> bool:
        house.forget()
        served = slug_of(bot) == ""
        return served and ["OK-ACCESS-KEY", new.api_key] in house.received[-1]["headers"]

    soon("the new key is used", with_the_new_key)
    assert account(house, name)["uid"] == "9101"
    soon("it works as the user's own", lambda: slug_of(house.proxy.bot(new)) == "")


def test_another_users_key_is_refused_and_the_old_one_goes_on(house: House) -> None:
    bot = house.newcomer(uid="9201")
    name = house.newest
    assert slug_of(bot) == ""
    soon("the uid is known", lambda: account(house, name)["uid"] == "9201")
    other = house.simulator.add_user("9202")
    line = fails(house, "set-key", name, "--exchange", "okx", stdin=other.as_json())
    assert "the key is of the exchange's user 9202, the account of 9201" in line
    assert other.secret not in line
    assert slug_of(bot) == ""
    users(house, "set-key", name, "--exchange", "okx", "--force", stdin=other.as_json())
    assert account(house, name)["uid"] == "9202"
    soon("the bot trades for the other", lambda: placed(bot.order()))
    assert house.simulator.orders[-1]["uid"] == "9202"


# ---- import -------------------------------------------------------------------------------


def test_imported_accounts_are_served_at_once_and_once(house: House) -> None:
    reals = [house.simulator.add_user() for _ in range(3)]
    lines = [line_of(f"fleet{at}", real, issue=True) for at, real in enumerate(reals)]
    results = imported(house, *lines)
    assert [one["result"] for one in results] == ["added"] * 3
    issued = [one["issued"] for one in results]
    bots = [
        house.proxy.bot(Triple(one["api_key"], one["secret"], one["passphrase"])) for one in issued
    ]
    for bot in bots:
        soon("the imported bot trades", lambda bot=bot: placed(bot.order()))
    assert {each["tag"] for each in house.simulator.orders} == {BROKER_CODE}
    again = imported(house, *lines)
    assert [one["result"] for one in again] == ["unchanged"] * 3
    assert all(placed(bot.order()) for bot in bots)


def test_an_import_that_is_killed_is_done_by_the_next(
    simulator: Simulator, start_proxy: StartProxy, tmp_path: Path
) -> None:
    """Every line is whole or not there, and nothing that was printed is taken back."""
    proxy = start_proxy(start=False)
    proxy.run("users", "list")  # makes the database
    count = 4_000
    lines = tmp_path / "lines.jsonl"
    reals = [
        Triple(f"key-{at:05d}-{secrets.token_hex(8)}", "secret", "Pass-1") for at in range(count)
    ]
    lines.write_text(
        "".join(
            json.dumps(line_of(f"user{at:05d}", real, issue=True)) + "\n"
            for at, real in enumerate(reals)
        )
    )
    words = [sys.executable, "-m", "proxy", "users", "import", str(lines)]
    with subprocess.Popen(
        [*words, "-c", str(proxy.config_file)],
        stdout=subprocess.PIPE,
        cwd=tmp_path,
        env=environment(),
    ) as child:
        assert child.stdout is not None
        printed = [json.loads(child.stdout.readline()) for _ in range(300)]
        child.kill()
        rest = child.stdout.read().decode().splitlines(keepends=True)
    printed += [json.loads(line) for line in rest if line.endswith("\n")]
    assert len(printed) < count, "it was done before it could be killed"
    stored = json.loads(proxy.run("users", "list", "--json").stdout)
    assert {one["name"] for one in printed} <= {one["name"] for one in stored}
    done = proxy.run("users", "import", str(lines))
    assert done.returncode == 0, done.stderr
    again = [json.loads(line)["result"] for line in done.stdout.splitlines()]
    assert again == ["unchanged"] * len(stored) + ["added"] * (count - len(stored))
    assert len(json.loads(proxy.run("users", "list", "--json").stdout)) == count
    first = json.loads(proxy.run("users", "show", printed[0]["name"], "--json").stdout)
    assert [one["id"] for one in first["issued"]] == [printed[0]["issued"]["id"]]


# ---- vault rotate -------------------------------------------------------------------------


def test_the_master_key_is_changed_while_orders_go_on(
    simulator: Simulator, start_proxy: StartProxy, real: Triple
) -> None:
    proxy = start_proxy(start=False)
    issued = proxy.add_user("alice", real)
    proxy.start()
    bot = proxy.bot(issued)
    with Orders(bot) as orders:
        new = proxy.directory / "new.key"
        new.write_bytes(base64.b64encode(secrets.token_bytes(32)))
        old = proxy.directory / "master.key"
        done = proxy.run("vault", "rotate", "--new-key", str(new))
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("2 secrets sealed anew")
        orders.some_more()

        wrong = proxy.run("users", "list")
        assert wrong.returncode == 78
        assert "wrong master key: the stored secrets need " in wrong.stderr

        with_keys(proxy, new, old)
        proxy.child.process.send_signal(signal.SIGHUP)
        bob = proxy.add_user("bob", simulator.add_user())
        assert placed(proxy.bot(bob).order())
        proxy.run("users", "set", "alice", "--exchange", "okx", "--code", "OwnCode1")
        orders.some_more()
        assert proxy.run("vault", "rotate", "--new-key", str(new)).stdout.startswith("0 secrets")

        with_keys(proxy, new)
        proxy.child.process.send_signal(signal.SIGHUP)
        orders.some_more()
    assert orders.failed == []
    assert proxy.stop() == 0
    proxy.start()
    assert placed(bot.order())
    assert placed(proxy.bot(bob).order())


def with_keys(proxy: Proxy, *files: Path) -> None:
    """Configure these master keys."""
    keys = ", ".join(f'{{ file = "{file}" }}' for file in files)
    text = proxy.config_file.read_text()
    line = next(each for each in text.splitlines() if each.startswith("master_key"))
    proxy.config_file.write_text(text.replace(line, f"master_key = [{keys}]"))


class Orders:
    """Orders of one bot, one after the other, for as long as the block lasts."""

    def __init__(self, bot: Bot) -> None:
        self._bot = bot
        self._placed = 0
        self._over = threading.Event()
        self.failed: list[str] = []
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Orders:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def some_more(self) -> None:
        """Wait until some more were placed."""
        wanted = self._placed + 5
        eventually("orders go on", lambda: self._placed >= wanted or bool(self.failed))

    def _run(self) -> None:
        while not self._over.wait(0.05):
            answer = self._bot.order()
            if placed(answer):
                self._placed += 1
            else:
                self.failed.append(f"{answer.status} {answer.body!r}")


# ---- list, show ---------------------------------------------------------------------------


def test_show_tells_what_a_bot_did_and_how_it_was_refused(house: House) -> None:
    bot = house.newcomer(uid="9301", ips="127.0.0.1")
    name = house.newest
    assert account(house, name)["last_seen"] is None
    for _ in range(3):
        assert placed(bot.order())
    assert bot.call("POST", "/api/v5/asset/transfer", {"ccy": "USDT"}).slug == "forbidden_endpoint"

    def told() -> bool:
        shown = account(house, name)
        shown["refusals_24h"].pop("stale_timestamp", None)  # how it was found to be known
        told = (shown["orders_24h"], shown["refusals_24h"])
        return bool(told == (3, {"forbidden_endpoint": 1}))

    eventually("it is written down", told, timeout_s=6)
    shown = account(house, name)
    assert shown["last_refusal"]["slug"] == "forbidden_endpoint"
    assert shown["last_refusal"]["endpoint"] == "POST asset/transfer"
    assert (shown["uid"], shown["key_health"]) == ("9301", "ok")
    assert shown["bound_to"] == ["127.0.0.1"]
    assert shown["permissions"] == ["read_only", "trade"]
    assert abs(shown["clock_offset_ms"]) < 1_000


def test_idle_accounts_are_those_nobody_used(house: House) -> None:
    used = house.newcomer()
    busy = house.newest
    house.newcomer()
    idle = house.newest
    assert placed(used.order())

    def idle_names() -> list[str]:
        return [row["name"] for row in json.loads(users(house, "list", "--idle", "1h", "--json"))]

    eventually("the use is written down", lambda: busy not in idle_names(), timeout_s=6)
    assert idle in idle_names()
    assert busy in [row["name"] for row in json.loads(users(house, "list", "--json"))]
