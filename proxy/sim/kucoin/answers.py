"""What the simulated KuCoin says: its envelope, pages of rows, and refusals as exceptions.

https://www.kucoin.com/docs-new/introduction#rest-api
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, final

from proxy.sim import answers
from proxy.sim.answers import Answer, encoded

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

ACCEPTED: Final = "200000"
TOO_MANY: Final = "429000"
PAGE_DEFAULT: Final = 50
PAGE_MAX: Final = 500

# What codes come with by themselves; business errors come with status 200.
_STATUSES: Final = {
    "400001": 400,
    "400002": 400,
    "400003": 401,
    "400004": 401,
    "400005": 401,
    "400006": 403,
    "400007": 403,
    "400100": 400,
    "400200": 400,
    "400201": 400,
    "400202": 400,
    "404000": 404,
    "415000": 415,
    TOO_MANY: 429,
    "500000": 500,
    "503000": 503,
    "504000": 504,
}
_WORDS: Final = {
    "400002": "Invalid KC-API-TIMESTAMP",
    "400003": "KC-API-KEY not exists",
    "400004": "Invalid KC-API-PASSPHRASE",
    "400005": "Invalid KC-API-SIGN",
    "400006": "Invalid request ip",
    "400007": "Access denied, require more permission",
    "400200": "Unknown partner",
    "400201": "Invalid KC-API-PARTNER-SIGN",
    TOO_MANY: "Too Many Requests",
    "500000": "Internal Server Error",
    "503000": "Service busy",
}


@final
class Refused(answers.Refused):
    """The exchange says no."""

    def __init__(self, code: str, msg: str = "", status: int = 0) -> None:
        super().__init__(refusal(code, msg, status))
        self.code = code
        self.msg = msg


def refusal(code: str, msg: str = "", status: int = 0) -> Answer:
    """Render an error; status 0 is what the code has by itself."""
    content = {"code": code, "msg": msg or _WORDS.get(code, "simulated")}
    return Answer(status or _STATUSES.get(code, 200), code, encoded(content), accepted=False)


def accepted(data: Any, order_ids: Iterable[str] = (), *, whole: bool = True) -> Answer:
    """Render a success; `order_ids` are what was created or touched, in order; not `whole` is a
    batch of which something failed."""
    body = encoded({"code": ACCEPTED, "data": data})
    return Answer(200, ACCEPTED, body, accepted=whole, order_ids=tuple(order_ids))


def bad_parameter(msg: str) -> Refused:
    """Make the refusal of a parameter that makes no sense."""
    return Refused("400100", msg)


def paged(query: Mapping[str, str], rows: Sequence[Any]) -> dict[str, Any]:
    """Return the page of rows that `currentPage` (or `page`, `pageNum`) and `pageSize` ask for;
    raises Refused."""
    number = _whole(query, "currentPage", _whole(query, "page", _whole(query, "pageNum", 1)))
    size = _whole(query, "pageSize", PAGE_DEFAULT)
    if size > PAGE_MAX:
        raise bad_parameter(f"pageSize should not greater than {PAGE_MAX}")
    return {
        "currentPage": number,
        "pageSize": size,
        "totalNum": len(rows),
        "totalPage": -(-len(rows) // size),
        "items": list(rows[(number - 1) * size : number * size]),
    }


def _whole(query: Mapping[str, str], key: str, default: int) -> int:
    text = query.get(key, "")
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 1_000_000):
        raise bad_parameter(f"{key} is invalid")
    return int(text)
