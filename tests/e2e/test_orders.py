"""What passes and how: keys, paths, headers, answers, tables; all but the tag and the limits."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.e2e.bot import ORDER, Bot, Triple
from tests.e2e.harness import BROKER_CODE, Simulator, simulator_in
from tests.e2e.house import House, compact, house_in, order, placed, pretty
from tests.e2e.processes import eventually, fetch, free_port

pytestmark = pytest.mark.e2e

ORDER_PATH: Final = "/api/v5/trade/order"
CONFIG_PATH: Final = "/api/v5/account/config"
US_CODE: Final = "e2eOTHERcode01"
SENT_ALWAYS: Final = {
    *("host", "accept-encoding", "content-type", "content-length"),
    *("ok-access-key", "ok-access-sign", "ok-access-timestamp", "ok-access-passphrase"),
}


@pytest.fixture(scope="module")
def us(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """Another site of the exchange, with users of its own."""
    with simulator_in(tmp_path_factory.mktemp("us")) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, us: Simulator) -> Iterator[House]:
    sections: dict[str, dict[str, Any]] = {
        "exchanges.okx": {"listen": f"127.0.0.1:{free_port()}"},
        "exchanges.okx-us": {
            "kind": "okx",
            "rest_url": us.base_url,
            "ws_url": us.base_url.replace("http", "ws", 1),
            "ca_file": str(us.ca_file),
            "broker_code": US_CODE,
            "listen": f"127.0.0.1:{free_port()}",
        },
    }
    with house_in(tmp_path_factory.mktemp("orders"), sections) as house:
        yield house


@pytest.fixture
def house(running: House, us: Simulator) -> House:
    running.forget()
    us.control("POST", "reset")
    return running


def received_headers(house: House) -> dict[str, str]:
    return {name.lower(): value for name, value in house.received[-1]["headers"]}


# ---- keys -----------------------------------------------------------------------------------


def test_the_own_key_and_every_issued_one_work_at_once(house: House) -> None:
    done = house.proxy.run("users", "issue", "alice", "--exchange", "okx", "--label", "second")
    shown = json.loads(done.stdout)
    second = house.proxy.bot(Triple(shown["api_key"], shown["secret"], shown["passphrase"]))
    eventually("the second key is known", lambda: house.proxy.knows(second.triple))
    for bot in (house.bot, house.own_bot, second, house.bot):
        assert placed(bot.order()), bot
    sent_keys = {dict(each["headers"])["OK-ACCESS-KEY"] for each in house.received}
    assert sent_keys == {house.real.api_key}
    assert len({each["uid"] for each in house.simulator.orders}) == 1


def test_an_issued_key_is_worth_nothing_at_the_exchange(house: House) -> None:
    users = house.simulator.control("GET", "state")["users"]
    assert [user["api_key"] for user in users].count(house.real.api_key) == 1
    assert house.issued.api_key not in {user["api_key"] for user in users}
    assert house.issued.secret != house.real.secret
    assert house.issued.passphrase != house.real.passphrase


# ---- paths and signatures -------------------------------------------------------------------


def test_what_a_bot_signs_may_have_the_prefix(house: House) -> None:
    body = compact(ORDER)
    headers = house.bot.headers("POST", "/okx" + ORDER_PATH, body)
    assert placed(house.bot.call("POST", ORDER_PATH, body, headers=headers))


@pytest.mark.parametrize(
    ("sent", "signed"),
    [
        ("?ccy=BTC%2CETH", "?ccy=BTC,ETH"),
        ("?ccy=BTC,ETH", "?ccy=BTC,ETH"),
        ("?ccy=a+b", "?ccy=a b"),
        ("?ccy=a%20b", "?ccy=a b"),
        ("?", ""),
        ("", "?"),
    ],
)
def test_queries_are_verified_as_real_clients_sign_them(
    house: House, sent: str, signed: str
) -> None:
    target = "/api/v5/account/balance"
    headers = house.bot.headers("GET", target + signed)
    answer = house.bot.call("GET", target + sent, headers=headers)
    assert placed(answer), pretty(answer)
    assert house.received[-1]["target"] == target + sent


@pytest.mark.parametrize(
    ("sent", "signed"),
    [
        ("?ccy=BTC%26uid%3D1", "?ccy=BTC&uid=1"),
        ("?a=1&b=2", "?b=2&a=1"),
        ("?ccy=BTC", ""),
        ("", "?ccy=BTC"),
    ],
)
def test_another_query_than_the_signed_one_is_refused(house: House, sent: str, signed: str) -> None:
    target = "/api/v5/account/balance"
    answer = house.bot.call("GET", target + sent, headers=house.bot.headers("GET", target + signed))
    assert (answer.code, answer.slug) == ("50113", "bad_signature")
    assert house.received == []


@pytest.mark.parametrize(
    "path",
    [
        "//api/v5/trade/order",
        "/api/v5//trade/order",
        "/api/v5/trade/order/",
        "/api/v5/trade/./order",
        "/api/v5/x/../trade/order",
        "/api/v5/trade/order;a=1",
        "/api/v5/trade\\order",
        "/api/v5/trade/%6frder",
        "/api/v5/trade/%6Frder",
        "/api/v5/trade/%2e%2e/order",
        "/api/v5/trade/order%",
        "/api/v5/trade/order%00",
        "/api/v5/trade/order%zz",
        "/api/v5/trade%252forder",
        "/",
    ],
)
def test_odd_paths_are_refused(house: House, path: str) -> None:
    for method in ("POST", "GET"):
        answer = house.bot.call(method, path, ORDER if method == "POST" else None)
        assert (answer.status, answer.slug) == (400, "bad_request"), path
        assert answer.code == "51000", pretty(answer)
    assert house.received == []


@pytest.mark.parametrize("path", ["/api/v5/trade/order", "/okxx/api/v5/trade/order", "/okx", "/"])
def test_no_exchange_lives_under_another_prefix(house: House, path: str) -> None:
    bot = Bot(f"http://127.0.0.1:{house.proxy.port}", house.issued)
    answer = bot.call("GET", path)
    assert answer.status in (400, 404)
    assert answer.slug == "bad_request"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "get", "TRACE"])
def test_another_method_on_an_order_does_not_pass(house: House, method: str) -> None:
    answer = house.bot.call(method, ORDER_PATH, ORDER)
    assert 400 <= answer.status < 500, pretty(answer)
    assert answer.slug != ""
    assert house.received == []


# ---- reads, known and not -------------------------------------------------------------------


def test_public_reads_need_no_key(house: House) -> None:
    status, body = fetch(f"{house.proxy.base_url}/api/v5/public/time")
    assert (status, json.loads(body)["code"]) == (200, "0")
    assert not any(name.startswith("ok-access") for name in received_headers(house))


def test_public_reads_may_be_signed_and_leave_without_a_key(house: House) -> None:
    assert placed(house.bot.call("GET", "/api/v5/market/ticker?instId=BTC-USDT"))
    assert not [name for name in received_headers(house) if name.startswith("ok-access-")]


def test_an_unknown_read_passes_signed_anew(house: House) -> None:
    house.simulator.control("POST", "endpoints", {"rows": ["GET new/thing 10/2 user read"]})
    labels = {"exchange": "okx", "endpoint": "unclassified", "outcome": "ok"}
    before = house.proxy.metric("tagproxy_requests_total", **labels)
    assert placed(house.bot.call("GET", "/api/v5/new/thing?a=%41&b="))
    assert house.received[-1]["target"] == "/api/v5/new/thing?a=%41&b="
    assert house.proxy.metric("tagproxy_requests_total", **labels) == before + 1


def test_an_unknown_read_needs_a_key(house: House) -> None:
    status, body = fetch(f"{house.proxy.base_url}/api/v5/new/thing")
    assert (status, json.loads(body)["code"]) == (401, "50103")
    assert house.received == []


def test_an_unknown_write_is_refused(house: House) -> None:
    answer = house.bot.call("POST", "/api/v5/new/thing", {"a": 1})
    assert (answer.status, answer.code, answer.slug) == (403, "50120", "forbidden_endpoint")
    assert house.received == []


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/api/v5/asset/withdrawal"),
        ("POST", "/api/v5/fiat/create-withdrawal"),
        ("POST", "/api/v5/asset/withdrawal-lightning"),
        ("POST", "/api/v5/asset/transfer"),
        ("POST", "/api/v5/asset/subaccount/transfer"),
        ("POST", "/api/v5/users/subaccount/set-transfer-out"),
        ("POST", "/api/v5/asset/cancel-withdrawal"),
        ("POST", "/api/v5/fiat/cancel-withdrawal"),
        ("POST", "/api/v5/users/subaccount/create-subaccount"),
        ("POST", "/api/v5/users/subaccount/apikey"),
        ("POST", "/api/v5/account/move-positions"),
        ("GET", "/api/v5/asset/deposit-address?ccy=BTC"),
        ("GET", "/api/v5/users/subaccount/apikey?subAcct=a"),
        ("GET", "/api/v5/broker/fd/if-rebate?apiKey=a"),
        ("GET", "/api/v5/Asset/Deposit-Address"),
        ("GET", "/api/v6/users/subaccount/apikey"),
    ],
)
def test_sensitive_calls_need_a_grant(house: House, method: str, target: str) -> None:
    answer = house.bot.call(method, target, {} if method == "POST" else None)
    assert (answer.status, answer.code, answer.slug) == (403, "50120", "forbidden_endpoint")
    assert house.received == []


def test_a_granted_class_passes_and_no_other(house: House) -> None:
    bot = house.newcomer("--allow", "deposit,transfer")
    assert placed(bot.call("GET", "/api/v5/asset/deposit-address?ccy=BTC"))
    assert placed(bot.call("POST", "/api/v5/asset/transfer", {"ccy": "USDT", "amt": "1"}))
    assert bot.call("POST", "/api/v5/asset/withdrawal", {}).slug == "forbidden_endpoint"


# ---- headers and answers --------------------------------------------------------------------


def test_only_what_the_exchange_documents_is_passed_on(house: House) -> None:
    answer = house.bot.call(
        "POST",
        ORDER_PATH,
        ORDER,
        headers={
            "User-Agent": "bot/1.0",
            "Accept": "application/json",
            "Accept-Language": "en",
            "Accept-Encoding": "gzip, br",
            "Authorization": "Bearer x",
            "Cookie": "a=b",
            "X-Forwarded-For": "10.0.0.1",
            "X-Request-Id": "mine",
            "Connection": "keep-alive",
            "Te": "trailers",
            "Referer": "http://x",
            "expTime": "9999999999999",
        },
    )
    assert placed(answer), pretty(answer)
    headers = received_headers(house)
    assert set(headers) == SENT_ALWAYS | {"user-agent", "accept", "accept-language", "exptime"}
    assert headers["accept-encoding"] == "identity"
    assert headers["user-agent"] == "bot/1.0"
    assert headers["exptime"] == "9999999999999"
    assert headers["host"] == house.simulator.base_url.removeprefix("https://")
    assert headers["ok-access-passphrase"] == house.real.passphrase


def test_a_bots_library_is_not_made_up(house: House) -> None:
    assert placed(house.bot.call("POST", ORDER_PATH, ORDER))
    assert set(received_headers(house)) == SENT_ALWAYS


def test_the_answer_comes_back_untouched(house: House) -> None:
    answer = house.bot.call("POST", ORDER_PATH, order(clOrdId="mine1"))
    assert answer.body == house.received[-1]["answer"].encode("latin-1")
    assert answer.content["data"][0]["clOrdId"] == "mine1"
    for name in ("set-cookie", "strict-transport-security", "alt-svc"):
        assert name not in answer.headers
    assert answer.headers["cache-control"] == "no-cache, no-store"
    assert answer.headers["content-type"].startswith("application/json")


def test_a_refusal_of_the_exchange_comes_back_untouched(house: House) -> None:
    answer = house.bot.call("POST", ORDER_PATH, order(sz="0"))
    assert (answer.status, answer.slug, answer.code) == (200, "", "1")
    assert answer.content["data"][0]["sCode"] == "51000"
    assert answer.body == house.received[-1]["answer"].encode("latin-1")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "identity, gzip", "x"])
def test_an_encoded_body_is_refused(house: House, coding: str) -> None:
    body = gzip.compress(compact(ORDER))
    answer = house.bot.call("POST", ORDER_PATH, body, headers={"Content-Encoding": coding})
    assert (answer.status, answer.slug) == (400, "bad_request")
    assert answer.code == "51000", pretty(answer)
    assert house.received == []


def test_demo_trading_is_told_to_the_exchange(house: House) -> None:
    demo = house.newcomer(demo=True)
    assert placed(demo.call("POST", ORDER_PATH, ORDER, headers={"x-simulated-trading": "1"}))
    assert received_headers(house)["x-simulated-trading"] == "1"
    wrong = demo.call("POST", ORDER_PATH, ORDER, headers={"x-simulated-trading": "0"})
    assert (wrong.status, wrong.code, wrong.slug) == (401, "50101", "")


def test_live_trading_is_never_told_to_be_demo(house: House) -> None:
    assert placed(house.bot.call("POST", ORDER_PATH, ORDER, headers={"x-simulated-trading": "0"}))
    assert received_headers(house).get("x-simulated-trading", "0") == "0"
    odd = house.bot.call("POST", ORDER_PATH, ORDER, headers={"x-simulated-trading": "yes"})
    assert (odd.status, odd.slug) == (400, "bad_request")


def test_a_code_of_the_accounts_own_goes_before_the_tables(house: House) -> None:
    assert placed(house.newcomer("--code", "ownCODE").order())
    assert [each["tag"] for each in house.simulator.orders] == ["ownCODE"]


# ---- tables and ports -----------------------------------------------------------------------


def test_a_port_of_its_own_needs_no_prefix(house: House) -> None:
    listen = house.proxy.sections["exchanges.okx"]["listen"]
    bot = Bot(f"http://{listen}", house.issued)
    assert placed(bot.order())
    assert [each["tag"] for each in house.simulator.orders] == [BROKER_CODE]
    assert Bot(f"http://{listen}/okx", house.issued).order().slug != ""
    assert len(house.received) == 1


def test_each_table_has_its_own_site_code_and_users(house: House, us: Simulator) -> None:
    real = us.add_user("9001")
    done = house.proxy.run(
        *("users", "add", "bob", "--exchange", "okx-us", "--issue"), stdin=real.as_json()
    )
    shown = json.loads(done.stdout)
    issued = Triple(shown["api_key"], shown["secret"], shown["passphrase"])
    bot = Bot(house.proxy.base_url + "-us", issued)
    elsewhere = house.proxy.bot(issued)
    own_port = Bot(f"http://{house.proxy.sections['exchanges.okx-us']['listen']}", issued)
    eventually("bob is known", lambda: bot.call("GET", CONFIG_PATH).code == "0")
    assert placed(bot.order())
    assert placed(own_port.order())
    assert [each["tag"] for each in us.orders] == [US_CODE, US_CODE]
    assert elsewhere.order().slug == "unknown_key"
    assert Bot(house.proxy.base_url + "-us", house.issued).order().slug == "unknown_key"
    assert house.received == []
