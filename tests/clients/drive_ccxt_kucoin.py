"""ccxt's kucoin, sync and async, spot and futures: it signs itself as partner on all it signs."""

import sys

from driving_ccxt import Driver, Market, batch_of, place, settle

FUNDS = {"accounts": ("main", "trade"), "withdrawal": {"network": "ERC20"}}
MARKETS = {
    "spot": Market("BTC/USDT", 0.001, 20000.0, **FUNDS),
    "futures": Market("BTC/USDT:USDT", 1, 20000.0, **FUNDS),
}
SPOT = ("public", "private", "earn", "uta", "utaV2", "utaPrivate", "broker")
FUTURES = ("futuresPublic", "futuresPrivate")


def point(exchange, base):
    exchange.urls["api"].update(dict.fromkeys(SPOT, base))
    exchange.urls["api"].update(dict.fromkeys(FUTURES, f"{base}/futures"))


async def place_otherwise(exchange, market):
    # the paths of accounts that are high-frequency, or those of accounts that are not
    exchange.options["hf"] = not exchange.options["hf"]
    return await place(exchange, market)


async def open_orders(exchange, market):
    return {order["id"] for order in await settle(exchange.fetch_open_orders(market.symbol))}


async def batch(exchange, market):
    # create_orders gives nothing for high-frequency ones: it looks for them one level too deep
    before = await open_orders(exchange, market)
    await batch_of(exchange, market, 3)
    return sorted(await open_orders(exchange, market) - before)


async def amend(exchange, market):
    # changing an order makes a new one here
    identity = await place(exchange, market)
    changed = (identity, market.symbol, "limit", "buy", market.amount, market.price + 1)
    new = (await settle(exchange.edit_order(*changed)))["id"]
    return (await settle(exchange.fetch_order(new, market.symbol)))["price"] == market.price + 1


async def malformed(exchange, market):
    return await settle(exchange.cancel_order("", market.symbol))


if __name__ == "__main__":
    Driver(
        *("kucoin", point, MARKETS[sys.argv[2]]),
        kept_options=["hf", "uta"],
        own_words=[place_otherwise, batch, amend, malformed],
    ).run()
