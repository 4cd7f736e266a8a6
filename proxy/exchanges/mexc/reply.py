"""What MEXC's answers mean, and our own refusals in MEXC's words.
https://www.mexc.com/api-docs/spot-v3/public-api-definitions#error-code
https://www.mexc.com/api-docs/futures/error-code

Spot answers with bare objects and arrays, an error is `{"code","msg"}`; futures say `success`, and
"too many" with HTTP 200. A write is only called done or refused where the answer says so.
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
_OK_CODES: Final = ("", "0", "200")
_RATE_CODES: Final = frozenset(("429", "510", "2037"))
# Busy, time-out, internal error: an order may have got through all the same.
_UNKNOWN_CODES: Final = frozenset(("500", "501", "503", "504"))
_EDGE_CODE: Final = "403"  # too frequent, so the address is refused
# The key is wrong, has expired or is not for our address, or the signature is not its own.
_SPOT_KEY_CODES: Final = frozenset(("602", "10072", "700001", "700002", "700006"))
_FUTURES_KEY_CODES: Final = frozenset(("401", "402", "406", "602"))
_SPOT_DONE: Final = b'{"symbol":'
_FUTURES_DONE: Final = b'{"success":true,"code":0,'
_ORDER_ID: Final = re.compile(rb'"orderId"\s*:\s*"?([0-9A-Za-z_-]{1,40})"?')
_ID: Final = re.compile(r"[0-9A-Za-z_-]{1,40}")
_ORDERS_MAX: Final = 50
_SMALL_BYTES: Final = 1024  # an error never takes more
_CODE_CHARACTERS_MAX: Final = 40
_FUTURES: Final = "/api/v1/"

_BUSY: Final = (503, 503, "Service unavailable", 503, 501, "System busy")
_WORDS: Final[dict[Slug, tuple[int, int, str, int, int, str]]] = {
    # spot's status, code and words, then the futures'
    "missing_credentials": (400, 400, "api key required", 401, 401, "Unauthorized"),
    "unknown_key": (
        *(400, 10072, "Api key info invalid"),
        *(401, 402, "API Key expired, please apply again"),
    ),
    "user_disabled": (
        *(400, 10072, "Api key info invalid"),
        *(401, 402, "API Key expired, please apply again"),
    ),
    "bad_passphrase": (
        *(400, 10072, "Api key info invalid"),
        *(401, 402, "API Key expired, please apply again"),
    ),
    "bad_signature": (
        *(400, 700002, "Signature for this request is not valid."),
        *(401, 602, "Signature verification failed"),
    ),
    "stale_timestamp": (
        *(400, 700003, "Timestamp for this request is outside of the recvWindow."),
        *(401, 513, "Invalid request time"),
    ),
    "replayed": (
        *(400, 700003, "Timestamp for this request is outside of the recvWindow."),
        *(401, 513, "Invalid request time"),
    ),
    "expired": (
        *(400, 700003, "Timestamp for this request is outside of the recvWindow."),
        *(401, 513, "Invalid request time"),
    ),
    "ip_not_allowed": (
        *(400, 700006, "IP not in the ip white list"),
        *(401, 406, "Access IP is not in the whitelist"),
    ),
    "forbidden_endpoint": (
        *(403, 700007, "No permission to access the endpoint."),
        *(403, 701, "No permission to access the endpoint"),
    ),
    "bad_request": (400, 700004, "Parameter error", 400, 600, "Parameter error"),
    "tag_conflict": (400, 700004, "Parameter error", 400, 600, "Parameter error"),
    "body_too_large": (413, 700013, "Invalid content", 413, 600, "Parameter error"),
    "rate_limited": (
        *(429, 429, "Too Many Requests"),
        *(200, 510, "Requests are too frequent, please try again later"),
    ),
    "upstream_unreachable": _BUSY,
    "shutting_down": _BUSY,
    "not_ready": _BUSY,
    "overloaded": _BUSY,
    "exchange_ban": _BUSY,
    "internal": _BUSY,
    "upstream_unknown": (
        *(504, 504, "Gateway timeout: the order may have succeeded, look before sending it again"),
        *(504, 504, "Gateway timeout: the order may have succeeded, look before sending it again"),
    ),
}


def refusal(slug: Slug, path: bytes, detail: str) -> tuple[int, bytes]:
    """Give a refusal MEXC's status, code and words, by the path; returns status and JSON body."""
    spot_status, spot_code, spot_words, status, code, words = _WORDS[slug]
    if path.find(b"/api/v1/") < 0:
        text = f"{spot_words} {detail}".encode("utf-8", "replace").decode()
        return spot_status, orjson.dumps({"code": spot_code, "msg": text})
    text = f"{words} {detail}".encode("utf-8", "replace").decode()
    return status, orjson.dumps({"success": False, "code": code, "message": text, "msg": text})


