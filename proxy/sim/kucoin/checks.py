"""Parameters of calls to the simulated KuCoin: each is read here, and refused here."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from proxy.sim.kucoin.answers import bad_parameter
from proxy.sim.kucoin.desk import Number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.sim.kucoin.desk import Call, Json

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,40}", re.ASCII)
TAGS_LONGEST: Final = 20
_MOST: Final = Decimal(10) ** 15


def whole(call: Call) -> Json:
    """Return the body as the one object it must be; raises Refused."""
    if not isinstance(call.content, dict):
        raise bad_parameter("Bad Request")
    return call.content


def items(content: Any, longest: int) -> list[Json]:
    """Return an array of objects; raises Refused."""
    if not isinstance(content, list) or not all(isinstance(each, dict) for each in content):
        raise bad_parameter("Bad Request")
    if not 1 <= len(content) <= longest:
        raise bad_parameter(f"The number of orders must be 1 to {longest}")
    return content


def text(item: Mapping[str, Any], key: str) -> str:
    """Return a parameter as text, "" when absent, null or empty; raises Refused."""
    value = item.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise bad_parameter(f"{key} is invalid")
    return str(value)


def needed(item: Mapping[str, Any], key: str) -> str:
    """Return a parameter that must be there; raises Refused."""
    value = text(item, key)
    if not value:
        raise bad_parameter(f"{key} can not be empty")
    return value


def choice(item: Mapping[str, Any], key: str, allowed: tuple[str, ...], default: str = "") -> str:
    """Return a parameter that is one of a few words; raises Refused."""
    value = text(item, key) or default
    if value not in allowed:
        raise bad_parameter(f"{key} is invalid")
    return value


def flag(item: Mapping[str, Any], key: str) -> bool:
    """Return an optional boolean; raises Refused."""
    value = item.get(key)
    if value in (None, False, "", "false"):
        return False
    if value in (True, "true"):
        return True
    raise bad_parameter(f"{key} is invalid")


def amount(item: Mapping[str, Any], key: str) -> Decimal:
    """Return a number above zero, sent as one or as text; raises Refused."""
    value = needed(item, key)
    try:
        number = Decimal(value) if value.isascii() and "_" not in value else Decimal(0)
    except ArithmeticError:
        number = Decimal(0)
    if not (number.is_finite() and 0 < number < _MOST) or value.strip() != value:
        raise bad_parameter(f"{key} is invalid")
    return number


def moment(query: Mapping[str, str], key: str, default: int) -> int:
    """Return a time of the query; absent, empty and 0 are `default`. Raises Refused."""
    value = query.get(key) or "0"
    if not (value.isascii() and value.isdecimal() and len(value) <= 16):
        raise bad_parameter(f"{key} is invalid")
    return int(value) or default


def stepped(item: Mapping[str, Any], key: str, step: str, words: str) -> Decimal:
    """Return a number above zero that is a multiple of `step`; raises Refused."""
    number = amount(item, key)
    if number % Decimal(step):
        raise bad_parameter(words)
    return number


def client_name(item: Mapping[str, Any], *, must: bool) -> str:
    """Return the clientOid; raises Refused."""
    value = text(item, "clientOid")
    if not value and must:
        raise bad_parameter("validation.createOrder.clientOidIsRequired")
    if value and (isinstance(value, Number) or not _NAME.fullmatch(value)):
        raise bad_parameter("clientOid is invalid")
    return value


def tags(call: Call, item: Mapping[str, Any]) -> str | None:
    """Return an order's tags: the partner's if the order is one's, else the user's own."""
    own = text(item, "tags")
    if not own.isascii() or len(own) > TAGS_LONGEST:
        raise bad_parameter("tags is invalid")
    if call.partner:
        return f"partner:{call.partner}"
    return own or None
