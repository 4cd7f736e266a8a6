"""The simulated KuCoin as one object: how a request is answered, what its back door changes.

Overload is the fault {"kind": "code", "code": "429000"}: it answers without the rate headers and
counts nothing, which is how the real one's is told from a spent budget.
"""

from __future__ import annotations

import dataclasses
import secrets
import uuid
from typing import TYPE_CHECKING, Any, final
from urllib.parse import parse_qsl

from proxy.sim import http
from proxy.sim.kucoin import answers, bot, gate, partners, routes
from proxy.sim.kucoin.answers import TOO_MANY, Refused
from proxy.sim.kucoin.costs import Edge, Meter, rate_headers
from proxy.sim.kucoin.desk import (
    DEMO_PARTNERS,
    PROFILE_FIELDS,
    Call,
    Partner,
    User,
    World,
)
from proxy.sim.kucoin.spot_cancels import run_dead_cancel
from proxy.sim.kucoin.table import FUTURES, MAIN, VENUES, Found, Row, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from proxy.sim.answers import Answer
    from proxy.sim.exchange import Holder, Paste, Sample, Signed
    from proxy.sim.recorded import Recorded
    from proxy.sim.windows import Till


def _operator(venue: str) -> dict[str, str]:
    partner = DEMO_PARTNERS[venue]
    return {"broker_code": partner.id, "broker_name": partner.name, "broker_key": partner.key}


