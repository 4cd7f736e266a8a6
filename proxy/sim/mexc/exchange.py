"""The simulated MEXC as one object: how a request is answered, and what its back door changes.

Accounts of the back door: `uid` "*" is everybody, for what MEXC does not publish, see `Settings`.
"""

from __future__ import annotations

import dataclasses
import secrets
from typing import TYPE_CHECKING, Any, Final, final

from proxy.sim import http
from proxy.sim.answers import Answer, encoded
from proxy.sim.mexc import bot, gate, routes, table
from proxy.sim.mexc.answers import Denied
from proxy.sim.mexc.costs import Meter
from proxy.sim.mexc.desk import Account, Call, User, World

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from proxy.sim.exchange import Holder, Paste, Sample, Signed
    from proxy.sim.recorded import Recorded
    from proxy.sim.windows import Till

EVERYBODY: Final = "*"
_ACCOUNT_FIELDS: Final = frozenset(each.name for each in dataclasses.fields(Account))


@final
class Mexc:
    """See `proxy.sim.exchange.Simulated`."""

    kind = "mexc"
    place = 2
    site = "api.mexc.com"
    venues = ("main",)  # spot and futures share a host, and no path
    has_demo = False
    operator: Mapping[str, Mapping[str, str]] = {"main": {"broker_code": "tagproxyDEMO02"}}
    samples = bot.SAMPLES

    def __init__(self, users: Iterable[User] = ()) -> None:
        self.world = World(list(users))
        self.table = table.load()
        self.meter = Meter(self.world)

    def answer(self, record: Recorded, now_ms: int, till: Till) -> Answer:
        """Do one request; raises the Refused of what no API takes."""
        headers = http.checked(record)
        api = "futures" if record.path.startswith(table.PREFIXES["futures"]) else "spot"
        try:
            return self._done(record, headers, now_ms, till)
        except Denied as denied:
            return denied.answer(api)

    def _done(self, record: Recorded, headers: http.Headers, now_ms: int, till: Till) -> Answer:
        row, variables = self._row(record)
        query = record.target.partition("?")[2].encode("latin-1")
        request = gate.Request(record.method, query, headers, record.body, record.source)
        caller = gate.identify(self.world, row, request, now_ms)
        if caller.user is not None:
            record.uid = caller.user.uid
            gate.authorise(caller.user, self.world.account(caller.user), row, request)
        if till.charge(self.meter.costs(row, caller.user, record.source)) is not None:
            raise _too_many(row)
        return routes.perform(
            Call(
                self.world,
                row,
                caller.user,
                variables,
                caller.parameters,
                caller.content,
                headers.get("source", [""])[0],
                now_ms,
            )
        )

    def _row(self, record: Recorded) -> tuple[table.Row, dict[str, str]]:
        found = self.table.find(record.method, record.path)
        if found is not None:
            return found
        if self.table.knows(record.path):
            raise Denied(405, "Method Not Allowed", 405)
        raise Denied(404, "Not Found", 404)

    def refusal(self, code: str, msg: str, status: int) -> Answer:
        """Render an error that no call made, readable as spot's and as futures'."""
        content: dict[str, Any] = {"success": False, "code": int(code), "msg": msg, "message": msg}
        usual = {"429": 429, "510": 200}.get(code, 400)
        return Answer(status or usual, code, encoded(content), accepted=False)

    def is_order(self, record: Recorded) -> bool:
        """Return whether this is a call that broker codes belong on."""
        found = self.table.find(record.method, record.path)
        return found is not None and found[0].code

    def codes(self, record: Recorded) -> list[str]:
        """Return the value of every `source` header; one "" when there is none."""
        return [
            value.decode("latin-1") for name, value in record.headers if name.lower() == b"source"
        ] or [""]

    @property
    def users(self) -> dict[str, User]:
        """Return the users by API key."""
        return self.world.users

    @property
    def orders(self) -> list[dict[str, Any]]:
        """Return every order of every user, each with its `uid`, `venue`, `source` and `api`."""
        return [
            order | {"uid": uid, "venue": "main", "api": "spot" if book is desk.spot else "futures"}
            for uid, desk in self.world.desks.items()
            for book in desk.books
            for order in book.orders.values()
        ]

    def add_user(self, fields: dict[str, Any]) -> User:
        """Add or replace a key; what is told of the account holds for every key of its uid."""
        told = {name: value for name, value in fields.items() if name in _ACCOUNT_FIELDS}
        user = User(**{name: value for name, value in fields.items() if name not in told})
        self._tell(user.uid, told)
        self.world.users[user.api_key] = user
        return user

    def remove_user(self, api_key: str) -> bool:
        """End a key; return whether there was one."""
        return self.world.users.pop(api_key, None) is not None

    def accounts(self) -> list[dict[str, Any]]:
        """Return every Account with its `uid`, and the Settings as everybody's."""
        everybody = {"uid": EVERYBODY, "demo": False} | dataclasses.asdict(self.world.settings)
        users = {user.uid: user for user in self.world.users.values()}
        return [everybody] + [
            {"uid": uid, "demo": False} | dataclasses.asdict(self.world.account(user))
            for uid, user in users.items()
        ]

    def change_account(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Change the Account of `uid`, or the Settings."""
        told = {name: value for name, value in fields.items() if name not in ("uid", "demo")}
        if fields["uid"] == EVERYBODY:
            self.world.settings = dataclasses.replace(self.world.settings, **told)
            return dataclasses.asdict(self.world.settings)
        return dataclasses.asdict(self._tell(fields["uid"], told))

    def _tell(self, uid: str, told: dict[str, Any]) -> Account:
        account = dataclasses.replace(self.world.accounts.get(uid, Account()), **told)
        self.world.accounts[uid] = account
        return account

    def add_row(self, line: str) -> None:
        """Serve one more endpoint, in the form of a line of `mexc.toml`."""
        self.table.add(table.parse_row(line))

    def set_limit(self, name: str, count: int, span_ns: int) -> None:
        """Put a limit in place of a row's first one, or of a rule's ("spot-orders")."""
        self.meter.overrides[name] = (count, span_ns)

    def clear(self) -> None:
        """Forget orders and limits that were put in place."""
        self.world.clear()
        self.meter.overrides.clear()

    def new_user(self, uid: str, *, demo: bool = False) -> User:
        """Add a user with a fresh key and return it; raises ValueError for demo trading."""
        if demo:
            raise ValueError("MEXC has no demo trading")
        user = User(f"mx0v{secrets.token_hex(7)}", secrets.token_hex(16), uid)
        self.world.users[user.api_key] = user
        return user

    def signed(self, holder: Holder, sample: Sample, wall_ms: int) -> Signed:
        """Sign a request with the keys of `holder`."""
        return bot.signed(holder, sample, wall_ms)

    def pastes(self, base_url: str, holder: Holder) -> tuple[Paste, ...]:
        """Return texts to paste that place the samples at `base_url`."""
        return bot.pastes(base_url, holder)


def _too_many(row: table.Row) -> Denied:
    if row.api == "futures":
        return Denied(510, "Requests are too frequent, please try again later", 200)
    return Denied(429, "Too Many Requests", 429, {"Retry-After": "1"})
