"""What would become of an order: tagged and signed as `serve` does it, and then not sent."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple, final

from proxy.errors import Refusal
from proxy.exchanges.mac import Mac
from proxy.model import Broker, Outbound, Request, Tag

if TYPE_CHECKING:
    from proxy.config import ExchangeTable
    from proxy.exchanges.spec import Exchange
    from proxy.model import Credentials, OnConflict


@final
class Tried(NamedTuple):
    """`order` is the endpoint; `fault` is why it would not carry the code, "" if it would."""

    order: str
    fault: str


def try_order(
    exchange: Exchange,
    table: ExchangeTable,
    credentials: Credentials,
    code: str,
    on_conflict: OnConflict,
    wall_ms: int,
) -> Tried:
    """Tag and sign the exchange's sample order, and look for `code` in what would leave."""
    method, path, body = exchange.sample_order()
    label = f"{method.decode()} {path.decode()}"
    endpoint = next(row for row in exchange.endpoints if f"{row.method} {row.path}" == label)
    request = Request(method, path, {}, ip_address("127.0.0.1"), 0)
    request.body = body
    key = table.broker_key
    broker = Broker(
        code.encode(), table.broker_name.encode(), Mac(key.reveal()) if key is not None else None
    )
    try:
        content = exchange.read(endpoint, request)
        tagged = exchange.tag(endpoint, request, content, broker.code, on_conflict)
        outbound = Outbound(method, path, tagged.suffix, tagged.body, demo=False)
        signed = exchange.sign(outbound, credentials, broker, wall_ms)
        if endpoint.tag is Tag.HEADERS:
            carries = broker.code in signed.head
        else:
            request.body = signed.body
            again = exchange.read(endpoint, request)
            found = exchange.tag(endpoint, request, again, broker.code, "reject").found
            carries = found == "ours"
    except Refusal as refusal:
        return Tried(label, f"it is refused: {refusal.slug} {refusal.facts}".strip())
    return Tried(label, "" if carries else "it leaves without the code")
