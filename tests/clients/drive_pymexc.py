"""pymexc 1.3.0, spot: signs its sorted query with %20 and sends it with +."""

import pymexc.base as library
from driving import PRICE, Lagging, drive, words
from pymexc import spot

SYMBOL = "BTCUSDT"
ORDER = ("BUY", "LIMIT")


def client(base, triple):
    library.time = Lagging(triple.get("behind_ms", 0))
    http = spot.HTTP(triple["api_key"], triple["secret"])
    http.base_url = base
    return http


def place(http):
    return http.order(SYMBOL, *ORDER, quantity="0.001", price=PRICE)["orderId"]


def batch(http):
    names = [{"newClientOrderId": f"own{number}"} for number in range(3)]
    orders = http.batch_orders(names, SYMBOL, *ORDER, quantity="0.001", price=PRICE)
    return [order["orderId"] for order in orders]


def query(http):
    identity = place(http)
    order = http.query_order(SYMBOL, order_id=identity)
    return order["orderId"] == identity and order["status"] == "NEW"


def pending(http):
    identity = place(http)
    return identity in [order["orderId"] for order in http.current_open_orders(SYMBOL)]


def cancel(http):
    identity = place(http)
    http.cancel_order(SYMBOL, identity)
    return identity not in [order["orderId"] for order in http.current_open_orders(SYMBOL)]


def markets(http):
    return SYMBOL in [listed["symbol"] for listed in http.exchange_info()["symbols"]]


def withdraw(http):
    return http.withdraw("USDT", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", 1, network="ERC20")


def transfer(http):
    return http.user_universal_transfer("SPOT", "FUTURES", "USDT", 1)


def malformed(http):
    return http.current_open_orders([SYMBOL, "ETHUSDT"])  # sent as a parameter named twice


WORDS = words(place, batch, query, pending, cancel, markets, withdraw, transfer, malformed)


if __name__ == "__main__":
    drive(lambda base, triple, word: WORDS[word](client(base, triple)))
