"""What a parameter must be, read out of a query or a JSON body.

On spot every value is text, on futures JSON's own types; the names are MEXC's.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from proxy.sim.mexc.answers import Denied, missing, wrong

if TYPE_CHECKING:
    from proxy.sim.mexc.desk import Json


def text(said: Json, name: str) -> str:
    """Return a spot parameter that must be there; raises Denied."""
    value = said.get(name)
    if not isinstance(value, str) or not value:
        raise missing(name)
    return value


def amount(value: Any) -> Decimal | None:
    """Return a plain number above zero, sent as text or as one; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        return None
    if isinstance(value, str) and not set(value) <= set("0123456789."):
        return None
    try:
        number = Decimal(value)
    except ArithmeticError:
        return None
    return number if number.is_finite() and number > 0 else None


def spot_amount(said: Json, name: str) -> Decimal:
    """Return a spot parameter that is a number above zero; raises Denied."""
    number = amount(text(said, name))
    if number is None:
        raise missing(name)
    return number


def choice(said: Json, name: str, allowed: tuple[str, ...]) -> str:
    """Return a spot parameter that is one of a few words; raises Denied."""
    value = text(said, name)
    if value not in allowed:
        raise missing(name)
    return value


def futures_amount(said: Json, name: str) -> Decimal:
    """Return a futures parameter that is a number above zero; raises Denied."""
    number = amount(said.get(name))
    if number is None:
        raise wrong(name)
    return number


def whole(said: Json, name: str, low: int, high: int, default: int | None = None) -> int:
    """Return a futures parameter that is a whole number within bounds; raises Denied."""
    value = said.get(name, default)
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 20:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise wrong(name)
    return value


def one(content: Any) -> Json:
    """Return a futures body as the one object it must be; raises Denied."""
    if not isinstance(content, dict):
        raise Denied(601, "Data parsing error", 400)
    return content


def several(content: Any, most: int) -> list[Any]:
    """Return a futures body as the array it must be; raises Denied."""
    if not isinstance(content, list) or not 1 <= len(content) <= most:
        raise Denied(601, "Data parsing error", 400)
    return content


def number(value: Decimal) -> int | float:
    """Return a number as futures answers show it."""
    return int(value) if value == value.to_integral_value() else float(value)
