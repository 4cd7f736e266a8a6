"""The only place where KuCoin's broker code enters: the partner headers of every signed call.
https://www.kucoin.com/docs-new/rest/broker/instructions

The partner's signature covers timestamp + partner + API key: it is made anew for each request, by
`sign`, and a bot's own can never be kept (`keep` is `replace`). No body is touched or even read.
With KC-API-PARTNER-VERIFY a wrong one is refused (400201) instead of silently earning nothing.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from typing import TYPE_CHECKING, Any, Final

from proxy.errors import Refusal
from proxy.exchanges.kucoin.content import Batch
from proxy.model import Endpoint, Request, Tag, Tagged

if TYPE_CHECKING:
    from proxy.model import Broker, Found, OnConflict

BROKER_HEADERS: Final = (
    b"KC-API-PARTNER",
    b"KC-API-PARTNER-SIGN",
    b"KC-API-PARTNER-VERIFY",
    b"KC-BROKER-NAME",
)
_HEAD: Final = b"KC-API-PARTNER: %b\r\nKC-API-PARTNER-SIGN: %b\r\nKC-API-PARTNER-VERIFY: true\r\n"
_NAMED_HEAD: Final = _HEAD + b"KC-BROKER-NAME: %b\r\n"
_CODE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_SHOWN: Final = re.compile(rb"[\x21\x23-\x7e]{1,64}")
_HEADERS: Final = Tag.HEADERS


def code_fault(code: str) -> str:
    """What is wrong with a partner id, "" if nothing."""
    if _CODE.fullmatch(code) is None:
        return "a KuCoin partner id is 1 to 64 of A-Z, a-z, 0-9, _, . and -"
    return ""


def partner_head(broker: Broker, timestamp: bytes, api_key: bytes) -> bytes:
    """The header lines that tell KuCoin whose partner an order is; none without code and key.

    `timestamp` is the text of KC-API-TIMESTAMP and `api_key` the KC-API-KEY of the same request.
    """
    code, mac = broker.code, broker.mac
    if mac is None or not code:
        return b""
    signature = b2a_base64(mac.digest(timestamp + code + api_key), newline=False)
    name = broker.name
    return _NAMED_HEAD % (code, signature, name) if name else _HEAD % (code, signature)


def tag(
    endpoint: Endpoint, request: Request, content: Any, code: bytes, on_conflict: OnConflict
) -> Tagged:
    """Say whose code the bot sent and how many orders will carry ours; `sign` sets it.

    Raises `Refusal` (`tag_conflict`).
    """
    if endpoint.tag is not _HEADERS:
        return Tagged(request.body, request.suffix, "", 0)
    sent = request.headers.get(b"kc-api-partner")
    found: Found = "none"
    if sent:
        found = "ours"
        if sent != code:
            if on_conflict == "reject":
                raise _conflict(sent)
            found = "other"
    orders = len(content.items) if type(content) is Batch else 1
    return Tagged(request.body, request.suffix, found, orders)


def _conflict(sent: bytes) -> Refusal:
    shown = f"partner {sent.decode()}" if _SHOWN.fullmatch(sent) else "a KC-API-PARTNER"
    return Refusal("tag_conflict", f"{shown} is not the operator's")
