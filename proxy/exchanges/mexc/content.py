"""What tagging and charging need of a MEXC request, and how it leaves.
https://www.mexc.com/api-docs/spot-v3/spot-account-trade, .../futures/account-and-trading

A spot request leaves with every parameter in its query and none of the bot's signature; a futures
body leaves as it came and is not parsed, as the code is not in it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, final

import orjson

from proxy.errors import Refusal
from proxy.exchanges.mexc.futures import PREFIX
from proxy.exchanges.mexc.parameters import (
    Pairs,
    check_json,
    encoded,
    is_json,
    of_request,
    plain_pairs,
)
from proxy.model import Tag

if TYPE_CHECKING:
    from proxy.model import Endpoint, Request

_BROKER: Final = b"/api/v3/broker/"
_BATCH: Final = b"batchOrders"
_SIGNED: Final = (b"signature", b"timestamp")
_UNSIGNED: Final = (*_SIGNED, b"recvWindow")
_CUT: Final = tuple(b"&" + name + b"=" for name in _SIGNED)
_CUT_PUBLIC: Final = tuple(b"&" + name + b"=" for name in _UNSIGNED)
_ID_NAMES: Final = (b"newClientOrderId", b"origClientOrderId")
_ID: Final = re.compile(rb"[\x21-\x2b\x2d-\x7e]{1,64}")
_EXTERNAL_ID: Final = re.compile(
    rb'"externalOid"\s*:\s*"([\x21\x23-\x2b\x2d-\x5b\x5d-\x7e]{1,64})"'
)
_QUERY_BYTES_MAX: Final = 16_384  # of what leaves: edges take no longer request line
_ID_BYTES_MAX: Final = 64
_IDS_CHARACTERS_MAX: Final = 700
_HEADERS: Final = Tag.HEADERS
_REDUCIBLE_PATHS: Final = (
    "/api/v1/private/order/create",
    "/api/v1/private/order/submit",
    "/api/v1/private/order/submit_batch",
    "/api/v1/private/planorder/place",
    "/api/v1/private/planorder/place/v2",
    "/api/v1/private/trackorder/place",
)
# Nothing is ordered there: a position is closed, or a bot listens to what becomes of its orders.
_CLOSING_PATHS: Final = ("/api/v1/private/position/close_all", "/api/v3/userDataStream")
_CLOSING_SIDES: Final = (2, 4)  # close short, close long
_HEDGE: Final = 1  # positionMode in which side alone decides


@final
class Content:
    """A request as it will leave, less its signature."""

    __slots__ = ("body", "ids", "orders", "suffix")

    def __init__(self, suffix: bytes, body: bytes, orders: int, ids: str) -> None:
        self.suffix = suffix
        self.body = body
        self.orders = orders  # that the request creates
        self.ids = ids  # the bot's own of them, comma-joined


def read(endpoint: Endpoint, request: Request) -> Content:
    """Bring a request into the form in which it leaves. Raises `Refusal` (`bad_request`)."""
    if request.body and request.method == b"GET":
        raise Refusal("bad_request", "a GET has no body")
    if request.path.startswith(PREFIX):
        return _read_futures(endpoint, request)
    if not request.body:
        suffix = request.suffix
        pairs = plain_pairs(suffix)
        if pairs is not None and endpoint.items_max == 1:
            return _read_plain(endpoint, suffix, pairs)
    return _read_carefully(endpoint, request)


def _read_plain(endpoint: Endpoint, suffix: bytes, pairs: dict[bytes, bytes]) -> Content:
    """Nothing need be decoded or encoded: the bot's own parameters stay as they were sent."""
    left = b"&" + suffix[1:]
    for part in _CUT_PUBLIC if endpoint.permission == "public" else _CUT:
        at = left.find(part)
        if at >= 0:
            end = left.find(b"&", at + 1)
            left = left[:at] + left[end:] if end >= 0 else left[:at]
    sent = pairs.get(b"newClientOrderId") or pairs.get(b"origClientOrderId")
    ids = str(sent, "ascii") if sent and len(sent) <= _ID_BYTES_MAX else ""
    orders = 1 if endpoint.tag is _HEADERS else 0
    return Content(b"?" + left[1:] if left else b"", b"", orders, ids)


