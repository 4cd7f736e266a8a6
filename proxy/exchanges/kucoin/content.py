"""What is read of a KuCoin request beside its head: next to nothing.

The code travels in headers and a request costs what its row says, so the body of a plain order
goes on unread; for the log line the bot's order id is looked up in it, not parsed. The lists of
batches are parsed to count the orders in them, and any order whose account may only close.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, final

import orjson

from proxy.errors import Refusal
from proxy.exchanges.kucoin.rows import FUTURES
from proxy.model import Action, Tag

if TYPE_CHECKING:
    from proxy.model import Endpoint, Request

Item = dict[str, Any]

_HEADERS: Final = Tag.HEADERS
_ORDERS_MAX: Final = 100  # KuCoin takes 5 or 20; what is refused for its length it refuses itself
_CLIENT_ID: Final = re.compile(rb'"clientOid"\s*:\s*"([\x20\x21\x23-\x5b\x5d-\x7e]{1,64})"')
_IDS_CHARACTERS_MAX: Final = 700
_REDUCING: Final = ("reduceOnly", "closeOrder")


@final
class Batch:
    """A parsed list of orders."""

    __slots__ = ("body", "items")

    def __init__(self, body: bytes, items: list[Item]) -> None:
        self.body = body
        self.items = items


def read(endpoint: Endpoint, request: Request) -> bytes | Batch:
    """Parse the body if it is a list of orders; else it is only handed on. Raises `Refusal`."""
    body = request.body
    if len(request.suffix) > 1 and endpoint.tag is _HEADERS and endpoint.venue == FUTURES:
        # which of the two would count nobody knows, and whether it only closes a position
        raise Refusal("bad_request", "a futures order is a JSON body, without a query")
    if endpoint.items_max == 1:
        if body and endpoint.method == "GET":
            raise Refusal("bad_request", "a GET has no body")
        return body
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal("bad_request", f"the body is not JSON: {error.msg[:100]}") from None
    items = parsed.get("orderList") if type(parsed) is dict else parsed
    if type(items) is not list or not all(type(item) is dict for item in items):
        raise Refusal("bad_request", "the body must hold a list of orders")
    if not 0 < len(items) <= _ORDERS_MAX:
        raise Refusal("bad_request", f"{len(items)} orders; from 1 to {_ORDERS_MAX} are taken")
    return Batch(body, items)


def client_order_ids(content: Any) -> str:
    """The bot's own order ids, comma-joined; what is no plain short text is left out."""
    body = content.body if type(content) is Batch else content
    if type(content) is not Batch:
        found = _CLIENT_ID.search(body)
        return str(found[1], "ascii") if found is not None else ""
    ids = [str(found, "ascii") for found in _CLIENT_ID.findall(body)]
    return ",".join(ids)[:_IDS_CHARACTERS_MAX]


def reduces(endpoint: Endpoint, content: Any) -> bool:
    """Whether everything ordered is reduce-only or closes a position; spot knows no such order."""
    if endpoint.venue != FUTURES or endpoint.action is not Action.PLACE:
        return False
    if type(content) is Batch:
        return _is_plain(content.body, content.items) and all(map(_reduces, content.items))
    try:
        item = orjson.loads(content)
    except orjson.JSONDecodeError:
        return False
    return type(item) is dict and _is_plain(content, [item]) and _reduces(item)


def _is_plain(body: bytes, items: list[Item]) -> bool:
    """Whether no order says two things: each deciding key is spelled plainly and stands there as
    often as the orders have it."""
    return body.find(b"\\") < 0 and all(
        body.count(b'"%b"' % key.encode()) == sum(key in item for item in items)
        for key in (*_REDUCING, "side", "positionSide")
    )


def _reduces(item: Item) -> bool:
    """Whether one order only closes. In hedge mode its side must also be the closing one: whether
    KuCoin heeds reduceOnly there is not documented."""
    if not any(item.get(key) is True for key in _REDUCING):
        return False
    position = item.get("positionSide") or "BOTH"
    if position == "BOTH":
        return True
    return (item.get("side"), position) in (("sell", "LONG"), ("buy", "SHORT"))
