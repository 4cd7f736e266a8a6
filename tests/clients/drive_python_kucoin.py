"""python-kucoin 2.2.0: the passphrase in clear, no key version, and as partner it signs a second
reading of the clock, so that its partner signature is often not of the request's instant."""

import kucoin.base_client as library
from driving import PRICE, Lagging, drive, words
from kucoin.client import Client

SYMBOL = "BTC-USDT"
ORDER = {"symbol": SYMBOL, "type": "limit", "side": "buy", "size": "0.001", "price": PRICE}


class Ticking(Lagging):
    """Goes on a millisecond with every reading: the partner signature is always of another."""

    def __init__(self, behind_ms):
        super().__init__(behind_ms)
        self._readings = 0

    def time(self):
        self._readings += 1
        return super().time() + self._readings / 1000


def client(base, triple):
    library.time = Ticking(triple.get("behind_ms", 0))
    http = Client(triple["api_key"], triple["secret"], triple["passphrase"])
    http.API_URL = base
    http.FUTURES_API_URL = f"{base}/futures"
    return http


def place(http):
    return http.hf_create_limit_order(SYMBOL, "buy", PRICE, "0.001")["orderId"]


def batch(http):
    return [order["orderId"] for order in http.hf_create_orders([ORDER, ORDER, ORDER])]


def place_futures(http):
    # futures_create_order raises a NameError of its own before it sends anything
    terms = {"symbol": "XBTUSDTM", "type": "limit", "side": "buy", "size": 1, "price": PRICE}
    own = {"clientOid": f"own{int(library.time.time() * 1000)}", "leverage": 1}
    return http._post("orders", True, is_futures=True, data=terms | own)["orderId"]


def query(http):
    identity = place(http)
    order = http.hf_get_order(identity, SYMBOL)
    return order["id"] == identity and order["active"]


def pending(http):
    identity = place(http)
    return identity in [order["id"] for order in http.hf_get_active_orders(SYMBOL)]


def cancel(http):
    identity = place(http)
    cancelled = http.hf_cancel_order(identity, SYMBOL)["orderId"] == identity
    return cancelled and not http.hf_get_order(identity, SYMBOL)["active"]


def markets(http):
    return SYMBOL in [listed["symbol"] for listed in http.get_symbols()]


def withdraw(http):
    # create_withdrawal raises a NameError of its own before it sends anything
    address = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    terms = {"currency": "USDT", "toAddress": address, "amount": 1, "withdrawType": "ADDRESS"}
    return http._post("withdrawals", True, api_version="v3", data=terms)


def transfer(http):
    return http.create_inner_transfer("own1", "USDT", "main", "trade", 1)


def malformed(http):
    return http.hf_cancel_order("", SYMBOL)


WORDS = words(
    *(place, batch, place_futures, query, pending, cancel, markets),
    *(withdraw, transfer, malformed),
)


if __name__ == "__main__":
    drive(lambda base, triple, word: WORDS[word](client(base, triple)))
