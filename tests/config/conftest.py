"""Two kinds of exchange that know little: `okx` with one venue, `duo` with futures beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proxy.config import Config, load
from proxy.exchanges import registry
from proxy.exchanges.spec import Option, Venue
from proxy.model import Action, Draw, Endpoint, Pool, Tag

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.exchanges.spec import Exchange

MASTER_KEY = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="
WHOLE = f"""\
[storage]
url = "sqlite:////tmp/tagproxy.db"
master_key = "{MASTER_KEY}"
[exchanges.okx]
kind = "okx"
rest_url = "https://www.okx.com"
broker_code = "code1"
"""

ORDERS = Pool("POST /orders", 60, 2_000_000_000, ("user",))
ALL_ORDERS = Pool("all-orders", 1000, 5_000_000_000, ("user",))
BATCH = Pool("POST /batch", 300, 2_000_000_000, ("user",))
ROWS = (
    Endpoint("POST", "/orders", Action.PLACE, "trade", Tag.BODY, (Draw(ORDERS), Draw(ALL_ORDERS))),
    Endpoint("POST", "/batch", Action.PLACE, "trade", Tag.EACH_ITEM, (Draw(BATCH),)),
    Endpoint("POST", "/algo", Action.PLACE, "trade", Tag.BODY, (Draw(ORDERS),)),
    Endpoint("GET", "/time", Action.READ, "public", Tag.NONE, ()),
)


def _code_fault(code: str) -> str:
    return "" if code.isalnum() else "must be made of letters and digits"


@pytest.fixture(scope="session")
def kinds() -> Mapping[str, Exchange]:
    okx = replace(
        registry.exchanges()["okx"],
        endpoints=ROWS,
        pools=(ORDERS, ALL_ORDERS, BATCH),
        code_fault=_code_fault,
    )
    okx = replace(okx, configured=lambda options: okx)
    duo = replace(
        okx,
        kind="duo",
        venues=(Venue("main"), Venue("futures", beside_main=True)),
        options=(Option("subject", ("both", "account"), "both", "whose"),),
    )
    duo = replace(duo, configured=lambda options: duo)
    lone = replace(duo, kind="lone", venues=(Venue("main"), Venue("futures", optional=True)))
    lone = replace(lone, options=(), broker_keys=("broker_key",), configured=lambda options: lone)
    return {"okx": okx, "duo": duo, "lone": lone}


@pytest.fixture
def loaded(tmp_path: Path, kinds: Mapping[str, Exchange]) -> Callable[..., Config]:
    """Load a text, written to a file, under an environment."""

    def load_text(text: str = WHOLE, environ: Mapping[str, str] | None = None) -> Config:
        path = tmp_path / "proxy.toml"
        path.write_text(text)
        return load(path, environ or {}, kinds)

    return load_text
