"""The parameters of a spot request, wherever they stand: query, `k=v` body, JSON body.
https://www.mexc.com/api-docs/spot-v3/general-info#signed

What is sent counts, not how it is labelled: clients post `k=v` bodies as JSON. A name stands once
and a value has no bare "=", so that a text can be read in one way only, however it was glued
together to be signed.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

import orjson

from proxy.errors import Refusal

Pairs = list[tuple[bytes, bytes]]  # names and values, decoded

# Neither encoded nor in need of it, so that what was sent can go on as it is.
_PLAIN: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~"
_DIGITS_MAX: Final = 15
PARAMETERS_MAX: Final = 200
_SEPARATORS: Final = b"=&" * PARAMETERS_MAX


def is_json(body: bytes) -> bool:
    """Whether a body is JSON: told by how it begins, as the label cannot be trusted."""
    return body.lstrip()[:1] in (b"{", b"[")


def value_of(text: bytes, name: bytes) -> bytes | None:
    """The raw value of a plainly spelled parameter in `?a=1&b=2` or `a=1&b=2`; None without one.

    `name` ends with its "=". Of repeated ones the first counts; `plain_pairs` refuses them.
    """
    at = text.find(name)
    while at > 0 and text[at - 1] not in b"?&":
        at = text.find(name, at + 1)
    if at < 0:
        return None
    end = text.find(b"&", at)
    at += len(name)
    return text[at:end] if end >= 0 else text[at:]


def without(text: bytes, *names: bytes) -> bytes:
    """`a=1&b=2` less some plainly spelled parameters; each name ends with its "="."""
    return b"&".join([part for part in text.split(b"&") if not part.startswith(names)])


@lru_cache(maxsize=64)
def plain_pairs(suffix: bytes) -> dict[bytes, bytes] | None:
    """Names and values of a `?query` that nobody need decode; None where only the careful way is
    certain. Asked more than once on a request's way, so the last ones are remembered."""
    query = suffix[1:]
    separators = query.translate(None, _PLAIN)
    count = len(separators)
    if count % 2 == 0 or separators != _SEPARATORS[:count]:  # one "=" in each part, no other sign
        return None
    flat = query.replace(b"&", b"=").split(b"=")
    pairs = dict(zip(flat[::2], flat[1::2], strict=True))
    return pairs if len(pairs) * 2 == len(flat) and b"" not in pairs else None


def decoded(text: bytes) -> Pairs | None:
    """Read `a=1&b=2` as a form is read; None where a value has a bare "="."""
    pairs: Pairs = []
    for part in text.split(b"&"):
        if part:
            name, _, value = part.partition(b"=")
            if value.find(b"=") >= 0:
                return None
            pairs.append((_decoded(name), _decoded(value)))
    return pairs


def _decoded(raw: bytes) -> bytes:
    if raw.find(b"%") >= 0 or raw.find(b"+") >= 0:
        return unquote_to_bytes(raw.replace(b"+", b" "))
    return raw


def of_request(query: bytes, body: bytes) -> Pairs:
    """Every parameter of a request; a JSON body must be flat. Raises `Refusal` (`bad_request`)."""
    if is_json(body):
        pairs = _certain(decoded(query)) + of_json(body)
    else:
        pairs = _certain(decoded(query)) + _certain(decoded(body))
    if len(pairs) > PARAMETERS_MAX:
        raise too_many()
    names = {name for name, _ in pairs}
    if len(names) < len(pairs):
        raise Refusal("bad_request", "a parameter stands there twice, query and body together")
    if b"" in names:
        raise Refusal("bad_request", "a parameter has no name")
    return pairs


def too_many() -> Refusal:
    """Make (not raise) the refusal of a request with more parameters than any call has."""
    return Refusal("bad_request", f"more than {PARAMETERS_MAX} parameters")


def _certain(pairs: Pairs | None) -> Pairs:
    if pairs is None:
        raise Refusal("bad_request", '"=" in a value must be sent as %3D')
    return pairs


def of_json(body: bytes) -> Pairs:
    """The members of a flat JSON object, values as text in the spelling sent; null is no
    parameter. Raises `Refusal` (`bad_request`)."""
    check_json(body)
    try:
        # the standard parser keeps numbers as they are written, and repeated names
        members = json.loads(body, object_pairs_hook=tuple, parse_float=str, parse_int=str)
    except RecursionError:
        members = None
    if type(members) is not tuple:
        raise Refusal("bad_request", "the body must be a flat JSON object")
    return [(name.encode(), _text(value)) for name, value in members if value is not None]


def check_json(body: bytes) -> None:
    """Raises `Refusal` (`bad_request`) for a body that is not JSON."""
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal("bad_request", f"the body is not JSON: {error.msg[:100]}") from None


def _text(value: object) -> bytes:
    if type(value) is str:
        return value.encode()
    if type(value) is bool:
        return b"true" if value else b"false"
    raise Refusal("bad_request", "the body must be a flat JSON object")


def encoded(pairs: Pairs) -> bytes:
    """Spell parameters as MEXC wants them signed: percent-encoded, upper-case, space as %20."""
    return b"&".join([_encoded(name) + b"=" + _encoded(value) for name, value in pairs])


def _encoded(text: bytes) -> bytes:
    return quote_from_bytes(text, safe="-_.~").encode()


def whole(value: bytes) -> int:
    """A whole number of at most 15 digits; -1 for anything else."""
    return int(value) if value.isdigit() and len(value) <= _DIGITS_MAX else -1
