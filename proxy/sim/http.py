"""What no exchange's API takes, whatever is asked: HTTP's own rules, strictly.

Strict on purpose: where a real exchange's mood is unknown, this one refuses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.sim.answers import Refused, page

if TYPE_CHECKING:
    from proxy.sim.recorded import Recorded

Headers = dict[str, list[str]]


def checked(record: Recorded) -> Headers:
    """Return the values of each header by its lower-case name; raises Refused.

    Refused, as a page: hop-by-hop and coding headers, any header sent twice, another port's host,
    a GET with a body.
    """
    headers = gathered(tuple(record.headers))
    for name in ("transfer-encoding", "content-encoding", "expect", "upgrade", "te", "trailer"):
        if name in headers:
            raise refused(400, f"unexpected header: {name}")
    for name, values in headers.items():
        if len(values) > 1:
            raise refused(400, f"header sent twice: {name}")
    host = headers.get("host", [""])[0]
    if not host:
        raise refused(400, "no host")
    if host.rpartition(":")[2] != str(record.port):
        raise refused(421, f"misdirected, nobody here is called {host}")
    if record.method == "GET" and record.body:
        raise refused(400, "GET with a body")
    return headers


def gathered(raw: tuple[tuple[bytes, bytes], ...]) -> Headers:
    """Return header values by lower-case name, in order."""
    headers: Headers = {}
    for name, value in raw:
        key = name.decode("latin-1").lower()
        headers.setdefault(key, []).append(value.decode("latin-1"))
    return headers


def refused(status: int, words: str) -> Refused:
    """Make the refusal of a request that never comes as far as the API."""
    return Refused(page(status, f"<html><body>{status}: {words}</body></html>"))
