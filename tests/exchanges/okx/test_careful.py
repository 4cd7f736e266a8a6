"""Where a quick way once decided what only the careful one can."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from proxy.errors import Refusal
from proxy.exchanges.okx import EXCHANGE
from proxy.model import Charge, Request, Response

ROWS = {row.label: row for row in EXCHANGE.endpoints}
ORDER = ROWS["POST trade/order"]
BATCH = ROWS["POST trade/batch-orders"]


def _charges(access: bytes) -> set[str]:
    request = Request(b"POST", b"/api/v5/trade/order", {}, IPv4Address("127.0.0.1"), 0)
    request.body = b'{"instId":"XYZ-USDT-SWAP","ordType":"ioc","isElpTakerAccess":%b}' % access
    charged = EXCHANGE.charges(ORDER, request, EXCHANGE.read(ORDER, request))
    assert all(isinstance(charge, Charge) for charge in charged)
    return {charge.pool.name for charge in charged}


def test_a_number_that_equals_true_is_not_remembered_as_true() -> None:
    """In Python 1 == True, and both are one key of a dict."""
    assert "elp-taker-access" not in _charges(b"1")
    assert "elp-taker-access" in _charges(b"true")
    assert "elp-taker-access" not in _charges(b"1")
    assert "elp-taker-access" not in _charges(b"1.0")
    assert "elp-taker-access" in _charges(b'"true"')


@pytest.mark.parametrize("when", [b"1969-12-31T23:59:59.000Z", b"0001-01-01T00:00:00.000Z"])
def test_a_time_before_1970_is_no_time(when: bytes) -> None:
    headers = {
        b"ok-access-key": b"k",
        b"ok-access-sign": b"s",
        b"ok-access-timestamp": when,
        b"ok-access-passphrase": b"p",
    }
    with pytest.raises(Refusal) as refused:
        EXCHANGE.identify(Request(b"GET", b"/", headers, IPv4Address("127.0.0.1"), 0))
    assert refused.value.slug == "stale_timestamp"


@pytest.mark.parametrize(
    ("status", "body", "processed"),
    [
        (429, b'{"code":"50011","msg":"Too Many Requests"}', False),
        (200, b'{"code":"50011","msg":"","data":[{"sCode":"50011"},{"sCode":"50011"}]}', False),
        (200, b'{"code":"50011","data":[{"sCode":"0","ordId":"1"},{"sCode":"50011"}]}', True),
        (503, b'{"code":"50011","msg":"Too Many Requests"}', True),
        (200, b'{"code":"1","data":[{"sCode":"50011"},"torn"]}', True),
        (200, b'{"code":"1","data":[{"sCode":"50011"},{"sCode":"50061"}]}', False),
    ],
)
def test_only_what_was_refused_whole_may_be_asked_again(
    status: int, body: bytes, processed: bool
) -> None:
    verdict = EXCHANGE.classify(BATCH, Response(status, [], body, keep_alive=True))
    assert verdict.rate_refused
    assert verdict.processed is processed
