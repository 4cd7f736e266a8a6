"""A client library as the tests see it: a process that does what it is told, word by word, and
what it should raise when the proxy refuses.

Each library runs in an environment of its own (`environments.py`), driven by a `drive_*.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

import pytest

from tests.clients import environments

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from tests.clients.users import Keys

Outcome = dict[str, Any]

_END_SECONDS_MAX: Final = 10


@dataclass(frozen=True, slots=True)
class Library:
    """A client library, how it is driven, and how it tells of a refusal.

    `raises` is the class of everything it raises; "" when the refusal decides. `shows` is what
    then stands in the text, with {status} and {code} of the refusal. One that `returns` raises
    nothing: it gives the exchange's answer, whatever its status.
    """

    name: str
    environment: str
    driver: str
    words: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    raises: str = ""
    shows: tuple[str, ...] = ()
    returns: bool = False

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a bot does, what the proxy answers, and what ccxt raises for that."""

    slug: str
    word: str
    status: int
    code: str
    raised: str

    def __str__(self) -> str:
        return self.slug if self.word == "place" else f"{self.slug}-{self.word}"

    @property
    def purpose(self) -> str:
        """Return what the user is for who meets it: see `tests.clients.users`."""
        return self.slug if self.word == "place" else ""

    def check(self, library: Library, outcome: Outcome) -> None:
        """Assert that the outcome is what this library makes of this refusal."""
        if library.returns:
            assert outcome.get("gave", {}).get("code") == self.code, outcome
            assert self.slug in outcome["gave"]["msg"]
            return
        assert outcome.get("raised", [""])[0] == (library.raises or self.raised), outcome
        assert self.slug in outcome["text"]
        for pattern in library.shows:
            assert pattern.format(status=self.status, code=self.code) in outcome["text"], outcome


OUTCOME: Final = "outcome: "  # what a driver's line of its own begins with


@final
class Driven:
    """A library at work, until `end`. Its own output goes into a file of `folder`."""

    def __init__(self, library: Library, folder: Path) -> None:
        """Start the driver; skip, or fail in CI, where the library cannot be installed."""
        try:
            python = environments.interpreter(library.environment)
        except environments.Unavailable as reason:
            if "CI" in os.environ:
                raise
            pytest.skip(str(reason))
        self._printed = folder / f"{library}.err"
        with self._printed.open("wb") as printed:
            self._process = subprocess.Popen(
                [str(python), str(environments.HERE / library.driver), *library.arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=printed,
                text=True,
            )

    def do(self, word: str, keys: Keys, base_url: str) -> Outcome:
        """Have it do one thing with these keys at this address."""
        call = {"base": base_url, "as": keys, "do": word}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(call) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            # a library may print when it is first imported, before the driver has a say in it
            if line.startswith(OUTCOME):
                outcome: Outcome = json.loads(line.removeprefix(OUTCOME))
                return outcome
        raise AssertionError(self._printed.read_text())

    def end(self) -> None:
        """Leave no process behind."""
        try:
            self._process.communicate(timeout=_END_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()


def every_word(libraries: Iterable[Library]) -> list[tuple[Library, str]]:
    """Return what every library can do, for parametrized tests."""
    return [(library, word) for library in libraries for word in library.words]


def every_refusal(
    refusals: Mapping[Library, Sequence[Refusal]],
) -> list[tuple[Library, Refusal]]:
    """Return what every library is refused, for parametrized tests."""
    return [(library, refusal) for library, each in refusals.items() for refusal in each]


def check_accepted(word: str, outcome: Outcome) -> None:
    """Assert that what a library was told to do was done."""
    assert outcome.get("gave"), outcome
    if word.startswith("place") or word == "algo":
        assert isinstance(outcome["gave"], str)
    if word.endswith("batch"):
        assert len(set(outcome["gave"])) == 3, outcome
