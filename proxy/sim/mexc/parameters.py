"""The parameters of a request as they were sent, and what they say: strict about how they are
written, since the exchange signs what it reads.

Special characters are percent-encoded with upper-case digits, a space is %20.
https://www.mexc.com/api-docs/spot-v3/general-info#signed
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple, final
from urllib.parse import unquote

from proxy.sim.mexc.answers import Denied, bad_signature

SIGNATURE: Final = "signature"

_LEGAL: Final = re.compile(r"[A-Za-z0-9\-._~!$'()*,;:@/?%+=]*", re.ASCII)
_ESCAPE: Final = re.compile(r"%([0-9A-Fa-f]{2})?", re.ASCII)


@final
class Part(NamedTuple):
    """The query or the `k=v` body."""

    pairs: list[tuple[str, str]]  # decoded, in order, without the signature
    signed: bytes  # as sent, without the signature
    signature: str | None


def read(raw: bytes) -> Part:
    """Take a query or a `k=v` body apart; raises Denied for one that is oddly written."""
    pairs: list[tuple[str, str]] = []
    kept: list[str] = []
    signature: str | None = None
    for piece in raw.decode("latin-1").split("&") if raw else []:
        name, equals, value = piece.partition("=")
        _check(name, equals, value)
        if name == SIGNATURE:
            if signature is not None:
                raise repeated(name)
            signature = unquote(value)
        else:
            kept.append(piece)
            pairs.append((unquote(name), unquote(value)))
    return Part(pairs, "&".join(kept).encode("latin-1"), signature)


def joined(query: Part, body: Part) -> dict[str, str]:
    """Return every parameter by name; raises Denied for a name that was given twice.

    The real exchange lets the query's value go before the body's; here nobody may rely on it.
    """
    parameters: dict[str, str] = {}
    for name, value in (*query.pairs, *body.pairs):
        if name in parameters:
            raise repeated(name)
        parameters[name] = value
    return parameters


def repeated(name: str) -> Denied:
    """Make the refusal of a parameter that was sent twice."""
    return Denied(700004, f"Mandatory parameter '{name}' was sent twice, or malformed.", 400)


def _check(name: str, equals: str, value: str) -> None:
    if not (name and equals) or not _LEGAL.fullmatch(name + value) or "=" in value:
        raise Denied(700008, "Illegal characters found in a parameter.", 400)
    escapes = [found.group(1) for found in _ESCAPE.finditer(f"{name}={value}")]
    if None in escapes:
        raise Denied(700008, "Illegal characters found in a parameter.", 400)
    if "+" in name + value or any(each != each.upper() for each in escapes if each):
        # What it would have signed itself is %20, and upper case.
        raise bad_signature()
