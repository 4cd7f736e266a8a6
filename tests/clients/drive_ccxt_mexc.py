"""ccxt's mexc, sync and async, spot and swap: it stamps `source: CCXT` on all it signs."""

import sys

from driving_ccxt import Driver, Market, settle

FUNDS = {"accounts": ("spot", "swap"), "withdrawal": {"network": "ERC20"}}
MARKETS = {
    "spot": Market("BTC/USDT", 0.001, 20000.0, **FUNDS),
    "swap": Market(
        "BTC/USDT:USDT", 1, 20000.0, **FUNDS, algo={"triggerPrice": 19000.0, "leverage": 20}
    ),
}


def point(exchange, base):
    # futures paths are served under both: sync bots use the one, async the other
    futures = f"{base}/futures" if sys.argv[1] == "async" else base
    exchange.urls["api"]["spot"] = {"public": base, "private": base}
    exchange.urls["api"]["contract"] = {
        "public": f"{futures}/api/v1/contract",
        "private": f"{futures}/api/v1/private",
    }
    exchange.urls["api"]["broker"] = {"private": f"{base}/api/v3/broker"}


async def malformed(exchange, market):
    if market.symbol.endswith(":USDT"):
        return await settle(exchange.fetch_order("", market.symbol))
    return await settle(exchange.request("account/", ["spot", "private"], "GET"))


async def swap_batch(exchange, market):
    # create_orders is for spot alone; submit_batch takes an array, which only request() can send
    row = {"symbol": "BTC_USDT", "price": 20000, "vol": 1, "side": 1, "type": 1, "openType": 2}
    answer = await settle(exchange.contractPrivatePostOrderSubmitBatch([row, row, row]))
    return [str(order["orderId"]) for order in answer["data"]]


if __name__ == "__main__":
    Driver("mexc", point, MARKETS[sys.argv[2]], own_words=[malformed, swap_batch]).run()
