"""The bytes of a request that leaves: headers from an allow-list, nothing else of the bot's."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Final

from proxy import __version__
from proxy.model import Request

if TYPE_CHECKING:
    from proxy.model import Signed
    from proxy.routes import Site

PASSED_MAX: Final = 1_000  # blocks of passed headers remembered of one exchange
PASSED_BYTES_MAX: Final = 1_000
# Of requests that are no bot's: one bot's headers are not another's, and edges mind a lack of them.
OWN_HEADERS: Final = {
    b"accept": b"application/json",
    b"user-agent": b"tagproxy/" + __version__.encode(),
}
NOBODYS: Final = Request(b"GET", b"/", OWN_HEADERS, IPv4Address(0), 0)


def message(method: bytes, signed: Signed, site: Site, request: Request) -> bytes:
    """Put a request together; of `request` only the headers that go on are taken."""
    values = tuple(map(request.headers.get, site.passed_names))
    passed = site.passed_lines.get(values)
    if passed is None:
        passed = _passed_lines(site, values)
    body = signed.body
    if body or method != b"GET":
        return b"%b %b%b%b%bContent-Length: %d\r\n\r\n%b" % (
            method,
            signed.target,
            site.request_line_end,
            signed.head,
            passed,
            len(body),
            body,
        )
    return b"%b %b%b%b%b\r\n" % (
        method,
        signed.target,
        site.request_line_end,
        signed.head,
        passed,
    )


def _passed_lines(site: Site, values: tuple[bytes | None, ...]) -> bytes:
    """The bot's own headers that go on, as lines; clients send the same ones again and again."""
    passed = b"".join(
        line + value + b"\r\n"
        for (_, line), value in zip(site.passed_headers, values, strict=True)
        if value is not None
    )
    if len(passed) <= PASSED_BYTES_MAX:
        if len(site.passed_lines) >= PASSED_MAX:
            site.passed_lines.clear()
        site.passed_lines[values] = passed
    return passed
