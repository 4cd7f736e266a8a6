"""The only place where OKX's broker code enters: the `tag` of orders.
https://www.okx.com/docs-v5/broker_en/ (every request whose schema has `tag` carries the code).

Bytes are spliced, never written anew. The quick ways serve plain orders whose parsed form proves
that they are plain; everything else goes by the exact spans of `spans.py`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import orjson

from proxy.errors import Refusal
from proxy.exchanges.okx.content import Content, query_text
from proxy.model import Endpoint, Request, Tag, Tagged

if TYPE_CHECKING:
    from proxy.exchanges.okx.spans import Order, Span
    from proxy.model import Found, OnConflict

_CODE: Final = re.compile(r"[A-Za-z0-9]{1,16}")
_PLAIN_TAG: Final = re.compile(rb'"tag"[ \t\r\n]*:[ \t\r\n]*("[^"]*"|null)')
_SHOWN_TAG: Final = re.compile(r"[\x21\x23-\x7e]{1,40}")
_ABSENT: Final = object()
_BODY: Final = Tag.BODY
_EACH_ITEM: Final = Tag.EACH_ITEM

Edit = tuple[int, int, bytes]


def code_fault(code: str) -> str:
    """What is wrong with a broker code, "" if nothing."""
    if _CODE.fullmatch(code) is None:
        return "an OKX broker code is 1 to 16 of A-Z, a-z and 0-9"
    return ""


def tag(
    endpoint: Endpoint, request: Request, content: Any, code: bytes, on_conflict: OnConflict
) -> Tagged:
    """Set the code where this endpoint carries one. Raises `Refusal`.

    `found` of a batch is "other" if any order carried another's code, else "none" if any carried
    none. Where the tag selects orders (`scope`, `query-filter`) nothing is counted.
    """
    where = endpoint.tag
    if where is _BODY or where is _EACH_ITEM:
        if request.suffix:
            _refuse_tag_in_query(request.suffix)
        tagged = None
        if len(content.items) == 1:
            tagged = _tag_plain(request, content, code, on_conflict)
        elif content.flat and on_conflict == "replace":
            tagged = _tag_plain_array(request, content.items, code)
        return tagged or _tag_exactly(request, content, code, on_conflict)
    if where is Tag.SCOPE:
        return _follow_scope(request, content, code, on_conflict)
    if where is Tag.QUERY_FILTER:
        suffix = _filtered(request.suffix, code, on_conflict)
        return Tagged(request.body, suffix, "", 0)
    return Tagged(request.body, request.suffix, "", 0)


def _tag_plain(
    request: Request, content: Content, code: bytes, on_conflict: OnConflict
) -> Tagged | None:
    """Tag one order; None where only the careful way is certain.

    Without a backslash every key is spelled plainly: as many `"tag"` as its own keys say (none
    or one) means that none stands deeper, and that the one there is the key.
    """
    body = request.body
    item = content.items[0]
    sent = item.get("tag", _ABSENT)
    if sent is _ABSENT:
        if not item or not (content.flat or _has_no_tag(body)):
            return None
        at = body.find(b"{") + 1
        return Tagged(body[:at] + b'"tag":"' + code + b'",' + body[at:], request.suffix, "none", 1)
    # Flat text has each key once and no colon in a string: what matches is the key itself.
    if body.find(b"\\") >= 0 or not (content.flat or body.count(b'"tag"') == 1):
        return None
    match = _PLAIN_TAG.search(body)
    if match is None or (sent and on_conflict != "replace"):
        return None
    if sent == code.decode():
        return Tagged(body, request.suffix, "ours", 1)
    start, end = match.span(1)
    body = body[:start] + b'"' + code + b'"' + body[end:]
    return Tagged(body, request.suffix, "other" if sent else "none", 1)


def _has_no_tag(body: bytes) -> bool:
    return body.find(b'"tag"') < 0 and body.find(b"\\") < 0


def _tag_plain_array(request: Request, items: list[dict[str, Any]], code: bytes) -> Tagged | None:
    """Tag flat orders of which all or none have a tag; None where that is not certain."""
    body = request.body
    count = len(items)
    if body.count(b"{") != count or not all(items):
        return None
    tags = [item["tag"] for item in items if "tag" in item]
    if not tags:
        body = body.replace(b"{", b'{"tag":"' + code + b'",')
        return Tagged(body, request.suffix, "none", count)
    if len(tags) != count or body.count(b'"tag"') != count or body.find(b"\\") >= 0:
        return None
    spans = [match.span(1) for match in _PLAIN_TAG.finditer(body)]
    if len(spans) != count:
        return None
    quoted = b'"' + code + b'"'
    body = _spliced(body, [(start, end, quoted) for start, end in spans])
    own = code.decode()
    found: Found = "ours"
    if any(sent and sent != own for sent in tags):
        found = "other"
    elif not all(tags):
        found = "none"
    return Tagged(body, request.suffix, found, count)


def _tag_exactly(
    request: Request, content: Content, code: bytes, on_conflict: OnConflict
) -> Tagged:
    body = request.body
    edits: list[Edit] = []
    founds: set[Found] = set()
    ours = 0
    for order in content.orders(body):
        values = [_value(body, span) for span in order.found.get(b"tag", ())]
        nested = [(span, value) for span in order.nested if (value := _value(body, span))]
        own = code.decode()
        foreign = [value for value in values if value and value != own]
        foreign_nested = [value for _, value in nested if value != own]
        if (foreign or foreign_nested) and on_conflict == "reject":
            raise _conflict((foreign or foreign_nested)[0])
        founds.add(_found(values, foreign or foreign_nested))
        if on_conflict == "replace":
            edits += [(*span, b'"' + code + b'"') for span, value in nested if value != own]
        if foreign and on_conflict == "keep":
            if len(set(values)) > 1:
                raise Refusal("bad_request", "one order carries two different tags")
            continue
        edits += _own_edits(order, values, code)
        ours += 1
    found: Found = "other" if "other" in founds else "none" if "none" in founds else "ours"
    return Tagged(_spliced(body, sorted(edits)), request.suffix, found, ours)


def _found(values: list[str], foreign: list[str]) -> Found:
    if foreign:
        return "other"
    return "ours" if values and all(values) else "none"


def _own_edits(order: Order, values: list[str], code: bytes) -> list[Edit]:
    """What sets an order's own tag: each one there is rewritten, else one is put in front."""
    if not values:
        comma = b"" if order.empty else b","
        return [(order.open, order.open, b'"tag":"' + code + b'"' + comma)]
    spans = order.found[b"tag"]
    return [
        (*span, b'"' + code + b'"')
        for span, value in zip(spans, values, strict=True)
        if value != code.decode()
    ]


