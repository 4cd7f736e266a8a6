"""What is neither an order nor an algo: bots, spreads, blocks, copying, earn, and conversions.

Simulated as deep as the broker code goes: the parameters that must be there, the tag's form, and
the tag in the answer and in later reads. https://www.okx.com/docs-v5/en/
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from proxy.sim.answers import Answer
from proxy.sim.okx import instruments
from proxy.sim.okx.answers import (
    Refused,
    accepted,
    itemised,
    parameter_empty,
    parameter_error,
)
from proxy.sim.okx.desk import Call, Json, alphanumerics, amount, choice, needed, text
from proxy.sim.okx.trade import NAME_LONGEST, TAG_LONGEST, known_instrument

QUOTE_LIFE_MS: Final = 10_000

# What a tagged call must hold, beside its instrument; the id its answer carries.
_CREATES: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "rfq/create-rfq": ("rfqId", ("counterparties", "legs")),
    "rfq/create-quote": ("quoteId", ("rfqId", "quoteSide", "legs")),
    "copytrading/algo-order": ("subPosId", ("subPosId",)),
    "copytrading/close-subposition": ("subPosId", ("subPosId",)),
    "copytrading/first-copy-settings": ("", ("uniqueCode", "copyMgnMode", "copyInstIdType")),
    "copytrading/amend-copy-settings": ("", ("uniqueCode", "copyMgnMode", "copyInstIdType")),
    "tradingBot/grid/order-algo": (
        "algoId",
        ("instId", "algoOrdType", "maxPx", "minPx", "gridNum"),
    ),
    "tradingBot/grid/copy-order-algo": ("algoId", ("instId",)),
    "tradingBot/dca/create": ("algoId", ("instId", "algoOrdType")),
    "tradingBot/recurring/order-algo": (
        "algoId",
        ("stgyName", "recurringList", "period", "amt", "investmentCcy", "tdMode"),
    ),
    "finance/staking-defi/purchase": ("ordId", ("productId", "investData")),
}
_REFUSED_IN_DEMO: Final = ("withdraw", "deposit", "finance/")


def create(call: Call) -> Answer:
    """Any tagged call that has no simulation of its own."""
    _check_demo(call)
    item = call.object()
    id_key, keys = _CREATES[call.row.path.removeprefix("/api/v5/")]
    for key in keys:
        if item.get(key) in (None, "", [], {}):
            raise parameter_empty(key)
    if "instId" in keys:
        known_instrument(call, item)
    tag = alphanumerics(item, "tag", TAG_LONGEST)
    if not id_key:
        return accepted([{"result": True}])
    made: Json = {id_key: text(item, id_key) or call.world.new_id(), "tag": tag}
    call.desk.bots[made[id_key]] = item | made | {"path": call.row.path}
    if call.row.path.startswith("/api/v5/tradingBot/"):
        return itemised([made | {"sCode": "0", "sMsg": "", "algoClOrdId": ""}], call.now_ms * 1000)
    return accepted([made])


def write(call: Call) -> Answer:
    """Any other write: well-formed JSON is accepted and nothing is done."""
    _check_demo(call)
    return accepted([{"result": True}])


def _check_demo(call: Call) -> None:
    away = any(word in call.row.path for word in _REFUSED_IN_DEMO)
    if away and call.user is not None and call.user.demo:
        raise Refused("50038", "This feature is unavailable in demo trading")


def read(call: Call) -> Answer:
    """Any other read: there is nothing to show."""
    return accepted([])


def spread_order(call: Call) -> Answer:
    """POST sprd/order."""
    item = call.object()
    if needed(item, "sprdId") not in instruments.SPREADS:
        raise Refused("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")
    choice(item, "side", ("buy", "sell"))
    kind = choice(item, "ordType", ("market", "limit", "post_only", "ioc"))
    amount(item, "sz")
    if kind != "market":
        amount(item, "px")
    made: Json = {
        "ordId": call.world.new_id(),
        "clOrdId": alphanumerics(item, "clOrdId", NAME_LONGEST),
        "tag": alphanumerics(item, "tag", TAG_LONGEST),
    }
    call.desk.bots[made["ordId"]] = item | made | {"path": call.row.path, "state": "live"}
    return itemised([made | {"sCode": "0", "sMsg": ""}], call.now_ms * 1000)


def spread_cancel(call: Call) -> Answer:
    """POST sprd/cancel-order."""
    item = call.object()
    found = _spread(call, item)
    if found is None or found["state"] != "live":
        raise Refused("51400", "Cancellation failed as the order does not exist.")
    found["state"] = "canceled"
    shown = {key: found[key] for key in ("ordId", "clOrdId")}
    return itemised([shown | {"sCode": "0", "sMsg": ""}], call.now_ms * 1000)


def spread_read(call: Call) -> Answer:
    """GET sprd/order."""
    found = _spread(call, dict(call.query))
    if found is None:
        raise Refused("51603", "Order does not exist")
    return accepted([found])


def spread_pending(call: Call) -> Answer:
    """GET sprd/orders-pending."""
    return accepted([bot for bot in call.desk.bots.values() if bot.get("state") == "live"])


def _spread(call: Call, item: Json) -> Json | None:
    order_id, name = text(item, "ordId"), text(item, "clOrdId")
    if not order_id and not name:
        raise parameter_empty("ordId")
    for bot in call.desk.bots.values():
        if "sprdId" in bot and (bot["ordId"] == order_id or (name and bot["clOrdId"] == name)):
            return bot
    return None


def _pair(item: Json) -> tuple[str, str]:
    base, quote = needed(item, "baseCcy"), needed(item, "quoteCcy")
    if base not in instruments.COINS or quote != "USDT":
        raise Refused("52912", "The currency pair is not supported.")
    return base, quote


def convert_quote(call: Call) -> Answer:
    """POST asset/convert/estimate-quote."""
    item = call.object()
    base, quote = _pair(item)
    side = choice(item, "side", ("buy", "sell"))
    size = amount(item, "rfqSz")
    if needed(item, "rfqSzCcy") not in (base, quote):
        raise parameter_error("rfqSzCcy")
    tag = alphanumerics(item, "tag", TAG_LONGEST)
    price = Decimal(instruments.last_price(base))
    base_size = size if item["rfqSzCcy"] == base else size / price
    made: Json = {
        "quoteId": f"quoter{call.world.new_id()}",
        "baseCcy": base,
        "quoteCcy": quote,
        "side": side,
        "baseSz": str(base_size),
        "quoteSz": str(base_size * price),
        "cnvtPx": str(price),
        "rfqSz": text(item, "rfqSz"),
        "rfqSzCcy": item["rfqSzCcy"],
        "origRfqSz": text(item, "rfqSz"),
        "clQReqId": text(item, "clQReqId"),
        "quoteTime": str(call.now_ms),
        "ttlMs": str(QUOTE_LIFE_MS),
    }
    call.desk.quotes[made["quoteId"]] = made | {"tag": tag}
    return accepted([made])


def convert_trade(call: Call) -> Answer:
    """POST asset/convert/trade."""
    item = call.object()
    base, quote = _pair(item)
    side = choice(item, "side", ("buy", "sell"))
    amount(item, "sz")
    if needed(item, "szCcy") not in (base, quote):
        raise parameter_error("szCcy")
    tag = alphanumerics(item, "tag", TAG_LONGEST)
    offer = call.desk.quotes.get(needed(item, "quoteId"))
    if offer is None or int(offer["quoteTime"]) + QUOTE_LIFE_MS < call.now_ms:
        raise Refused("52915", "The quote does not exist or has expired.")
    del call.desk.quotes[offer["quoteId"]]
    made: Json = {
        "tradeId": call.world.new_id(),
        "quoteId": offer["quoteId"],
        "clTReqId": text(item, "clTReqId"),
        "state": "fullyFilled",
        "instId": f"{base}-{quote}",
        "baseCcy": base,
        "quoteCcy": quote,
        "side": side,
        "fillPx": offer["cnvtPx"],
        "fillBaseSz": offer["baseSz"],
        "fillQuoteSz": offer["quoteSz"],
        "ts": str(call.now_ms),
    }
    call.desk.converts.append(made | {"tag": tag})
    return accepted([made])


def convert_history(call: Call) -> Answer:
    """GET asset/convert/history: a conversion with a tag shows only when that tag is asked for."""
    tag = alphanumerics(dict(call.query), "tag", TAG_LONGEST)
    shown = [row for row in call.desk.converts if row["tag"] == tag]
    return accepted([{k: v for k, v in row.items() if k != "tag"} for row in reversed(shown)])
