"""What a simulated exchange says, whatever its envelope: answers, and refusals as exceptions."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_JSON: Final = json.JSONEncoder(separators=(",", ":"))
_PREPARED_MAX: Final = 4096


@final
@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, whole, and what stands in it as the exchange means it.

    It may be handed out more than once; nobody changes it.
    """

    status: int
    code: str  # of the exchange; "" for a page that is none of its JSON
    body: bytes
    accepted: bool = True  # False: the exchange said no, or failed some of what it was asked
    order_ids: tuple[str, ...] = ()  # what was created or touched, in the answer's order
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


class Refused(Exception):
    """The exchange says no; exchanges derive from it to word it in their envelope."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.code, answer.status)
        self.answer = answer


def encoded(content: Any) -> bytes:
    """Render JSON as the exchanges do, without spaces."""
    return _JSON.encode(content).encode()


def page(status: int, html: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Render what answers below the API: HTML."""
    return Answer(
        status,
        code="",
        body=html.encode(),
        accepted=False,
        headers=headers or {},
        content_type="text/html",
    )


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
