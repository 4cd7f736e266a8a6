"""What the simulated MEXC says: bare objects on spot, an envelope on futures, and refusals.

https://www.mexc.com/api-docs/spot-v3/general-info#error-codes
https://www.mexc.com/api-docs/futures/integration-guide#common-response-structure
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, final

from proxy.sim.answers import Answer, encoded, page

if TYPE_CHECKING:
    from collections.abc import Mapping

HTTP_FAULT: Final = -1  # the code of a refusal below the API: no JSON, an HTML page


@final
class Denied(Exception):
    """The exchange says no; `status` 0 is what the API in question has by itself."""

    def __init__(
        self, code: int, msg: str, status: int = 0, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(code, msg)
        self.code = code
        self.msg = msg
        self.status = status
        self.headers = headers or {}

    def answer(self, api: str) -> Answer:
        """Render the refusal as "spot" or "futures" has it."""
        if self.code == HTTP_FAULT:
            return page(self.status, f"<html><body>{self.status}: {self.msg}</body></html>")
        if api == "futures":
            content: Any = {"success": False, "code": self.code, "message": self.msg}
        else:
            content = {"code": self.code, "msg": self.msg}
        status = self.status or (200 if api == "futures" else 400)
        body = encoded(content)
        return Answer(status, str(self.code), body, accepted=False, headers=self.headers)


def plain(content: Any, order_ids: tuple[str, ...] = (), *, accepted: bool = True) -> Answer:
    """Render a success on spot: the object or array itself."""
    return Answer(200, "0", encoded(content), accepted, order_ids)


_NOTHING: Final = object()


def enveloped(
    data: Any = _NOTHING, order_ids: tuple[str, ...] = (), *, accepted: bool = True
) -> Answer:
    """Render a success on futures; without data where there is none to tell."""
    content: dict[str, Any] = {"success": True, "code": 0}
    if data is not _NOTHING:
        content["data"] = data
    return Answer(200, "0", encoded(content), accepted, order_ids)


def bad_signature() -> Denied:
    """Make spot's refusal of a wrong signature."""
    return Denied(700002, "Signature for this request is not valid.", 400)


def missing(name: str) -> Denied:
    """Make spot's refusal of a parameter that is not there."""
    words = "was not sent, was empty/null, or malformed."
    return Denied(700004, f"Mandatory parameter '{name}' {words}", 400)


def wrong(name: str) -> Denied:
    """Make futures' refusal of a parameter that makes no sense."""
    return Denied(600, f"Parameter error: {name}", 400)