def classify(endpoint: Endpoint, response: Response) -> Verdict:
    """Say what an answer means. Never raises."""
    body, status = response.body, response.status
    futures = endpoint.path.startswith(_FUTURES)
    if endpoint.action is _READ:
        if status == 200 and len(body) > _SMALL_BYTES and body[:1] in (b"{", b"["):
            return Verdict("ok", "", "")
    elif status == 200 and body.startswith(_FUTURES_DONE if futures else _SPOT_DONE):
        match = _ORDER_ID.search(body)
        if match is not None and body[-1:] == b"}" and body.find(b'"errorCode"') < 0:
            return Verdict("ok", "0" if futures else "", str(match[1], "ascii"))
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        answer = None
    if type(answer) is dict:
        code = _text(answer.get("code"))
        if answer.get("success") is False and code in _OK_CODES:
            code = "failed"
        verdict = _of_object(endpoint, response, answer, code)
    elif type(answer) is list and 200 <= status < 300:
        verdict = _of_items(answer, "code", "")
    else:
        verdict = _unreadable(response)
    if endpoint.action is _READ:
        return _of_read(response, verdict)
    return verdict


def _of_object(
    endpoint: Endpoint, response: Response, answer: dict[str, Any], code: str
) -> Verdict:
    status = response.status
    futures = endpoint.path.startswith(_FUTURES)
    if code in _OK_CODES and 200 <= status < 300:
        data = answer.get("data")
        if futures and type(data) is list:
            return _of_items(data, "errorCode", code)
        return Verdict("ok", code, _ids_of(answer, data))
    banned = status == 418 or (code == _EDGE_CODE and status == 403)
    if banned or code in _OK_CODES:  # an object that says nothing of why
        return _unreadable(response, code)
    if code in _RATE_CODES and status in (200, 429):
        return Verdict("exchange_error", code, "", "*", processed=False)
    if status >= 500 or status < 200 or code in _UNKNOWN_CODES:
        return Verdict("unknown", code, "")
    refused = code in (_FUTURES_KEY_CODES if futures else _SPOT_KEY_CODES)
    limited = "*" if status == 429 else ""
    return Verdict("exchange_error", code, "", limited, key_refused=refused)


def _of_items(items: list[Any], key: str, code: str) -> Verdict:
    """An answer order by order: all were accepted, or some or all refused."""
    objects = [item for item in items if type(item) is dict]
    order_ids = _order_ids(objects, key)
    failed = [found for item in objects if (found := _text(item.get(key))) not in _OK_CODES]
    if not failed:
        return Verdict("ok", code, order_ids)
    unknown = [found for found in failed if found in _UNKNOWN_CODES]
    if unknown:
        return Verdict("unknown", unknown[0], order_ids)
    rated = [found for found in failed if found in _RATE_CODES]
    if not rated:
        return Verdict("exchange_error", failed[0], order_ids)
    processed = len(rated) < len(items)
    return Verdict("exchange_error", rated[0], order_ids, "*", processed=processed)


def _unreadable(response: Response, code: str = "") -> Verdict:
    """No word of what happened: the edge's refusal, or nobody knows. A bare 429 is a refusal, but
    of what is not certain."""
    banned_ms = ban_ms(response)
    if banned_ms != NO_BAN:
        return Verdict("exchange_error", code, "", processed=False, ban_ms=banned_ms)
    if response.status == 429:
        return Verdict("exchange_error", code, "", "*")
    return Verdict("unknown", code, "")


def _of_read(response: Response, verdict: Verdict) -> Verdict:
    """A read does nothing: its failure is known, and it may always be asked again."""
    if verdict.rate_refused:
        return Verdict("exchange_error", verdict.code, "", "*", processed=False)
    if verdict.outcome == "unknown" and not (not verdict.code and _is_data(response)):
        return Verdict("exchange_error", verdict.code, "")
    if verdict.outcome == "exchange_error":
        return verdict
    return Verdict("ok", verdict.code, "")


def _is_data(response: Response) -> bool:
    """Whether an answer that is not JSON is one (exports are binary), not a page or nothing."""
    start = response.body[:_SMALL_BYTES].strip()[:1]
    return response.status == 200 and start not in (b"", b"<", b"{", b"[")


def _ids_of(answer: dict[str, Any], data: object) -> str:
    """The order id of an answer that tells of one order, wherever it stands."""
    if type(data) is dict:
        return _order_ids([data], "code")
    if type(data) is int or type(data) is str:
        return _order_ids([{"orderId": data}], "code")
    return _order_ids([answer], "")


def _order_ids(items: list[dict[str, Any]], key: str) -> str:
    """The ids of the orders that were not refused."""
    ids = []
    for item in items[:_ORDERS_MAX]:
        value = item.get("orderId")
        text = str(value) if type(value) is int else value
        if type(text) is str and _ID.fullmatch(text) and _text(item.get(key)) in _OK_CODES:
            ids.append(text)
    return ",".join(ids)


def _text(value: object) -> str:
    if type(value) is str:
        return value[:_CODE_CHARACTERS_MAX]
    return str(value)[:_CODE_CHARACTERS_MAX] if type(value) is int else ""
