"""How the values of `tagproxy users` are written, on the command line and in files.

Each function takes text and returns the value, or raises `Wrong`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.config import values
from proxy.config.values import Wrong
from proxy.model import SENSITIVE_CLASSES

if TYPE_CHECKING:
    from collections.abc import Iterable

NAME_CHARS_MAX: Final = 64
TEXT_CHARS_MAX: Final = 200
PARTS_MAX: Final = 100  # of one list
_MS_NS: Final = 1_000_000


def name(text: str) -> str:
    """A user's name, or an account's label."""
    if not 0 < len(text) <= NAME_CHARS_MAX or not text.isprintable() or " " in text:
        raise Wrong(f"a name is 1 to {NAME_CHARS_MAX} printable characters without spaces")
    return text


def line(text: str) -> str:
    """A text that may be empty."""
    if len(text) > TEXT_CHARS_MAX or not text.isprintable():
        raise Wrong(f"at most {TEXT_CHARS_MAX} printable characters")
    return text


def classes(parts: Iterable[str]) -> tuple[str, ...]:
    """Sensitive classes, sorted."""
    wanted = _distinct(parts)
    unknown = sorted(wanted - set(SENSITIVE_CLASSES))
    if unknown:
        known = ", ".join(SENSITIVE_CLASSES)
        raise Wrong(f"no such class: {', '.join(unknown)} (there are {known})")
    return tuple(sorted(wanted))


def networks(parts: Iterable[str]) -> tuple[str, ...]:
    """Networks and single addresses, sorted."""
    return tuple(sorted(str(values.network(part)) for part in _distinct(parts)))


def parted(text: str) -> list[str]:
    """The parts of a comma-joined list."""
    return text.split(",")


def duration_ms(text: str) -> int:
    """`"24h"` -> milliseconds."""
    return values.duration(text) // _MS_NS


def _distinct(parts: Iterable[str]) -> set[str]:
    found = {part.strip() for part in parts} - {""}
    if len(found) > PARTS_MAX:
        raise Wrong(f"at most {PARTS_MAX} of them")
    return found
