"""okx 2.1.2, which raises on any status but 2xx and sends again, up to 50 times, on the rest."""

import datetime

import okx.api._client as library
from driving import PRICE, drive, words
from okx.api import API

SWAP = "BTC-USDT-SWAP"
TRIGGER = "19000"
ORDER = {"instId": SWAP, "tdMode": "cross", "side": "buy", "ordType": "limit", "sz": "1"}
REAL_DATETIME = datetime.datetime


def lag(behind_ms):
    """Set the clock that the library stamps by; it has no option for that."""

    class Clock(REAL_DATETIME):
        @classmethod
        def utcnow(cls):
            return REAL_DATETIME.utcnow() - datetime.timedelta(milliseconds=behind_ms)

    library.datetime.datetime = Clock


def client(base, triple):
    lag(triple.get("behind_ms", 0))
    return API(
        key=triple["api_key"],
        secret=triple["secret"],
        passphrase=triple["passphrase"],
        proxy_host=base,
        retry_delay=0,
    )


def row(answer):
    if answer["code"] != "0":
        raise LookupError(answer)
    return answer["data"][0]


def place(api):
    answer = api.trade.set_order(**ORDER, px=PRICE)
    return answer["data"][0]["ordId"] if answer["code"] == "0" else answer


def batch(api):
    answer = api.trade.set_batch_orders([{**ORDER, "px": PRICE} for _ in range(3)])
    return [order["ordId"] for order in answer["data"]]


def algo(api):
    # set_order_algo knows no trigger price, set_cancel_algos sends no array: one floor below
    own = {"proxies": {}, "proxy_host": None}
    terms = {**ORDER, "ordType": "trigger", "triggerPx": TRIGGER, "orderPx": PRICE}
    answer = api.algoTrade.send_request("/api/v5/trade/order-algo", "POST", **terms, **own)
    identity = row(answer)["algoId"]
    cancelled = api.algoTrade.send_request(
        "/api/v5/trade/cancel-algos", "POST", [{"instId": SWAP, "algoId": identity}], **own
    )
    return identity if cancelled["code"] == "0" else cancelled


def query(api):
    identity = place(api)
    order = row(api.trade.get_order(instId=SWAP, ordId=identity))
    return order["ordId"] == identity and order["state"] == "live"


def pending(api):
    identity = place(api)
    answer = api.trade.get_orders_pending(instType="SWAP")
    return identity in [order["ordId"] for order in answer["data"]]


def amend(api):
    identity = place(api)
    return row(api.trade.set_amend_order(SWAP, ordId=identity, newSz="2"))["ordId"] == identity


def cancel(api):
    identity = place(api)
    return row(api.trade.set_cancel_order(SWAP, ordId=identity))["ordId"] == identity


def markets(api):
    answer = api.public.get_instruments(instType="SWAP")
    return SWAP in [listed["instId"] for listed in answer["data"]]


def too_many(api):
    return api.trade.set_batch_orders([{**ORDER, "px": PRICE} for _ in range(21)])


def transfer(api):
    # set_transfer raises a KeyError of its own before it sends anything
    terms = {"ccy": "USDT", "amt": "1", "from": "6", "to": "18", "proxies": {}, "proxy_host": None}
    return api.fundingAccount.send_request("/api/v5/asset/transfer", "POST", **terms)


def withdraw(api):
    address = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    return api.fundingAccount.set_withdrawal(
        ccy="USDT", amt="1", dest="4", toAddr=address, fee="1", chain="USDT-ERC20"
    )


WORDS = words(
    *(place, batch, algo, query, pending, amend, cancel, markets),
    *(too_many, transfer, withdraw),
)


if __name__ == "__main__":
    drive(lambda base, triple, word: WORDS[word](client(base, triple)))
