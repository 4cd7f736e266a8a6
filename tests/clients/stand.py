"""What the client libraries meet: a simulated exchange and the proxy, each a process of its own,
with every user on board before the proxy starts.

The proxy has three tables of the exchange: `wide` as it is, `tight` with limits that the second
order breaks, and `gone`, whose exchange cannot be reached.
"""

from __future__ import annotations

import contextlib
import json
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tests.clients.libraries import Driven
from tests.clients.users import BLOCKED, Keys, User, fresh_keys, users_of
from tests.e2e.harness import proxy_in, simulator_in
from tests.e2e.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.clients.libraries import Library, Outcome, Refusal
    from tests.e2e.harness import Proxy, Simulator

_FIRST_UID: Final = 7_000_001
_USUAL: Final[dict[str, Any]] = {}


@dataclass(slots=True)
class Enrolled:
    """A user with an account at the exchange, and the keys that its bots have."""

    user: User
    uid: str
    keys: Keys


@dataclass(slots=True)
class Stand:
    """Both processes, the users, and the libraries at work."""

    kind: str
    exchange: Simulator
    proxy: Proxy
    folder: Path
    _users: dict[tuple[str, str], Enrolled] = field(default_factory=dict)
    _driven: dict[str, Driven] = field(default_factory=dict)
    _done: dict[tuple[str, ...], Outcome] = field(default_factory=dict)

    def once(self, library: Library, word: str, purpose: str = "") -> Outcome:
        """As `do`, but not again what was done already."""
        what = (library.name, word, purpose)
        if what not in self._done:
            self._done[what] = self.do(library, word, purpose)
        return self._done[what]

    def do(self, library: Library, word: str, purpose: str = "") -> Outcome:
        """Have a library do one thing as the user that is there for this purpose; one for an
        unknown key is nobody."""
        if library.name not in self._driven:
            self._driven[library.name] = Driven(library, self.folder)
            # what it learns of the markets here, it does not ask for again
            self.once(library, "markets")
        if purpose == "unknown_key":
            table, keys = "wide", fresh_keys(self.kind)
        else:
            one = self._users[library.name, purpose]
            table, keys = one.user.table, one.keys
        base_url = f"http://127.0.0.1:{self.proxy.port}/{self._named(table)}"
        return self._driven[library.name].do(word, keys, base_url)

    def do_unanswered(self, library: Library, word: str, purpose: str) -> Outcome:
        """As `do`, but the exchange takes the first write and goes without a word."""
        self.once(library, "markets")
        self.exchange.fault("process-drop", method="POST")
        outcome = self.do(library, word, purpose)
        assert self.exchange.control("DELETE", "faults") == 0, "nothing was written"
        return outcome

    def sent_by(self, library: Library, purpose: str = "") -> list[dict[str, Any]]:
        """Return what reached the exchange with the key of the user of this purpose."""
        uid = self._users[library.name, purpose].uid
        return [each for each in self.exchange.requests if each["uid"] == uid]

    def written_by(self, library: Library, purpose: str = "") -> list[dict[str, Any]]:
        """Return the writes among them."""
        return [each for each in self.sent_by(library, purpose) if each["method"] != "GET"]

    def refused_and_yet_sent(self, library: Library, refusals: Iterable[Refusal]) -> list[str]:
        """Return what reached the exchange though it was refused, which is nothing."""
        everybody = {refusal.purpose for refusal in refusals} - {"", "unknown_key"}
        sent = [each["target"] for who in everybody for each in self.written_by(library, who)]
        targets = [each["target"] for each in self.written_by(library)]
        return sent + [each for each in targets if "transfer" in each or "withdraw" in each]

    def enrol(self, users: Sequence[User], account: Mapping[str, Any]) -> None:
        """Open accounts at the exchange, import them all, block who is to be blocked."""
        lines = []
        for number, user in enumerate(users, _FIRST_UID):
            uid = str(number)
            keys = json.loads(self.exchange.add_user(uid, **account).as_json())
            lines.append(user.line(self._named(user.table), keys))
            one = Enrolled(user, uid, user.as_used(keys, self.kind))
            self._users[user.client, user.purpose] = one
        done = self.proxy.run("users", "import", "-", stdin="\n".join(lines))
        assert done.returncode == 0, done
        for user, line in zip(users, done.stdout.splitlines(), strict=True):
            if user.issue:
                self._users[user.client, user.purpose].keys = json.loads(line)["issued"]
        done = self.proxy.run("users", "disable", BLOCKED)
        assert done.returncode == 0, done

    def end(self) -> None:
        """End the libraries."""
        for driven in self._driven.values():
            driven.end()

    def table(self, venue: str = "main") -> dict[str, Any]:
        """Return the exchange's table as the proxy has it; of a venue, with main's beneath."""
        own = self.proxy.sections.get(f"exchanges.{self.kind}.{venue}", {})
        return self.proxy.sections[f"exchanges.{self.kind}"] | own

    def _named(self, table: str) -> str:
        return self.kind if table == "wide" else f"{self.kind}-{table}"


@contextlib.contextmanager
def stand_in(
    folder: Path,
    kind: str,
    libraries: Sequence[Library],
    limits: Mapping[str, str],
    account: Mapping[str, Any] = _USUAL,
) -> Iterator[Stand]:
    """Run it for the length of the block. `limits` are those of the table `tight`, `account` what
    every account is at the exchange."""
    with (
        simulator_in(folder / "exchange", kinds=(kind,)) as exchange,
        proxy_in(folder / "proxy", exchange, start=False, kinds=(kind,)) as proxy,
    ):
        stand = Stand(kind, exchange, proxy, folder)
        # a proxy is ready when it has met its exchanges, so this one goes after that
        with socket.create_server(("127.0.0.1", free_port())) as gone:
            proxy.configure(_more_tables(proxy.sections, kind, limits, gone.getsockname()[1]))
            users = [user for each in libraries for user in users_of(each.name, kind)]
            stand.enrol(users, account)
            proxy.start()
        try:
            yield stand
        finally:
            stand.end()


def _more_tables(
    sections: Mapping[str, Mapping[str, Any]], kind: str, limits: Mapping[str, str], gone_port: int
) -> dict[str, dict[str, Any]]:
    """Return the tables `tight` and `gone`, made from that of the exchange, venues included."""
    more: dict[str, dict[str, Any]] = {}
    gone = {"rest_url": f"http://127.0.0.1:{gone_port}"}
    for name, values in sections.items():
        _, _, below = name.partition(f"exchanges.{kind}")
        if not name.startswith(f"exchanges.{kind}") or below[:1] not in ("", "."):
            continue
        more[f"exchanges.{kind}-tight{below}"] = dict(values)
        more[f"exchanges.{kind}-gone{below}"] = {**values, **gone}
    more[f"exchanges.{kind}-tight.limits"] = dict(limits)
    return more
