"""Each wrong file in `faults/` has its exact messages beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proxy.config import load
from proxy.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.config import Config
    from proxy.exchanges.spec import Exchange

HERE = Path(__file__).parent / "faults"
WRONG = sorted(HERE.glob("*.toml"))


@pytest.mark.parametrize("path", WRONG, ids=lambda path: path.stem)
def test_a_wrong_file_is_told_every_fault_with_its_line(
    path: Path, kinds: Mapping[str, Exchange]
) -> None:
    with pytest.raises(ConfigError) as told:
        load(path, {}, kinds)
    said = str(told.value).replace(f"{HERE}/", "")
    assert said + "\n" == path.with_suffix(".txt").read_text()


def test_every_expectation_has_its_file() -> None:
    assert {path.stem for path in HERE.glob("*.txt")} == {path.stem for path in WRONG}


def test_no_fault_shows_a_secret(kinds: Mapping[str, Exchange]) -> None:
    for path in WRONG:
        with pytest.raises(ConfigError) as told:
            load(path, {}, kinds)
        assert "hunter2" not in repr(told.value) + str(told.value)


def test_a_missing_file_is_one_clear_line(tmp_path: Path, kinds: Mapping[str, Exchange]) -> None:
    path = tmp_path / "proxy.toml"
    with pytest.raises(ConfigError, match="^" + str(path) + ": no such file; name one with -c$"):
        load(path, {}, kinds)


def test_a_directory_is_no_file(tmp_path: Path, kinds: Mapping[str, Exchange]) -> None:
    with pytest.raises(ConfigError, match=f"^{tmp_path}: cannot be read: Is a directory$"):
        load(tmp_path, {}, kinds)


def test_bytes_that_are_no_text_are_told_with_their_line(
    tmp_path: Path, kinds: Mapping[str, Exchange]
) -> None:
    path = tmp_path / "proxy.toml"
    path.write_bytes(b"# fine\n[server]\n# \xff\n")
    with pytest.raises(ConfigError, match=r"proxy\.toml:3: is not UTF-8$"):
        load(path, {}, kinds)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "master.key is empty"),
        (b" \n", "master.key is empty"),
        (b"QUJD\n", "must be 32 bytes in base64, is 3 bytes"),
        (b"\xff\xfe", "must be 32 bytes in base64, is not base64"),
    ],
)
def test_a_key_file_that_holds_no_key_is_a_fault_of_its_line(
    tmp_path: Path, loaded: Callable[..., Config], content: bytes, what: str
) -> None:
    (tmp_path / "master.key").write_bytes(content)
    with pytest.raises(ConfigError, match=rf"proxy\.toml:2: storage\.master_key: {what}$"):
        loaded(TEXT)


def test_text_from_a_file_must_be_utf_8(tmp_path: Path, loaded: Callable[..., Config]) -> None:
    (tmp_path / "master.key").write_bytes(b"QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=")
    (tmp_path / "code").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"broker_code: is not UTF-8$"):
        loaded(TEXT.replace('"code1"', '{ file = "code" }'))


TEXT = """[storage]
master_key = { file = "master.key" }
[exchanges.okx]
kind = "okx"
rest_url = "https://www.okx.com"
broker_code = "code1"
"""
