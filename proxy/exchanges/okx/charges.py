"""What an OKX request costs: pool by pool, part by part.
https://www.okx.com/docs-v5/en/#overview-rate-limit

A batch is charged per element on its own instrument. Values that tell parts apart are compared
in upper case, and a missing one is a part of its own. What a plain order costs depends on three
of its values and is remembered by them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from proxy.errors import Refusal
from proxy.exchanges.okx.content import query_values
from proxy.model import Charge, Tag

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from proxy.model import Draw, Endpoint, Pool, Request

Item = dict[str, Any]

_REMEMBERED_MAX: Final = 4096
# by endpoint object and values; the endpoint is kept so that its id cannot come again
_remembered: dict[tuple[object, ...], tuple[Endpoint, tuple[Charge, ...]]] = {}

_VALUE_CHARACTERS_MAX: Final = 100
_MMP: Final = ("mmp", "mmp_and_post_only")
_QUERY_NAMES: Final = frozenset(
    ("instId", "instFamily", "uly", "instType", "ccy", "tag", "baseCcy", "quoteCcy")
)


def charges(endpoint: Endpoint, request: Request, content: Any) -> Sequence[Charge]:
    """Say what a request costs. Raises `Refusal` (`bad_request`) where that is not certain."""
    items: list[Item] = content.items
    if len(items) != 1 or not content.flat:
        return _charges(endpoint, request, content)
    get = items[0].get
    access = get("isElpTakerAccess")
    if access is not None and type(access) is not str and type(access) is not bool:
        return _charges(endpoint, request, content)  # 1 would be found where True was kept
    key = (id(endpoint), content.array, get("instId"), get("ordType"), access)
    try:
        found = _remembered.get(key)
    except TypeError:  # a value that is no text
        return _charges(endpoint, request, content)
    if found is not None and found[0] is endpoint:
        return found[1]
    charged = _charges(endpoint, request, content)
    if not _depends_on_three(endpoint) or any(
        len(str(value)) > _VALUE_CHARACTERS_MAX for value in key[2:]
    ):
        return charged
    if len(_remembered) >= _REMEMBERED_MAX:
        _remembered.clear()
    kept = tuple(charged)
    _remembered[key] = (endpoint, kept)
    return kept


def _depends_on_three(endpoint: Endpoint) -> bool:
    """Whether no other value than instId, ordType and isElpTakerAccess decides."""
    return all(
        word == "instrument"
        for draw in (*endpoint.draws, *endpoint.single_item_draws)
        for word in draw.pool.scope[1:]
    )


def _charges(endpoint: Endpoint, request: Request, content: Any) -> list[Charge]:
    items: list[Item] = content.items
    draws = endpoint.draws
    if endpoint.single_item_draws and content.array and len(items) == 1:
        draws = endpoint.single_item_draws
    looked = False
    charged: list[Charge] = []
    for draw in draws:
        pool = draw.pool
        if len(pool.scope) == 1 and not draw.condition:
            units = draw.weight * len(items) if draw.per_item and items else draw.weight
            charged.append(Charge(pool, "", units))
            continue
        if not looked:
            looked = True
            items = _items(endpoint, request, content)
        if len(items) == 1:
            item = items[0]
            if not draw.condition or CONDITIONS[draw.condition](item):
                charged.append(Charge(pool, _value(pool, item), draw.weight))
        else:
            charged += _summed(draw, items)
    return charged


def _items(endpoint: Endpoint, request: Request, content: Any) -> list[Item]:
    """The objects whose values decide, made certain: a query counts as one."""
    items: list[Any] = content.items
    if not items:
        return [query_values(request.suffix, _QUERY_NAMES)] if request.suffix else [{}]
    if not content.flat:
        if any(type(item) is not dict for item in items):
            raise Refusal("bad_request", "an element of the array is not a JSON object")
        content.refuse_ambiguous(request.body)
    if endpoint.tag is Tag.SCOPE and content.scope_tag is not None:
        return [{**items[0], "tag": content.scope_tag}]
    return items


def _summed(draw: Draw, items: list[Item]) -> list[Charge]:
    """One charge for each part that an array touches."""
    units: dict[str, int] = {}
    condition = CONDITIONS[draw.condition] if draw.condition else None
    for item in items:
        if condition is not None and not condition(item):
            continue
        value = _value(draw.pool, item)
        units[value] = units.get(value, 0) + draw.weight if draw.per_item else draw.weight
    return [Charge(draw.pool, value, count) for value, count in units.items()]


def _value(pool: Pool, item: Item) -> str:
    """The part of a pool that an item belongs to."""
    scope = pool.scope
    if len(scope) == 1:
        return ""
    if pool.option_scope and _is_option(_text(item, "instId")):
        scope = pool.option_scope
    if len(scope) == 2:
        return WORDS[scope[1]](item)
    return " ".join([WORDS[word](item) for word in scope[1:]])


def _text(item: Item, key: str) -> str:
    value = item.get(key)
    if type(value) is str:
        if len(value) > _VALUE_CHARACTERS_MAX:
            raise Refusal("bad_request", f"{key} is too long")
        return value.upper()
    if value is None:
        return ""
    raise Refusal("bad_request", f"{key} must be a string")


def _is_option(instrument: str) -> bool:
    """BTC-USD-240927-60000-C is one."""
    return instrument[-2:] in ("-C", "-P") and instrument.count("-") >= 4


def _family(item: Item) -> str:
    instrument = _text(item, "instId")
    if _is_option(instrument):
        return instrument.rsplit("-", 3)[0]
    return _text(item, "instFamily") or _text(item, "uly") or instrument


def _pair(item: Item) -> str:
    """Two currencies whichever way round, as conversions name their instrument."""
    ends = (_text(item, "baseCcy"), _text(item, "quoteCcy"))
    return "-".join(sorted(ends if any(ends) else (_text(item, "fromCcy"), _text(item, "toCcy"))))


def _tag(item: Item) -> str:
    sent = item.get("tag")
    if sent is None:
        return ""
    if type(sent) is not str or len(sent) > _VALUE_CHARACTERS_MAX:
        raise Refusal("bad_request", "tag must be a short string")
    return sent


def _is_counted(item: Item) -> bool:
    """Whether the sub-account's cap counts the order: spot, margin and MMP orders are exempt.

    An amendment does not say whether its order is MMP, so it is counted.
    """
    instrument = item.get("instId")
    if type(instrument) is str and instrument.count("-") == 1:
        return False
    return item.get("ordType") not in _MMP


def _is_elp_taker(item: Item) -> bool:
    access = item.get("isElpTakerAccess")
    return access is True or (access is not None and str(access).lower() == "true")


WORDS: Final[dict[str, Callable[[Item], str]]] = {
    "instrument": lambda item: _text(item, "instId"),
    "instFamily": _family,
    "instType": lambda item: _text(item, "instType"),
    "ccy": lambda item: _text(item, "ccy"),
    "pair": _pair,
    "tag": _tag,
}
CONDITIONS: Final[dict[str, Callable[[Item], bool]]] = {
    "counted-order": _is_counted,
    "elp-taker": _is_elp_taker,
}
