"""Reads the tables of the exchanges: groups of lines, one for each endpoint. What the words of a
line mean is each exchange's own business."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def lines(package: str, name: str) -> Iterator[tuple[str, str]]:
    """Yield the name of its group and every line of a table beside `package`:
    [[group]] with `name` and `rows`, one text of a line for each endpoint."""
    text = resources.files(package).joinpath(name).read_text("utf-8")
    for group in tomllib.loads(text)["group"]:
        for line in group["rows"].split("\n"):
            if line:
                yield group["name"], line


def rate(text: str) -> tuple[int, int]:
    """Read "count/seconds" as a count and a span in nanoseconds; raises ValueError."""
    count, _, seconds = text.partition("/")
    return int(count), round(float(seconds) * 1_000_000_000)
