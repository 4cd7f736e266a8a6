"""What KuCoin tells of its budgets: three headers of every answer.
https://www.kucoin.com/docs-new/rate-limit

    gw-ratelimit-limit      what the pool holds in a window: the account's VIP level shows here
    gw-ratelimit-remaining  what is left of it
    gw-ratelimit-reset      ms until the window ends

They are read for every answer, so where they stood in the last one is looked at first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.model import Quota

if TYPE_CHECKING:
    from proxy.model import Endpoint, Response

_RESET_MS_MAX: Final = 60_000
# The pools that the headers speak of, each by the calls that draw on it.
POOLS: Final = frozenset(("spot", "futures", "management", "earn", "copytrading", "public"))

_LIMIT: Final = b"gw-ratelimit-limit"
_REMAINING: Final = b"gw-ratelimit-remaining"
_RESET: Final = b"gw-ratelimit-reset"
_LIMIT_MAX: Final = 1_000_000
_DIGITS_MAX: Final = 9
_places: Final = [0, 0, 0]  # of the three in an answer's headers, as last seen


def quota_of(endpoint: Endpoint, response: Response) -> Quota | None:
    """Read what an answer tells of the pool that its call was charged to.

    None where it tells nothing that is certain, or where KuCoin does not document which pool that
    is: the limit of one must not be taken for another's.
    """
    headers = response.headers
    limit, remaining, reset = _places
    try:
        as_last = (
            headers[limit][0] == _LIMIT
            and headers[remaining][0] == _REMAINING
            and headers[reset][0] == _RESET
        )
    except IndexError:
        as_last = False
    if not as_last:
        if not _find(headers):
            return None
        limit, remaining, reset = _places
    pool = pool_of(endpoint)
    if pool not in POOLS or endpoint.confidence != "docs":
        return None
    return _read(pool, headers[limit][1], headers[remaining][1], headers[reset][1])


def _find(headers: list[tuple[bytes, bytes]]) -> bool:
    """Look for the three and keep their places; False where one is missing."""
    names = [name for name, _ in headers]
    try:
        _places[:] = names.index(_LIMIT), names.index(_REMAINING), names.index(_RESET)
    except ValueError:
        return False
    return True


def _read(pool: str, limit: bytes, remaining: bytes, reset: bytes) -> Quota | None:
    if not (limit.isdigit() and remaining.isdigit() and reset.isdigit()):
        return None
    if len(limit) > _DIGITS_MAX or len(remaining) > _DIGITS_MAX or len(reset) > _DIGITS_MAX:
        return None
    count, left, until_ms = int(limit), int(remaining), int(reset)
    if not 0 < count <= _LIMIT_MAX or left > count:
        return None
    return Quota(pool, count, left, min(until_ms, _RESET_MS_MAX))


def pool_of(endpoint: Endpoint) -> str:
    """The pool of KuCoin's that a row draws on; where it is not known, the row's own limit."""
    draws = endpoint.draws
    for draw in draws:
        name = draw.pool.name
        if name in POOLS:
            return name
    return draws[0].pool.name if draws else "*"


def reset_ms(response: Response) -> int:
    """For how long a refusal says that the budget is shut; -1 where it names no budget, which is
    to say that KuCoin is overloaded and none is used up."""
    headers = dict(response.headers)
    if _LIMIT not in headers and _RESET not in headers:
        return -1
    reset = headers.get(_RESET, b"")
    return min(int(reset[:_DIGITS_MAX]), _RESET_MS_MAX) if reset.isdigit() else 0
