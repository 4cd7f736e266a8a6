"""The simulated OKX as one object: how a request is answered, and what its back door changes."""

from __future__ import annotations

import dataclasses
import json
import secrets
import uuid
from typing import TYPE_CHECKING, Any, Final, final
from urllib.parse import parse_qsl

from proxy.sim import http
from proxy.sim.okx import answers, bot, gate, routes, table
from proxy.sim.okx.answers import Refused
from proxy.sim.okx.costs import Meter
from proxy.sim.okx.desk import Call, User, World
from proxy.sim.okx.profile import Profile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from proxy.sim.answers import Answer
    from proxy.sim.exchange import Holder, Paste, Sample, Signed
    from proxy.sim.recorded import Recorded
    from proxy.sim.windows import Till

_TOO_MANY: Final = {
    "50011": ("Too Many Requests", 429),
    "50061": ("You've reached the maximum order rate limit for this account.", 200),
}
_TAGGED: Final = ("body", "each-item")
_PROFILE_FIELDS: Final = frozenset(each.name for each in dataclasses.fields(Profile))


@final
class Okx:
    """See `proxy.sim.exchange.Simulated`."""

    kind = "okx"
    place = 1
    site = "www.okx.com"
    venues = ("main",)
    has_demo = True
    operator: Mapping[str, Mapping[str, str]] = {"main": {"broker_code": "tagproxyDEMO01"}}
    samples = bot.SAMPLES

    def __init__(self, users: Iterable[User] = ()) -> None:
        self.world = World(list(users))
        self.table = table.load()
        self.meter = Meter(self.world, self.table)
        self._paths = {row.path for row in self.table.values()}

    def answer(self, record: Recorded, now_ms: int, till: Till) -> Answer:
        """Do one request; raises Refused."""
        headers = http.checked(record)
        row = self._row(record)
        user = self._caller(record, row, headers, now_ms)
        content = None if record.method == "GET" else gate.parse(headers, record.body)
        _, _, text = record.target.partition("?")
        query = dict(parse_qsl(text, keep_blank_values=True))
        broken = till.charge(self.meter.costs(row, user, record.source, query, content))
        if broken is not None:
            msg, status = _TOO_MANY[broken.error]
            raise Refused(broken.error, msg, status)
        gate.check_expiry(headers, row, record.wall_ms, now_ms)
        if user is not None:
            self.world.desk(user).run_timers(now_ms)
        return routes.perform(Call(self.world, row, user, query, content, now_ms))

    def _row(self, record: Recorded) -> table.Row:
        row = self.table.get(f"{record.method} {record.path}")
        if row is not None:
            return row
        if record.path in self._paths:
            raise Refused("50115", "Invalid request method.", 405)
        raise Refused("404", "Invalid request path", 404)

    def _caller(
        self, record: Recorded, row: table.Row, headers: http.Headers, now_ms: int
    ) -> User | None:
        """A public read needs no key, but one that is there must be right."""
        signed = any(name.startswith("ok-access-") for name in headers)
        if row.permission == "public" and not signed and "authorization" not in headers:
            gate.is_demo(headers)
            return None
        user = gate.authenticate(
            self.world.users, record.method, record.target, headers, record.body, now_ms
        )
        record.uid = user.uid
        gate.authorise(user, row, record.source)
        gate.admit_broker(self.world.profile(user), row)
        return user

    def refusal(self, code: str, msg: str, status: int) -> Answer:
        """Render an error; 200 unless told."""
        return answers.refusal(code, msg, status or 200)

    def is_order(self, record: Recorded) -> bool:
        """Return whether this is a call that tags belong on."""
        row = self.table.get(f"{record.method} {record.path}")
        return row is not None and row.tag in _TAGGED

    def codes(self, record: Recorded) -> list[str]:
        """Return the `tag` of every order in a body, the last if there are several in one."""
        content = json.loads(record.body)
        items = content if isinstance(content, list) else [content]
        return [str(item.get("tag") or "") for item in items]

    @property
    def users(self) -> dict[str, User]:
        """Return the users by API key."""
        return self.world.users

    @property
    def orders(self) -> list[dict[str, Any]]:
        """Return every order of every user, oldest first, each with its `uid`."""
        return [
            order | {"uid": uid, "venue": "main"}
            for uid, desk in self.world.desks.items()
            for order in desk.orders.values()
        ]

    def add_user(self, fields: dict[str, Any]) -> User:
        """Add or replace a key; what is told of the account holds for every key of its uid."""
        told = {name: value for name, value in fields.items() if name in _PROFILE_FIELDS}
        user = User(**{name: value for name, value in fields.items() if name not in told})
        self._tell(user.desk_key, told)
        self.world.users[user.api_key] = user
        return user

    def remove_user(self, api_key: str) -> bool:
        """End a key; return whether there was one."""
        return self.world.users.pop(api_key, None) is not None

    def accounts(self) -> list[dict[str, Any]]:
        """Return every account's Profile, with its `uid` and `demo`."""
        users = {user.desk_key: user for user in self.world.users.values()}
        return [
            {"uid": user.uid, "demo": user.demo} | dataclasses.asdict(self.world.profile(user))
            for user in users.values()
        ]

    def change_account(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Change the Profile of `uid` and `demo`."""
        user = User("", "", "", fields.pop("uid"), demo=fields.pop("demo", False))
        return dataclasses.asdict(self._tell(user.desk_key, fields))

    def _tell(self, desk_key: str, fields: dict[str, Any]) -> Profile:
        profiles = self.world.profiles
        profiles[desk_key] = dataclasses.replace(profiles.get(desk_key, Profile()), **fields)
        return profiles[desk_key]

    def add_row(self, line: str) -> None:
        """Serve one more endpoint, in the form of a line of `okx.toml`."""
        row = table.parse_row(line)
        self.table[row.name] = row
        self._paths.add(row.path)

    def set_limit(self, name: str, count: int, span_ns: int) -> None:
        """Put a limit in place of the first one of a row."""
        self.meter.overrides[name] = (count, span_ns)

    def clear(self) -> None:
        """Forget orders and limits that were put in place."""
        self.world.clear()
        self.meter.overrides.clear()

    def new_user(self, uid: str, *, demo: bool = False) -> User:
        """Add a user with a fresh key and return it."""
        user = User(
            api_key=str(uuid.uuid4()),
            secret=secrets.token_hex(16).upper(),
            passphrase=secrets.token_urlsafe(12),
            uid=uid,
            demo=demo,
        )
        self.world.users[user.api_key] = user
        return user

    def signed(self, holder: Holder, sample: Sample, wall_ms: int) -> Signed:
        """Sign a request with the keys of `holder`."""
        return bot.signed(holder, sample, wall_ms)

    def pastes(self, base_url: str, holder: Holder) -> tuple[Paste, ...]:
        """Return texts to paste that place an order at `base_url`."""
        return bot.pastes(base_url, holder)
