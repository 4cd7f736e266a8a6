"""Finding exchanges: the folder is the registration, and a broken one is named."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING, Any

import pytest

from proxy.exchanges.okx import EXCHANGE
from proxy.exchanges.registry import BrokenExchange, exchanges, fault, find
from proxy.exchanges.spec import Venue

if TYPE_CHECKING:
    from pathlib import Path


def test_every_folder_is_an_exchange() -> None:
    assert set(exchanges()) == {"kucoin", "mexc", "okx"}
    assert exchanges()["okx"] is EXCHANGE
    assert exchanges() is exchanges()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("raise ValueError('no table')", "exchange moon: ValueError: no table"),
        ("X = 1", "exchange moon: AttributeError: "),
        ("EXCHANGE = 1", "exchange moon: EXCHANGE is not an Exchange"),
        ("from proxy.exchanges.okx import EXCHANGE", "exchange moon: its kind is 'okx'"),
    ],
)
def test_a_broken_folder_stops_the_start_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, words: str
) -> None:
    package = tmp_path / f"skies_{abs(hash(source))}"
    (package / "moon").mkdir(parents=True)
    (package / "__pycache__").mkdir()
    (package / "gone" / "__pycache__").mkdir(parents=True)
    (package / "moon" / "__init__.py").write_text(source)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    with pytest.raises(BrokenExchange) as caught:
        find([str(package)], package.name)
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "moon"}, "its kind is 'moon'"),
        ({"verify": None}, "verify must be functions"),
        ({"sign": 1, "read": 1}, "read, sign must be functions"),
        ({"venues": (Venue("futures"),)}, "its first venue is not main"),
        ({"venues": ()}, "its first venue is not main"),
        ({"venues": (Venue("futures"), Venue("main"))}, "its first venue is not main"),
        ({"configured": None, "unserved": ""}, "configured, unserved must be functions"),
        ({"sample_orders": ()}, "sample_orders must be functions"),
        ({"lessons": ()}, "it has no lesson that tells an account's uid"),
        ({"endpoints": ()}, "it has no endpoints"),
        ({"endpoints": EXCHANGE.endpoints[:1] * 2}, "an endpoint stands in its table twice"),
        (
            {
                "endpoints": (
                    *EXCHANGE.endpoints[:1],
                    *[dataclasses.replace(EXCHANGE.endpoints[0], path="/other")],
                )
            },
            "two endpoints have one label",
        ),
        ({"pools": EXCHANGE.pools[:1] * 2}, "two limits have one name"),
        ({}, ""),
    ],
)
def test_what_a_folder_offers_is_checked(change: dict[str, Any], words: str) -> None:
    assert fault("okx", dataclasses.replace(EXCHANGE, **change)) == words
