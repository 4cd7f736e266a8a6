"""ccxt's okx, sync and async."""

from driving_ccxt import Driver, Market, batch_of

SWAP = Market(
    *("BTC/USDT:USDT", 1, 20000.0),
    accounts=("funding", "trading"),
    withdrawal={"fee": 1, "chain": "USDT-ERC20"},
    algo={"triggerPrice": 19000.0},
)


def point(exchange, base):
    exchange.urls["api"]["rest"] = base


async def too_many(exchange, market):
    return await batch_of(exchange, market, 21)


if __name__ == "__main__":
    Driver("okx", point, SWAP, own_words=[too_many]).run()
