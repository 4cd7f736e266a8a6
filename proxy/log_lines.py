"""One request as a line of the log: JSON written by pattern, which costs a third of a dictionary's.

Apart from `logs.py` so that it can be compiled: every request has a line.
"""

from __future__ import annotations

import time
from typing import Final, Protocol, TypeAlias, final

import orjson


class Named(Protocol):
    """What a line says of an account."""

    @property
    def user(self) -> str: ...

    @property
    def label(self) -> str: ...


# request_id, account, exchange, endpoint, outcome, client_order_id, order_id, exchange_code,
# egress; then nanoseconds in the proxy, waiting for limits, and at the exchange
Line: TypeAlias = tuple[bytes, Named | None, str, str, str, str, str, str, str, int, int, int]

TEXT_MAX: Final = 1_024
_TEXTS_MAX: Final = 20_000  # names whose JSON is remembered
_LINE: Final = (
    b'{"time":"%b","request_id":"%b","user":%b,"account":%b,"exchange":%b,"endpoint":%b,'
    b'"outcome":%b,"client_order_id":%b,"order_id":%b,"exchange_code":%b,"egress":%b,'
    b'"proxy_ms":%d.%03d,"limit_ms":%d.%03d,"exchange_ms":%d.%03d}\n'
)


@final
class Lines:
    """Renders lines; remembers names and the present second."""

    __slots__ = ("_second", "_second_text", "_texts")

    def __init__(self) -> None:
        self._second = -1
        self._second_text = b""
        self._texts: dict[str, bytes] = {}

    def render(self, wall_ms: int, line: Line) -> bytes:
        """Return the line of one request, which ended at `wall_ms` (Unix)."""
        request_id, account, exchange, endpoint, outcome, client_order_id = line[:6]
        order_id, code, egress, own_ns, limit_ns, exchange_ns = line[6:]
        known = self._known_text
        return _LINE % (
            self.time(wall_ms),
            request_id,
            known(account.user if account is not None else ""),
            known(account.label if account is not None else ""),
            known(exchange),
            known(endpoint),
            known(outcome),
            _json_text(client_order_id),
            _json_text(order_id),
            _json_text(code),
            known(egress),
            own_ns // 1_000_000,
            own_ns // 1_000 % 1_000,
            limit_ns // 1_000_000,
            limit_ns // 1_000 % 1_000,
            exchange_ns // 1_000_000,
            exchange_ns // 1_000 % 1_000,
        )

    def _known_text(self, text: str) -> bytes:
        """A name as JSON: there are few, and they come again."""
        found = self._texts.get(text)
        if found is None:
            if len(self._texts) >= _TEXTS_MAX:
                self._texts.clear()
            found = self._texts[text] = _json_text(text)
        return found

    def time(self, wall_ms: int) -> bytes:
        """RFC 3339, UTC."""
        second = wall_ms // 1000
        if second != self._second:
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second_text = text.encode()
            self._second = second
        return b"%b.%03dZ" % (self._second_text, wall_ms % 1000)


def _json_text(text: str) -> bytes:
    """A text as JSON, quotes and all."""
    if len(text) > TEXT_MAX:
        text = text[:TEXT_MAX]
    try:
        return orjson.dumps(text)
    except orjson.JSONEncodeError:  # a lone surrogate in what a bot sent
        return orjson.dumps(text.encode(errors="replace").decode())
