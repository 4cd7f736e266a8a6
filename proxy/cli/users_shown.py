"""How accounts look on a terminal and in JSON. Never a secret; API keys are masked.

`list --json` is an array of accounts:
    {"name", "exchange", "account", "mode", "state", "reason", "allow": [], "ip": [], "code",
     "uid", "created"}            state: active | block | close-only
`show --json` is an object:
    {"name", "accounts": [the same, with "api_key"], "issued": [{"id", "exchange", "account",
     "label", "api_key", "ip": [], "created", "expires"}]}      expires: null is never
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from proxy.accounts.enrolment import issued_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from proxy.accounts.enrolment import Enrolment
    from proxy.accounts.store import AccountRow

_COLUMNS: Final = ("name", "exchange", "account", "mode", "state", "allow", "ip", "code")
_ISSUED_COLUMNS: Final = ("id", "exchange", "account", "label", "api_key", "ip", "expires")


def account_object(row: AccountRow) -> dict[str, Any]:
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
    }


def user_object(name: str, rows: Iterable[AccountRow], enrolment: Enrolment) -> dict[str, Any]:
    """Return one user as `show --json` has it."""
    accounts: list[dict[str, Any]] = []
    issued: list[dict[str, Any]] = []
    for row in rows:
        own = [enrolment.masked_key(row, one) for one in row.credentials if one.role == "real"]
        accounts.append(account_object(row) | {"api_key": own[0] if own else ""})
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


def accounts_text(rows: Iterable[AccountRow]) -> str:
    """Return accounts as a table."""
    return _table(_COLUMNS, [account_object(row) for row in rows])


def user_text(shown: dict[str, Any]) -> str:
    """Return a user object as tables."""
    parts = [_table((*_COLUMNS, "api_key", "uid", "reason"), shown["accounts"])]
    if shown["issued"]:
        parts.append(_table(_ISSUED_COLUMNS, shown["issued"]))
    return "\n\n".join(parts)


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


def _instant(wall_ms: int) -> str:
    return datetime.fromtimestamp(wall_ms / 1000, UTC).isoformat(timespec="seconds")
