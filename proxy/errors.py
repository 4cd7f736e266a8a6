"""The errors of the proxy: what is refused and why. No I/O, no logging.

A `Refusal` is an answer to a bot and carries one of the contract's slugs; each exchange's
`reply.py` gives it status, code and words. The others end a command with an exit code.
"""

from __future__ import annotations

from typing import Final, Literal, final, get_args

Slug = Literal[
    "missing_credentials",
    "unknown_key",
    "user_disabled",
    "bad_passphrase",
    "bad_signature",
    "stale_timestamp",
    "replayed",
    "ip_not_allowed",
    "forbidden_endpoint",
    "bad_request",
    "tag_conflict",
    "body_too_large",
    "rate_limited",
    "expired",
    "upstream_unreachable",
    "shutting_down",
    "not_ready",
    "overloaded",
    "exchange_ban",
    "internal",
    "upstream_unknown",
]

SLUGS: Final[tuple[Slug, ...]] = get_args(Slug)

PERHAPS_SENT: Final[Slug] = "upstream_unknown"


class TagproxyError(Exception):
    """Root of every error this package raises on purpose."""


@final
class Refusal(TagproxyError):
    """The proxy itself answers the bot. `facts` go into the message: no secrets, and nothing
    about an account before its signature verified."""

    def __init__(self, slug: Slug, facts: str = "", *, retry_after_ms: int = 0) -> None:
        super().__init__(slug, facts)
        self.slug: Slug = slug
        self.facts = facts
        self.retry_after_ms = retry_after_ms  # 0: say nothing of when


@final
class BotGone(TagproxyError):
    """The bot hung up before its request was sent; thrown into the request's coroutine."""


class UpstreamError(TagproxyError):
    """No usable answer from the exchange. `sent` tells whether a byte of the request left."""

    def __init__(self, what: str, *, sent: bool) -> None:
        super().__init__(what)
        self.sent = sent


@final
class UpstreamTimeout(UpstreamError):
    """The deadline passed while the exchange owed an answer."""


@final
class Fault(TagproxyError):
    """One fault of a configuration or rules file: `FILE:LINE: key: what is wrong`.

    Line 0 is no line (a fault of the file as a whole, or of an environment variable, which then
    stands for the file); key "" is no key.
    """

    def __init__(self, file: str, line: int, key: str, what: str) -> None:
        where = f"{file}:{line}" if line else file
        super().__init__(": ".join(part for part in (where, key, what) if part))
        self.file = file
        self.line = line
        self.key = key
        self.what = what


@final
class ConfigError(TagproxyError):
    """The configuration cannot be used (exit 78). Its text is every fault, one a line."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults


@final
class VaultError(TagproxyError):
    """A secret cannot be opened: wrong master key, or a row that was moved or changed."""


@final
class StoreError(TagproxyError):
    """The database refused, or is not there."""


@final
class CommandError(TagproxyError):
    """A command failed (exit 1) for the reason in its text."""
