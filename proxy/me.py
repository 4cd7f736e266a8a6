"""`GET /<exchange>/tagproxy/me`: what an account's own bot may know of it, so that its owner need
not ask the operator. Never a secret; asked with a verified signature only."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from proxy.accounts.credentials import masked

if TYPE_CHECKING:
    from proxy.errors import Slug
    from proxy.limits.limiter import Limiter
    from proxy.passage import Passage

# What to do about each refusal, in a bot owner's words.
ADVICE: Final[dict[Slug, str]] = {
    "missing_credentials": "send key, signature, timestamp and passphrase headers",
    "unknown_key": "use the key your operator issued, or have yours added",
    "user_disabled": "ask your operator",
    "bad_passphrase": "use the passphrase that belongs to the key",
    "bad_signature": "sign the exchange's own path and exactly the bytes you send, with the"
    " secret that belongs to the key",
    "stale_timestamp": "set the bot's clock by NTP, and sign right before sending",
    "replayed": "sign every request anew; never send a signed write twice",
    "ip_not_allowed": "send from an address your operator allowed, or have this one added",
    "forbidden_endpoint": "ask your operator to grant the class, if you need this call",
    "bad_request": "mend the request; it could not be read or tagged for certain",
    "tag_conflict": "leave out your own broker code",
    "body_too_large": "send less at once",
    "rate_limited": "send less, or wait as long as Retry-After says",
    "expired": "set a later deadline, or send less",
    "upstream_unreachable": "try again; your operator sees why the exchange cannot be reached",
    "shutting_down": "connect again",
    "not_ready": "try again in a moment",
    "overloaded": "try again with fewer connections or smaller bodies",
    "exchange_ban": "wait as long as Retry-After says; your key is not to blame",
    "internal": "tell your operator the request id",
    "upstream_unknown": "look the order up by its client order id before you send it again",
}


def describe(passage: Passage, limiter: Limiter, base_url: str, wall_ms: int) -> dict[str, Any]:
    """Return what an account's bot may know; `base_url` is how bots reach the exchange here."""
    access = passage.access
    assert access is not None
    account = access.account
    standing = account.standing
    activity = standing.activity
    site = passage.route.site
    claim = passage.claim
    demo = claim is not None and claim.demo
    orders, refusals = activity.totals(wall_ms)
    return {
        "name": account.user,
        "exchange": account.exchange,
        "account": account.label,
        "mode": account.mode,
        "state": account.disabled or "active",
        "reason": account.reason,
        "base_url": base_url,
        "key": {
            "api_key": masked(access.api_key.decode("ascii", "replace")),
            "issued_id": access.issued_id,
            "expires": None if access.expires_ms is None else _instant(access.expires_ms),
        },
        "real_key": {
            "api_key": masked(account.credentials.api_key.decode("ascii", "replace")),
            "health": activity.key_health or "unknown",
            "uid": standing.uid,
            "main_uid": standing.main_uid,
            "permissions": list(standing.permissions),
            "bound_to": list(standing.addresses),
        },
        "bind_real_key_to": [
            egress.address for egress in site.egresses if egress.address != "default"
        ],
        "allow": sorted(account.grants),
        "your_address": passage.request.peer,
        "clock_offset_ms": claim.timestamp_ms - wall_ms if claim is not None else None,
        "orders_24h": orders,
        "refusals_24h": refusals,
        "budgets": [
            {"limit": name, "of": value, "left": left, "count": count, "window_ms": window_ns / 1e6}
            for name, value, left, count, window_ns in limiter.budgets(
                (site.counted_at, standing.identity.text, demo)
            )
        ],
        "last_refusals": [
            {
                "at": _instant(at_ms),
                "slug": slug,
                "endpoint": label,
                "facts": facts,
                "what_to_do": ADVICE[slug],
            }
            for at_ms, slug, label, facts in reversed(activity.refusals)
        ],
    }


def _instant(wall_ms: int) -> str:
    return datetime.fromtimestamp(wall_ms / 1000, UTC).isoformat(timespec="milliseconds")
