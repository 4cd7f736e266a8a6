"""The only place where MEXC's broker code is judged: the header `source` of orders.
https://www.mexc.com/api-docs/broker (the header); `auth.py` writes it on every signed call.

No signature covers it and nothing in a query or body marks the broker, so nothing is parsed here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from proxy.errors import Refusal
from proxy.model import Tag, Tagged

if TYPE_CHECKING:
    from proxy.model import Endpoint, Found, OnConflict, Request

_HEADERS: Final = Tag.HEADERS
_CODE: Final = re.compile(r"[\x21-\x2b\x2d-\x7e]{1,64}")  # no comma: it parts repeated headers


def code_fault(code: str) -> str:
    """What is wrong with a broker code, "" if nothing. MEXC does not publish their form."""
    if _CODE.fullmatch(code) is None:
        return "a MEXC broker code is 1 to 64 printable ASCII characters without space and comma"
    return ""


def tag(
    endpoint: Endpoint, request: Request, content: Any, code: bytes, on_conflict: OnConflict
) -> Tagged:
    """Say whose code the bot sent and what of the request leaves. Raises `Refusal`.

    Only on calls that create orders the bot's own code can stay or be refused; any other signed
    call carries ours.
    """
    if endpoint.tag is not _HEADERS:
        return Tagged(content.body, content.suffix, "", 0)
    sent = request.headers.get(b"source")
    if not sent:
        return Tagged(content.body, content.suffix, "none", content.orders)
    if on_conflict == "replace" and sent.find(b",") < 0:
        found: Found = "ours" if sent == code else "other"
        return Tagged(content.body, content.suffix, found, content.orders)
    codes = [one for part in sent.split(b",") if (one := part.strip())]
    others = [one for one in codes if one != code]
    if not others:
        return Tagged(content.body, content.suffix, "ours" if codes else "none", content.orders)
    if on_conflict == "reject":
        raise Refusal("tag_conflict", _shown(others[0]))
    if on_conflict == "keep":
        if len(codes) > 1 or code_fault(codes[0].decode("latin-1")):
            raise Refusal("bad_request", "source must be one plain broker code, once")
        return Tagged(content.body, content.suffix, "other", 0, codes[0])
    return Tagged(content.body, content.suffix, "other", content.orders)


def _shown(sent: bytes) -> str:
    text = sent.decode("latin-1")
    return f"source {text} is not the operator's" if not code_fault(text) else "another's source"
