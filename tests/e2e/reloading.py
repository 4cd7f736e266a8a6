"""SIGHUP to a proxy of ours, and how one sees what came of it."""

from __future__ import annotations

import contextlib
import copy
import json
import signal
import socket
from collections.abc import Iterator
from typing import Any, Final

from tests.certificates import Pair
from tests.e2e.bot import Bot
from tests.e2e.harness import Proxy, Sections
from tests.e2e.house import House, placed, pretty
from tests.e2e.processes import eventually, fetch
from tests.e2e.wire import Wire, request_of

KEPT: Final = "the configuration stays as it was: "
SUCCESSFUL: Final = "tagproxy_config_last_reload_successful"
TIMESTAMP: Final = "tagproxy_config_last_reload_success_timestamp_seconds"
PENDING_PATH: Final = "/api/v5/trade/orders-pending"
TICKER: Final = "/api/v5/market/ticker?instId=BTC-USDT"
NEW_CODE: Final = "reloadedCODE02"
OKX: Final = "exchanges.okx"
LIMITS: Final = "exchanges.okx.limits"
SECTIONS: Final[dict[str, dict[str, Any]]] = {"server": {"drain_timeout": "1s"}}


def events(proxy: Proxy, since: int = 0) -> list[dict[str, Any]]:
    """Return what the latest process logged beside requests, from byte `since` of its log on."""
    with proxy.child.stderr.open("rb") as file:
        file.seek(since)
        lines = file.read().splitlines(keepends=True)
    parsed = [json.loads(line) for line in lines if line.endswith(b"\n")]
    return [line for line in parsed if "message" in line]


def faults(proxy: Proxy, since: int = 0) -> list[str]:
    """Return what was said to be wrong with configurations."""
    said = [str(line["message"]) for line in events(proxy, since)]
    return [text.removeprefix(KEPT) for text in said if text.startswith(KEPT)]


def hang_up(proxy: Proxy) -> int:
    """Send SIGHUP; return where the log was before."""
    size = proxy.child.stderr.stat().st_size
    proxy.child.process.send_signal(signal.SIGHUP)
    return size


def reload(proxy: Proxy, sections: Sections | None = None) -> None:
    """Merge `sections` into the configuration and have it taken on."""
    before = proxy.metric(TIMESTAMP)
    proxy.configure(sections or {})
    if sections and "listen" in sections.get("admin", {}):
        proxy.admin_url = f"http://{sections['admin']['listen']}"
    since = hang_up(proxy)

    def taken_on() -> bool:
        proxy.child.must_run()
        assert not faults(proxy, since)
        with contextlib.suppress(OSError):
            return proxy.metric(TIMESTAMP) > before
        return False

    eventually("the configuration is taken on", taken_on)
    assert proxy.metric(SUCCESSFUL) == 1


def refused(proxy: Proxy) -> list[str]:
    """Have the configuration read, which is bad; return the faults that were logged."""
    before = proxy.metric(TIMESTAMP)
    since = hang_up(proxy)

    def said() -> bool:
        proxy.child.must_run()
        return bool(faults(proxy, since))

    eventually("the configuration is refused", said)
    assert (proxy.metric(SUCCESSFUL), proxy.metric(TIMESTAMP)) == (0, before)
    return faults(proxy, since)


def put_back(house: House) -> Iterator[House]:
    """Forget what reached the exchange; when the test is over, what the configuration was is in
    force again. For fixtures."""
    proxy = house.proxy
    before = copy.deepcopy(proxy.sections)
    house.forget()
    yield house
    proxy.sections = before
    reload(proxy, {"admin": before["admin"]})


def set_aside(proxy: Proxy, section: str, *keys: str) -> None:
    """Take keys out of the configuration to come, or with none the whole table."""
    for key in keys:
        del proxy.sections[section][key]
    if not keys:
        del proxy.sections[section]


def tls_of(pair: Pair) -> dict[str, dict[str, str]]:
    return {"server": {"tls_cert": str(pair.certificate), "tls_key": str(pair.key)}}


def tag_of(house: House, bot: Bot | None = None) -> str:
    """Place an order; return the code that it reached the exchange with."""
    answer = (bot or house.bot).order()
    assert placed(answer), pretty(answer)
    return str(house.simulator.orders[-1]["tag"])


def anonymous(house: House) -> int:
    """Read a ticker without a key; return the status."""
    return fetch(f"{house.proxy.base_url}{TICKER}")[0]


def answers(wire: Wire, bot: Bot) -> str:
    """Ask on a connection that is kept; return its answer's Connection header."""
    wire.send(request_of(bot, "GET", PENDING_PATH))
    answer = wire.answer()
    assert placed(answer), pretty(answer)
    return answer.headers.get("connection", "")


def accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False
