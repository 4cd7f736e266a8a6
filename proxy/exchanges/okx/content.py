"""What tagging and charging need of an OKX request, parsed once.

The body stays bytes; orjson only validates it and tells the values. `flat` means the quick ways
may be used: no key repeats and no object lies inside an order. Careful work is in `spans.py`.
"""

from __future__ import annotations

from typing import Any, Final, final
from urllib.parse import unquote_to_bytes

import orjson

from proxy.errors import Refusal
from proxy.exchanges.okx.spans import Order, orders
from proxy.model import Endpoint, Request, Tag

ITEMS_MAX_UNSTATED: Final = 100  # of an array where the docs give no length
_ID_KEYS: Final = ("clOrdId", "algoClOrdId", "clTReqId", "clRfqId", "clQuoteId", "clReqId")
_CLOSING_PATHS: Final = (
    "/api/v5/trade/close-position",
    "/api/v5/copytrading/close-subposition",
    "/api/v5/tradingBot/grid/close-position",
)
_REDUCIBLE_PATHS: Final = (
    "/api/v5/trade/order",
    "/api/v5/trade/batch-orders",
    "/api/v5/trade/order-algo",
)
_ID_CHARACTERS_MAX: Final = 64
_IDS_CHARACTERS_MAX: Final = 700
_NEEDS_BODY: Final = (Tag.BODY, Tag.EACH_ITEM, Tag.SCOPE)
# The keys that decide what an order is charged to: in one order none may say two things.
_CHARGED_KEYS: Final = (
    "instId",
    "instFamily",
    "uly",
    "instType",
    "ccy",
    "baseCcy",
    "quoteCcy",
    "fromCcy",
    "toCcy",
    "ordType",
    "isElpTakerAccess",
)
_WATCHED: Final = frozenset(key.encode() for key in _CHARGED_KEYS)


@final
class Content:
    """A parsed body: its objects, and what the quick ways must know."""

    __slots__ = ("_orders", "array", "flat", "items", "scope_tag")

    def __init__(self, items: list[Any], *, array: bool, flat: bool) -> None:
        self.items = items
        self.array = array
        self.flat = flat
        self.scope_tag: str | None = None  # what `tag` made of the tag that selects orders
        self._orders: list[Order] | None = None

    def orders(self, body: bytes) -> list[Order]:
        """The exact places in the body, found on first use."""
        if self._orders is None:
            self._orders = orders(body, _WATCHED, array=self.array)
        return self._orders

    def refuse_ambiguous(self, body: bytes) -> None:
        """Raise `Refusal` where an order says two things about what it is charged to."""
        if self._is_plain(body):
            return
        for order in self.orders(body):
            for key, spans in order.found.items():
                if len({body[start:end] for start, end in spans}) > 1 and key != b"tag":
                    raise Refusal("bad_request", f"{key.decode()} stands in one order twice")

    def _is_plain(self, body: bytes) -> bool:
        """Whether each charged key is spelled plainly and as often as the orders have it."""
        if body.find(b"\\") >= 0:
            return False
        return all(
            body.count(b'"%b"' % key.encode()) == sum([key in item for item in self.items])
            for key in _CHARGED_KEYS
        )


NOTHING: Final = Content([], array=False, flat=True)


def read(endpoint: Endpoint, request: Request) -> Content:
    """Parse a request's body. Raises `Refusal` (`bad_request`)."""
    body = request.body
    if not body:
        if endpoint.tag in _NEEDS_BODY or endpoint.items_max > 1:
            raise Refusal("bad_request", "the body is empty")
        return NOTHING
    if endpoint.method == "GET":
        raise Refusal("bad_request", "a GET has no body")
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal("bad_request", f"the body is not JSON: {error.msg[:100]}") from None
    if type(parsed) is dict:
        if endpoint.items_max > 1:
            raise Refusal("bad_request", "the body must be an array of orders")
        return Content([parsed], array=False, flat=body.count(b":") == len(parsed))
    if type(parsed) is list:
        return _array(endpoint, body, parsed)
    raise Refusal("bad_request", "the body must be a JSON object")


def _array(endpoint: Endpoint, body: bytes, parsed: list[Any]) -> Content:
    if endpoint.tag in (Tag.BODY, Tag.SCOPE):
        raise Refusal("bad_request", "the body must be one JSON object, not an array")
    items_max = endpoint.items_max
    if items_max > 1:
        if not 0 < len(parsed) <= items_max:
            raise Refusal("bad_request", f"{len(parsed)} orders; from 1 to {items_max} are taken")
    elif len(parsed) > ITEMS_MAX_UNSTATED:
        raise Refusal("bad_request", f"{len(parsed)} elements; at most {ITEMS_MAX_UNSTATED}")
    keys = 0
    for item in parsed:
        if type(item) is dict:
            keys += len(item)
        elif items_max > 1:
            raise Refusal("bad_request", "an element of the array is not a JSON object")
        else:
            keys = -len(body)  # never flat
    # Every key, also a repeated or nested one, costs a colon: equal counts prove there is none.
    return Content(parsed, array=True, flat=body.count(b":") == keys)


def query_values(suffix: bytes, names: frozenset[str]) -> dict[str, str]:
    """The decoded values of some query parameters. Raises `Refusal` when one is ambiguous."""
    found: dict[str, str] = {}
    for part in suffix[1:].split(b"&"):
        raw_name, _, raw_value = part.partition(b"=")
        name = query_text(raw_name)
        if name in names:
            value = query_text(raw_value)
            if found.setdefault(name, value) != value:
                raise Refusal("bad_request", f"{name} stands in the query twice")
    return found


def query_text(raw: bytes) -> str:
    """A query's name or value, decoded."""
    if raw.find(b"%") >= 0 or raw.find(b"+") >= 0:
        raw = unquote_to_bytes(raw.replace(b"+", b" "))
    return raw.decode("utf-8", "replace")


def client_order_ids(content: Any) -> str:
    """The bot's own order ids, comma-joined; what is no plain short text is left out."""
    items = content.items
    if len(items) == 1:
        return _id_of(items[0])
    ids = [found for item in items if (found := _id_of(item))]
    return ",".join(ids)[:_IDS_CHARACTERS_MAX]


def reduces(endpoint: Endpoint, content: Any) -> bool:
    """Whether everything ordered is reduce-only, or closes a position by what it is."""
    if endpoint.path in _CLOSING_PATHS:
        return True
    items = content.items
    return (
        endpoint.path in _REDUCIBLE_PATHS
        and bool(items)
        and content.flat
        and all(_reduces(item) for item in items)
    )


def _reduces(item: dict[str, Any]) -> bool:
    """Whether one derivatives order only closes. In long/short mode OKX goes by side and posSide
    and ignores reduceOnly; options and spot know no such order."""
    instrument = item.get("instId")
    if type(instrument) is not str or instrument.count("-") != 2:
        return False
    position = item.get("posSide") or "net"
    if position == "net":
        return str(item.get("reduceOnly")).lower() == "true"
    return (item.get("side"), position) in (("sell", "long"), ("buy", "short"))


def _id_of(item: object) -> str:
    """The bot's own id of one order; an order has one kind only."""
    if type(item) is not dict:
        return ""
    for key in _ID_KEYS:
        value = item.get(key)
        if value and type(value) is str and _is_plain(value):
            return value
    return ""


def _is_plain(value: str) -> bool:
    return len(value) <= _ID_CHARACTERS_MAX and value.isascii() and value.isprintable()
