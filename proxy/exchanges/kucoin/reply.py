"""What KuCoin's answers mean, and our own refusals in KuCoin's words.
https://www.kucoin.com/docs-new/error-code  https://www.kucoin.com/docs-new/rate-limit

Failures come with HTTP 200 too: the code decides. A write is only called done or refused where the
answer says so; everything unreadable is unknown. Every answer of KuCoin's own tells in three
headers how much is left of the pool that the call was charged to.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import orjson

from proxy.exchanges.edge import ban_ms
from proxy.exchanges.kucoin.quota import pool_of, quota_of, reset_ms
from proxy.exchanges.kucoin.rows import FUTURES
from proxy.model import NO_BAN, Action, Endpoint, Quota, Response, Verdict

if TYPE_CHECKING:
    from proxy.errors import Slug

_READ: Final = Action.READ
_DONE: Final = "200000"
_OK: Final = b'{"code":"200000"'
_RATE_CODE: Final = "429000"
_FUTURES_RATE_CODE: Final = "200002"  # on futures only; on spot it says that a pair is stopped
_FUTURES_RATE_MS: Final = 10_000
_TOO_MANY: Final = 429
_EDGE_CODE: Final = "1015"
_EDGE_BAN_MS: Final = 30_000
_PAGE_BYTES: Final = 4096  # of a page that are looked at
# Server error, busy, timeout, busy: an order may have got through all the same.
_UNKNOWN_CODES: Final = frozenset(("500000", "503000", "504000", "230005"))
# The key is wrong, frozen, too old or of another site, or not for our address.
_KEY_CODES: Final = frozenset(
    ("400003", "400004", "400005", "400006", "400008", "400010", "411100")
)
_CODE: Final = re.compile(rb'"code"\s*:\s*"?(\d{1,8})"?')
_PREFIX_BYTES: Final = 512
_ORDER_ID: Final = re.compile(rb'"orderId"\s*:\s*"([0-9A-Za-z-]{1,40})"')
_ORDER_IDS: Final = re.compile(rb'"(?:cancelledOrderIds|orderIds)"\s*:\s*\[([^\]]{1,2000})\]')
_LISTED_ID: Final = re.compile(rb'"([0-9A-Za-z-]{1,40})"')
_ORDERS_MAX: Final = 20

_BUSY: Final = (503, "503000", "Service Unavailable")
_WORDS: Final[dict[Slug, tuple[int, str, str]]] = {
    "missing_credentials": (
        400,
        "400001",
        "Please check the header of your request for "
        + ", ".join(("KC-API-KEY", "KC-API-SIGN", "KC-API-TIMESTAMP", "KC-API-PASSPHRASE")),
    ),
    "unknown_key": (401, "400003", "KC-API-KEY not exists"),
    "user_disabled": (401, "400003", "KC-API-KEY not exists"),
    "bad_passphrase": (401, "400004", "Invalid KC-API-PASSPHRASE"),
    "bad_signature": (401, "400005", "Invalid KC-API-SIGN"),
    "stale_timestamp": (400, "400002", "Invalid KC-API-TIMESTAMP"),
    "replayed": (400, "400002", "Invalid KC-API-TIMESTAMP"),
    "ip_not_allowed": (403, "400006", "Invalid request ip"),
    "forbidden_endpoint": (403, "400007", "Access denied, require more permission"),
    "bad_request": (400, "400100", "Parameter Error"),
    "tag_conflict": (400, "400100", "Parameter Error"),
    "body_too_large": (413, "400100", "Parameter Error"),
    "rate_limited": (429, "429000", "Too Many Requests"),
    "expired": (400, "400002", "Invalid KC-API-TIMESTAMP"),
    "upstream_unreachable": _BUSY,
    "shutting_down": _BUSY,
    "not_ready": _BUSY,
    "overloaded": _BUSY,
    "exchange_ban": _BUSY,
    "internal": _BUSY,
    "upstream_unknown": (
        504,
        "504000",
        "Gateway Timeout (not a sign of success or failure: check the order)",
    ),
}


def refusal(slug: Slug, path: bytes, detail: str) -> tuple[int, bytes]:
    """Give a refusal KuCoin's status, code and words; returns the status and the JSON body."""
    status, code, words = _WORDS[slug]
    text = f"{words} {detail}".encode("utf-8", "replace").decode()
    return status, orjson.dumps({"code": code, "msg": text})


def classify(endpoint: Endpoint, response: Response) -> Verdict:
    """Say what an answer means. Never raises."""
    quota = quota_of(endpoint, response)
    body = response.body
    plain = response.status == 200 and body.startswith(_OK) and body[-1:] == b"}"
    if endpoint.action is _READ:
        return Verdict("ok", _DONE, "", quota=quota) if plain else _read(endpoint, response, quota)
    if plain and endpoint.items_max == 1:
        match = _ORDER_ID.search(body)
        ids = str(match[1], "ascii") if match is not None else _order_ids(body)
        return Verdict("ok", _DONE, ids, quota=quota)
    return _written(endpoint, response, quota)


