"""What a MEXC request costs: the same for every request of a row.
https://www.mexc.com/api-docs/spot-v3/general-info#limits
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.exchanges.flat import flat_charges

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.model import Charge, Endpoint, Request


def charges(endpoint: Endpoint, request: Request, content: Any) -> Sequence[Charge]:
    """Say what a request costs; nothing in it changes that."""
    return flat_charges(endpoint)
