"""What MEXC tells of an account when it is asked: who it is.
https://www.mexc.com/api-docs/spot-v3/spot-account-trade#query-uid
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import orjson

from proxy.exchanges.spec import Lesson
from proxy.model import Learned

if TYPE_CHECKING:
    from proxy.model import Response

_HOUR_NS: Final = 3_600_000_000_000
_UID: Final = re.compile(r"[0-9A-Za-z]{1,64}")


def read_uid(response: Response) -> Learned | None:
    """Read `{"uid":"209302839"}`."""
    if response.status != 200:
        return None
    try:
        answer = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return None
    uid = answer.get("uid") if type(answer) is dict else None
    if type(uid) is int:
        uid = str(uid)
    if type(uid) is not str or _UID.fullmatch(uid) is None:
        return None
    return Learned(uid)


LESSONS: Final = (Lesson(b"GET", b"/api/v3/uid", b"", read_uid, _HOUR_NS, lambda learned: True),)
