"""What the simulated OKX says: answers in its envelope, and refusals as exceptions.

Gateway errors carry `msg` and `code` alone, business answers `data` too (seen on the live site).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, final

from proxy.sim import answers
from proxy.sim.answers import Answer, encoded

if TYPE_CHECKING:
    from collections.abc import Iterable

ACCEPTED: Final = "0"
ALL_FAILED: Final = "1"
PARTLY_FAILED: Final = "2"

_BATCH_WORDS: Final = {
    ACCEPTED: "",
    ALL_FAILED: "All operations failed",
    PARTLY_FAILED: "Bulk operation partially succeeded.",
}
_IDS: Final = ("ordId", "algoId", "tradeId", "rfqId")


@final
class Refused(answers.Refused):
    """The exchange says no."""

    def __init__(self, code: str, msg: str, status: int = 200) -> None:
        super().__init__(refusal(code, msg, status))
        self.code = code


def refusal(code: str, msg: str, status: int = 200) -> Answer:
    """Render a refusal."""
    content: dict[str, Any] = {"msg": msg, "code": code}
    if status == 200:
        content["data"] = []
    return Answer(status, code, encoded(content), code == ACCEPTED)


def accepted(data: list[Any]) -> Answer:
    """Render a plain success."""
    return _answer({"code": ACCEPTED, "data": data, "msg": ""})


def itemised(items: list[dict[str, Any]], now_us: int) -> Answer:
    """Render the outcome of order calls: code 0, 1 or 2 by what each item's sCode says."""
    failed = sum(item["sCode"] != "0" for item in items)
    code = ACCEPTED if not failed else ALL_FAILED if failed == len(items) else PARTLY_FAILED
    return _answer(
        {
            "code": code,
            "data": items,
            "inTime": str(now_us),
            "msg": _BATCH_WORDS[code],
            "outTime": str(now_us + 400),
        }
    )


def _answer(content: dict[str, Any]) -> Answer:
    code = content["code"]
    ids = tuple(_ids(content["data"]))
    return Answer(200, code, encoded(content), code == ACCEPTED, ids)


def _ids(data: list[Any]) -> Iterable[str]:
    for item in data:
        if isinstance(item, dict):
            found = (item[key] for key in _IDS if isinstance(item.get(key), str) and item[key])
            yield from next(((each,) for each in found), ())


def parameter_error(name: str) -> Refused:
    """Make the refusal of a parameter that makes no sense."""
    return Refused("51000", f"Parameter {name} error", 400)


def parameter_empty(name: str) -> Refused:
    """Make the refusal of a parameter that is not there."""
    return Refused("50014", f"Parameter {name} can not be empty.", 400)


def no_instrument() -> Refused:
    """Make the refusal of an instrument that is not listed."""
    return Refused("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")
