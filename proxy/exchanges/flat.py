"""What a request costs where that is the same for every request of its endpoint.

No item, condition or value of the request decides, so nothing of it is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from proxy.model import Charge

if TYPE_CHECKING:
    from proxy.model import Endpoint, Request

_REMEMBERED_MAX: Final = 4096
# the endpoint is kept so that its id cannot come again
_remembered: dict[int, tuple[Endpoint, tuple[Charge, ...]]] = {}


def flat_charges(endpoint: Endpoint, request: Request, content: Any) -> tuple[Charge, ...]:
    """Return the charges of an endpoint's draws, the very same tuple each time.

    An exchange's `charges` where no row counts items; its form refuses an operator's that would.
    """
    found = _remembered.get(id(endpoint))
    if found is not None and found[0] is endpoint:
        return found[1]
    charges = tuple(Charge(draw.pool, "", draw.weight) for draw in endpoint.draws)
    if len(_remembered) >= _REMEMBERED_MAX:
        _remembered.clear()
    _remembered[id(endpoint)] = (endpoint, charges)
    return charges