def _value(body: bytes, span: Span) -> str:
    """A tag as text; null is as good as none. Raises `Refusal` for what cannot be a tag."""
    raw = body[span[0] : span[1]]
    if raw[0] == 0x22:
        return str(orjson.loads(raw))
    if raw[0] in b"{[":
        raise Refusal("bad_request", "tag must be a string")
    return "" if raw == b"null" else raw.decode()


def _spliced(body: bytes, edits: list[Edit]) -> bytes:
    """The body with spans replaced; `edits` in order, not overlapping."""
    parts: list[bytes] = []
    at = 0
    for start, end, new in edits:
        parts += (body[at:start], new)
        at = end
    parts.append(body[at:])
    return b"".join(parts)


def _follow_scope(
    request: Request, content: Content, code: bytes, on_conflict: OnConflict
) -> Tagged:
    """`trade/cancel-all-after`: the tag selects whose orders the timer ends.

    It follows what was done to the orders' tags. It is never added: a timer without one covers
    the whole sub-account, and would silently shrink.
    """
    body = request.body
    spans = content.orders(body)[0].found.get(b"tag", [])
    values = [_value(body, span) for span in spans]
    if len(set(values)) > 1:
        raise Refusal("bad_request", "tag stands there twice")
    sent = values[0] if values else ""
    content.scope_tag = sent
    if sent and sent != code.decode():
        if on_conflict == "reject":
            raise _conflict(sent)
        if on_conflict == "replace":
            body = _spliced(body, [(*span, b'"' + code + b'"') for span in spans])
            content.scope_tag = code.decode()
    return Tagged(body, request.suffix, "", 0)


def _filtered(suffix: bytes, code: bytes, on_conflict: OnConflict) -> bytes:
    """`asset/convert/history`: converts placed with a tag are only told to who asks by it."""
    parts = suffix[1:].split(b"&")
    at = [index for index, part in enumerate(parts) if _is_tag(part)]
    values = [query_text(parts[index].partition(b"=")[2]) for index in at]
    foreign = [value for value in values if value and value != code.decode()]
    if foreign:
        if on_conflict == "reject":
            raise _conflict(foreign[0])
        if on_conflict == "keep":
            if len(set(values)) > 1:
                raise Refusal("bad_request", "tag stands in the query twice")
            return suffix
    if not at:
        return (suffix + b"&" if len(suffix) > 1 else b"?") + b"tag=" + code
    for index in at:
        parts[index] = b"tag=" + code
    return b"?" + b"&".join(parts)


def _is_tag(part: bytes) -> bool:
    return query_text(part.partition(b"=")[0]) == "tag"


def _refuse_tag_in_query(suffix: bytes) -> None:
    """An order's tag belongs into its body; what a second one would do nobody knows."""
    if any(_is_tag(part) for part in suffix[1:].split(b"&")):
        raise Refusal("bad_request", "tag stands in the query, it belongs into the body")


def _conflict(sent: str) -> Refusal:
    shown = f"tag {sent}" if _SHOWN_TAG.fullmatch(sent) else "a tag"
    return Refusal("tag_conflict", f"{shown} is not the operator's")
