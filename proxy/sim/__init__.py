"""The simulated exchanges behind `demo`, `sim` and the tests: strict, and the second opinion.

Each exchange is a folder, see `proxy.sim.exchange`. Imports nothing that the proxy itself works
with but the clock and its kind of error, so that a mistake there cannot hide here: tables,
signatures and windows are its own.
"""

from __future__ import annotations

from proxy.sim.authority import Authority
from proxy.sim.recorded import Recorded
from proxy.sim.server import SimulatedExchange

__all__ = ["Authority", "Recorded", "SimulatedExchange"]
