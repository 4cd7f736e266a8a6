"""Tagging as a property: over odd JSON texts only the bytes of the broker field change.

The texts are built piece by piece, so what the tagged text must be is known by construction,
and read again by the standard library's parser, first-wins and last-wins.
"""

from __future__ import annotations

import json
from functools import partial
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import Refusal
from proxy.exchanges.okx import EXCHANGE
from proxy.exchanges.okx.broker import code_fault
from proxy.model import Endpoint, OnConflict, Request, Tagged

if TYPE_CHECKING:
    from collections.abc import Callable

CODE: Final = "0a1b2c3d4e5fBCDE"
ROWS: Final = {endpoint.label: endpoint for endpoint in EXCHANGE.endpoints}
ORDER: Final = ROWS["POST trade/order"]
BATCH: Final = ROWS["POST trade/batch-orders"]
MODES: Final[tuple[OnConflict, ...]] = ("replace", "keep", "reject")

Piece = tuple[str, str]  # the text as the bot sends it, and as it must leave


def tagged(endpoint: Endpoint, body: str, mode: OnConflict = "replace") -> Tagged:
    request = Request(
        endpoint.method.encode(), endpoint.path.encode(), {}, IPv4Address("127.0.0.1"), 0
    )
    request.body = body.encode()
    return marked(endpoint, request, mode)


def marked(endpoint: Endpoint, request: Request, mode: OnConflict) -> Tagged:
    content = EXCHANGE.read(endpoint, request)
    return EXCHANGE.tag(endpoint, request, content, CODE.encode(), mode)


def slug_of(call: Callable[[], object]) -> str:
    """The slug a call is refused with, "" if it is not."""
    try:
        call()
    except Refusal as refusal:
        return refusal.slug
    return ""


PLAIN: Final = ("L", "M", "N", "P", "S", "Z", "Cc")
white = st.text(" \t\r\n", max_size=2)
TAG_KEYS: Final = ('"tag"', r'"\u0074ag"', r'"t\u0061\u0067"', r'"ta\u0067"')
NUMBERS: Final = (
    "0",
    "-0.0",
    "1e-8",
    "1E+2",
    "0.10000000000000001",
    "123456789012345678901234567890",
    "-12.50",
)


def escaped(text: str) -> st.SearchStrategy[str]:
    """Spellings of one string as JSON."""
    plain = json.dumps(text, ensure_ascii=False)
    units = text.encode("utf-16-be")
    codes = "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))
    return st.sampled_from((plain, json.dumps(text), f'"{codes}"'))


texts = st.text(
    st.one_of(st.sampled_from('tag"\\{}[]:, /\n'), st.characters(categories=PLAIN)),
    max_size=8,
)
strings = st.one_of(texts, st.sampled_from(("tag", '"tag":', '{"tag":"x"}', "a\\"))).flatmap(
    escaped
)
other_keys = (
    st.one_of(texts, st.sampled_from(("instId", "tags", "Tag", 'a"tag', "")))
    .filter(lambda key: key != "tag")
    .flatmap(escaped)
)
scalars = st.one_of(strings, st.sampled_from((*NUMBERS, "true", "false", "null")))
foreign = texts.filter(lambda value: value not in ("", CODE)).flatmap(escaped)
empties = st.sampled_from(('""', "null"))
QUOTED: Final = f'"{CODE}"'


@st.composite
def members(draw: st.DrawFn, value: st.SearchStrategy[Piece], own: bool) -> list[Piece]:
    """Members of an object, tags among them: `own` for the order itself."""
    found: list[Piece] = []
    for _ in range(draw(st.integers(0, 4))):
        key = draw(other_keys)
        before, after = draw(white), draw(white)
        sent, left = draw(value)
        found.append((f"{key}{before}:{after}{sent}", f"{key}{before}:{after}{left}"))
    for _ in range(draw(st.sampled_from((0, 0, 1, 1, 2)))):
        head = draw(st.sampled_from(TAG_KEYS)) + draw(white) + ":" + draw(white)
        sent = draw(st.one_of(foreign, empties, st.just(QUOTED), st.sampled_from(NUMBERS)))
        empty = sent in ('""', "null")
        left = QUOTED if own or not empty else sent
        found.insert(draw(st.integers(0, len(found))), (head + sent, head + left))
    return found


