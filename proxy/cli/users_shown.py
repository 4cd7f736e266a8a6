"""How accounts look on a terminal and in JSON. Never a secret; API keys are masked.

`list --json` is an array of accounts:
    {"name", "exchange", "account", "mode", "state", "reason", "allow": [], "ip": [], "code",
     "uid", "created", "last_seen"}    state: active | block | close-only
`show --json` is an object:
    {"name", "accounts": [the same, with "api_key", "key_health", "key_health_at", "main_uid",
     "permissions": [], "bound_to": [], "learned", "clock_offset_ms", "orders_24h",
     "refusals_24h": {slug: n}, "last_refusal": {"at", "slug", "endpoint", "facts"}}],
     "issued": [{"id", "exchange", "account", "label", "api_key", "ip": [], "created",
     "expires"}]}
Instants are ISO 8601 or null: never (`expires`, `last_seen`), not known (the others; "" is a word
that is not known). `key_health` is "ok", "unknown", or the exchange's code for why it did not take
the key; what it told of the key (uid to bound_to) it told at `learned`. The clock offset is the
bot's last timestamp minus our clock. What a running `serve` knows is here some seconds later.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from proxy.accounts.activity import Activity
from proxy.accounts.enrolment import issued_of
from proxy.accounts.settling import real_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from proxy.accounts.enrolment import Enrolment
    from proxy.accounts.standing import Memory
    from proxy.accounts.store import AccountRow

_COLUMNS: Final = (
    *("name", "exchange", "account", "mode", "state", "allow", "ip", "code"),
    "last_seen",
)
_ISSUED_COLUMNS: Final = ("id", "exchange", "account", "label", "api_key", "ip", "expires")


def account_object(row: AccountRow, last_seen_ms: int) -> dict[str, Any]:
    """Return one account as `list --json` has it."""
    return {
        "name": row.user,
        "exchange": row.exchange,
        "account": row.label,
        "mode": row.mode,
        "state": row.disabled or "active",
        "reason": row.reason,
        "allow": list(row.grants),
        "ip": list(row.networks),
        "code": row.code,
        "uid": row.uid,
        "created": _instant(row.created_ms),
        "last_seen": _instant_or_none(last_seen_ms),
    }


def user_object(
    name: str,
    rows: Iterable[AccountRow],
    known: Mapping[str, Memory],
    enrolment: Enrolment,
    *,
    now_ms: int,
) -> dict[str, Any]:
    """Return one user as `show --json` has it; `known` are memories by account id."""
    accounts: list[dict[str, Any]] = []
    issued: list[dict[str, Any]] = []
    for row in rows:
        real = real_of(row)
        api_key = "" if real is None else enrolment.masked_key(row, real)
        accounts.append(_known_object(row, known.get(row.id), api_key, now_ms))
        issued.extend(
            {
                "id": one.id,
                "exchange": row.exchange,
                "account": row.label,
                "label": one.label,
                "api_key": enrolment.masked_key(row, one),
                "ip": list(one.networks),
                "created": _instant(one.created_ms),
                "expires": None if one.expires_ms is None else _instant(one.expires_ms),
            }
            for one in issued_of(row)
        )
    return {"name": name, "accounts": accounts, "issued": issued}


def _known_object(
    row: AccountRow, memory: Memory | None, api_key: str, now_ms: int
) -> dict[str, Any]:
    activity = (memory.activity if memory is not None else None) or Activity()
    orders, refusals = activity.totals(now_ms)
    return account_object(row, activity.last_seen_ms) | {
        "api_key": api_key,
        "key_health": activity.key_health or "unknown",
        "key_health_at": _instant_or_none(activity.key_health_ms),
        "main_uid": row.main_uid,
        "permissions": list(memory.permissions if memory is not None else ()),
        "bound_to": list(memory.addresses if memory is not None else ()),
        "learned": _instant_or_none(memory.learned_ms if memory is not None else 0),
        "clock_offset_ms": activity.clock_off_ms,
        "orders_24h": orders,
        "refusals_24h": refusals,
        "last_refusal": _last_refusal(activity),
    }


def _last_refusal(activity: Activity) -> dict[str, str] | None:
    if not activity.refusals:
        return None
    at_ms, slug, endpoint, facts = activity.refusals[-1]
    return {"at": _instant(at_ms), "slug": slug, "endpoint": endpoint, "facts": facts}


def accounts_text(accounts: Sequence[dict[str, Any]]) -> str:
    """Return accounts, as `list --json` has them, as a table."""
    return _table(_COLUMNS, accounts)


def user_text(shown: dict[str, Any]) -> str:
    """Return a user object as tables, and what is known of each account."""
    parts = [_table((*_COLUMNS, "reason"), shown["accounts"])]
    parts += [_known_text(one) for one in shown["accounts"]]
    if shown["issued"]:
        parts.append(_table(_ISSUED_COLUMNS, shown["issued"]))
    return "\n\n".join(parts)


def _known_text(one: dict[str, Any]) -> str:
    refusals = sorted(one["refusals_24h"].items(), key=lambda entry: (-entry[1], entry[0]))
    last = one["last_refusal"]
    main = one["main_uid"]
    off_ms = one["clock_offset_ms"]
    facts = {
        "key": f"{one['api_key']}, health {one['key_health']}{_since(one['key_health_at'])}",
        "uid": (one["uid"] or "not known") + (f", main account {main}" if main else ""),
        "permissions": ", ".join(one["permissions"]) or "not known",
        "bound to": ", ".join(one["bound_to"]) or ("nothing" if one["learned"] else "not known"),
        "bot's clock": "not known" if off_ms is None else f"{off_ms:+} ms beside ours",
        "orders in 24 h": str(one["orders_24h"]),
        "refusals": ", ".join(f"{slug} {n}" for slug, n in refusals) or "none",
        "last refusal": "never"
        if last is None
        else f"{last['at']} {last['slug']} {last['endpoint']} {last['facts']}".strip(),
    }
    lines = [f"  {name.ljust(14)}  {_printable(text)}" for name, text in facts.items()]
    return "\n".join([f"{one['exchange']}, account {one['account']}:", *lines])


def _printable(text: str) -> str:
    """What a bot or an exchange had a hand in must not move a terminal's cursor."""
    return "".join(each if each.isprintable() else "?" for each in text)


def _since(at: str | None) -> str:
    return f" at {at}" if at else ""


def _table(columns: Sequence[str], objects: Sequence[dict[str, Any]]) -> str:
    lines = [[column.upper() for column in columns]]
    lines += [[_cell(one[column]) for column in columns] for one in objects]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _cell(value: object) -> str:
    if isinstance(value, list):
        value = ",".join(value)
    return str(value) if value else "-"


def _instant_or_none(wall_ms: int) -> str | None:
    return _instant(wall_ms) if wall_ms else None


def _instant(wall_ms: int) -> str:
    return datetime.fromtimestamp(wall_ms / 1000, UTC).isoformat(timespec="seconds")
