"""Where each key of a TOML text stands. `tomllib` says what a text means, not where.

Only for text that `tomllib` has accepted: this scanner looks for keys and brackets, and trusts
everything else. TOML 1.0: https://toml.io/en/v1.0.0
"""

from __future__ import annotations

import re
import tomllib
from typing import Final, TypeAlias, final

KeyPath: TypeAlias = tuple[str | int, ...]

_BLANK: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_STRING: Final = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:[^"\\]|\\.)*"|\'[^\']*\'', re.DOTALL
)
_BARE_VALUE: Final = re.compile(r"[^,\]}\n#]*")
_DOT: Final = re.compile(r"[ \t]*\.[ \t]*")


def locate(text: str) -> dict[KeyPath, int]:
    """Map the path of every table, key and array element to its line, counted from 1."""
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


def line_of(lines: dict[KeyPath, int], path: KeyPath) -> int:
    """The line of `path`, or of the nearest table round it; 1 for what stands nowhere."""
    for end in range(len(path), 0, -1):
        if (line := lines.get(path[:end])) is not None:
            return line
    return 1


@final
class _Scanner:
    __slots__ = ("_arrays", "_at", "_text", "lines")

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._arrays: dict[KeyPath, int] = {}  # arrays of tables: index of the last element
        self.lines: dict[KeyPath, int] = {}

    def document(self) -> None:
        table: KeyPath = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip(_BLANK)

    def _header(self) -> KeyPath:
        line = self._line()
        is_array = self._text.startswith("[[", self._at)
        self._at += 2 if is_array else 1
        path: KeyPath = ()
        keys = self._keys()
        for depth, key in enumerate(keys, 1):
            path += (key,)
            if is_array and depth == len(keys):
                self._arrays[path] = self._arrays.get(path, -1) + 1
            self._mark(path, line)
            if path in self._arrays:
                path += (self._arrays[path],)
                self._mark(path, line)
        self._at += 2 if is_array else 1
        return path

    def _pair(self, table: KeyPath) -> None:
        line = self._line()
        path = table
        for key in self._keys():
            path += (key,)
            self._mark(path, line)
        self._at += 1  # =
        self._skip(_BLANK)
        self._value(path)

    def _keys(self) -> list[str]:
        keys: list[str] = []
        self._skip(_BLANK)
        while True:
            if string := _STRING.match(self._text, self._at):
                keys.append(tomllib.loads(f"key = {string.group()}")["key"])
                self._at = string.end()
            else:
                keys.append(self._skip(_BARE_KEY))
            dot = _DOT.match(self._text, self._at)
            if dot is None:
                self._skip(_BLANK)
                return keys
            self._at = dot.end()

    def _value(self, path: KeyPath) -> None:
        start = self._text[self._at]
        if start == "[":
            self._items(path)
        elif start == "{":
            self._inline_table(path)
        else:
            self._skip(_STRING if start in "\"'" else _BARE_VALUE)

    def _items(self, path: KeyPath) -> None:
        index = 0
        self._next()
        while self._text[self._at] != "]":
            self._mark((*path, index), self._line())
            self._value((*path, index))
            self._skip(_BLANK)
            if self._text[self._at] == ",":
                self._next()
            index += 1
        self._at += 1

    def _inline_table(self, path: KeyPath) -> None:
        self._next()
        while self._text[self._at] != "}":
            self._pair(path)
            self._skip(_BLANK)
            if self._text[self._at] == ",":
                self._next()
        self._at += 1

    def _next(self) -> None:
        self._at += 1
        self._skip(_BLANK)

    def _skip(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        assert found is not None, f"not TOML at character {self._at}"
        self._at = found.end()
        return found.group()

    def _mark(self, path: KeyPath, line: int) -> None:
        self.lines.setdefault(path, line)

    def _line(self) -> int:
        return self._text.count("\n", 0, self._at) + 1
