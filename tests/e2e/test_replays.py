"""One signed order, sent again over every kind of restart: it is placed once."""

from __future__ import annotations

import http.client
import json
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.e2e.bot import ORDER
from tests.e2e.house import house_in

if TYPE_CHECKING:
    from tests.e2e.house import House

PATH = "/api/v5/trade/order"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _post(house: House, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
    """Send the very same bytes; returns status and slug."""
    base = urlsplit(house.proxy.bot(house.issued).base_url)
    assert base.hostname is not None
    connection = http.client.HTTPConnection(base.hostname, base.port, timeout=10)
    try:
        connection.request("POST", base.path + PATH, body, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.getheader("X-Tagproxy-Error") or ""
    finally:
        connection.close()


@pytest.mark.parametrize("ahead_ms", [0, 20_000])
@pytest.mark.parametrize("restarts", [("kill",), ("stop",), ("kill", "stop")], ids="-".join)
def test_the_same_bytes_place_one_order_whatever_happens_between(
    tmp_path_factory: pytest.TempPathFactory, restarts: tuple[str, ...], ahead_ms: int
) -> None:
    """Client libraries send the same bytes again by themselves when a connection is cut. A bot's
    clock may be ahead: then only what was remembered tells a copy from a new order."""
    with house_in(tmp_path_factory.mktemp("replays")) as house:
        house.forget()
        body = json.dumps(ORDER).encode()
        bot = house.proxy.bot(house.issued)
        headers = bot.headers("POST", PATH, body, now_ms=_now_ms() + ahead_ms)
        assert _post(house, body, headers) == (200, "")
        for how in restarts:
            getattr(house.proxy, how)()
            house.proxy.start()
        assert _post(house, body, headers) == (401, "replayed")
        assert len(house.simulator.orders) == 1
