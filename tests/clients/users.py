"""Who uses the stand's proxy: every library has a user for what works, and one of its own for each
thing that is refused, so that none throttles another."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from tests.e2e.harness import BOTS

Keys = dict[str, Any]  # a key triple as the drivers read it

BLOCKED: Final = "blocked"  # the user to disable; has an account for each library


def fresh_keys(kind: str) -> Keys:
    """Return keys in the form of an exchange that nobody knows yet."""
    keys: Keys = json.loads(BOTS[kind].fresh().as_json())
    return keys


@dataclass(frozen=True, slots=True)
class User:
    """The user of a library that is there for one thing: "" for all that works, else a slug or
    what is special about the user.

    `table` is one of the stand's; `issue` gives its bots credentials of their own; `ip`, `allow`
    and `mode` are as for `users add`; `wrong` is what its bots get wrong: "secret", "passphrase" or
    "clock".
    """

    client: str
    purpose: str = ""
    table: str = "wide"
    issue: bool = False
    ip: str = ""
    allow: str = ""
    mode: str = ""
    wrong: str = ""

    def line(self, exchange: str, keys: Keys) -> str:
        """Return its line for `users import`."""
        blocked = self.purpose == "user_disabled"
        who = {
            "name": BLOCKED if blocked else f"{self.client}-{self.purpose or 'works'}",
            "account": self.client if blocked else "main",
            "exchange": exchange,
        }
        held = {"api_key": keys["api_key"]} if self.mode == "keyless" else keys
        terms = {"issue": self.issue, "ip": self.ip, "allow": self.allow, "mode": self.mode}
        return json.dumps(who | held | {name: term for name, term in terms.items() if term})

    def as_used(self, keys: Keys, kind: str) -> Keys:
        """Return keys as its bots have them."""
        if self.wrong == "clock":
            return keys | {"behind_ms": 60_000}
        return keys | ({self.wrong: fresh_keys(kind)[self.wrong]} if self.wrong else {})


def users_of(library: str, kind: str) -> Iterator[User]:
    """Yield a library's users at an exchange."""
    yield User(library, issue=True)
    yield User(library, "user_disabled")
    yield User(library, "bad_signature", wrong="secret")
    if kind != "okx":
        yield User(library, "keyless", mode="keyless")
    if kind != "mexc":
        yield User(library, "bad_passphrase", wrong="passphrase")
    yield User(library, "stale_timestamp", wrong="clock")
    yield User(library, "ip_not_allowed", ip="192.0.2.0/24")
    yield User(library, "granted", allow="broker")
    yield User(library, "upstream_unknown")
    yield User(library, "rate_limited", table="tight")
    yield User(library, "upstream_unreachable", table="gone")
