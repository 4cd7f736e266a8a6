"""OKX, API v5. https://www.okx.com/docs-v5/en/"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.exchanges.claims import told_by_the_head
from proxy.exchanges.okx.auth import forwarded_head, identify, sign, unsigned_head, verify
from proxy.exchanges.okx.broker import code_fault, tag
from proxy.exchanges.okx.charges import charges
from proxy.exchanges.okx.content import client_order_ids, read, reduces
from proxy.exchanges.okx.keys import issue
from proxy.exchanges.okx.lessons import LESSONS
from proxy.exchanges.okx.probe import CLOCK_PATH, read_clock, sample_orders
from proxy.exchanges.okx.reply import classify, refusal
from proxy.exchanges.okx.rows import TABLE, sensitive_class, unserved
from proxy.exchanges.spec import Exchange, Venue
from proxy.exchanges.triples import triple_fault

if TYPE_CHECKING:
    from collections.abc import Mapping


def configured(options: Mapping[str, str]) -> Exchange:
    """OKX as it is: it has no options."""
    return EXCHANGE


EXCHANGE = Exchange(
    kind="okx",
    venues=(Venue("main"),),
    endpoints=TABLE.endpoints,
    pools=TABLE.pools,
    options=(),
    configured=configured,
    broker_keys=(),
    signs_path=True,
    passed_headers=(b"expTime",),  # sign itself writes x-simulated-trading
    writes_headers=(),
    identify=identify,
    verify=verify,
    complete=told_by_the_head,
    read=read,
    tag=tag,
    charges=charges,
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
