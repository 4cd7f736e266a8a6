"""What OKX's answers mean, and our own refusals in OKX's words.
https://www.okx.com/docs-v5/en/#error-code

A write is only called done or refused where the answer says so; everything unreadable is unknown.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import orjson

from proxy.exchanges.edge import ban_ms
from proxy.model import NO_BAN, Action, Endpoint, Response, Verdict

if TYPE_CHECKING:
    from proxy.errors import Slug

_READ: Final = Action.READ
_RATE_CODES: Final = frozenset(("50011", "50040", "50061", "58102"))
_SUBACCOUNT_RATE_CODE: Final = "50061"
# Time-out, unavailable, busy, system error: an order may have got through all the same.
_UNKNOWN_CODES: Final = frozenset(("50004", "50001", "50013", "50026"))
# The key is wrong, frozen, of another site or market, or not for our address.
_KEY_CODES: Final = frozenset(
    ("50100", "50101", "50105", "50110", "50111", "50113", "50114", "50119")
)
_OK: Final = b'{"code":"0"'
_CODE: Final = re.compile(rb'"code"\s*:\s*"?(\d{1,8})"?')
_PREFIX_BYTES: Final = 512
_IDS: Final = ("ordId", "algoId")
_ORDER_ID: Final = re.compile(rb'"(?:ordId|algoId)"\s*:\s*"([0-9A-Za-z-]{1,40})"')
_ORDERS_MAX: Final = 20
_ID_CHARACTERS_MAX: Final = 40

_WORDS: Final[dict[Slug, tuple[int, str, str]]] = {
    "missing_credentials": (401, "50103", "Request header OK-ACCESS-KEY can not be empty."),
    "unknown_key": (401, "50111", "Invalid OK-ACCESS-KEY"),
    "user_disabled": (401, "50111", "Invalid OK-ACCESS-KEY"),
    "bad_passphrase": (401, "50105", "Request header OK-ACCESS-PASSPHRASE incorrect."),
    "bad_signature": (401, "50113", "Invalid Sign"),
    "stale_timestamp": (401, "50102", "Timestamp request expired"),
    "replayed": (401, "50102", "Timestamp request expired"),
    "ip_not_allowed": (401, "50110", "Your IP is not included in your API key's IP whitelist."),
    "forbidden_endpoint": (
        403,
        "50120",
        "This API key doesn't have permission to use this function",
    ),
    "bad_request": (400, "51000", "Parameter error"),
    "tag_conflict": (400, "51000", "Parameter tag error"),
    "body_too_large": (413, "51000", "Parameter error"),
    "rate_limited": (429, "50011", "Too Many Requests"),
    "expired": (200, "50037", "Order expired."),
    "upstream_unreachable": (503, "50001", "Service temporarily unavailable. Try again later"),
    "shutting_down": (503, "50001", "Service temporarily unavailable. Try again later"),
    "not_ready": (503, "50001", "Service temporarily unavailable. Try again later"),
    "overloaded": (503, "50001", "Service temporarily unavailable. Try again later"),
    "exchange_ban": (503, "50001", "Service temporarily unavailable. Try again later"),
    "internal": (503, "50001", "Service temporarily unavailable. Try again later"),
    "upstream_unknown": (
        504,
        "50004",
        "API endpoint request timeout (not a sign of success or failure: check the order)",
    ),
}


def refusal(slug: Slug, path: bytes, detail: str) -> tuple[int, bytes]:
    """Give a refusal OKX's status, code and words; returns the status and the JSON body."""
    status, code, words = _WORDS[slug]
    text = f"{words} {detail}".encode("utf-8", "replace").decode()
    return status, orjson.dumps({"code": code, "msg": text, "data": []})


def classify(endpoint: Endpoint, response: Response) -> Verdict:
    """Say what an answer means. Never raises."""
    if endpoint.action is _READ:
        return _read_verdict(response)
    body = response.body
    if response.status == 200 and body.startswith(_OK) and body[-1:] == b"}":
        if endpoint.items_max == 1:
            match = _ORDER_ID.search(body)
            return Verdict("ok", "0", str(match[1], "ascii") if match is not None else "")
        return Verdict("ok", "0", _ids_of(body))
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        answer = None
    code = _text(answer.get("code")) if type(answer) is dict else ""
    if not code:
        return _unreadable(response)
    data = answer.get("data")
    items = [item if type(item) is dict else {} for item in data] if type(data) is list else []
    if code == "0" and 200 <= response.status < 300:
        return Verdict("ok", code, _order_ids(items))
    return _write_verdict(response.status, code, items)


