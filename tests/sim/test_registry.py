from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxy.sim import registry

WORKING = """
class Made:
    kind = {kind!r}
    place = {place}
    venues = ("main", "other")

EXCHANGE = Made
"""

Folder = Callable[[str, str], None]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Folder]:
    """Writes a package of simulators called "planted" at tmp_path/planted."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "planted").mkdir()

    def write(kind: str, text: str) -> None:
        (tmp_path / "planted" / kind).mkdir()
        (tmp_path / "planted" / kind / "__init__.py").write_text(text)

    yield write
    for name in [name for name in sys.modules if name.split(".")[0] == "planted"]:
        del sys.modules[name]


def test_a_folder_is_found_and_what_is_none_is_not(folder: Folder, tmp_path: Path) -> None:
    folder("second", WORKING.format(kind="second", place=2))
    (tmp_path / "planted" / "empty" / "__pycache__").mkdir(parents=True)
    (tmp_path / "planted" / "file.py").write_text("")
    assert registry.kinds([str(tmp_path / "planted")]) == ("second",)
    assert registry.make("second", "planted").venues == ("main", "other")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("raise OSError('gone')", "simulator bad: OSError: gone"),
        ("", "simulator bad: AttributeError"),
        (WORKING.format(kind="good", place=1), "simulator bad: its kind is 'good'"),
        (WORKING.format(kind="bad", place=1).replace('"main", ', ""), "simulator bad: .*other"),
    ],
)
def test_a_broken_one_is_told_by_name(folder: Folder, text: str, why: str) -> None:
    folder("bad", text)
    with pytest.raises(registry.BrokenSimulator, match=why):
        registry.make("bad", "planted")


def test_okx_stands_first_and_some_can_be_left_out() -> None:
    assert registry.exchanges()[0].kind == "okx"
    assert [each.kind for each in registry.exchanges(["okx"])] == ["okx"]
