"""ccxt, sync and async: what a bot written against its unified interface does."""

import asyncio
import functools
import inspect
import sys

import ccxt
import ccxt.async_support
from driving import PRICE, TRIGGER, drive

SYMBOL = "BTC/USDT:USDT"
ASYNC = ccxt.async_support.okx
MARKETS = {}


def client(kind, base, triple):
    exchange = kind(
        {
            "apiKey": triple["api_key"],
            "secret": triple["secret"],
            "password": triple["passphrase"],
            "enableRateLimit": False,
        }
    )
    exchange.urls["api"]["rest"] = base
    if "behind_ms" in triple:
        exchange.options["timeDifference"] = triple["behind_ms"]
    if MARKETS:
        exchange.set_markets(MARKETS["markets"], MARKETS["currencies"])
    return exchange


async def settle(value):
    return await value if inspect.isawaitable(value) else value


async def place(exchange):
    order = await settle(exchange.create_order(SYMBOL, "limit", "buy", 1, float(PRICE)))
    return order["id"]


async def place_with_own_id(exchange):
    own = {"clientOrderId": f"own{exchange.milliseconds()}"}
    order = await settle(exchange.create_order(SYMBOL, "limit", "buy", 1, float(PRICE), own))
    return order["id"]


async def batch(exchange, size=3):
    rows = [
        {"symbol": SYMBOL, "type": "limit", "side": "buy", "amount": 1, "price": float(PRICE)}
        for _ in range(size)
    ]
    return [order["id"] for order in await settle(exchange.create_orders(rows))]


async def algo(exchange):
    parameters = {"triggerPrice": float(TRIGGER)}
    order = await settle(exchange.create_order(SYMBOL, "limit", "buy", 1, float(PRICE), parameters))
    identity = order["id"]
    await settle(exchange.cancel_order(identity, SYMBOL, {"trigger": True}))
    return identity


async def query(exchange):
    identity = await place(exchange)
    order = await settle(exchange.fetch_order(identity, SYMBOL))
    return order["id"] == identity and order["status"] == "open"


async def pending(exchange):
    identity = await place(exchange)
    orders = await settle(exchange.fetch_open_orders(SYMBOL))
    return identity in [order["id"] for order in orders]


async def amend(exchange):
    identity = await place(exchange)
    order = await settle(exchange.edit_order(identity, SYMBOL, "limit", "buy", 1, float(PRICE) + 1))
    return order["id"] == identity


async def cancel(exchange):
    identity = await place(exchange)
    order = await settle(exchange.cancel_order(identity, SYMBOL))
    return order["id"] == identity


async def markets(exchange):
    await settle(exchange.load_markets(True))
    MARKETS.update(markets=exchange.markets, currencies=exchange.currencies)
    return SYMBOL in exchange.markets


async def too_many(exchange):
    return await batch(exchange, 21)


async def transfer(exchange):
    return await settle(exchange.transfer("USDT", 1, "funding", "trading"))


async def withdraw(exchange):
    address = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    return await settle(exchange.withdraw("USDT", 1, address, {"fee": 1, "chain": "USDT-ERC20"}))


WORDS = {
    word.__name__: word
    for word in (
        *(place, place_with_own_id, batch, algo, query, pending, amend, cancel, markets),
        *(too_many, transfer, withdraw),
    )
}


async def on_new_client(kind, base, triple, word):
    exchange = client(kind, base, triple)
    try:
        return await WORDS[word](exchange)
    finally:
        if kind is ASYNC:
            await exchange.close()


def perform(kind, base, triple, word):
    return asyncio.run(on_new_client(kind, base, triple, word))


if __name__ == "__main__":
    drive(functools.partial(perform, ASYNC if sys.argv[1] == "async" else ccxt.okx))
