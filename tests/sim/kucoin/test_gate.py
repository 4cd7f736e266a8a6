"""Who is refused, with which code and status: KuCoin's error table."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

import pytest

from proxy.sim.kucoin import SimulatedKucoin
from proxy.sim.kucoin.signature import signature
from tests.sim.client import HandClock
from tests.sim.kucoin.client import BOUND, LIVE, ORDER, READER, Client

ACCOUNTS = "/api/v1/accounts"


@pytest.mark.parametrize(
    "header", ["KC-API-KEY", "KC-API-SIGN", "KC-API-TIMESTAMP", "KC-API-PASSPHRASE"]
)
@pytest.mark.parametrize("value", [None, ""])
async def test_each_missing_header_is_named(client: Client, header: str, value: str | None) -> None:
    answer = await client.call("GET", ACCOUNTS, change={header: value})
    assert (answer.status, answer.code) == (400, "400001")
    assert "KC-API-KEY, KC-API-SIGN" in answer.content["msg"]


@pytest.mark.parametrize(
    ("header", "value", "status", "code"),
    [
        ("KC-API-KEY", "6422da9c97b45100018c6eff", 401, "400003"),
        ("KC-API-PASSPHRASE", "wrong", 401, "400004"),
        ("KC-API-SIGN", "wrong", 401, "400005"),
        ("KC-API-TIMESTAMP", "2023-11-14T22:13:20.000Z", 400, "400002"),
        ("KC-API-TIMESTAMP", "1700000000", 400, "400002"),
        ("KC-API-KEY-VERSION", None, 400, "400009"),
        ("KC-API-KEY-VERSION", "1", 400, "400009"),
    ],
)
async def test_each_wrong_header_has_its_code(
    client: Client, header: str, value: str | None, status: int, code: str
) -> None:
    answer = await client.call("GET", ACCOUNTS, change={header: value})
    assert (answer.status, answer.code) == (status, code)


@pytest.mark.parametrize("version", ["2", "3"])
async def test_a_passphrase_in_clear_text_is_never_right(client: Client, version: str) -> None:
    sealed = {"KC-API-KEY-VERSION": version}
    assert (await client.call("GET", ACCOUNTS, change=sealed)).code == "200000"
    clear = sealed | {"KC-API-PASSPHRASE": LIVE.passphrase}
    assert (await client.call("GET", ACCOUNTS, change=clear)).code == "400004"


@pytest.mark.parametrize(
    ("age_ms", "code"),
    [(5_000, "200000"), (5_001, "400002"), (-5_000, "200000"), (-5_001, "400002")],
)
async def test_a_timestamp_is_good_for_five_seconds_either_way(
    client: Client, age_ms: int, code: str
) -> None:
    assert (await client.call("GET", ACCOUNTS, age_ms=age_ms)).code == code


async def test_the_signature_covers_query_and_body(client: Client) -> None:
    headers = client.headers("GET", f"{ACCOUNTS}?currency=BTC", b"")
    assert (await client.send("GET", f"{ACCOUNTS}?currency=ETH", b"", headers)).code == "400005"
    headers = client.headers("POST", "/api/v1/hf/orders", b"{}")
    assert (await client.send("POST", "/api/v1/hf/orders", b"{ }", headers)).code == "400005"


async def test_the_query_is_signed_as_it_was_before_it_was_encoded(
    client: Client, clock: HandClock
) -> None:
    plain = "/api/v1/accounts?currency=B T,C"
    encoded = f"/api/v1/accounts?currency={quote('B T,C', safe='')}"
    headers = client.headers("GET", plain, b"")
    assert (await client.send("GET", encoded, b"", headers)).code == "200000"
    as_a_form = encoded.replace("%20", "+")
    assert (await client.send("GET", as_a_form, b"", headers)).code == "200000"
    stamp = str(clock.wall_ms())
    headers["KC-API-SIGN"] = signature(LIVE.secret, stamp, "GET", encoded)
    assert (await client.send("GET", encoded, b"", headers)).code == "400005"


async def test_a_key_without_the_permission_is_refused(client: Client) -> None:
    answer = await client.call("POST", "/api/v1/hf/orders", ORDER, user=READER)
    assert (answer.status, answer.code) == (403, "400007")
    assert (await client.call("GET", ACCOUNTS, user=READER)).code == "200000"
    answer = await client.call("POST", "/api/v3/withdrawals", {"currency": "USDT"})
    assert (answer.status, answer.code) == (403, "400007")


async def test_a_bound_key_is_refused_from_elsewhere(client: Client) -> None:
    answer = await client.call("GET", ACCOUNTS, user=BOUND)
    assert (answer.status, answer.code) == (403, "400006")
    assert answer.content["msg"].endswith("127.0.0.1")


async def test_public_reads_need_no_key_but_a_wrong_one_is_refused(client: Client) -> None:
    target = "/api/v1/timestamp"
    assert (await client.send("GET", target)).code == "200000"
    assert (await client.call("GET", target)).code == "200000"
    assert (await client.call("GET", target, change={"KC-API-SIGN": "x"})).code == "400005"
    named = {"KC-API-KEY": "whoever", "KC-API-SIGN": None}
    assert (await client.call("GET", target, change=named)).code == "200000"


@pytest.mark.parametrize(
    ("method", "target", "venue", "status", "code"),
    [
        ("GET", "/api/v1/no-such", "main", 404, "404000"),
        ("POST", "/api/v1/hf/orders/", "main", 404, "404000"),
        ("GET", "/api/v1/contracts/active", "main", 404, "404000"),
        ("GET", "/api/v1/hf/accounts/opened", "futures", 404, "404000"),
        ("POST", "/api/v1/accounts", "main", 405, "405000"),
        ("GET", "/api/v2/broker/queryUser", "broker", 404, "404000"),
    ],
)
async def test_unknown_routes_and_methods(
    client: Client, method: str, target: str, venue: str, status: int, code: str
) -> None:
    answer = await client.call(method, target, venue=venue)
    assert (answer.status, answer.code) == (status, code)


@pytest.mark.parametrize(
    "body", [b"{", b'{"size":NaN}', b"\xff{}", b"[]", b"[" * 100_000, b'{"side":"a","side":"b"}']
)
async def test_bodies_that_are_not_an_order(client: Client, body: bytes) -> None:
    answer = await client.call("POST", "/api/v1/hf/orders", body)
    assert (answer.status, answer.code) == (400, "400100")


async def test_other_content_types_are_refused(client: Client) -> None:
    change = {"Content-Type": "text/plain"}
    answer = await client.call("POST", "/api/v1/hf/orders", ORDER, change=change)
    assert (answer.status, answer.code) == (415, "415000")


async def test_only_the_one_documented_delete_has_a_body(client: Client) -> None:
    answer = await client.call("DELETE", "/api/v1/hf/orders?symbol=BTC-USDT", {"a": 1})
    assert (answer.status, answer.code) == (400, "400100")
    ids = {"orderIdsList": ["230000000000000001"]}
    answer = await client.call("DELETE", "/api/v1/orders/multi-cancel", ids, venue="futures")
    assert answer.data[0]["code"] == "100001"


async def test_a_partner_header_sent_twice_is_refused(
    client: Client, kucoin: SimulatedKucoin
) -> None:
    host, port = kucoin.address
    reader, writer = await asyncio.open_connection(host, port)
    lines = f"Host: {host}:{port}\r\nKC-API-PARTNER: a\r\nkc-api-partner: a\r\n"
    writer.write(f"GET /api/v1/timestamp HTTP/1.1\r\n{lines}\r\n".encode())
    assert b" 400 " in await reader.readline()
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("venue", ["main", "futures", "broker"])
async def test_a_request_for_another_port_is_misdirected(client: Client, venue: str) -> None:
    headers = {"Host": "127.0.0.1:1"}
    assert (await client.send("GET", "/api/v1/timestamp", b"", headers, venue)).status == 421
