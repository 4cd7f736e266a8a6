"""Many accounts at once: a batch is one transaction, and a line of it fails alone.

The same lines again change nothing, so that a run that was cut off is simply done anew.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple, final

import orjson

from proxy.errors import CommandError, VaultError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from proxy.accounts.rows import AccountRow, Change
    from proxy.accounts.settling import Settled, Settler
    from proxy.accounts.store import Claim, Name, Store
    from proxy.accounts.terms import Terms
    from proxy.exchanges.spec import Exchange

ACCOUNTS_MAX: Final = 200_000  # of one run; each is remembered, in some 300 bytes
BATCH_MAX: Final = 200  # lines in one transaction


@final
class Line(NamedTuple):
    """What one line asks for, or, without terms, what is wrong with it."""

    number: int
    terms: Terms | None
    fault: str = ""


@final
class Done(NamedTuple):
    """What became of one line: added | unchanged | changed | failed, and why if it failed."""

    line: Line
    result: str
    error: str = ""
    settled: Settled | None = None


@final
class Importer:
    """One run. `exchanges` are by table name; `dry` looks at everything and changes nothing."""

    __slots__ = ("_dry", "_exchanges", "_lines", "_owners", "_settler", "_store")

    def __init__(
        self, store: Store, settler: Settler, exchanges: Mapping[str, Exchange], *, dry: bool
    ) -> None:
        self._store = store
        self._settler = settler
        self._exchanges = exchanges
        self._dry = dry
        self._lines: dict[Name, tuple[int, bytes]] = {}  # each account's line, and its content
        self._owners: dict[Claim, str] = {}  # of a dry run: who would have which key by now

    async def take(self, lines: Sequence[Line]) -> list[Done]:
        """Do a batch whole; when this returns it is done. Raises `StoreError`: nothing is done."""
        assert len(lines) <= BATCH_MAX
        every = [line.terms for line in lines if line.terms is not None]
        done: list[Done] = []

        def decide(there: Mapping[Name, AccountRow], owners: Mapping[Claim, str]) -> list[Change]:
            known = {**owners, **self._owners}
            done.extend(self._done(line, there, known) for line in lines)
            if self._dry:
                self._owners = known
                return []
            return [one.settled[:2] for one in done if one.settled is not None]

        claims = [terms.claim for terms in every if terms.claim is not None]
        await self._store.edit([terms.name for terms in every], claims, decide)
        return done

    def _done(self, line: Line, there: Mapping[Name, AccountRow], owners: dict[Claim, str]) -> Done:
        """Settle one line; `owners` are kept as the lines before it leave them."""
        terms = line.terms
        if terms is None:
            return Done(line, "failed", line.fault)
        content = _digest(terms)
        earlier = self._lines.get(terms.name)
        if earlier is not None and earlier[1] == content:
            return Done(line, "unchanged")
        try:
            self._expect_first(earlier)
            exchange = self._exchanges[terms.exchange]
            settled = self._settler.settle(terms, there.get(terms.name), exchange)
            settled.expect_free(owners)
        except (CommandError, VaultError) as error:
            return Done(line, "failed", str(error))
        self._lines[terms.name] = (line.number, content)
        settled.hand_over(owners)
        return Done(line, settled.result, settled=settled)

    def _expect_first(self, earlier: tuple[int, bytes] | None) -> None:
        if earlier is not None:
            raise CommandError(f"line {earlier[0]} says otherwise of the same account")
        if len(self._lines) >= ACCOUNTS_MAX:
            raise CommandError(f"one run takes {ACCOUNTS_MAX} accounts at most")


def _digest(terms: Terms) -> bytes:
    """Tell lines of different content apart, without keeping what they say."""
    real = terms.real
    secrets = None if real is None else (real.api_key, real.secret, real.passphrase)
    plain = (terms.mode, terms.grants, terms.networks, terms.code, terms.issue)
    return sha256(orjson.dumps((plain, secrets))).digest()
