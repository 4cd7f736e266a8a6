"""What the simulated exchange says: answers in OKX's envelope, and refusals as exceptions.

Gateway errors carry `msg` and `code` alone, business answers `data` too (seen on the live site).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ACCEPTED = "0"
ALL_FAILED = "1"
PARTLY_FAILED = "2"

_BATCH_WORDS = {
    ACCEPTED: "",
    ALL_FAILED: "All operations failed",
    PARTLY_FAILED: "Bulk operation partially succeeded.",
}
_JSON: Final = json.JSONEncoder(separators=(",", ":"))
_PREPARED_MAX: Final = 4096


@final
class Answer:
    """One HTTP answer, whole: the status, the JSON bytes and the code inside them."""

    __slots__ = ("body", "code", "content_type", "data", "headers", "status")

    def __init__(
        self,
        status: int,
        code: str,
        content: dict[str, Any] | str,
        data: list[Any],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.code = code
        self.data = data
        self.headers = headers or {}
        if isinstance(content, str):
            self.body = content.encode()
            self.content_type = "text/html"
        else:
            self.body = _JSON.encode(content).encode()
            self.content_type = "application/json"


@final
class Prepared:
    """Answers that everybody gets alike, made once for as long as they hold."""

    def __init__(self) -> None:
        self._kept: dict[object, tuple[int, Answer]] = {}

    def get(self, key: object, moment: int, make: Callable[[], Answer]) -> Answer:
        """Return the answer of this moment; `make` may raise, and then nothing is kept."""
        kept = self._kept.get(key)
        if kept is not None and kept[0] == moment:
            return kept[1]
        answer = make()
        if len(self._kept) >= _PREPARED_MAX:
            self._kept.clear()
        self._kept[key] = (moment, answer)
        return answer


@final
class Refused(Exception):
    """The exchange says no."""

    def __init__(self, code: str, msg: str, status: int = 200) -> None:
        super().__init__(code, msg)
        self.code = code
        self.msg = msg
        self.status = status

    def answer(self) -> Answer:
        """Render the refusal."""
        content: dict[str, Any] = {"msg": self.msg, "code": self.code}
        if self.status == 200:
            content["data"] = []
        return Answer(self.status, self.code, content, [])


def accepted(data: list[Any]) -> Answer:
    """Render a plain success."""
    return Answer(200, ACCEPTED, {"code": ACCEPTED, "data": data, "msg": ""}, data)


def itemised(items: list[dict[str, Any]], now_us: int) -> Answer:
    """Render the outcome of order calls: code 0, 1 or 2 by what each item's sCode says."""
    failed = sum(item["sCode"] != "0" for item in items)
    code = ACCEPTED if not failed else ALL_FAILED if failed == len(items) else PARTLY_FAILED
    content = {
        "code": code,
        "data": items,
        "inTime": str(now_us),
        "msg": _BATCH_WORDS[code],
        "outTime": str(now_us + 400),
    }
    return Answer(200, code, content, items)


def parameter_error(name: str) -> Refused:
    """Make the refusal of a parameter that makes no sense."""
    return Refused("51000", f"Parameter {name} error", 400)


def parameter_empty(name: str) -> Refused:
    """Make the refusal of a parameter that is not there."""
    return Refused("50014", f"Parameter {name} can not be empty.", 400)


def no_instrument() -> Refused:
    """Make the refusal of an instrument that is not listed."""
    return Refused("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")
