"""One table of a TOML file, read key by key: wrong type, wrong value, left-over key are faults.

Knows nothing of endpoints (`table.py` does). Every fault names the file, the line and the row.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, final

from proxy.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_DURATION: Final = re.compile(r"([1-9]\d{0,5})(ms|s|m|h)")
_WINDOW: Final = re.compile(r"([1-9]\d{0,8})/([1-9]\d{0,8})(ms|s|m|h|d)")
_UNIT_NS: Final = {
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
}
_WINDOW_DAYS_MAX: Final = 31


def window(text: str) -> tuple[int, int] | None:
    """Read `COUNT/DURATION` ("20/2s") as count and nanoseconds; None when it is not one."""
    found = _WINDOW.fullmatch(text)
    if found is None:
        return None
    length_ns = int(found[2]) * _UNIT_NS[found[3]]
    if length_ns > _WINDOW_DAYS_MAX * _UNIT_NS["d"]:
        return None
    return int(found[1]), length_ns


def row_lines(text: str, heading: str) -> Iterator[int]:
    """The 1-based line of each `[[heading]]` in a TOML text, in order."""
    opening = re.compile(rf"\s*\[\[\s*{re.escape(heading)}\s*\]\]")
    for number, line in enumerate(text.splitlines(), 1):
        if opening.match(line):
            yield number


@final
class Row:
    """A TOML table whose keys are taken one by one; `done` refuses what nobody took."""

    __slots__ = ("_left", "file", "line", "name")

    def __init__(self, data: dict[str, Any], file: str, line: int, name: str) -> None:
        self._left = dict(data)
        self.file = file
        self.line = line
        self.name = name  # how faults call the row

    def fault(self, key: str, what: str) -> Fault:
        """Make (not raise) the fault of one key of this row."""
        return Fault(self.file, self.line, f"{self.name}: {key}" if self.name else key, what)

    def has(self, key: str) -> bool:
        """Whether the key stands there and was not taken yet."""
        return key in self._left

    def text(self, key: str, default: str | None = None) -> str:
        """Take a string; without a default it must stand there and not be empty."""
        if key not in self._left:
            if default is None:
                raise self.fault(key, "is missing")
            return default
        value = self._left.pop(key)
        if not isinstance(value, str) or not value:
            raise self.fault(key, "must be a string that is not empty")
        return value

    def word(self, key: str, allowed: Collection[str], default: str | None = None) -> str:
        """Take a string that must be one of a few."""
        value = self.text(key, default)
        if value != default and value not in allowed:
            raise self.fault(key, f"{value!r} is not one of {', '.join(sorted(allowed))}")
        return value

    def whole(self, key: str, default: int, least: int, most: int) -> int:
        """Take a whole number between two bounds, both included."""
        value = self._left.pop(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.fault(key, f"must be a whole number from {least} to {most}")
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """Take true or false."""
        value = self._left.pop(key, default)
        if not isinstance(value, bool):
            raise self.fault(key, "must be true or false")
        return value

    def window(self, key: str) -> tuple[int, int]:
        """Take a limit such as "20/2s"; returns its count and its length in nanoseconds."""
        text = self.text(key)
        found = window(text)
        if found is None:
            raise self.fault(key, f'{text!r} is not a limit such as "20/2s" of at most 31 days')
        return found

    def duration(self, key: str, longest_ns: int) -> int:
        """Take a duration such as "500ms" in nanoseconds; 0 when it does not stand there."""
        if key not in self._left:
            return 0
        text = self.text(key)
        found = _DURATION.fullmatch(text)
        length_ns = int(found[1]) * _UNIT_NS[found[2]] if found is not None else 0
        if not 0 < length_ns <= longest_ns:
            most = longest_ns // _UNIT_NS["s"]
            raise self.fault(key, f'{text!r} is not a duration such as "500ms", {most}s at most')
        return length_ns

    def rows(self, key: str) -> list[Row]:
        """Take an array of inline tables."""
        value = self._left.pop(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.fault(key, "must be an array of tables")
        return [Row(item, self.file, self.line, f"{self.name}: {key}") for item in value]

    def done(self) -> None:
        """Refuse the keys that are left."""
        for key in self._left:
            raise self.fault(key, "is not a known key")
