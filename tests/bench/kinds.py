"""The exchanges that the bench knows, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.bench.kucoin import KUCOIN
from tests.bench.mexc import MEXC
from tests.bench.okx import OKX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.bench.orders import Kind

KINDS: Final[Mapping[str, Kind]] = {kind.name: kind for kind in (OKX, MEXC, KUCOIN)}
