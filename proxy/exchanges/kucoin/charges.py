"""What a KuCoin request costs: the weight of its row, whatever is in it.
https://www.kucoin.com/docs-new/rate-limit
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.exchanges.flat import flat_charges

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.model import Charge, Endpoint, Request


def charges(endpoint: Endpoint, request: Request, content: Any) -> Sequence[Charge]:
    """Say what a request costs: the very same tuple for every request of a row."""
    return flat_charges(endpoint)
