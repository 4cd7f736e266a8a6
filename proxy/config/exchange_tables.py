"""`[exchanges.NAME]` and the tables under it. What only an exchange knows (is this a code, is
this an endpoint) is asked of its `Exchange`."""

from __future__ import annotations

import difflib
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from proxy.config import values
from proxy.config.shape import ExchangeTable, Origin, Rate, VenueTable
from proxy.config.source import Section
from proxy.config.values import Wrong
from proxy.errors import Fault
from proxy.exchanges.table import parse_extra

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from proxy.config.source import Source
    from proxy.exchanges.spec import Exchange

_NAME: Final = re.compile(r"[a-z0-9-]+")
_NOWHERE: Final = Origin("https", "localhost", 443)  # after a fault, which ends the loading
_BLANK: Final = ExchangeTable(name="", kind="", rest_url=_NOWHERE, broker_code="")


def read_exchanges(
    source: Source, exchanges: Mapping[str, Exchange]
) -> Mapping[str, ExchangeTable]:
    """Read every table under `[exchanges]`."""
    whole = source.whole("exchanges")
    tables: dict[str, ExchangeTable] = {}
    written = whole.rest()
    for name, content in written.items():
        section = Section(source, ("exchanges", name), content)
        if _NAME.fullmatch(name):
            tables[name] = _read_exchange(name, section, exchanges)
        else:
            whole.fault(name, "a name is made of a-z, 0-9 and - (bots have it in their base URL)")
    if not written and whole.readable:
        source.fault(("exchanges",), "no exchange is configured")
    return tables


def _read_exchange(name: str, section: Section, exchanges: Mapping[str, Exchange]) -> ExchangeTable:
    source = section.source
    take = section.take
    kind = section.need("kind", lambda value: _kind(value, exchanges), "")
    exchange = exchanges.get(kind)
    options = _options(section, exchange)
    if exchange is not None:
        exchange = exchange.configured(options)
    rules = take("rules", source.file, None)
    with_rules = _with_rules(source, rules, exchange) if rules and exchange else exchange
    table = ExchangeTable(
        name=name,
        kind=kind,
        rest_url=section.need("rest_url", values.rest_origin, _NOWHERE),
        ws_url=take("ws_url", values.ws_origin, None),
        broker_code=section.need("broker_code", lambda value: _code(source, value, exchange), ""),
        broker_name=take("broker_name", source.text, ""),
        broker_key=take("broker_key", source.secret, None),
        deadline_ns=take("deadline", values.positive_duration, _BLANK.deadline_ns),
        connect_timeout_ns=take(
            "connect_timeout", values.positive_duration, _BLANK.connect_timeout_ns
        ),
        egress=take("egress", _egress, ()),
        ca_file=take("ca_file", lambda value: _ca_file(source, value), None),
        listen=take("listen", values.address, None),
        rules=rules,
        limit_overrides=_read_limits(section.table("limits"), with_rules),
        options=options,
    )
    for key in exchange.broker_keys if exchange is not None else ():
        if not getattr(table, key):
            section.fault(key, f'is missing; kind = "{kind}" signs the broker code with it')
    venues = {
        name: _read_venue(name, section.table(name), table, exchange, alone=alone)
        for name, alone in _venues(section, exchange)
    }
    section.end()
    return replace(table, venues=venues)


def _read_venue(
    name: str, section: Section, table: ExchangeTable, exchange: Exchange | None, *, alone: bool
) -> VenueTable:
    """`alone`: it lives at an address of its own, which has to be told."""
    source = section.source
    take = section.take
    origin = section.need if alone else take
    venue = VenueTable(
        name=name,
        rest_url=origin("rest_url", values.rest_origin, table.rest_url),
        ws_url=take("ws_url", values.ws_origin, table.ws_url),
        broker_code=take(
            "broker_code", lambda value: _code(source, value, exchange), table.broker_code
        ),
        broker_name=take("broker_name", source.text, table.broker_name),
        broker_key=take("broker_key", source.secret, table.broker_key),
        listen=take("listen", values.address, None),
    )
    if venue.broker_code != table.broker_code and exchange is not None:
        for key in exchange.broker_keys:
            if not section.source.says((*section.path, key)):
                what = "is missing; a broker code of its own is signed with a key of its own"
                section.fault(key, what)
    section.end()
    return venue


def _options(section: Section, exchange: Exchange | None) -> Mapping[str, str]:
    """A word for each option that this kind of exchange has."""
    return {
        option.name: section.take(option.name, values.choice(*option.words), option.default)
        for option in (exchange.options if exchange is not None else ())
    }


def _venues(section: Section, exchange: Exchange | None) -> list[tuple[str, bool]]:
    """Those that are served, and whether each lives at an address of its own."""
    if exchange is None:
        return [(name, False) for name in ("futures",) if section.has(name)]
    return [
        (venue.name, venue.optional)
        for venue in exchange.venues[1:]
        if not venue.optional or section.has(venue.name)
    ]


def _kind(value: object, exchanges: Mapping[str, Exchange]) -> str:
    kind = values.text(value)
    served = ", ".join(f'"{name}"' for name in sorted(exchanges))
    if kind not in exchanges:
        raise Wrong(f'no such kind of exchange "{kind}"; there is {served}')
    return kind


def _code(source: Source, value: object, exchange: Exchange | None) -> str:
    code = source.text(value)
    if exchange is not None and (wrong := exchange.code_fault(code)):
        raise Wrong(wrong)
    return code


def _egress(value: object) -> tuple[str, ...]:
    addresses = values.each(values.local_address)(value)
    if not addresses:
        raise Wrong("must hold at least one address")
    if len(set(addresses)) < len(addresses):
        raise Wrong("holds the same address twice")
    return addresses


def _ca_file(source: Source, value: object) -> Path:
    path = source.file(value)
    import ssl  # 10 ms that only those pay who have such a file

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError as error:
        raise Wrong(f"{path} holds no certificate in PEM") from error
    return path


def _with_rules(source: Source, rules: Path, exchange: Exchange) -> Exchange | None:
    """The exchange with the operator's rows, None after a fault, told with their own line."""
    try:
        extra = parse_extra(rules.read_text(encoding="utf-8"), str(rules), exchange)
    except Fault as fault:
        source.faults.append(fault)
        return None
    except UnicodeDecodeError:
        source.faults.append(Fault(str(rules), 0, "", "is not UTF-8"))
        return None
    return replace(exchange, endpoints=extra.endpoints, pools=extra.pools)


def _read_limits(section: Section, exchange: Exchange | None) -> Mapping[str, Rate]:
    overrides: dict[str, Rate] = {}
    for name, value in section.rest().items():
        if exchange is not None and (what := _no_limit(name, exchange)):
            section.fault(name, what)
            continue
        try:
            overrides[name] = values.rate(value)
        except Wrong as error:
            section.fault(name, str(error))
    return overrides


def _no_limit(name: str, exchange: Exchange) -> str:
    """Why no limit can be set under this name, "" if it can."""
    names = [pool.name for pool in exchange.pools]
    if name in names:
        return ""
    for row in exchange.endpoints:
        if name == f"{row.method} {row.op or row.path}" and row.draws:
            drawn = " and ".join(f'"{draw.pool.name}"' for draw in row.draws)
            return f"has no limit of its own, it shares {drawn}"
    near = difflib.get_close_matches(name, names, n=1)
    return f"names no limit; did you mean {near[0]!r}?" if near else "names no limit"
