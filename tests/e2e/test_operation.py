"""What an operator sees: health, metrics, the log line, `check`. Names are the contract."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.bot import ORDER, Answered, Bot
from tests.e2e.conftest import StartProxy
from tests.e2e.harness import Proxy
from tests.e2e.house import House, house_in, order, placed
from tests.e2e.processes import eventually, fetch, free_port
from tests.e2e.wire import wire_to

pytestmark = pytest.mark.e2e

ORDER_PATH: Final = "/api/v5/trade/order"
ALGO_PATH: Final = "/api/v5/trade/order-algo"
BALANCE_PATH: Final = "/api/v5/account/balance"
# metric -> labels, of those that show in this module's traffic
METRICS: Final = {
    "tagproxy_requests_total": {"exchange", "venue", "endpoint", "outcome"},
    "tagproxy_orders_tagged_total": {"exchange", "venue", "endpoint", "via"},
    "tagproxy_foreign_codes_total": {"exchange", "venue", "found"},
    "tagproxy_overhead_seconds_bucket": {"exchange", "le"},
    "tagproxy_overhead_seconds_sum": {"exchange"},
    "tagproxy_exchange_seconds_bucket": {"exchange", "le"},
    "tagproxy_limit_wait_seconds_bucket": {"exchange", "rule", "le"},
    "tagproxy_limit_rejected_total": {"exchange", "rule"},
    "tagproxy_exchange_rate_limited_total": {"exchange"},
    "tagproxy_connections": {"side", "protocol"},
}
LINE: Final = {
    *("request_id", "user", "account", "exchange", "endpoint", "outcome"),
    *("client_order_id", "order_id", "exchange_code", "egress"),
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    sections: dict[str, dict[str, Any]] = {
        "limits": {"max_wait": "0s"},
        "exchanges.okx.limits": {f"POST {ALGO_PATH}": "1/60s"},
    }
    with house_in(tmp_path_factory.mktemp("operation"), sections) as house:
        yield house


@pytest.fixture
def house(running: House) -> House:
    running.forget()
    return running


def lines_of(house: House, request_id: str) -> list[dict[str, Any]]:
    eventually(
        "the line is written",
        lambda: any(line.get("request_id") == request_id for line in house.proxy.log),
    )
    return [line for line in house.proxy.log if line.get("request_id") == request_id]


# ---- health ---------------------------------------------------------------------------------


def test_a_proxy_that_serves_is_alive_and_ready(house: House) -> None:
    assert fetch(f"{house.proxy.admin_url}/healthz")[0] == 200
    status, missing = fetch(f"{house.proxy.admin_url}/readyz")
    assert (status, json.loads(missing)) == (200, [])


def test_the_admin_port_serves_nothing_else(house: House) -> None:
    for target in ("/", "/users", f"/okx{BALANCE_PATH}", "/metrics/../x"):
        assert fetch(house.proxy.admin_url + target)[0] == 404
    admin = Bot(f"{house.proxy.admin_url}/okx", house.issued)
    assert admin.call("POST", ORDER_PATH, ORDER).status in (404, 405)
    assert house.received == []


def test_the_bots_port_serves_no_admin_paths(house: House) -> None:
    for target in ("/metrics", "/healthz", "/readyz"):
        status, body = fetch(f"http://127.0.0.1:{house.proxy.port}{target}")
        assert status == 404
        assert b"tagproxy_requests" not in body


def test_an_unreachable_exchange_is_not_ready(start_proxy: StartProxy) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    proxy: Proxy = start_proxy(start=False)
    proxy.configure({"exchanges.okx": {"rest_url": f"https://{nowhere}"}})
    proxy.start(wait=False)
    found: list[tuple[int, bytes]] = []

    def says() -> bool:
        try:
            found.append(fetch(f"{proxy.admin_url}/readyz"))
        except OSError:
            return False
        return found[-1][1] == b'["exchange okx cannot be reached"]'

    eventually("it says what is missing", says)
    assert found[-1][0] == 503
    assert fetch(f"{proxy.admin_url}/healthz")[0] == 200


# ---- metrics --------------------------------------------------------------------------------


def test_the_metrics_have_the_contracts_names_and_labels(house: House) -> None:
    algo = {"instId": "BTC-USDT", "tdMode": "cash", "side": "sell", "ordType": "conditional"}
    algo |= {"sz": "1", "tpTriggerPx": "9", "tpOrdPx": "-1"}
    house.bot.order()
    for _ in range(2):
        house.bot.call("POST", ALGO_PATH, algo)
    house.simulator.fault("code", code="50011", status=429, path=ORDER_PATH)
    house.bot.order(instId="ETH-USDT")  # no slot of its limit is left for a while
    text = fetch(f"{house.proxy.admin_url}/metrics")[1].decode()
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
            shown = set(sample.labels.values())
            assert not shown & {"alice", house.real.api_key, house.issued.api_key}
    assert {name: labels.get(name) for name in METRICS} == METRICS
    ours = {name for name in labels if not name.startswith(("process_", "python_"))}
    assert all(name.startswith("tagproxy_") for name in ours)


def test_requests_are_counted_by_endpoint_and_outcome(house: House) -> None:
    def counted(outcome: str) -> float:
        labels = {"exchange": "okx", "venue": "main", "outcome": outcome}
        name = "tagproxy_requests_total"
        return house.proxy.metric(name, endpoint="POST trade/order", **labels)

    outcomes = ("ok", "exchange_error", "bad_signature", "bad_request")
    before = [counted(outcome) for outcome in outcomes]
    house.bot.order()
    house.bot.order(sz="0")
    house.bot.call("POST", ORDER_PATH, ORDER, headers={"OK-ACCESS-SIGN": "x"})
    house.bot.call("POST", ORDER_PATH, b"{")
    assert [counted(outcome) for outcome in outcomes] == [each + 1 for each in before]


def test_every_answer_is_counted_once(house: House) -> None:
    name = "tagproxy_requests_total"
    before = house.proxy.metric(name)
    asked: list[Callable[[], Answered]] = [
        lambda: house.bot.call("GET", BALANCE_PATH),
        lambda: house.bot.call("GET", "/api/v5//odd"),
        lambda: house.bot.call("POST", ORDER_PATH, ORDER, headers={"Content-Encoding": "gzip"}),
        house.bot.order,
    ]
    for number, ask in enumerate(asked, start=1):
        ask()
        assert house.proxy.metric(name) == before + number


def test_connections_are_counted_on_both_sides(house: House) -> None:
    labels = {"side": "bot", "protocol": "http"}
    eventually("none", lambda: house.proxy.metric("tagproxy_connections", **labels) == 0)
    with wire_to(house.bot), wire_to(house.bot):
        eventually("two", lambda: house.proxy.metric("tagproxy_connections", **labels) == 2)
    assert house.proxy.metric("tagproxy_connections", side="exchange", protocol="http") >= 1


# ---- the log line ---------------------------------------------------------------------------


def test_an_order_is_one_line_with_the_contracts_fields(house: House) -> None:
    house.simulator.fault("slow", delay_ms=50)
    answer = house.bot.order(clOrdId="logged1")
    (line,) = lines_of(house, answer.headers["x-request-id"])
    assert set(line) >= LINE
    assert (line["user"], line["account"], line["exchange"]) == ("alice", "main", "okx")
    assert (line["endpoint"], line["outcome"]) == ("POST trade/order", "ok")
    assert (line["client_order_id"], line["exchange_code"]) == ("logged1", "0")
    assert line["order_id"] == answer.content["data"][0]["ordId"]
    durations = {name: value for name, value in line.items() if isinstance(value, float | int)}
    assert len(durations) == 3
    assert 50 <= max(durations.values()) < 2_000


def test_a_batch_names_all_its_orders(house: House) -> None:
    orders = [order(clOrdId=f"logged2x{number}") for number in range(3)]
    answer = house.bot.call("POST", "/api/v5/trade/batch-orders", orders)
    (line,) = lines_of(house, answer.headers["x-request-id"])
    assert line["client_order_id"] == "logged2x0,logged2x1,logged2x2"
    assert line["order_id"] == ",".join(each["ordId"] for each in answer.content["data"])


@pytest.mark.parametrize(
    ("target", "outcome"),
    [("/api/v5/asset/deposit-address", "forbidden_endpoint"), ("/api/v5//odd", "bad_request")],
)
def test_a_refusal_is_a_line_too(house: House, target: str, outcome: str) -> None:
    answer = house.bot.call("GET", target)
    assert answer.slug == outcome
    (line,) = lines_of(house, answer.headers["x-request-id"])
    assert set(line) >= LINE
    assert (line["exchange"], line["outcome"]) == ("okx", outcome)


def test_nobody_is_named_before_the_signature_verified(house: House) -> None:
    answer = house.bot.call("GET", BALANCE_PATH, headers={"OK-ACCESS-KEY": "stranger"})
    (line,) = lines_of(house, answer.headers["x-request-id"])
    assert (line["outcome"], line["user"] or "", line["account"] or "") == ("unknown_key", "", "")


def test_a_refused_exchange_code_is_logged(house: House) -> None:
    answer = house.bot.order(px="0")
    (line,) = lines_of(house, answer.headers["x-request-id"])
    assert (line["outcome"], line["exchange_code"]) == ("exchange_error", "51000")


def test_every_line_is_json_with_a_time(house: House) -> None:
    assert placed(house.bot.order())
    assert len(house.proxy.log) > 1
    for line in house.proxy.log:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])


# ---- check ----------------------------------------------------------------------------------


def test_a_good_configuration_is_good(house: House) -> None:
    done = house.proxy.run("check")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("max_wait", "max_weight", "max_weight"),
        ('"e2eBROKERcode01"', '"not a code"', "broker_code"),
        ('"e2eBROKERcode01"', '"12345678901234567"', "broker_code"),
        ('kind = "okx"', 'kind = "nyse"', "kind"),
        ("https://", "ftp://", "rest_url"),
        ('max_wait = "0s"', 'max_wait = "soon"', "max_wait"),
        ('"1/60s"', '"one a minute"', ALGO_PATH),
        (f'"POST {ALGO_PATH}"', '"POST /api/v5/trade/oder"', "/api/v5/trade/oder"),
    ],
)
def test_a_fault_is_named_with_file_and_line(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, key: str
) -> None:
    text = house.proxy.config_file.read_text()
    assert old in text
    text = text.replace(old, new, 1)
    number = next(at for at, line in enumerate(text.splitlines(), start=1) if new in line)
    file = tmp_path / "broken.toml"
    file.write_text(text)
    monkeypatch.setattr(house.proxy, "config_file", file)
    done = house.proxy.run("check")
    assert done.returncode == 78, done
    faults = (done.stdout + done.stderr).splitlines()
    assert len(faults) == 1, faults
    assert faults[0].startswith(f"{file}:{number}: "), faults
    assert key in faults[0]


@pytest.mark.parametrize(
    ("section", "values", "words"),
    [
        ("server", {"listen": "0.0.0.0:18080"}, "listen"),
        ("admin", {"listen": "0.0.0.0:19464"}, "admin"),
        ("limits", {"max_wait": "1s"}, "max_wait"),
    ],
)
def test_what_is_legal_but_unwise_is_a_warning(
    start_proxy: StartProxy, section: str, values: dict[str, str], words: str
) -> None:
    proxy = start_proxy({section: values}, start=False)
    done = proxy.run("check")
    assert done.returncode == 0, done
    said = [line for line in (done.stdout + done.stderr).splitlines() if "warning" in line]
    assert len(said) == 1, said
    assert words in said[0]


def test_a_configuration_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, house: House
) -> None:
    monkeypatch.setattr(house.proxy, "config_file", tmp_path / "none.toml")
    for command in ("check", "serve"):
        done = house.proxy.run(command)
        assert done.returncode == 78, done
        assert len(done.stderr.splitlines()) == 1


def test_a_port_in_use_is_one_line(start_proxy: StartProxy, house: House) -> None:
    proxy = start_proxy({"server": {"listen": f"127.0.0.1:{house.proxy.port}"}}, start=False)
    done = proxy.run("serve")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_a_scraper_may_keep_its_connection(house: House) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", house.proxy.admin_port, timeout=5)
    try:
        for _ in range(3):
            connection.request("GET", "/metrics")
            assert b"tagproxy_requests_total" in connection.getresponse().read()
    finally:
        connection.close()
