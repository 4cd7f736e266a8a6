"""The harness itself, against the simulators alone and through a proxy."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.sim import registry
from tests.e2e.bot import ORDER, Bot
from tests.e2e.harness import BOTS, BROKER_CODE, Proxy, Simulator, proxy_in, simulator_in
from tests.e2e.kucoin_bot import KucoinBot
from tests.e2e.mexc_bot import ORDER as MEXC_ORDER
from tests.e2e.mexc_bot import MexcBot
from tests.e2e.processes import eventually

LIMIT = "POST /api/v5/trade/order"

pytestmark = pytest.mark.e2e


def test_the_simulator_says_where_it_is_and_ends_on_sigterm(simulator: Simulator) -> None:
    assert simulator.base_url.startswith("https://127.0.0.1:")
    assert simulator.ca_file is not None
    assert simulator.ca_file.exists()
    assert simulator.child.end(signal.SIGTERM) == 0


def test_a_bot_talks_to_the_simulator_without_a_proxy(tmp_path: Path) -> None:
    """Shows that the bot signs as the exchange wants, so that it proves something of the proxy."""
    with simulator_in(tmp_path, tls=False) as simulator:
        bot = Bot(simulator.base_url, simulator.add_user("7001"))
        answer = bot.call("POST", "/api/v5/trade/order", ORDER)
        assert (answer.status, answer.code) == (200, "0")
        assert [order["uid"] for order in simulator.orders] == ["7001"]
        simulator.fault("code", code="50013", status=429)
        assert bot.order().status == 429
        assert len(simulator.requests) == 2
        assert simulator.breaches == {}
        assert not list(tmp_path.glob("serve*"))


def test_no_process_outlives_its_block(tmp_path: Path) -> None:
    processes: list[subprocess.Popen[bytes]] = []

    def failing() -> None:
        with simulator_in(tmp_path) as simulator:
            processes.append(simulator.child.process)
            raise RuntimeError("a test that fails")

    with pytest.raises(RuntimeError, match="fails"):
        failing()
    assert processes[0].poll() is not None


def test_eventually_gives_up() -> None:
    with pytest.raises(AssertionError, match="pigs fly"):
        eventually("pigs fly", lambda: False, timeout_s=0.01)


def test_configuration_is_merged_and_written(tmp_path: Path, simulator: Simulator) -> None:
    proxy = Proxy(tmp_path / "proxy", simulator, {"exchanges.okx": {"deadline": "1s"}})
    proxy.configure({"limits": {"max_wait": "0s"}, "exchanges.okx.limits": {LIMIT: "1/2s"}})
    text = proxy.config_file.read_text()
    assert f'broker_code = "{BROKER_CODE}"\n' in text
    assert f'"{LIMIT}" = "1/2s"\n' in text
    assert 'deadline = "1s"\n' in text
    assert proxy.run("check").returncode == 0


def test_a_bot_reaches_the_exchange_through_the_proxy(
    proxy: Proxy, simulator: Simulator, bot: Bot
) -> None:
    answer = bot.order()
    assert (answer.status, answer.code) == (200, "0"), answer.body
    assert [order["tag"] for order in simulator.orders] == [BROKER_CODE]
    assert proxy.metric("tagproxy_requests_total", outcome="ok") == 1
    eventually("the log has the order", lambda: any("endpoint" in line for line in proxy.log))
    assert bot.triple.secret.encode() not in b"".join(proxy.written().values())
    assert proxy.stop() == 0


def test_a_killed_proxy_starts_again(proxy: Proxy, bot: Bot) -> None:
    proxy.kill()
    proxy.start()
    assert bot.call("GET", "/api/v5/account/config").code == "0"


def test_a_user_added_while_running_is_known_when_it_returns(
    proxy: Proxy, simulator: Simulator
) -> None:
    bob = proxy.add_user("bob", simulator.add_user("7002"))
    assert proxy.bot(bob).order().code == "0"
    assert [order["uid"] for order in simulator.orders] == ["7002"]


# ---- every kind of exchange -----------------------------------------------------------------


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Simulator, Proxy]]:
    directory = tmp_path_factory.mktemp("every")
    kinds = tuple(BOTS)
    with (
        simulator_in(directory / "exchange", kinds=kinds) as simulator,
        proxy_in(directory / "proxy", simulator, kinds=kinds) as proxy,
    ):
        yield simulator, proxy


def test_bots_sign_as_their_exchange_wants(tmp_path: Path) -> None:
    """Without a proxy; a broker's headers that no exchange knows are left out."""
    with simulator_in(tmp_path, tls=False, kinds=("mexc", "kucoin")) as simulator:
        mexc, kucoin = simulator, simulator.exchange("kucoin")
        spot = MexcBot(mexc.base_url, mexc.add_user())
        in_body = spot.order_in_body()
        assert [spot.order().status, in_body.status] == [200, 200], in_body.body
        assert spot.batch(MEXC_ORDER, MEXC_ORDER).status == 200
        assert spot.futures_order().code == "0"
        plan = spot.call("GET", "/api/v1/private/order/list/open_orders?page_size=2&page_num=1")
        assert plan.code == "0"
        assert spot.call("GET", spot.ASKS).status == 200
        triple = kucoin.add_user()
        for bot in (
            KucoinBot(kucoin.base_url, triple, partner=""),
            KucoinBot(kucoin.base_url, triple, version="2", partner=""),
        ):
            assert bot.order().code == "200000"
            assert bot.call("GET", bot.ASKS).code == "200000"
        futures = KucoinBot(kucoin.base_urls["futures"], triple, partner="")
        assert futures.futures_order().code == "200000"
        assert simulator.breaches == kucoin.breaches == {}


def test_each_kind_is_reached_through_the_proxy(every: tuple[Simulator, Proxy]) -> None:
    simulator, proxy = every
    mexc, kucoin = simulator.exchange("mexc"), simulator.exchange("kucoin")
    assert proxy.bot(proxy.add_user("alice", simulator.add_user())).order().code == "0"
    spot = proxy.mexc_bot(proxy.add_user("alice", mexc.add_user(), exchange="mexc"))
    for answer in (spot.order(), spot.order_in_body(), spot.futures_order()):
        assert (answer.status, answer.slug) == (200, ""), answer.body
    operator = registry.make("mexc").operator
    assert {order["source"] for order in mexc.orders} == {operator["main"]["broker_code"]}
    triple = proxy.add_user("alice", kucoin.add_user(), exchange="kucoin")
    futures = proxy.kucoin_bot(triple, "futures")
    clear = replace(proxy.kucoin_bot(triple), sealed=False, version="")
    for answer in (proxy.kucoin_bot(triple).order(), clear.order(), futures.futures_order()):
        assert (answer.status, answer.slug, answer.code) == (200, "", "200000"), answer.body
    operator = registry.make("kucoin").operator
    assert {(order["venue"], order["tags"]) for order in kucoin.orders} == {
        (venue, f"partner:{table['broker_code']}") for venue, table in operator.items()
    }
