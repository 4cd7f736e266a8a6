"""The old place of `proxy.sim.okx.signature`."""

from __future__ import annotations

from proxy.sim.okx.signature import signature

__all__ = ["signature"]
