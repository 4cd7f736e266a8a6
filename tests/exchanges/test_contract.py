"""What every exchange must have: each function of the seam and vectors of each kind.

The vectors of an exchange lie in the folder here that bears its name; nothing else names it.
"""

from __future__ import annotations

import json
import re
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final

import pytest

from proxy.errors import SLUGS, Refusal
from proxy.exchanges.mac import Mac
from proxy.exchanges.registry import exchanges
from proxy.exchanges.spec import Exchange
from proxy.exchanges.table import resolve
from proxy.model import (
    NO_BAN,
    Action,
    Broker,
    Claim,
    Credentials,
    Endpoint,
    Outbound,
    Request,
    Response,
    Tag,
    Tagged,
)

KINDS: Final = ("sign", "verify_ok", "verify_bad", "tag", "classify", "limits")
HERE: Final = Path(__file__).parent
# What a kind must at least hold: a part of the name of some vector.
MUST_HOLD: Final = {
    "verify_bad": ("wrong secret", "stale time", "changed body", "changed query order"),
    "tag": ("single", "batch", "already tagged", "not an order", "escaped", "duplicate", "nested"),
    "classify": ("accepted", "rejected", "rate-limited", "maintenance page", "truncated"),
}


def vectors(kind: str) -> list[Any]:
    found = []
    for name in sorted(exchanges()):
        path = HERE / name / f"{kind}.json"
        rows = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        found += [pytest.param(exchanges()[name], row, id=f"{name}: {row['name']}") for row in rows]
    return found


def request_of(row: dict[str, Any], endpoint: Endpoint | None = None) -> Request:
    if endpoint is not None:
        method, target = endpoint.method, endpoint.path + row.get("suffix", "")
    else:
        method, target = row["method"], row["target"]
    headers = {
        name.lower().encode(): value.encode() for name, value in row.get("headers", {}).items()
    }
    request = Request(method.encode(), target.encode(), headers, IPv4Address("127.0.0.1"), 0)
    request.body = row["body"].encode()
    request.prefix = row.get("prefix", "").encode()
    return request


def credentials_of(row: dict[str, str]) -> Credentials:
    if "bearer" in row:
        return Credentials(b"", None, b"", row["bearer"].encode())
    mac = Mac(row["secret"].encode())
    return Credentials(row["api_key"].encode(), mac, row.get("passphrase", "").encode())


def broker_of(row: dict[str, Any]) -> Broker:
    broker = row.get("broker", {"code": "0a1b2c3d"})
    key = broker.get("key")
    return Broker(
        broker["code"].encode(),
        broker.get("name", "").encode(),
        Mac(key.encode()) if key else None,
    )


def endpoint_of(exchange: Exchange, row: dict[str, Any]) -> Endpoint:
    wanted = [row["endpoint"]]
    venue = row.get("venue", "")
    return next(
        endpoint
        for endpoint in exchange.endpoints
        if endpoint.label in wanted and venue in ("", endpoint.venue)
    )


def tag(exchange: Exchange, endpoint: Endpoint, request: Request, row: dict[str, Any]) -> Tagged:
    content = exchange.read(endpoint, request)
    return exchange.tag(endpoint, request, content, row["code"].encode(), row["on_conflict"])


def claimed(exchange: Exchange, row: dict[str, Any]) -> tuple[Claim, bytes]:
    """Identify, ask whether the time is fresh as the pipeline does, verify."""
    request = request_of(row)
    claim = exchange.identify(request)
    assert claim is not None
    _must_be_fresh(claim, row["now_ms"])
    endpoint = route_of(exchange, request)
    digest = exchange.verify(endpoint, request, claim, credentials_of(row["credentials"]))
    _must_be_fresh(claim, row["now_ms"])
    return claim, digest


def _must_be_fresh(claim: Claim, now_ms: int) -> None:
    if not claim.not_before_ms <= now_ms <= claim.not_after_ms:
        raise Refusal("stale_timestamp")


def route_of(exchange: Exchange, request: Request) -> Endpoint:
    """The row of a request; one that stands for none where no row has its path."""
    method, path = request.method.decode(), request.path.decode()
    for endpoint in exchange.endpoints:
        pattern = re.sub(r"\{[^}]*\}", "[^/]+", endpoint.path)
        if endpoint.method == method and re.fullmatch(pattern, path):
            return endpoint
    action = Action.READ if method == "GET" else Action.MOVE
    return Endpoint(method, "", action, "trade", Tag.NONE, ())


@pytest.mark.parametrize("name", sorted(exchanges()))
@pytest.mark.parametrize("kind", KINDS)
def test_every_exchange_has_vectors_of_every_kind(name: str, kind: str) -> None:
    path = HERE / name / f"{kind}.json"
    assert path.exists(), f"{path} is missing"
    names = " | ".join(row["name"] for row in json.loads(path.read_text(encoding="utf-8")))
    assert names
    for part in MUST_HOLD.get(kind, ()):
        assert part in names


