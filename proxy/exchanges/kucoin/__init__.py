"""KuCoin, global and EU. https://www.kucoin.com/docs-new/introduction"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.exchanges.claims import told_by_the_head
from proxy.exchanges.flat import flat_charges
from proxy.exchanges.kucoin.auth import forwarded_head, identify, sign, unsigned_head, verify
from proxy.exchanges.kucoin.broker import code_fault, tag
from proxy.exchanges.kucoin.content import client_order_ids, read, reduces
from proxy.exchanges.kucoin.keys import issue
from proxy.exchanges.kucoin.lessons import LESSONS
from proxy.exchanges.kucoin.probe import CLOCK_PATH, read_clock, sample_orders
from proxy.exchanges.kucoin.reply import classify, refusal
from proxy.exchanges.kucoin.rows import BROKER, FUTURES, TABLE, sensitive_class, unserved
from proxy.exchanges.spec import Exchange, Venue
from proxy.exchanges.triples import triple_fault

if TYPE_CHECKING:
    from collections.abc import Mapping


def _configured(options: Mapping[str, str]) -> Exchange:
    """There are no options, so there is one exchange."""
    return EXCHANGE


EXCHANGE = Exchange(
    kind="kucoin",
    venues=(
        Venue("main"),
        Venue(FUTURES, optional=True),
        Venue(BROKER, beside_main=True, optional=True),
    ),
    endpoints=TABLE.endpoints,
    pools=TABLE.pools,
    options=(),
    configured=_configured,
    broker_keys=("broker_key",),
    signs_path=True,
    passed_headers=(b"X-SITE-TYPE",),
    writes_headers=(),
    identify=identify,
    verify=verify,
    complete=told_by_the_head,
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
