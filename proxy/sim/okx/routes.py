"""Which function answers which endpoint; every other row of the table is answered blandly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.sim.answers import Answer
from proxy.sim.okx import (
    algo,
    broker,
    copying,
    market,
    orders,
    products,
    reads,
    subaccount_deposits,
    subaccounts,
    trade,
)
from proxy.sim.okx.answers import Refused
from proxy.sim.okx.desk import Call, ItemFault

if TYPE_CHECKING:
    from collections.abc import Callable

_POSTS: Final[dict[str, Callable[[Call], Answer]]] = {
    "trade/order": trade.place,
    "trade/batch-orders": trade.place_batch,
    "trade/amend-order": trade.amend,
    "trade/amend-batch-orders": trade.amend_batch,
    "trade/cancel-order": trade.cancel,
    "trade/cancel-batch-orders": trade.cancel_batch,
    "trade/close-position": orders.close_position,
    "trade/cancel-all-after": orders.cancel_all_after,
    "trade/mass-cancel": orders.mass_cancel,
    "trade/order-precheck": orders.precheck,
    "trade/order-algo": algo.place,
    "trade/cancel-algos": algo.cancel,
    "trade/cancel-advance-algos": algo.cancel,
    "trade/amend-algos": algo.amend,
    "sprd/order": products.spread_order,
    "sprd/cancel-order": products.spread_cancel,
    "asset/convert/estimate-quote": products.convert_quote,
    "asset/convert/trade": products.convert_trade,
    "copytrading/set-instruments": copying.set_instruments,
    **broker.POSTS,
    **subaccount_deposits.POSTS,
    **subaccounts.POSTS,
    "account/set-leverage": reads.set_leverage,
    "account/set-position-mode": reads.set_position_mode,
}
_GETS: Final[dict[str, Callable[[Call], Answer]]] = {
    "trade/order": orders.order,
    "trade/orders-pending": orders.pending,
    "trade/orders-history": orders.history,
    "trade/orders-history-archive": orders.history,
    "trade/fills": orders.fills,
    "trade/fills-history": orders.fills_history,
    "trade/account-rate-limit": reads.account_rate,
    "trade/order-algo": algo.details,
    "trade/orders-algo-pending": algo.pending,
    "trade/orders-algo-history": algo.history,
    "sprd/order": products.spread_read,
    "sprd/orders-pending": products.spread_pending,
    "asset/convert/history": products.convert_history,
    "asset/currencies": reads.currencies,
    "asset/balances": reads.funding_balances,
    "account/balance": reads.balance,
    "account/config": reads.config,
    "account/instruments": market.alike(market.listing, market.LISTING_MS),
    "account/leverage-info": reads.leverage,
    "account/positions": reads.positions,
    "copytrading/instruments": copying.lead_instruments,
    **broker.GETS,
    **subaccount_deposits.GETS,
    **subaccounts.GETS,
    "market/books": market.alike(market.books),
    "market/candles": market.alike(market.newest_candles),
    "market/history-candles": market.alike(market.old_candles),
    "market/ticker": market.alike(market.ticker),
    "market/tickers": market.alike(market.tickers),
    "market/trades": market.alike(market.trades),
    "public/funding-rate": market.alike(market.funding_rate),
    "public/instruments": market.alike(market.listing, market.LISTING_MS),
    "public/mark-price": market.alike(market.mark_price),
    "public/time": market.time,
}


def perform(call: Call) -> Answer:
    """Do what the call asks for; raises Refused."""
    name = call.row.path.removeprefix("/api/v5/")
    if call.row.method == "GET":
        act = _GETS.get(name, products.read)
    elif call.row.tag:
        act = _POSTS.get(name, products.create)
    else:
        act = _POSTS.get(name, products.write)
    try:
        return act(call)
    except ItemFault as fault:
        parameter = fault.code in ("51000", "50014")
        raise Refused(fault.code, fault.msg, 400 if parameter else 200) from fault