def joined(draw: st.DrawFn, opening: str, pieces: list[Piece], closing: str) -> Piece:
    sent, left = opening, opening
    for index, piece in enumerate(pieces):
        pads = draw(white), draw(white)
        comma = "," if index else ""
        sent += comma + pads[0] + piece[0] + pads[1]
        left += comma + pads[0] + piece[1] + pads[1]
    if not pieces:
        pad = draw(white)
        sent, left = sent + pad, left + pad
    return sent + closing, left + closing


@st.composite
def nested(draw: st.DrawFn, value: st.SearchStrategy[Piece]) -> Piece:
    if draw(st.booleans()):
        return joined(draw, "[", draw(st.lists(value, max_size=3)), "]")
    return joined(draw, "{", draw(members(value, own=False)), "}")


values = st.recursive(scalars.map(lambda text: (text, text)), nested, max_leaves=6)


@st.composite
def orders(draw: st.DrawFn) -> Piece:
    pieces = draw(members(values, own=True))
    sent, left = joined(draw, "{", pieces, "}")
    if not any(json.loads("{" + piece[0] + "}").keys() == {"tag"} for piece in pieces):
        left = '{"tag":' + QUOTED + ("," if pieces else "") + left[1:]
    return sent, left


@st.composite
def bodies(draw: st.DrawFn) -> tuple[Endpoint, str, str, int]:
    lead, tail = draw(white), draw(white)
    if draw(st.booleans()):
        sent, left = draw(orders())
        return ORDER, lead + sent + tail, lead + left + tail, 1
    pieces = draw(st.lists(orders(), min_size=1, max_size=4))
    sent, left = joined(draw, "[", pieces, "]")
    return BATCH, lead + sent + tail, lead + left + tail, len(pieces)


