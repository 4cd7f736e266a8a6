"""Answers of what stands before an exchange: its edge refuses our address, whoever's key it was.

A 403 or 418 that is not in the exchange's own words comes from there, and so does a 429 that is a
page, names Cloudflare's error 1015 or says for how long; nothing behind it has seen the request.
RFC 9110 section 10.2.3 for Retry-After;
https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-1xxx-errors/
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from proxy.model import NO_BAN

if TYPE_CHECKING:
    from proxy.model import Response

_REFUSING: Final = (403, 418)
_TOO_MANY: Final = 429
_LOOKED_AT: Final = 4096  # bytes of a page
_BAN_MS_MAX: Final = 7 * 24 * 3_600_000


def ban_ms(response: Response) -> int:
    """For how long our address is refused by an answer that is not the exchange's own; 0 when it
    does not say, `NO_BAN` when it does not refuse."""
    headers = dict(response.headers)
    if response.status not in _REFUSING and not (
        response.status == _TOO_MANY and (b"retry-after" in headers or _is_page(response.body))
    ):
        return NO_BAN
    return min(_retry_after_ms(headers.get(b"retry-after", b""), headers), _BAN_MS_MAX)


def _is_page(body: bytes) -> bool:
    start = body[:_LOOKED_AT]
    return start.lstrip()[:1] == b"<" or start.find(b"1015") >= 0


def _retry_after_ms(value: bytes, headers: dict[bytes, bytes]) -> int:
    """Seconds, or a date, taken from the answer's own: our clock may be off."""
    value = value.strip()
    if value.isdigit():
        return int(value[:9]) * 1000
    try:
        until = parsedate_to_datetime(value.decode("ascii", "replace"))
        now = parsedate_to_datetime(headers.get(b"date", b"").decode("ascii", "replace"))
        return max(int((until - now).total_seconds() * 1000), 0)
    except (ValueError, TypeError, OverflowError):
        return 0