def _read_carefully(endpoint: Endpoint, request: Request) -> Content:
    dropped = _UNSIGNED if endpoint.permission == "public" else _SIGNED
    query, body = request.suffix[1:], request.body
    if request.path.startswith(_BROKER) and is_json(body):
        check_json(body)  # may hold lists, and stays a body
        pairs = of_request(query, b"")
    else:
        pairs, body = of_request(query, body), b""
    values = dict(pairs)
    if endpoint.items_max > 1:
        items = _items(values.get(_BATCH, b""), "batchOrders")
        orders, ids = _count(endpoint, items), _batch_ids(items)
    else:
        orders = 1 if endpoint.tag is _HEADERS else 0
        ids = next((found for name in _ID_NAMES if (found := _id(values.get(name, b"")))), "")
    kept: Pairs = [(name, value) for name, value in pairs if name not in dropped]
    suffix = b"?" + encoded(kept) if kept else b""
    if len(suffix) > _QUERY_BYTES_MAX:
        raise Refusal("bad_request", "too many or too long parameters")
    return Content(suffix, body, orders, ids)


def _count(endpoint: Endpoint, items: list[Any]) -> int:
    if not 0 < len(items) <= endpoint.items_max:
        raise Refusal(
            "bad_request", f"{len(items)} orders; from 1 to {endpoint.items_max} are taken"
        )
    return len(items)


def _items(text: bytes, what: str) -> list[Any]:
    try:
        items = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Refusal("bad_request", f"{what} is not JSON: {error.msg[:100]}") from None
    if type(items) is not list or any(type(item) is not dict for item in items):
        raise Refusal("bad_request", f"{what} must be a JSON array of orders")
    return items


def _read_futures(endpoint: Endpoint, request: Request) -> Content:
    body = request.body
    if request.method == b"POST" and len(request.suffix) > 1:
        raise Refusal("bad_request", "a futures POST takes its parameters as a JSON body")
    orders = 0
    if endpoint.tag is _HEADERS:
        orders = 1
        if endpoint.items_max > 1:
            orders = _count(endpoint, _items(body, "the body"))
    ids = ""
    if body.find(b'"externalOid"') >= 0:
        if orders == 1:
            match = _EXTERNAL_ID.search(body)
            ids = str(match[1], "ascii") if match is not None else ""
        else:
            ids = ",".join([str(found, "ascii") for found in _EXTERNAL_ID.findall(body)])
    return Content(request.suffix, body, orders, ids[:_IDS_CHARACTERS_MAX])


def _batch_ids(items: list[Any]) -> str:
    ids = [
        found
        for item in items
        if type(sent := item.get("newClientOrderId")) is str
        and (found := _id(sent.encode("utf-8", "replace")))
    ]
    return ",".join(ids)[:_IDS_CHARACTERS_MAX]


def _id(value: bytes) -> str:
    return str(value, "ascii") if _ID.fullmatch(value) is not None else ""


def client_order_ids(content: Any) -> str:
    """The bot's own order ids, comma-joined; what is no plain short text is left out."""
    ids: str = content.ids
    return ids


def reduces(endpoint: Endpoint, content: Any) -> bool:
    """Whether everything ordered only closes: by what it is, by its side, or reduce-only."""
    if endpoint.path in _CLOSING_PATHS:
        return True
    if endpoint.path not in _REDUCIBLE_PATHS:
        return False
    body: bytes = content.body
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    items = parsed if type(parsed) is list else [parsed]
    if not items or any(type(item) is not dict for item in items):
        return False
    # a repeated or nested key costs a colon more: which one counts nobody knows
    flat = body.count(b":") == sum([len(item) for item in items])
    return flat and all(_closes(item) for item in items)


def _closes(item: dict[str, Any]) -> bool:
    """Whether one order only closes. With positions of both directions its side decides, and
    reduceOnly is not asked."""
    if item.get("side") in _CLOSING_SIDES and item.get("positionMode", _HEDGE) == _HEDGE:
        return True
    return item.get("reduceOnly") is True and item.get("positionMode") != _HEDGE
