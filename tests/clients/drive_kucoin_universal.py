"""kucoin-universal-sdk 1.3.2, key version 3, spot and futures. Its partner options are set, as a
broker's customer would have them; it sends them on broker calls alone, never on orders."""

import sys
import uuid

import kucoin_universal_sdk.internal.infra.default_signer as library
from driving import PRICE, Lagging, drive, words
from kucoin_universal_sdk.api.client import DefaultClient
from kucoin_universal_sdk.generate.account.account import GetSpotAccountListReq
from kucoin_universal_sdk.generate.account.transfer import InnerTransferReq
from kucoin_universal_sdk.generate.account.withdrawal import WithdrawalV3Req
from kucoin_universal_sdk.generate.broker.apibroker import GetRebaseReq
from kucoin_universal_sdk.generate.futures import order as futures
from kucoin_universal_sdk.generate.spot import order as spot
from kucoin_universal_sdk.generate.spot.market import GetAllSymbolsReq
from kucoin_universal_sdk.model.client_option import ClientOptionBuilder
from kucoin_universal_sdk.model.transport_option import TransportOptionBuilder


def client(base, triple):
    library.time = Lagging(triple.get("behind_ms", 0))
    option = (
        ClientOptionBuilder()
        .set_key(triple["api_key"])
        .set_secret(triple["secret"])
        .set_passphrase(triple["passphrase"])
        .set_spot_endpoint(base)
        .set_futures_endpoint(f"{base}/futures")
        .set_broker_endpoint(base)
        .set_broker_name("another broker")
        .set_broker_partner("anotherpartner")
        .set_broker_key(str(uuid.uuid4()))
        .set_transport_option(TransportOptionBuilder().build())
        .build()
    )
    return DefaultClient(option).rest_service()


class Spot:
    """Orders of spot."""

    symbol = "BTC-USDT"
    one = spot.AddOrderReq
    one_of_many = spot.BatchAddOrdersOrderList

    def __init__(self, rest):
        self.size = {"size": "0.001"}
        self.orders = rest.get_spot_service().get_order_api()
        self.market = rest.get_spot_service().get_market_api()

    def listed(self):
        return self.market.get_all_symbols(GetAllSymbolsReq()).data

    def add_many(self, orders):
        return self.orders.batch_add_orders(spot.BatchAddOrdersReq(order_list=orders)).data

    def get(self, identity):
        named = spot.GetOrderByOrderIdReq(order_id=identity, symbol=self.symbol)
        order = self.orders.get_order_by_order_id(named)
        return order.id if order.active else None

    def open(self):
        return self.orders.get_open_orders(spot.GetOpenOrdersReq(symbol=self.symbol)).data

    def cancel(self, identity):
        named = spot.CancelOrderByOrderIdReq(order_id=identity, symbol=self.symbol)
        return [self.orders.cancel_order_by_order_id(named).order_id]


class Futures:
    """Orders of futures."""

    symbol = "XBTUSDTM"
    one = futures.AddOrderReq
    one_of_many = futures.BatchAddOrdersItem

    def __init__(self, rest):
        self.size = {"size": 1, "leverage": 1}
        self.orders = rest.get_futures_service().get_order_api()
        self.market = rest.get_futures_service().get_market_api()

    def listed(self):
        return self.market.get_all_symbols().data

    def add_many(self, orders):
        return self.orders.batch_add_orders(futures.BatchAddOrdersReq(items=orders)).data

    def get(self, identity):
        order = self.orders.get_order_by_order_id(futures.GetOrderByOrderIdReq(order_id=identity))
        return order.id if order.is_active else None

    def open(self):
        named = futures.GetOrderListReq(status="active", symbol=self.symbol)
        return self.orders.get_order_list(named).items

    def cancel(self, identity):
        named = futures.CancelOrderByIdReq(order_id=identity)
        return self.orders.cancel_order_by_id(named).cancelled_order_ids


VENUES = {"spot": Spot, "futures": Futures}


def order(venue, kind):
    own = {"client_oid": str(uuid.uuid4()), "side": "buy", "type": "limit", "price": PRICE}
    return kind(symbol=venue.symbol, **own, **venue.size)


def place(rest, venue):
    return venue.orders.add_order(order(venue, venue.one)).order_id


def batch(rest, venue):
    placed = venue.add_many([order(venue, venue.one_of_many) for _ in range(3)])
    return [one.order_id for one in placed]


def query(rest, venue):
    identity = place(rest, venue)
    return venue.get(identity) == identity


def pending(rest, venue):
    identity = place(rest, venue)
    return identity in [one.id for one in venue.open()]


def cancel(rest, venue):
    identity = place(rest, venue)
    return venue.cancel(identity) == [identity] and venue.get(identity) is None


def markets(rest, venue):
    return venue.symbol in [one.symbol for one in venue.listed()]


def comma_and_space(rest, venue):
    # signed as "USDT, BTC" and sent as "USDT%2C+BTC"
    accounts = rest.get_account_service().get_account_api()
    return accounts.get_spot_account_list(GetSpotAccountListReq(currency="USDT, BTC")).data == []


def withdraw(rest, venue):
    address = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    terms = {"currency": "USDT", "chain": "eth", "amount": "1", "withdraw_type": "ADDRESS"}
    withdrawals = rest.get_account_service().get_withdrawal_api()
    return withdrawals.withdrawal_v3(WithdrawalV3Req(to_address=address, **terms)).withdrawal_id


def transfer(rest, venue):
    terms = {"currency": "USDT", "amount": "1", "from_": "main", "to": "trade"}
    transfers = rest.get_account_service().get_transfer_api()
    return transfers.inner_transfer(InnerTransferReq(client_oid="own1", **terms)).order_id


def rebates(rest, venue):
    # a broker call: here it signs itself as partner, VERIFY and all
    reports = rest.get_broker_service().get_api_broker_api()
    asked = GetRebaseReq(begin="20260101", end="20260201", trade_type="1")
    return reports.get_rebase(asked).url


def malformed(rest, venue):
    return venue.cancel("")


WORDS = words(
    *(place, batch, query, pending, cancel, markets, comma_and_space),
    *(withdraw, transfer, rebates, malformed),
)


def perform(base, triple, word):
    rest = client(base, triple)
    return WORDS[word](rest, VENUES[sys.argv[1]](rest))


if __name__ == "__main__":
    drive(perform)
