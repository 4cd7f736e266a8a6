"""python-okx 0.4.4, OKX's own: returns the decoded answer, whatever its status says."""

import datetime

from driving import PRICE, drive, words
from okx import Funding, PublicData, Trade
from okx import utils as library

SWAP = "BTC-USDT-SWAP"
TRIGGER = "19000"
ORDER = {"instId": SWAP, "tdMode": "cross", "side": "buy", "ordType": "limit", "sz": "1"}


def lag(behind_ms):
    """Set the clock that the library stamps by; it has no option for that."""

    def stamp():
        moment = datetime.datetime.now(datetime.UTC) - datetime.timedelta(milliseconds=behind_ms)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"

    library.get_timestamp = stamp


class Client:
    def __init__(self, base, triple):
        lag(triple.get("behind_ms", 0))
        keys = (triple["api_key"], triple["secret"], triple["passphrase"])
        self.trade = Trade.TradeAPI(*keys, flag="0", domain=base)
        self.funding = Funding.FundingAPI(*keys, flag="0", domain=base)
        self.public = PublicData.PublicAPI(*keys, flag="0", domain=base)


def row(answer):
    if answer["code"] != "0":
        raise LookupError(answer)
    return answer["data"][0]


def place(api):
    answer = api.trade.place_order(**ORDER, px=PRICE)
    return answer["data"][0]["ordId"] if answer["code"] == "0" else answer


def batch(api):
    answer = api.trade.place_multiple_orders([{**ORDER, "px": PRICE} for _ in range(3)])
    return [order["ordId"] for order in answer["data"]]


def algo(api):
    terms = {**ORDER, "ordType": "trigger", "triggerPx": TRIGGER, "orderPx": PRICE}
    identity = row(api.trade.place_algo_order(**terms))["algoId"]
    cancelled = api.trade.cancel_algo_order([{"instId": SWAP, "algoId": identity}])
    return identity if row(cancelled)["algoId"] == identity else cancelled


def query(api):
    identity = place(api)
    order = row(api.trade.get_order(SWAP, ordId=identity))
    return order["ordId"] == identity and order["state"] == "live"


def pending(api):
    identity = place(api)
    answer = api.trade.get_order_list(instType="SWAP")
    return identity in [order["ordId"] for order in answer["data"]]


def amend(api):
    identity = place(api)
    return row(api.trade.amend_order(SWAP, ordId=identity, newSz="2"))["ordId"] == identity


def cancel(api):
    identity = place(api)
    return row(api.trade.cancel_order(SWAP, ordId=identity))["ordId"] == identity


def markets(api):
    answer = api.public.get_instruments(instType="SWAP")
    return SWAP in [listed["instId"] for listed in answer["data"]]


def too_many(api):
    return api.trade.place_multiple_orders([{**ORDER, "px": PRICE} for _ in range(21)])


def transfer(api):
    return api.funding.funds_transfer(ccy="USDT", amt="1", from_="6", to="18")


def withdraw(api):
    address = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    return api.funding.withdrawal("USDT", "1", "4", address, chain="USDT-ERC20")


WORDS = words(
    *(place, batch, algo, query, pending, amend, cancel, markets),
    *(too_many, transfer, withdraw),
)


if __name__ == "__main__":
    drive(lambda base, triple, word: WORDS[word](Client(base, triple)))
