"""What the simulated exchange says: answers in OKX's envelope, and refusals as exceptions.

Gateway errors carry `msg` and `code` alone, business answers `data` too (seen on the live site).
"""

from __future__ import annotations

import json
from typing import Any, final

ACCEPTED = "0"
ALL_FAILED = "1"
PARTLY_FAILED = "2"

_BATCH_WORDS = {
    ACCEPTED: "",
    ALL_FAILED: "All operations failed",
    PARTLY_FAILED: "Bulk operation partially succeeded.",
}


@final
class Answer:
    """One HTTP answer, whole: the status, the JSON bytes and the code inside them."""

    __slots__ = ("body", "code", "content_type", "data", "status")

    def __init__(
        self, status: int, code: str, content: dict[str, Any] | str, data: list[Any]
    ) -> None:
        self.status = status
        self.code = code
        self.data = data
        if isinstance(content, str):
            self.body = content.encode()
            self.content_type = "text/html"
        else:
            self.body = json.dumps(content, separators=(",", ":")).encode()
            self.content_type = "application/json"


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
