"""A simulated MEXC, spot and futures on one port: its own table, signatures and limits."""

from __future__ import annotations

from typing import Final

from proxy.sim.mexc.desk import Account, Settings, User
from proxy.sim.mexc.exchange import Mexc

EXCHANGE: Final = Mexc

__all__ = ["EXCHANGE", "Account", "Mexc", "Settings", "User"]
