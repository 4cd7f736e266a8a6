"""What OKX tells of an account when it is asked: who it is, what its key may do, its own limits.
https://www.okx.com/docs-v5/en/#trading-account-rest-api-get-account-configuration

A lead trader of copy trading has far narrower limits on the instruments that it leads with; the
account's configuration names them, and so does the list of instruments to lead with. The cap on a
sub-account's orders follows from its fill ratio and is fixed anew once a day.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

import orjson

from proxy.exchanges.okx.rows import TABLE
from proxy.exchanges.spec import Lesson
from proxy.model import Learned, LearnedLimit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from proxy.model import Response

LEADS_SWAP: Final = "lead-swap"
LEADS_SPOT: Final = "lead-spot"

_HOUR_NS: Final = 3_600_000_000_000
_CAP: Final = "subaccount-orders"
_CAP_WINDOW_NS: Final = 2_000_000_000
_LEADING: Final = "1"  # of roleType: 0 is nobody special, 2 a copy trader
_INSTRUMENTS_MAX: Final = 1000
_WORDS_MAX: Final = 100
_WORD: Final = re.compile(r"[\x21-\x2b\x2d-\x7e]{1,64}")  # no comma: it parts words
_UID: Final = re.compile(r"[0-9A-Za-z]{1,64}")
_WHOLE: Final = re.compile(r"-?[0-9]{1,15}")


def _lead_limits() -> Mapping[str, tuple[int, int]]:
    """By pool: the limits that the rows give lead traders, for an array of one too."""
    limits: dict[str, tuple[int, int]] = {}
    for endpoint in TABLE.endpoints:
        limit = TABLE.lead_traders.get(endpoint.label)
        if limit is not None:
            for draws in (endpoint.draws, endpoint.single_item_draws):
                for draw in draws[:1]:
                    limits[draw.pool.name] = limit
    return limits


_LEAD_LIMITS: Final = _lead_limits()


def read_config(response: Response) -> Learned | None:
    """Read the answer of account/config."""
    rows = _rows(response)
    if not rows:
        return None
    row = rows[0]
    uid = _uid(row.get("uid"))
    if not uid:
        return None
    roles: list[str] = []
    instruments: list[Any] = []
    for role, word, led in (
        ("roleType", LEADS_SWAP, "traderInsts"),
        ("spotRoleType", LEADS_SPOT, "spotTraderInsts"),
    ):
        if row.get(role) == _LEADING:
            roles.append(word)
            named = row.get(led)
            instruments += named if type(named) is list else []
    return Learned(
        uid,
        _uid(row.get("mainUid")),
        _words(row.get("perm")),
        tuple(_address(word) for word in _words(row.get("ip"))),
        tuple(roles),
        _led(instruments),
    )


def read_rate_limit(response: Response) -> Learned | None:
    """Read the answer of trade/account-rate-limit.

    The limit that is expected next (`nextAccRateLimit`) is not taken: since when it holds is not
    told, so the present one is asked for again.
    """
    rows = _rows(response)
    text = rows[0].get("accRateLimit") if rows else None
    if type(text) is not str or _WHOLE.fullmatch(text) is None:
        return None
    return Learned(limits=(LearnedLimit(_CAP, "", int(text), _CAP_WINDOW_NS),))


def read_instruments(response: Response) -> Learned | None:
    """Read the answer of copytrading/instruments: those that the account leads with."""
    rows = _rows(response)
    if rows is None:
        return None
    return Learned(limits=_led(row.get("instId") for row in rows if row.get("enabled") is True))


def _rows(response: Response) -> list[dict[str, Any]] | None:
    """The objects of an answer that says all is well; None for any other answer."""
    if response.status != 200:
        return None
    try:
        answer = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return None
    if type(answer) is not dict or answer.get("code") != "0":
        return None
    data = answer.get("data")
    if type(data) is not list:
        return None
    return [row for row in data if type(row) is dict]


def _led(instruments: Iterable[Any]) -> tuple[LearnedLimit, ...]:
    """The limits on instruments that a lead trader leads with."""
    named = {one.upper(): None for one in instruments if type(one) is str and _WORD.fullmatch(one)}
    return tuple(
        LearnedLimit(pool, instrument, count, window_ns)
        for instrument in list(named)[:_INSTRUMENTS_MAX]
        for pool, (count, window_ns) in _LEAD_LIMITS.items()
    )


def _uid(value: Any) -> str:
    return value if type(value) is str and _UID.fullmatch(value) else ""


def _words(value: Any) -> tuple[str, ...]:
    """What stands between commas."""
    if type(value) is not str:
        return ()
    words = [word.strip() for word in value.split(",")]
    return tuple(word for word in words[:_WORDS_MAX] if _WORD.fullmatch(word))


def _address(word: str) -> str:
    """An IP address as everybody else writes it; whatever else stands there as it stands."""
    try:
        return str(ip_address(word))
    except ValueError:
        return word


LESSONS: Final = (
    Lesson(
        b"GET",
        b"/api/v5/account/config",
        b"",
        read_config,
        _HOUR_NS,
        lambda learned: True,
    ),
    Lesson(
        b"GET",
        b"/api/v5/trade/account-rate-limit",
        b"",
        read_rate_limit,
        _HOUR_NS,
        lambda learned: True,
    ),
    Lesson(
        b"GET",
        b"/api/v5/copytrading/instruments",
        b"?instType=SWAP",
        read_instruments,
        _HOUR_NS,
        lambda learned: LEADS_SWAP in learned.roles,
    ),
    Lesson(
        b"GET",
        b"/api/v5/copytrading/instruments",
        b"?instType=SPOT",
        read_instruments,
        _HOUR_NS,
        lambda learned: LEADS_SPOT in learned.roles,
    ),
)
