"""What the tests of commands start from: a configuration, and kinds of exchanges to configure."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from proxy.exchanges import registry
from proxy.model import KeyTriple, Tag
from tests.cli.commands import CONFIG, Commands, Exchange, exchange_on_a_thread

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def users(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Commands:
    """OKX, and a kind whose code stands in headers that the user does not sign."""
    okx = registry.exchanges()["okx"]

    def pair(random: bytes) -> KeyTriple:
        return KeyTriple(random[:16].hex(), random[16:48].hex(), "")

    rows = tuple(replace(row, tag=Tag.HEADERS) for row in okx.endpoints)
    headers = replace(okx, kind="headers", endpoints=rows, issue=pair)
    found = {"okx": okx, "headers": replace(headers, configured=lambda _: headers)}
    monkeypatch.setattr(registry, "exchanges", lambda: found)
    (tmp_path / "proxy.toml").write_text(CONFIG.format(folder=tmp_path))
    monkeypatch.setenv("TAGPROXY_TEST_KEY", b64encode(os.urandom(32)).decode())
    return Commands(tmp_path, capsys, monkeypatch)


@pytest.fixture
def exchange(users: Commands) -> Iterator[Exchange]:
    """A simulated OKX, in place of the one that `okx` is configured with."""
    with exchange_on_a_thread() as exchange:
        text = users.config_file.read_text()
        users.config_file.write_text(text.replace("https://127.0.0.1:1", exchange.url, 1))
        yield exchange