@pytest.mark.parametrize(("exchange", "row"), vectors("sign"))
def test_sign_makes_what_the_exchange_published(exchange: Exchange, row: dict[str, Any]) -> None:
    outbound = Outbound(
        row["method"].encode(),
        row["path"].encode(),
        row["suffix"].encode(),
        row["body"].encode(),
        demo=row["demo"],
    )
    signed = exchange.sign(
        outbound, credentials_of(row["credentials"]), broker_of(row), row["wall_ms"]
    )
    assert (signed.target, signed.head, signed.body) == (
        row["target"].encode(),
        row["head"].encode(),
        row.get("want_body", row["body"]).encode(),
    )


@pytest.mark.parametrize(("exchange", "row"), vectors("verify_ok"))
def test_what_real_clients_sign_is_accepted(exchange: Exchange, row: dict[str, Any]) -> None:
    claim, digest = claimed(exchange, row)
    assert len(digest) == 32
    assert claim.demo is row["demo"]
    assert claim.timestamp_ms == row["now_ms"]


@pytest.mark.parametrize(("exchange", "row"), vectors("verify_bad"))
def test_what_is_not_proven_is_refused(exchange: Exchange, row: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as caught:
        claimed(exchange, row)
    assert caught.value.slug == row["slug"]


@pytest.mark.parametrize(("exchange", "row"), vectors("tag"))
def test_the_code_is_set_and_nothing_else(exchange: Exchange, row: dict[str, Any]) -> None:
    endpoint = endpoint_of(exchange, row)
    request = request_of(row, endpoint)
    if "slug" in row:
        with pytest.raises(Refusal) as caught:
            tag(exchange, endpoint, request, row)
        assert caught.value.slug == row["slug"]
        return
    tagged = tag(exchange, endpoint, request, row)
    assert tagged.body.decode() == row["want_body"]
    assert tagged.suffix.decode() == row["want_suffix"]
    assert (tagged.found, tagged.orders) == (row["found"], row["orders"])
    assert tagged.kept.decode() == row.get("kept", "")


@pytest.mark.parametrize(("exchange", "row"), vectors("classify"))
def test_answers_mean_what_the_exchange_says(exchange: Exchange, row: dict[str, Any]) -> None:
    headers = [
        (name.lower().encode(), value.encode()) for name, value in row.get("headers", {}).items()
    ]
    response = Response(row["status"], headers, row["body"].encode(), keep_alive=True)
    verdict = exchange.classify(endpoint_of(exchange, row), response)
    assert (verdict.outcome, verdict.code, verdict.order_ids) == (
        row["outcome"],
        row["code"],
        row["order_ids"],
    )
    assert (verdict.rate_refused, verdict.processed) == (row["rate_refused"], row["processed"])
    assert verdict.ban_ms == row.get("ban_ms", NO_BAN)
    assert verdict.retry_ms == row.get("retry_ms", 0)
    quota = verdict.quota
    told = None if quota is None else [quota.pool, quota.limit, quota.remaining, quota.reset_ms]
    assert told == row.get("quota")


@pytest.mark.parametrize(("exchange", "row"), vectors("limits"))
def test_requests_cost_what_the_exchange_counts(exchange: Exchange, row: dict[str, Any]) -> None:
    endpoint = endpoint_of(exchange, row)
    request = request_of(row, endpoint)
    if "slug" in row:
        with pytest.raises(Refusal) as caught:
            exchange.charges(endpoint, request, exchange.read(endpoint, request))
        assert caught.value.slug == row["slug"]
        return
    charged = exchange.charges(endpoint, request, exchange.read(endpoint, request))
    assert [[charge.pool.name, charge.value, charge.units] for charge in charged] == row["charges"]


@pytest.mark.parametrize("name", sorted(exchanges()))
def test_every_refusal_has_the_exchanges_shape(name: str) -> None:
    exchange = exchanges()[name]
    for slug in SLUGS:
        status, body = exchange.refusal(slug, b"/", f"[tagproxy {slug}: facts, req 1]")
        answer = json.loads(body)
        assert 200 <= status < 600
        assert answer["msg"].endswith(f" [tagproxy {slug}: facts, req 1]")


@pytest.mark.parametrize("name", sorted(exchanges()))
def test_every_row_says_where_it_is_from_and_when(name: str) -> None:
    for endpoint in exchanges()[name].endpoints:
        assert endpoint.source
        assert endpoint.checked
        assert endpoint.confidence
        assert endpoint.group


@pytest.mark.parametrize("name", sorted(exchanges()))
def test_issued_triples_have_the_exchanges_own_form(name: str) -> None:
    exchange = exchanges()[name]
    triple = exchange.issue(bytes(range(64)))
    assert exchange.triple_fault(triple) == ""
    assert exchange.issue(bytes(range(1, 65))).secret != triple.secret


@pytest.mark.parametrize("name", sorted(exchanges()))
def test_after_resolving_every_pool_can_be_counted(name: str) -> None:
    for endpoint in resolve(exchanges()[name].endpoints, {}, (10, 2_000_000_000)):
        for draw in (*endpoint.draws, *endpoint.single_item_draws):
            assert draw.pool.count > 0
            assert draw.pool.window_ns > 0
