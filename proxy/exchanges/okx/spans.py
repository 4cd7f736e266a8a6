"""Where things stand in a JSON text: exact byte spans of the keys that matter in each order.

Only for text that orjson has accepted, so the scan need not be strict; it never decodes what it
does not need and is not recursive. Keys are compared decoded (`"\\u0074ag"` is `tag`).
"""

from __future__ import annotations

import re
from typing import Final, final

import orjson

_TOKEN: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)

Span = tuple[int, int]


@final
class Order:
    """One order: where its object opens, and the values of its own watched keys, in order.

    `nested` holds the spans of values under `tag` keys deeper inside it.
    """

    __slots__ = ("empty", "found", "nested", "open")

    def __init__(self, opening: int) -> None:
        self.open = opening  # offset after "{"
        self.empty = True
        self.found: dict[bytes, list[Span]] = {}
        self.nested: list[Span] = []


@final
class _Level:
    """One open object or array of the scan."""

    __slots__ = ("is_object", "key", "key_next", "order", "start")

    def __init__(self, start: int, order: Order | None, *, is_object: bool) -> None:
        self.is_object = is_object
        self.order = order  # the order that this very object is
        self.start = start
        self.key = b""  # of the value that comes next or is open; b"" when it does not matter
        self.key_next = is_object


def orders(body: bytes, watched: frozenset[bytes], *, array: bool) -> list[Order]:
    """Find the orders of a valid JSON text: its root object, or each element of its root array.

    Whoever calls has seen that the root is that, and that the elements are objects.

    `watched` are the key names to note in an order; `tag` is noted at every depth. `b""` keys
    are never watched.
    """
    found: list[Order] = []
    levels: list[_Level] = []
    depth = 2 if array else 1
    for match in _TOKEN.finditer(body):
        start, end = match.span()
        token = body[start]
        if token in b"{[":
            order = None
            if token == 0x7B and len(levels) == depth - 1:
                order = Order(end)
                found.append(order)
            levels.append(_Level(start, order, is_object=token == 0x7B))
        elif token in b"}]":
            start = levels.pop().start
            _note(levels, found, start, end)
        elif token == 0x2C:
            levels[-1].key_next = levels[-1].is_object
        elif token != 0x3A:
            _scalar(levels, found, watched, body[start:end], (start, end))
    return found


def _scalar(
    levels: list[_Level],
    found: list[Order],
    watched: frozenset[bytes],
    text: bytes,
    span: Span,
) -> None:
    """A key or a value that is no container."""
    level = levels[-1]
    if not level.key_next:
        _note(levels, found, *span)
        return
    level.key_next = False
    if level.order is not None:
        level.order.empty = False
    name = orjson.loads(text).encode() if text.find(b"\\") >= 0 else text[1:-1]
    level.key = name if name == b"tag" or (level.order is not None and name in watched) else b""


def _note(levels: list[_Level], found: list[Order], start: int, end: int) -> None:
    """A value has ended: keep its span if its key matters."""
    if not levels or not levels[-1].key:
        return
    level = levels[-1]
    if level.order is not None:
        level.order.found.setdefault(level.key, []).append((start, end))
    else:
        found[-1].nested.append((start, end))
    level.key = b""
