"""The simulated exchanges behind `demo`, `sim` and the tests: strict, and the second opinion.

Imports nothing that the proxy itself works with but the clock, so that a mistake there cannot
hide here: its tables, signatures and windows are its own.
"""

from __future__ import annotations

from proxy.sim.authority import Authority
from proxy.sim.desk import User
from proxy.sim.profile import Profile
from proxy.sim.recorded import Recorded
from proxy.sim.server import SimulatedOkx

__all__ = ["Authority", "Profile", "Recorded", "SimulatedOkx", "User"]
