"""What KuCoin tells of an account when it is asked: who it is, what its key may do, its VIP level.
https://www.kucoin.com/docs-new/rest/account-info/account-funding/get-apikey-info
https://www.kucoin.com/docs-new/rate-limit

The level decides what the pools hold; a sub-account has the quotas of its own level.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

import orjson

from proxy.exchanges.spec import Lesson
from proxy.model import Learned, LearnedLimit

if TYPE_CHECKING:
    from proxy.model import Response

_HOUR_NS: Final = 3_600_000_000_000
_WINDOW_NS: Final = 30_000_000_000
_THOUSANDS: Final = (2, 2, 4, 5, 6, 7, 8, 10, 12, 14, 16, 18, 20)
# By VIP level, 0 to 12; the other pools hold the same at every level.
QUOTAS: Final[dict[str, tuple[int, ...]]] = {
    "spot": tuple(
        1000 * thousands for thousands in (4, 6, 8, 10, 13, 16, 20, 23, 26, 30, 33, 36, 40)
    ),
    "futures": tuple(1000 * thousands for thousands in _THOUSANDS),
    "management": tuple(1000 * thousands for thousands in _THOUSANDS),
}
_LEVEL_MAX: Final = 12
_WORDS_MAX: Final = 100
_WORD: Final = re.compile(r"[\x21-\x2b\x2d-\x7e]{1,64}")  # no comma: it parts words
_UID: Final = re.compile(r"[0-9A-Za-z]{1,64}")


def read_key(response: Response) -> Learned | None:
    """Read the answer of user/api-key."""
    data = _data(response)
    uid = _uid(data.get("uid")) if data is not None else ""
    if data is None or not uid:
        return None
    return Learned(
        uid,
        uid if data.get("isMaster") is True else "",
        _words(data.get("permission")),
        tuple(_address(word) for word in _words(data.get("ipWhitelist"))),
    )


def read_level(response: Response) -> Learned | None:
    """Read the answer of user-info: the limits of the account's VIP level."""
    data = _data(response)
    level = data.get("level") if data is not None else None
    if type(level) is not int or level < 0:
        return None
    level = min(level, _LEVEL_MAX)
    return Learned(
        limits=tuple(
            LearnedLimit(pool, "", quotas[level], _WINDOW_NS) for pool, quotas in QUOTAS.items()
        )
    )


def _data(response: Response) -> dict[str, Any] | None:
    """The object of an answer that says all is well; None for any other answer."""
    if response.status != 200:
        return None
    try:
        answer = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return None
    if type(answer) is not dict or answer.get("code") != "200000":
        return None
    data = answer.get("data")
    return data if type(data) is dict else None


def _uid(value: Any) -> str:
    """KuCoin's uid is a number; as text it would do."""
    text = str(value) if type(value) is int else value
    return text if type(text) is str and _UID.fullmatch(text) else ""


def _words(value: Any) -> tuple[str, ...]:
    """What stands between commas."""
    if type(value) is not str:
        return ()
    words = [word.strip() for word in value.split(",")]
    return tuple(word for word in words[:_WORDS_MAX] if _WORD.fullmatch(word))


def _address(word: str) -> str:
    """An IP address as everybody else writes it; whatever else stands there as it stands."""
    try:
        return str(ip_address(word))
    except ValueError:
        return word


LESSONS: Final = (
    Lesson(b"GET", b"/api/v1/user/api-key", b"", read_key, _HOUR_NS, lambda learned: True),
    Lesson(b"GET", b"/api/v2/user-info", b"", read_level, _HOUR_NS, lambda learned: True),
)
