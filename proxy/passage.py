"""One request on its way through: what each stage found out. No behaviour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from proxy.accounts.directory import Access
    from proxy.egress import Egress
    from proxy.model import Claim, Request
    from proxy.routes import Route


# How a request leaves.
SIGNED: Final = 0  # with the account's real credentials
UNSIGNED: Final = 1  # public, without any
FORWARDED: Final = 2  # as the bot signed it: its secret is not held


@final
class Passage:
    """One request on its way through: what each stage found out."""

    __slots__ = (
        "access",
        "claim",
        "client_order_ids",
        "deadline_ns",
        "digest",
        "egress",
        "exchange_ns",
        "expiry_bounds",
        "least_ns",
        "limit_ns",
        "manner",
        "orders",
        "queued_ns",
        "request",
        "route",
        "sent",
        "sent_ns",
        "shared",
        "stranger",
        "verified",
        "wall_ms",
    )

    def __init__(self, request: Request, route: Route, wall_ms: int) -> None:
        self.request = request
        self.route = route
        self.wall_ms = wall_ms
        self.claim: Claim | None = None
        self.access: Access | None = None
        self.manner = SIGNED
        self.stranger = (
            False  # no key, and from an address that nobody's verified request came from
        )
        self.verified = False  # the signature was right
        self.shared = ""  # an answer got for others too: "merged", or "hit" of a copy
        self.egress: Egress | None = None  # where it leaves from, once that is known
        self.digest = b""  # reserved as used; empty for what may be repeated
        self.sent = False  # a byte may have left
        self.sent_ns = 0
        self.least_ns = 0  # the least round trip known when it was sent
        self.limit_ns = 0
        self.exchange_ns = 0
        self.queued_ns = 0
        self.deadline_ns = 0
        self.expiry_bounds = False  # the bot's own deadline ends the wait before ours does
        self.client_order_ids = ""
        self.orders = 0  # that carry our code
