"""Tables being read: each key is taken once, its faults are noted with their place, and what
nobody took is unknown. Where a value came from, file or environment, is known here only.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any, Final, TypeVar, final

from proxy.config.shape import Secret
from proxy.config.toml_lines import KeyPath, line_of
from proxy.config.values import ElementError, Wrong
from proxy.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

T = TypeVar("T")

MASTER_KEY_BYTES: Final = 32


@final
class Source:
    """One file with the environment laid over it, and the faults found in both."""

    __slots__ = ("cautions", "environ", "faults", "lines", "overrides", "path", "tree")

    def __init__(
        self,
        path: Path,
        tree: dict[str, Any],
        lines: dict[KeyPath, int],
        overrides: dict[KeyPath, str],
        environ: Mapping[str, str],
    ) -> None:
        self.path = path
        self.tree = tree
        self.lines = lines
        self.overrides = overrides  # key path -> name of the variable that set it
        self.environ = environ
        self.faults: list[Fault] = []
        self.cautions: list[Fault] = []

    def fault(self, path: KeyPath, what: str) -> None:
        """Note what is wrong at `path`."""
        self.faults.append(self._placed(path, what))

    def caution(self, path: KeyPath, what: str) -> None:
        """Note what is legal but unwise at `path`."""
        self.cautions.append(self._placed(path, what))

    def says(self, path: KeyPath) -> bool:
        """Whether the file or the environment sets `path`, so that it has no default."""
        return path in self.lines or path in self.overrides

    def whole(self, table: str) -> Section:
        """The top-level table of that name, empty when it is not there."""
        return Section(self, (table,), self.tree.get(table, {}))

    def file(self, value: object) -> Path:
        """The file that a value names; a relative one beside the configuration."""
        if not isinstance(value, str) or not value or "\0" in value:
            raise Wrong("must be the name of a file")
        path = self.path.parent / value
        try:
            with path.open("rb"):
                return path
        except OSError as error:
            raise Wrong(f"cannot read {path}: {error.strerror}") from error

    def secret(self, value: object) -> Secret:
        """A string, `{ file = … }` or `{ env = … }` -> what it holds. Never shows it."""
        if isinstance(value, dict) and len(value) == 1:
            ((kind, name),) = value.items()
            if kind == "file":
                return _filled(self.file(name).read_bytes(), str(name))
            if kind == "env" and isinstance(name, str):
                if name not in self.environ:
                    raise Wrong(f"the environment has no {name}")
                return _filled(self.environ[name].encode(), name)
        if not isinstance(value, str):
            raise Wrong("must be a string, { file = … } or { env = … }")
        return _filled(value.encode(), "")

    def master_key(self, value: object) -> Secret:
        """A secret that is 32 bytes in base64 -> those bytes."""
        try:
            key = base64.b64decode(self.secret(value).reveal(), validate=True)
        except binascii.Error:
            raise Wrong("must be 32 bytes in base64, is not base64") from None
        if len(key) != MASTER_KEY_BYTES:
            raise Wrong(f"must be 32 bytes in base64, is {len(key)} bytes")
        return Secret(key)

    def text(self, value: object) -> str:
        """Text that may also stand in a file or variable, as secrets do."""
        try:
            return self.secret(value).reveal().decode()
        except UnicodeDecodeError:
            raise Wrong("is not UTF-8") from None

    def _placed(self, path: KeyPath, what: str) -> Fault:
        key = written(path)
        for end in range(len(path), 0, -1):
            if (variable := self.overrides.get(path[:end])) is not None:
                return Fault(f"environment variable {variable}", 0, key, what)
        return Fault(str(self.path), line_of(self.lines, path), key, what)


@final
class Section:
    """One table. Whoever reads it takes its keys and calls `end`."""

    __slots__ = ("_left", "path", "readable", "source")

    def __init__(self, source: Source, path: KeyPath, values: object) -> None:
        self.source = source
        self.path = path
        self._left: dict[str, object] = {}
        self.readable = isinstance(values, dict)
        if isinstance(values, dict):
            self._left.update(values)
        else:
            source.fault(path, "must be a table")

    def has(self, key: str) -> bool:
        """Whether `key` stands there and was not taken yet."""
        return key in self._left

    def take(self, key: str, parse: Callable[[object], T], default: T) -> T:
        """The value of a key that may be left out; `default` also after a fault."""
        if key not in self._left:
            return default
        try:
            return parse(self._left.pop(key))
        except ElementError as error:
            self.source.fault((*self.path, key, error.index), str(error))
        except Wrong as error:
            self.fault(key, str(error))
        return default

    def need(self, key: str, parse: Callable[[object], T], stand_in: T) -> T:
        """The value of a key that must stand there; `stand_in` after a fault."""
        if key not in self._left and self.readable:
            self.fault(key, "is missing")
        return self.take(key, parse, stand_in)

    def table(self, key: str) -> Section:
        """The table under `key`, empty when it is not there."""
        return Section(self.source, (*self.path, key), self._left.pop(key, {}))

    def rest(self) -> dict[str, object]:
        """Every key not taken yet; they count as taken."""
        left, self._left = self._left, {}
        return left

    def fault(self, key: str, what: str) -> None:
        """Note what is wrong with `key`."""
        self.source.fault((*self.path, key), what)

    def end(self) -> None:
        """Note what is left as unknown."""
        for key in self.rest():
            self.fault(key, "unknown key")


def _filled(content: bytes, where: str) -> Secret:
    content = content.strip()
    if not content:
        raise Wrong(f"{where} is empty".strip())
    return Secret(content)


def written(path: KeyPath) -> str:
    """A key path as people write it."""
    return "".join(_written(part) for part in path).removeprefix(".")


def _written(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    bare = part.replace("-", "").replace("_", "")
    return f".{part}" if bare.isascii() and bare.isalnum() else f".{json.dumps(part)}"