def _written(endpoint: Endpoint, response: Response, quota: Quota | None) -> Verdict:
    """A batch, or a write that was not simply accepted."""
    body, status = response.body, response.status
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        answer = None
    code = _text(answer.get("code")) if type(answer) is dict else ""
    verdict = _undone(endpoint, response, code, quota)
    if verdict is not None:
        return verdict
    if code == _DONE and 200 <= status < 300:
        return _batch(body, answer.get("data"), quota)
    if code in ("", _DONE) or not 200 <= status < 500 or code in _UNKNOWN_CODES:
        return Verdict("unknown", code, _order_ids(body), quota=quota)
    return Verdict("exchange_error", code, "", key_refused=code in _KEY_CODES, quota=quota)


def _read(endpoint: Endpoint, response: Response, quota: Quota | None) -> Verdict:
    """Only the beginning of a read's answer is looked at: market data is large."""
    body = response.body
    match = _CODE.search(body, 0, _PREFIX_BYTES)
    code = match[1].decode() if match else ""
    verdict = _undone(endpoint, response, code, quota)
    if verdict is not None:
        return verdict
    if response.status == 200 and (code == _DONE or (not code and _is_data(body))):
        return Verdict("ok", code, "", quota=quota)
    return Verdict("exchange_error", code, "", key_refused=code in _KEY_CODES, quota=quota)


def _is_data(body: bytes) -> bool:
    """Whether a body without a code is an answer, not a page or nothing."""
    return body[:_PREFIX_BYTES].strip()[:1] not in (b"", b"<")


def _names_1015(body: bytes) -> bool:
    return body.find(_EDGE_CODE.encode(), 0, _PAGE_BYTES) >= 0


def _undone(
    endpoint: Endpoint, response: Response, code: str, quota: Quota | None
) -> Verdict | None:
    """An answer that says that nothing was done: our address is refused, or it was too many.
    None for every other answer."""
    status = response.status
    if code == _EDGE_CODE or not code:
        banned_ms = ban_ms(response)
        if banned_ms != NO_BAN or code:
            # Cloudflare says for how long by its code alone; a mere page may mind one request
            if banned_ms <= 0 and (code or status == _TOO_MANY or _names_1015(response.body)):
                banned_ms = _EDGE_BAN_MS
            return Verdict("exchange_error", code, "", processed=False, ban_ms=banned_ms)
        if status == _TOO_MANY:
            # a bare refusal, but of what is not certain
            processed = endpoint.action is not _READ
            return Verdict("exchange_error", "", "", "*", processed=processed, quota=quota)
        return None
    if status == _TOO_MANY or (code == _RATE_CODE and status == 200):
        return _too_many(endpoint, code, reset_ms(response), quota)
    if code == _FUTURES_RATE_CODE and endpoint.venue == FUTURES and status < 500:
        return _too_many(endpoint, code, _FUTURES_RATE_MS, quota)
    return None


def _too_many(endpoint: Endpoint, code: str, retry_ms: int, quota: Quota | None) -> Verdict:
    """A refusal for rate. Without the headers of a budget it says that KuCoin itself is
    overloaded: that counts against nobody."""
    refused = pool_of(endpoint) if retry_ms >= 0 else ""
    return Verdict(
        "exchange_error",
        code,
        "",
        refused,
        processed=False,
        retry_ms=max(retry_ms, 0),
        quota=quota,
    )


def _batch(body: bytes, data: Any, quota: Quota | None) -> Verdict:
    """An answer that says done: of a batch, some orders may have failed all the same."""
    if type(data) is dict and type(data.get("data")) is list:
        data = data["data"]  # the old spot batch lies one deeper
    order_ids = _order_ids(body)
    for item in data if type(data) is list else ():
        if type(item) is not dict:
            continue
        code = _text(item.get("code")) or _DONE
        if code in _UNKNOWN_CODES:
            return Verdict("unknown", code, order_ids, quota=quota)
        if code != _DONE or item.get("success") is False or item.get("status") == "fail":
            return Verdict("exchange_error", code, order_ids, quota=quota)
    return Verdict("ok", _DONE, order_ids, quota=quota)


def _text(value: object) -> str:
    """A code as text, number or string."""
    if type(value) is str:
        return value[:40]
    return str(value)[:40] if type(value) is int else ""


def _order_ids(body: bytes) -> str:
    """The exchange's order ids in an answer, comma-joined."""
    ids = _ORDER_ID.findall(body)
    if not ids:
        listed = _ORDER_IDS.search(body)
        ids = _LISTED_ID.findall(listed[1]) if listed is not None else []
    return b",".join(ids[:_ORDERS_MAX]).decode("ascii")
