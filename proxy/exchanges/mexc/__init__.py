"""MEXC: spot and broker API v3, futures API v1. https://www.mexc.com/api-docs/"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from proxy.exchanges.flat import flat_charges
from proxy.exchanges.mexc.auth import (
    complete,
    forwarded_head,
    identify,
    sign,
    sign_query_only,
    unsigned_head,
    verify,
)
from proxy.exchanges.mexc.broker import code_fault, tag
from proxy.exchanges.mexc.content import client_order_ids, read, reduces
from proxy.exchanges.mexc.keys import issue, triple_fault
from proxy.exchanges.mexc.lessons import LESSONS
from proxy.exchanges.mexc.options import JSON_BODY_SIGNATURE, OPTIONS, drawn_on, limited
from proxy.exchanges.mexc.probe import CLOCK_PATH, read_clock, sample_orders
from proxy.exchanges.mexc.reply import classify, refusal
from proxy.exchanges.mexc.rows import TABLE, sensitive_class, unserved
from proxy.exchanges.spec import Exchange, Venue

if TYPE_CHECKING:
    from collections.abc import Mapping


def configured(options: Mapping[str, str]) -> Exchange:
    """The exchange for an operator's options; what is left out has its default."""
    endpoints = limited(TABLE.endpoints, options)
    covered = options.get(JSON_BODY_SIGNATURE, "covered") == "covered"
    return replace(
        EXCHANGE,
        endpoints=endpoints,
        pools=drawn_on(endpoints),
        sign=sign if covered else sign_query_only,
    )


EXCHANGE = Exchange(
    kind="mexc",
    venues=(Venue("main"), Venue("futures", beside_main=True, optional=False)),
    endpoints=TABLE.endpoints,
    pools=TABLE.pools,
    signs_path=False,
    passed_headers=(),
    writes_headers=(b"content-type",),
    broker_keys=(),
    options=OPTIONS,
    configured=configured,
    identify=identify,
    verify=verify,
    complete=complete,
    read=read,
    tag=tag,
    charges=flat_charges,
    sign=sign,
    unsigned_head=unsigned_head,
    forwarded_head=forwarded_head,
    classify=classify,
    refusal=refusal,
    client_order_ids=client_order_ids,
    reduces=reduces,
    sensitive_class=sensitive_class,
    unserved=unserved,
    code_fault=code_fault,
    triple_fault=triple_fault,
    issue=issue,
    lessons=LESSONS,
    clock_path=CLOCK_PATH,
    read_clock=read_clock,
    sample_orders=sample_orders,
)
