"""A simulated KuCoin: its own table, signatures and pools, and every refusal of its error table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from proxy.sim.kucoin.desk import Partner, Profile, User, World
from proxy.sim.kucoin.exchange import Kucoin
from proxy.sim.server import SimulatedExchange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from proxy.clock import Clock
    from proxy.sim.recorded import Recorded

EXCHANGE: Final = Kucoin


@final
class SimulatedKucoin(SimulatedExchange[Kucoin]):
    """A simulated KuCoin behind its server, with these users."""

    def __init__(
        self,
        users: Iterable[User] = (),
        *,
        clock: Clock | None = None,
        on_order: Callable[[Recorded], None] | None = None,
    ) -> None:
        super().__init__(Kucoin(users), clock=clock, on_order=on_order)

    @property
    def world(self) -> World:
        """Return everything that outlives a request."""
        return self.exchange.world


__all__ = ["EXCHANGE", "Kucoin", "Partner", "Profile", "SimulatedKucoin", "User"]
