"""Claims of exchanges whose requests carry all of their authentication in headers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.model import Claim, Request


def told_by_the_head(request: Request, claim: Claim) -> None:
    """Add nothing: an exchange's `complete` where no claim stands in a body."""
