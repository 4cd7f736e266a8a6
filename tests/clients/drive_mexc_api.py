"""mexc-api 0.0.2, spot: all in the query, in the order given."""

import mexc_api.common.utils as library
from driving import PRICE, Lagging, drive, words
from mexc_api.common.enums import Method, OrderType, Side
from mexc_api.spot import Spot

SYMBOL = "BTCUSDT"


def client(base, triple):
    library.time = Lagging(triple.get("behind_ms", 0))
    spot = Spot(triple["api_key"], triple["secret"])
    spot.account.api.base_url = base  # one for all groups
    return spot


def place(spot):
    order = spot.account.new_order(SYMBOL, Side.BUY, OrderType.LIMIT, "0.001", price=PRICE)
    return order["orderId"]


def query(spot):
    identity = place(spot)
    order = spot.account.get_order(SYMBOL, identity)
    return order["orderId"] == identity and order["status"] == "NEW"


def pending(spot):
    identity = place(spot)
    return identity in [order["orderId"] for order in spot.account.get_open_orders(SYMBOL)]


def cancel(spot):
    identity = place(spot)
    spot.account.cancel_order(SYMBOL, identity)
    return identity not in [order["orderId"] for order in spot.account.get_open_orders(SYMBOL)]


def markets(spot):
    return SYMBOL in [listed["symbol"] for listed in spot.market.exchange_info()["symbols"]]


def withdraw(spot):
    address = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    return spot.wallet.withdraw("USDT", "ERC20", address, "1")


def malformed(spot):
    return spot.account.api.send_request(Method.GET, "/api/v3/account/", {}, True)


WORDS = words(place, query, pending, cancel, markets, withdraw, malformed)


if __name__ == "__main__":
    drive(lambda base, triple, word: WORDS[word](client(base, triple)))
