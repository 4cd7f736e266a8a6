"""What MEXC does not publish, as configuration: whose budgets are, what a signature covers.
https://www.mexc.com/api-docs/spot-v3/general-info#limits
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from proxy.exchanges.spec import Option

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from proxy.model import Draw, Endpoint, Pool

ORDER_SUBJECT: Final = "order_subject"
FUTURES_SUBJECT: Final = "futures_subject"
JSON_BODY_SIGNATURE: Final = "json_body_signature"
_SUBJECTS: Final = ("both", "account", "address")
_SCOPES: Final[Mapping[str, str]] = {"account": "user", "address": "ip"}
_ORDERS: Final = "spot-orders"

OPTIONS: Final = (
    Option(
        ORDER_SUBJECT,
        _SUBJECTS,
        "both",
        "whose the shared budget of spot orders and cancels is, 12/1s: each account's, that of "
        "the address they are sent from, or both, as MEXC does not say",
    ),
    Option(
        FUTURES_SUBJECT,
        _SUBJECTS,
        "both",
        "the same for the budgets of signed futures calls",
    ),
    Option(
        JSON_BODY_SIGNATURE,
        ("covered", "query-only"),
        "covered",
        "whether the signature of a broker call covers its JSON body, as documented, or the "
        "query alone, as ccxt does it",
    ),
)


def limited(endpoints: Iterable[Endpoint], options: Mapping[str, str]) -> tuple[Endpoint, ...]:
    """The rows with the draws that the options leave."""
    orders = _SCOPES.get(options.get(ORDER_SUBJECT, "both"), "")
    futures = _SCOPES.get(options.get(FUTURES_SUBJECT, "both"), "")
    return tuple(_limited(endpoint, orders, futures) for endpoint in endpoints)


def _limited(endpoint: Endpoint, orders: str, futures: str) -> Endpoint:
    draws = endpoint.draws
    scope = ""
    if endpoint.venue == "futures" and endpoint.permission != "public":
        scope = futures
    elif any(draw.pool.name == _ORDERS for draw in draws):
        scope = orders
    if not scope:
        return endpoint
    return replace(endpoint, draws=tuple(_of_scope(draws, scope)))


def _of_scope(draws: Iterable[Draw], scope: str) -> Iterable[Draw]:
    return [draw for draw in draws if draw.pool.scope[0] == scope]


def drawn_on(endpoints: Iterable[Endpoint]) -> tuple[Pool, ...]:
    """Every pool that rows draw on, once."""
    pools = {draw.pool.name: draw.pool for endpoint in endpoints for draw in endpoint.draws}
    return tuple(pools.values())
