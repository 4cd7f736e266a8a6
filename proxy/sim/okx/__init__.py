"""A simulated OKX: its own table, signature and windows, and every refusal of its error table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from proxy.sim.okx.desk import User, World
from proxy.sim.okx.exchange import Okx
from proxy.sim.okx.profile import Profile
from proxy.sim.server import SimulatedExchange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from proxy.clock import Clock
    from proxy.sim.okx.costs import Meter
    from proxy.sim.okx.table import Row
    from proxy.sim.recorded import Recorded

EXCHANGE: Final = Okx


@final
class SimulatedOkx(SimulatedExchange[Okx]):
    """A simulated OKX behind its server, with these users."""

    def __init__(
        self,
        users: Iterable[User] = (),
        *,
        clock: Clock | None = None,
        on_order: Callable[[Recorded], None] | None = None,
    ) -> None:
        super().__init__(Okx(users), clock=clock, on_order=on_order)

    @property
    def world(self) -> World:
        """Return everything that outlives a request."""
        return self.exchange.world

    @property
    def table(self) -> dict[str, Row]:
        """Return what is served, by `METHOD path`."""
        return self.exchange.table

    @property
    def meter(self) -> Meter:
        """Return what tells the costs."""
        return self.exchange.meter


__all__ = ["EXCHANGE", "Okx", "Profile", "SimulatedOkx", "User"]
