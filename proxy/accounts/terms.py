"""What an operator wants of an account, and what of it can never be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from proxy.accounts.credentials import KeyOnly, fingerprint
from proxy.errors import CommandError
from proxy.model import Tag

if TYPE_CHECKING:
    from proxy.accounts.credentials import Held
    from proxy.accounts.store import Claim, Name
    from proxy.exchanges.spec import Exchange
    from proxy.model import KeyTriple

API_KEY_CHARS_MAX: Final = 128
MODES: Final = ("sign", "keyless", "observe")
_SIGNED_TAGS: Final = frozenset((Tag.BODY, Tag.EACH_ITEM, Tag.WS_ARGS, Tag.QUERY_FILTER))


@final
@dataclass(frozen=True, slots=True)
class Terms:
    """None leaves a thing as it is, and a new account's as usual. `real` are the real credentials
    as given: which parts of them are needed depends on the mode."""

    user: str
    exchange: str
    label: str = "main"
    mode: str | None = None
    grants: tuple[str, ...] | None = None
    networks: tuple[str, ...] | None = None
    code: str | None = None
    real: KeyTriple | None = None
    issue: bool = False

    @property
    def name(self) -> Name:
        """Which account it is about."""
        return self.exchange, self.user, self.label

    @property
    def claim(self) -> Claim | None:
        """The API key that the account is to have, if it is given one."""
        found = fingerprint(self.exchange, self.real.api_key) if self.real is not None else None
        return None if found is None else (self.exchange, found)

    def fault(self, exchange: Exchange) -> str:
        """What of it cannot be, whatever account it is about: `option: why`, "" if all can."""
        if self.code and (wrong := exchange.code_fault(self.code)):
            return f"code: {wrong}"
        if self.mode is None or self.mode == "sign":
            return ""
        signs = self.mode == "keyless" and any(
            row.tag in _SIGNED_TAGS for row in exchange.endpoints
        )
        faults = {
            f"mode keyless: {self.exchange} signs the code, so its secret is needed": signs,
            f"issue: in mode {self.mode} bots sign with their own exchange key": self.issue,
            "code: in mode observe nothing is changed": self.mode == "observe" and self.code,
        }
        return next((text for text, holds in faults.items() if holds), "")


def held_of(real: KeyTriple, mode: str, exchange: Exchange) -> Held:
    """Return what of given credentials is kept in a mode: no secret where nothing is signed.

    Raises `CommandError`, never quoting them.
    """
    if mode == "sign":
        if fault := exchange.triple_fault(real):
            raise CommandError(fault)
        return real
    api_key = real.api_key
    if not api_key:
        raise CommandError("api_key is missing")
    if len(api_key) > API_KEY_CHARS_MAX or not _printable(api_key):
        raise CommandError("api_key is no API key")
    return KeyOnly(api_key)


def _printable(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text
