"""What would become of an order: tagged and signed as `serve` does it, and then not sent."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple, final

from proxy.errors import Refusal
from proxy.exchanges.mac import Mac
from proxy.model import Broker, Outbound, Request, Tag

if TYPE_CHECKING:
    from proxy.config import ExchangeTable
    from proxy.exchanges.spec import Exchange, Sample
    from proxy.model import Credentials, OnConflict


@final
class Tried(NamedTuple):
    """`order` is the endpoint, `code` what it would carry; `fault` is why it would not, "" if it
    would."""

    order: str
    code: str
    fault: str


def try_orders(
    exchange: Exchange,
    table: ExchangeTable,
    credentials: Credentials,
    code: str,
    on_conflict: OnConflict,
    wall_ms: int,
) -> list[Tried]:
    """Tag and sign the exchange's sample orders, one for each venue that is served, and look for
    `code` in what would leave; "" is the venue's own."""
    return [
        _tried(exchange, table, sample, credentials, code, on_conflict, wall_ms)
        for sample in exchange.sample_orders()
        if sample.venue == "main" or sample.venue in table.venues
    ]


def _tried(
    exchange: Exchange,
    table: ExchangeTable,
    sample: Sample,
    credentials: Credentials,
    code: str,
    on_conflict: OnConflict,
    wall_ms: int,
) -> Tried:
    told = table.venues.get(sample.venue, table)
    label = f"{sample.method.decode()} {sample.path.decode()}"
    endpoint = next(
        row
        for row in exchange.endpoints
        if (row.venue, f"{row.method} {row.path}") == (sample.venue, label)
    )
    code = code or told.broker_code
    key = told.broker_key
    broker = Broker(
        code.encode(), told.broker_name.encode(), Mac(key.reveal()) if key is not None else None
    )
    target = sample.path + sample.suffix
    request = Request(sample.method, target, {}, ip_address("127.0.0.1"), 0)
    request.body = sample.body
    try:
        content = exchange.read(endpoint, request)
        tagged = exchange.tag(endpoint, request, content, broker.code, on_conflict)
        outbound = Outbound(sample.method, sample.path, tagged.suffix, tagged.body, demo=False)
        signed = exchange.sign(outbound, credentials, broker, wall_ms)
        if endpoint.tag is Tag.HEADERS:
            lines = signed.head.split(b"\r\n")
            carries = broker.code in [line.partition(b": ")[2] for line in lines]
        else:
            request.body = signed.body
            again = exchange.read(endpoint, request)
            found = exchange.tag(endpoint, request, again, broker.code, "reject").found
            carries = found == "ours"
    except Refusal as refusal:
        return Tried(label, code, f"it is refused: {refusal.slug} {refusal.facts}".strip())
    return Tried(label, code, "" if carries else "it leaves without the code")
