"""The old place of `proxy.sim.okx.desk.User`."""

from __future__ import annotations

from proxy.sim.okx.desk import User

__all__ = ["User"]