def _ids_of(body: bytes) -> str:
    """The order ids in the answer to a write that was accepted whole."""
    ids = _ORDER_ID.findall(body)
    if len(ids) == 1:
        return str(ids[0], "ascii")
    return ",".join([str(order_id, "ascii") for order_id in ids[:_ORDERS_MAX]])


def _write_verdict(status: int, code: str, items: list[dict[str, Any]]) -> Verdict:
    """A write that was not simply accepted: all or some of it failed, or nobody knows."""
    order_ids = _order_ids(items)
    if code in _RATE_CODES:
        processed = bool(order_ids) or status not in (200, 429) or _any_done(items)
        return Verdict("exchange_error", code, order_ids, _pool_of(code), processed=processed)
    if status >= 500 or status < 200 or code in _UNKNOWN_CODES:
        return Verdict("unknown", code, order_ids)
    failed = [
        item_code for item in items if (item_code := _text(item.get("sCode"))) not in ("0", "")
    ]
    if not failed:
        limited = "*" if status == 429 else ""
        refused = code in _KEY_CODES
        return Verdict("exchange_error", code, order_ids, limited, key_refused=refused)
    if any(item_code in _UNKNOWN_CODES for item_code in failed):
        return Verdict("unknown", failed[0], order_ids)
    rate_codes = [item_code for item_code in failed if item_code in _RATE_CODES]
    if not rate_codes:
        return Verdict("exchange_error", failed[0], order_ids)
    processed = len(rate_codes) < len(items)
    return Verdict(
        "exchange_error", rate_codes[0], order_ids, _pool_of(rate_codes[0]), processed=processed
    )


def _any_done(items: list[dict[str, Any]]) -> bool:
    return any(_text(item.get("sCode")) == "0" for item in items)


def _unreadable(response: Response) -> Verdict:
    """No code in the answer to a write: the edge's refusal, or nobody knows. A bare 429 is a
    refusal, but of what is not certain."""
    banned_ms = ban_ms(response)
    if banned_ms != NO_BAN:
        return Verdict("exchange_error", "", "", processed=False, ban_ms=banned_ms)
    if response.status == 429:
        return Verdict("exchange_error", "", "", "*")
    return Verdict("unknown", "", "")


def _read_verdict(response: Response) -> Verdict:
    """Only the beginning of a read's answer is looked at: market data is large."""
    body = response.body
    status = response.status
    if status == 200 and body.startswith(_OK):
        return Verdict("ok", "0", "")
    match = _CODE.search(body, 0, _PREFIX_BYTES)
    code = match[1].decode() if match else ""
    if not code:
        banned_ms = ban_ms(response)
        if banned_ms != NO_BAN:
            return Verdict("exchange_error", "", "", processed=False, ban_ms=banned_ms)
    if code in _RATE_CODES or (status == 429 and code not in _UNKNOWN_CODES):
        return Verdict("exchange_error", code, "", _pool_of(code), processed=False)
    if status == 200 and (code == "0" or (not code and _is_data(body))):
        return Verdict("ok", code, "")
    return Verdict("exchange_error", code, "", key_refused=code in _KEY_CODES)


def _is_data(body: bytes) -> bool:
    """Whether a body without a code is an answer (some are binary), not a page or nothing."""
    return body[:_PREFIX_BYTES].strip()[:1] not in (b"", b"<")


def _pool_of(code: str) -> str:
    return "subaccount-orders" if code == _SUBACCOUNT_RATE_CODE else "*"


def _text(value: object) -> str:
    """A code as text: OKX once sent numbers."""
    if type(value) is str:
        return value[:_ID_CHARACTERS_MAX]
    return str(value)[:_ID_CHARACTERS_MAX] if type(value) is int else ""


def _order_ids(items: list[dict[str, Any]]) -> str:
    ids = []
    for item in items[:_ORDERS_MAX]:
        for key in _IDS:
            value = item.get(key)
            if value and type(value) is str and len(value) <= _ID_CHARACTERS_MAX:
                ids.append(value)
    return ",".join(ids)