@final
class Kucoin:
    """See `proxy.sim.exchange.Simulated`."""

    kind = "kucoin"
    place = 3
    site = "www.kucoin.com"
    venues = VENUES
    has_demo = False
    operator: Mapping[str, Mapping[str, str]] = {
        venue: _operator(venue) for venue in (MAIN, FUTURES)
    }

    def __init__(self, users: Iterable[User] = ()) -> None:
        self.world = World(list(users))
        self.table = Table()
        self.meter = Meter(self.table)
        self.edge = Edge(self.meter)

    def answer(self, record: Recorded, now_ms: int, till: Till) -> Answer:
        """Do one request; raises Refused."""
        blocked = self.edge.refuses(record.source, record.arrived_ns, till)
        if blocked is not None:
            return blocked
        headers = http.checked(record)
        found = self._found(record)
        user = self._caller(record, found.row, headers, now_ms)
        partner = ""
        if user is not None:
            partner = partners.attributed(self.world.partners[record.venue], headers)
            partners.admit_broker(self.world, found.row, user.uid, headers)
        uid = user.uid if user is not None else ""
        cost = self.meter.cost(found.row, uid, self.world.profile(uid).vip, record.source)
        if cost is not None and till.charge([cost]) is not None:
            return _with(answers.refusal(TOO_MANY), rate_headers(till, cost))
        try:
            content = gate.parse(found.row, headers, record.body)
            _, _, text = record.target.partition("?")
            query = dict(parse_qsl(text, keep_blank_values=True))
            call = Call(self.world, *found, user, query, content, now_ms, partner)
            call.broker_name = headers.get(partners.NAME, [""])[0]
            call.source = record.source
            if user is not None:
                run_dead_cancel(call)
            answer = routes.perform(call)
        except Refused as refused:
            answer = refused.answer
        return _with(answer, rate_headers(till, cost))

    def _found(self, record: Recorded) -> Found:
        found = self.table.find(record.venue, record.method, record.path)
        if found is not None:
            return found
        if self.table.knows(record.venue, record.path):
            raise Refused("405000", "Method Not Allowed", 405)
        raise Refused("404000", "URL Not Found")

    def _caller(
        self, record: Recorded, row: Row, headers: http.Headers, now_ms: int
    ) -> User | None:
        """A public read needs no key, but one that is there must be right."""
        if row.public and not gate.is_signed(headers):
            return None
        user = gate.authenticate(
            self.world.users, record.method, record.target, headers, record.body, now_ms
        )
        record.uid = user.uid
        gate.authorise(user, row, record.source)
        return user

    def refusal(self, code: str, msg: str, status: int) -> Answer:
        """Render an error; status 0 is what the code has by itself."""
        return answers.refusal(code, "" if code == TOO_MANY else msg, status)

    def is_order(self, record: Recorded) -> bool:
        """Return whether this is a call that partners earn by."""
        found = self.table.find(record.venue, record.method, record.path)
        return found is not None and found.row.order

    def codes(self, record: Recorded) -> list[str]:
        """Return the partner in the headers; "" if there is none, or its signature is wrong."""
        headers = http.gathered(tuple(record.headers))
        name = headers.get(partners.PARTNER, [""])[0]
        known = self.world.partners[record.venue]
        if name not in known:
            return [name]
        try:
            return [partners.attributed(known, headers)]
        except Refused:
            return [""]

    @property
    def users(self) -> dict[str, User]:
        """Return the users by API key."""
        return self.world.users

    @property
    def orders(self) -> list[dict[str, Any]]:
        """Return every order of every user, oldest first, each with its `uid` and `venue`."""
        found = [
            order | {"uid": uid, "venue": FUTURES if "settleCurrency" in order else MAIN}
            for uid, desk in self.world.desks.items()
            for book in desk.books
            for order in book.orders.values()
        ]
        return sorted(found, key=lambda order: int(order["createdAt"]))

    def add_user(self, fields: dict[str, Any]) -> User:
        """Add or replace a key; what is told of the account holds for every key of its uid."""
        told = {name: value for name, value in fields.items() if name in PROFILE_FIELDS}
        own = {name: value for name, value in fields.items() if name not in told}
        if own.pop("demo", False):
            raise ValueError("there is no demo trading here")
        user = User(**own)
        self._tell(user.uid, told)
        self.world.users[user.api_key] = user
        return user

    def remove_user(self, api_key: str) -> bool:
        """End a key; return whether there was one."""
        return self.world.users.pop(api_key, None) is not None

    def accounts(self) -> list[dict[str, Any]]:
        """Return every account's Profile, with its `uid` and `demo`."""
        uids = dict.fromkeys(user.uid for user in self.world.users.values())
        return [
            {"uid": uid, "demo": False} | dataclasses.asdict(self.world.profile(uid))
            for uid in uids
        ]

    def change_account(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Change the Profile of `uid`. With {partner, key, name, venue} in place of a uid: let one
        more partner of the venue be known, or change its key."""
        if "partner" in fields:
            partner = Partner(fields["partner"], fields["key"], fields.get("name", ""))
            self.world.partners[fields.get("venue", MAIN)][partner.id] = partner
            return {"partner": partner.id}
        uid = fields.pop("uid")
        fields.pop("demo", None)
        return dataclasses.asdict(self._tell(uid, fields))

    def _tell(self, uid: str, fields: dict[str, Any]) -> Any:
        profile = dataclasses.replace(self.world.profile(uid), **fields)
        self.world.profiles[uid] = profile
        return profile

    def add_row(self, line: str) -> None:
        """Serve one more endpoint, in the form of a line of `kucoin.toml`; a venue other than main
        stands before it: "futures: GET /api/…"."""
        venue, colon, rest = line.partition(": ")
        if colon and venue in VENUES:
            self.table.add(rest, venue)
        else:
            self.table.add(line)

    def set_limit(self, name: str, count: int, span_ns: int) -> None:
        """Put a limit in place of a pool's quota ("edge" is Cloudflare's), or give a row its own;
        raises KeyError for a name of neither."""
        if name not in self.table.pools and all(row.name != name for row in self.table.rows):
            raise KeyError(name)
        self.meter.overrides[name] = (count, span_ns)

    def clear(self) -> None:
        """Forget orders and limits that were put in place."""
        self.world.clear()
        self.meter.overrides.clear()
        self.edge.clear()

    def new_user(self, uid: str, *, demo: bool = False) -> User:
        """Add a user with a fresh key and return it; raises ValueError for one of demo trading."""
        if demo:
            raise ValueError("there is no demo trading here")
        user = User(
            api_key=secrets.token_hex(12),
            secret=str(uuid.uuid4()),
            passphrase=secrets.token_urlsafe(12),
            uid=uid,
        )
        self.world.users[user.api_key] = user
        return user

    @property
    def samples(self) -> Sequence[Sample]:
        """Return a spot and a futures order; each time with names of their own."""
        return bot.samples()

    def signed(self, holder: Holder, sample: Sample, wall_ms: int) -> Signed:
        """Sign a request with the keys of `holder`."""
        return bot.signed(holder, sample, wall_ms)

    def pastes(self, base_url: str, holder: Holder) -> tuple[Paste, ...]:
        """Return texts to paste that place orders at `base_url`."""
        return bot.pastes(base_url, holder)


def _with(answer: Answer, headers: dict[str, str]) -> Answer:
    return dataclasses.replace(answer, headers={**answer.headers, **headers})
