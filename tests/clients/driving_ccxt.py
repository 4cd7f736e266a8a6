"""What a bot written against ccxt's unified interface does, sync or async, on any exchange.

A driver says how its exchange's client is made, and what is bought. Each call makes a client anew;
what it learned of markets is handed to the next, so that the next sends only what it is told to.
"""

import asyncio
import inspect
import sys
from dataclasses import dataclass, field

import ccxt
import ccxt.async_support
from driving import drive, words


@dataclass
class Market:
    """What is bought, at a price that rests; and how this exchange's users move funds."""

    symbol: str
    amount: float
    price: float
    accounts: tuple
    withdrawal: dict
    algo: dict = field(default_factory=dict)

    def order(self, **parameters):
        return (self.symbol, "limit", "buy", self.amount, self.price, parameters)


async def settle(value):
    return await value if inspect.isawaitable(value) else value


async def place(exchange, market):
    return (await settle(exchange.create_order(*market.order())))["id"]


async def place_with_own_id(exchange, market):
    own = f"own{exchange.milliseconds()}"
    return (await settle(exchange.create_order(*market.order(clientOrderId=own))))["id"]


async def batch(exchange, market):
    return await batch_of(exchange, market, 3)


async def batch_of(exchange, market, size):
    row = {"symbol": market.symbol, "type": "limit", "side": "buy"}
    rows = [row | {"amount": market.amount, "price": market.price} for _ in range(size)]
    return [order["id"] for order in await settle(exchange.create_orders(rows))]


async def algo(exchange, market):
    order = await settle(exchange.create_order(*market.order(**market.algo)))
    identity = order["id"]
    await settle(exchange.cancel_order(identity, market.symbol, {"trigger": True}))
    return identity


async def query(exchange, market):
    identity = await place(exchange, market)
    order = await settle(exchange.fetch_order(identity, market.symbol))
    return order["id"] == identity and order["status"] == "open"


async def pending(exchange, market):
    identity = await place(exchange, market)
    orders = await settle(exchange.fetch_open_orders(market.symbol))
    return identity in [order["id"] for order in orders]


async def cancel(exchange, market):
    identity = await place(exchange, market)
    await settle(exchange.cancel_order(identity, market.symbol))
    orders = await settle(exchange.fetch_open_orders(market.symbol))
    return identity not in [order["id"] for order in orders]


async def amend(exchange, market):
    identity = await place(exchange, market)
    changed = (identity, market.symbol, "limit", "buy", market.amount, market.price + 1)
    return (await settle(exchange.edit_order(*changed)))["id"] == identity


async def markets(exchange, market):
    await settle(exchange.load_markets(True))
    return market.symbol in exchange.markets


async def withdraw(exchange, market):
    address = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    return await settle(exchange.withdraw("USDT", 1, address, market.withdrawal))


async def transfer(exchange, market):
    return await settle(exchange.transfer("USDT", 1, *market.accounts))


WORDS = words(
    *(place, place_with_own_id, batch, algo, query, pending, amend, cancel, markets),
    *(withdraw, transfer),
)


class Driver:
    """One exchange's: `point(exchange, base)` points a new client at the proxy."""

    def __init__(self, name, point, market, kept_options=(), own_words=()):
        self._asynchronous = sys.argv[1] == "async"
        library = ccxt.async_support if self._asynchronous else ccxt
        self._kind = getattr(library, name)
        self._point = point
        self._market = market
        self._kept_options = kept_options
        self._words = WORDS | words(*own_words)
        self._learned = None

    def run(self):
        """Answer calls, with the sync or the async client as the first argument says."""
        drive(lambda base, triple, word: asyncio.run(self._perform(base, triple, word)))

    async def _perform(self, base, triple, word):
        exchange = self._client(base, triple)
        try:
            gave = await self._words[word](exchange, self._market)
            if word == "markets":
                self._learn(exchange)
            return gave
        finally:
            if self._asynchronous:
                await exchange.close()

    def _client(self, base, triple):
        exchange = self._kind(
            {
                "apiKey": triple["api_key"],
                "secret": triple["secret"],
                "password": triple.get("passphrase"),
                "enableRateLimit": False,
            }
        )
        self._point(exchange, base)
        if "behind_ms" in triple:
            exchange.options["timeDifference"] = triple["behind_ms"]
        if self._learned:
            markets, currencies, options = self._learned
            exchange.set_markets(markets, currencies)
            exchange.options.update(options)
        return exchange

    def _learn(self, exchange):
        options = {name: exchange.options[name] for name in self._kept_options}
        self._learned = (exchange.markets, exchange.currencies, options)
