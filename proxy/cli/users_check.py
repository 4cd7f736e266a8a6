"""`tagproxy users check`: would this account's orders arrive, and carry our code?

One line per finding: `ok`, `note` (nothing wrong, but know it) or `FAULT`. `--json` is an array:
    {"name", "exchange", "account", "mode", "well": true | false, "uid", "main_uid",
     "permissions": [], "bound_to": [], "demo": true | false | null, "code",
     "addresses": [{"address", "reached", "key_works", "bound", "clock_offset_ms",
     "round_trip_ms"}], "findings": [{"kind": "ok" | "note" | "fault", "text"}]}
What was not told or not asked is null, "" or []. An address is "default" where the system chooses
it; `bound` is whether the key is bound to it, null where that cannot be said; the offset is the
exchange's clock minus ours.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final, Literal, final

from proxy.accounts.credentials import usable
from proxy.accounts.settling import real_of
from proxy.cli.exchange_calls import Caller, CallError, Pace, addresses, lesson_endpoint
from proxy.cli.sample_order import try_orders
from proxy.cli.users_desk import print_json
from proxy.config.cautions import EXAMPLE_CODE

if TYPE_CHECKING:
    import argparse

    from proxy.accounts.store import AccountRow
    from proxy.cli.exchange_calls import Told
    from proxy.cli.users_desk import Desk
    from proxy.config import ExchangeTable
    from proxy.exchanges.spec import Exchange
    from proxy.model import Credentials, Learned

FAILED: Final = 1
CLOCK_OFF_MS_MAX: Final = 1_000  # some exchanges refuse what is further off
_SHOWN: Final = {"ok": "ok   ", "note": "note ", "fault": "FAULT"}


@final
@dataclass(slots=True)
class _Address:
    address: str
    reached: bool = False
    key_works: bool | None = None
    bound: bool | None = None
    clock_offset_ms: int | None = None
    round_trip_ms: int | None = None


@final
@dataclass(slots=True)
class _Finding:
    kind: Literal["ok", "note", "fault"]
    text: str


@final
@dataclass(slots=True)
class _Report:
    name: str
    exchange: str
    account: str
    mode: str
    well: bool = True
    uid: str = ""
    main_uid: str = ""
    permissions: tuple[str, ...] = ()
    bound_to: tuple[str, ...] = ()
    demo: bool | None = None
    code: str = ""
    addresses: list[_Address] = field(default_factory=list)
    findings: list[_Finding] = field(default_factory=list)

    def say(self, kind: Literal["ok", "note", "fault"], text: str) -> None:
        self.well = self.well and kind != "fault"
        self.findings.append(_Finding(kind, text))


async def check(desk: Desk, args: argparse.Namespace) -> int:
    """Examine the accounts that `args` names; 0 only if all is well."""
    reports = []
    for row in await desk.named(args):
        report = await _examine(desk, row)
        reports.append(report)
        if not args.json:
            print(f"{report.name} on {report.exchange}, account {report.account}:")
            for one in report.findings:
                print(f"  {_SHOWN[one.kind]} {one.text}")
    if args.json:
        print_json([asdict(report) for report in reports])
    return 0 if all(report.well for report in reports) else FAILED


async def _examine(desk: Desk, row: AccountRow) -> _Report:
    report = _Report(row.user, row.exchange, row.label, row.mode)
    table = desk.config.exchanges.get(row.exchange)
    stored = real_of(row)
    if table is None or stored is None:
        missing = f"no exchange {row.exchange}" if table is None else "no real credentials"
        report.say("fault", f"the {'configuration' if table is None else 'account'} has {missing}")
        return report
    if row.disabled:
        report.say("note", f"disabled ({row.disabled}) {row.reason}".strip())
    exchange = desk.kinds[table.kind].configured(table.options)
    credentials = usable(desk.enrolment.settler.open(row, stored))
    signs = row.mode == "sign"
    told = await _ask(desk, report, table, exchange, credentials if signs else None)
    _judge_clock(report)
    if told is not None and told.learned is not None:
        _judge_key(report, row, told.learned, demo=told.demo)
    if signs:
        _judge_order(desk, report, row, table, exchange, credentials)
    else:
        what = "uid, permissions and bound addresses cannot be asked"
        report.say("note", f"in mode {row.mode} no secret is held: {what}")
    if row.mode == "observe":
        report.say("note", "orders go as the bot signed them, with whatever code they carry")
    return report


async def _ask(
    desk: Desk,
    report: _Report,
    table: ExchangeTable,
    exchange: Exchange,
    credentials: Credentials | None,
) -> Told | None:
    """Ask from each local address; return what one of them was told of the key."""
    pace = Pace(lesson_endpoint(exchange))
    found: Told | None = None
    for address in addresses(table):
        one = _Address(address or "default")
        report.addresses.append(one)
        where = "" if address is None else f"from {address}: "
        async with Caller(table, exchange, desk.clock, pace, address) as caller:
            try:
                reading = await caller.clock()
                one.reached = True
                one.clock_offset_ms, one.round_trip_ms = reading
                if credentials is None:
                    told = None
                else:
                    demo = found.demo if found is not None else None
                    told = await caller.whose(credentials, demo=demo)
            except CallError as error:
                what = "no answer to a signed read" if one.reached else "cannot be reached"
                report.say("fault", f"{where}{table.rest_url}: {what}: {error}")
                continue
        found = _taken_in(report, one, where, told) or found
    return found


def _taken_in(report: _Report, one: _Address, where: str, told: Told | None) -> Told | None:
    way = f"round trip {one.round_trip_ms} ms"
    if told is None:
        report.say("ok", f"{where}the exchange answers, {way}")
        return None
    if told.learned is None:
        one.key_works = False if told.key_refused else None
        what = "the key does not work" if told.key_refused else "it does not say whose the key is"
        report.say("fault", f"{where}{what}: {told.words}")
        return None
    one.key_works = True
    report.say("ok", f"{where}the key works, {way}")
    return told


def _judge_clock(report: _Report) -> None:
    read = [
        (one.round_trip_ms, one.clock_offset_ms)
        for one in report.addresses
        if one.round_trip_ms is not None and one.clock_offset_ms is not None
    ]
    if not read:
        return
    offset_ms = min(read)[1]
    side = "behind" if offset_ms > 0 else "ahead of"
    text = f"this machine's clock is {abs(offset_ms)} ms {side} the exchange's"
    if abs(offset_ms) > CLOCK_OFF_MS_MAX:
        report.say("fault", f"{text}: set it by NTP")
    else:
        report.say("ok", text)


def _judge_key(report: _Report, row: AccountRow, learned: Learned, *, demo: bool) -> None:
    report.uid, report.main_uid = learned.uid, learned.main_uid
    report.permissions, report.bound_to = learned.permissions, learned.addresses
    report.demo = demo
    main = learned.main_uid
    text = f"uid {learned.uid}" + (
        f", a sub-account of {main}" if main not in ("", learned.uid) else ""
    )
    if row.uid and row.uid != learned.uid:
        report.say("fault", f"{text}; but this account's uid was {row.uid}: users set-key")
    else:
        report.say("ok", text)
    if demo:
        report.say("note", "the key is of the demo market")
    if learned.permissions:
        report.say("ok", f"permissions: {', '.join(learned.permissions)}")
    _judge_binding(report, learned.addresses)


def _judge_binding(report: _Report, bound_to: tuple[str, ...]) -> None:
    if not bound_to:
        report.say("note", "the key is bound to no address; bind it to those it is used from")
        return
    report.say("ok", f"bound to {', '.join(bound_to)}")
    for one in report.addresses:
        if one.address == "default":
            continue
        one.bound = any(_covers(entry, one.address) for entry in bound_to)
        if not one.bound:
            seen = ", though it works from there: a router's address?" if one.key_works else ""
            report.say("note" if seen else "fault", f"not bound to {one.address}{seen}")


def _covers(entry: str, address: str) -> bool:
    try:
        return ip_address(address) in ip_network(entry, strict=False)
    except ValueError:
        return False


def _judge_order(
    desk: Desk,
    report: _Report,
    row: AccountRow,
    table: ExchangeTable,
    exchange: Exchange,
    credentials: Credentials,
) -> None:
    report.code = row.code or table.broker_code
    whose = "the account's own code" if row.code else "our code"
    for tried in try_orders(
        exchange,
        table,
        credentials,
        row.code,
        desk.config.tagging.on_conflict,
        desk.clock.wall_ms(),
    ):
        if tried.fault:
            report.say("fault", f"{tried.order}: {tried.fault} ({tried.code})")
        elif tried.code == EXAMPLE_CODE:
            report.say("fault", f"{tried.order} would carry {tried.code}, which is the example's")
        else:
            report.say("ok", f"{tried.order} would carry {whose}: {tried.code}")