def readings(body: str) -> list[Any]:
    """The orders as a reader takes them that keeps the last of equal keys, or the first."""
    last = json.loads(body)
    first = json.loads(body, object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    return [order for read in (last, first) for order in (read if type(read) is list else [read])]


def pairs_of(body: str) -> list[list[tuple[str, Any]]]:
    """The members of each order as written, repeated keys and all."""
    read = json.loads(body, object_pairs_hook=Members)
    return [order.pairs for order in (read if type(read) is list else [read])]


class Members(dict[str, Any]):
    """An object that remembers how it was written."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


@given(bodies())
def test_tagging_changes_the_broker_field_and_no_other_byte(
    case: tuple[Endpoint, str, str, int],
) -> None:
    endpoint, sent, left, count = case
    done = tagged(endpoint, sent)
    assert done.body.decode() == left
    assert done.orders == count
    assert [order["tag"] for order in readings(left)] == [CODE] * (2 * count)


@given(bodies(), st.sampled_from(MODES))
def test_whatever_the_mode_the_code_is_ours_or_the_bots_or_it_is_refused(
    case: tuple[Endpoint, str, str, int], mode: OnConflict
) -> None:
    endpoint, sent, _, count = case
    slug = slug_of(lambda: tagged(endpoint, sent, mode))
    assert (
        slug
        in {"replace": ("",), "keep": ("", "bad_request"), "reject": ("", "tag_conflict")}[mode]
    )
    if slug:
        return
    done = tagged(endpoint, sent, mode)
    before, after = readings(sent), readings(done.body.decode())
    for was, became in zip(before, after, strict=True):
        kept = (
            mode == "keep" and became["tag"] == was.get("tag") and became["tag"] not in ("", None)
        )
        assert kept or became["tag"] == CODE
    assert done.orders <= count
    assert done.found in ("none", "ours", "other")


@given(bodies())
def test_what_was_tagged_is_charged_or_ambiguous(case: tuple[Endpoint, str, str, int]) -> None:
    endpoint, sent, _, _ = case
    request = Request(b"POST", endpoint.path.encode(), {}, IPv4Address("127.0.0.1"), 0)
    request.body = sent.encode()
    content = EXCHANGE.read(endpoint, request)
    EXCHANGE.tag(endpoint, request, content, CODE.encode(), "replace")
    instruments = {
        json.dumps(value) for pairs in pairs_of(sent) for key, value in pairs if key == "instId"
    }
    slug = slug_of(lambda: EXCHANGE.charges(endpoint, request, content))
    assert slug in ("", "bad_request")
    if endpoint is ORDER and len(instruments) > 1:
        assert slug == "bad_request"


@given(bodies())
def test_tagging_twice_changes_nothing_more(case: tuple[Endpoint, str, str, int]) -> None:
    endpoint, sent, _, _ = case
    once = tagged(endpoint, sent)
    again = tagged(endpoint, once.body.decode())
    assert (again.body, again.found) == (once.body, "ours")


@given(st.binary(max_size=60), st.sampled_from(MODES))
def test_any_bytes_are_tagged_or_refused(body: bytes, mode: OnConflict) -> None:
    for endpoint in (ORDER, BATCH, ROWS["POST trade/cancel-all-after"]):
        request = Request(b"POST", endpoint.path.encode(), {}, IPv4Address("127.0.0.1"), 0)
        request.body = body
        slug = slug_of(partial(marked, endpoint, request, mode))
        assert slug in ("", "bad_request", "tag_conflict")


@given(st.binary(max_size=40), st.sampled_from(MODES))
def test_any_query_is_filtered_or_refused(query: bytes, mode: OnConflict) -> None:
    endpoint = ROWS["GET asset/convert/history"]
    target = endpoint.path.encode() + b"?" + query
    request = Request(b"GET", target, {}, IPv4Address("127.0.0.1"), 0)
    slug = slug_of(lambda: marked(endpoint, request, mode))
    assert (
        slug
        in {"replace": ("",), "keep": ("", "bad_request"), "reject": ("", "tag_conflict")}[mode]
    )
    if slug:
        return
    done = marked(endpoint, request, mode)
    if mode != "keep":
        assert b"tag=" + CODE.encode() in done.suffix[1:].split(b"&")


def test_a_conflict_shows_the_bots_tag_but_no_odd_text() -> None:
    with pytest.raises(Refusal) as caught:
        tagged(ORDER, '{"tag":"abc"}', "reject")
    assert caught.value.facts == "tag abc is not the operator's"
    with pytest.raises(Refusal) as caught:
        tagged(ORDER, r'{"tag":"a\r\nb"}', "reject")
    assert caught.value.facts == "a tag is not the operator's"


def test_the_timer_is_charged_to_the_tag_that_leaves() -> None:
    endpoint = ROWS["POST trade/cancel-all-after"]
    for mode, value in (("replace", CODE), ("keep", "abc")):
        request = Request(b"POST", endpoint.path.encode(), {}, IPv4Address("127.0.0.1"), 0)
        request.body = b'{"timeOut":"10","tag":"abc"}'
        content = EXCHANGE.read(endpoint, request)
        EXCHANGE.tag(endpoint, request, content, CODE.encode(), mode)  # type: ignore[arg-type]
        (charge,) = EXCHANGE.charges(endpoint, request, content)
        assert charge.value == value


@pytest.mark.parametrize(
    ("code", "good"),
    [
        ("a", True),
        ("A1b2C3d4E5f6G7h8", True),
        ("", False),
        ("a" * 17, False),
        ("a-b", False),
        ("a b", False),
        ("ä", False),
        ("a\n", False),
    ],
)
def test_the_code_is_1_to_16_letters_and_digits(code: str, good: bool) -> None:
    assert (code_fault(code) == "") is good
