"""`tagproxy demo --once`: be the user's bot at every exchange, then look at what arrived there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import aiohttp
from yarl import URL

from proxy.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.cli.demo_screen import Screen
    from proxy.cli.demo_setting import Stall
    from proxy.sim.exchange import Sample

_TIMEOUT_S: Final = 10
_ANSWER_SHOWN: Final = 500


async def send_samples(screen: Screen, stalls: Sequence[Stall], url: str) -> bool:
    """Send the sample orders of every exchange to the proxy at `url`, each with a foreign code;
    return whether every one was accepted and carried ours."""
    verdicts: list[tuple[str, str]] = []
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        for stall in stalls:
            for sample in stall.exchange.samples:
                order = f"{sample.method} {_path(stall.base_url('', sample.venue), sample)}"
                verdicts.append((order, await _wrong(session, stall, sample, url)))
    width = max((len(order) for order, _ in verdicts), default=0)
    for order, wrong in verdicts:
        verdict = f"NOT as it should be: {wrong}" if wrong else "accepted and tagged"
        screen.line(f"{order:<{width}}  {verdict}")
    return bool(verdicts) and not any(wrong for _, wrong in verdicts)


async def _wrong(session: aiohttp.ClientSession, stall: Stall, sample: Sample, url: str) -> str:
    """Send one order; return what is wrong with how it ended, "" if nothing."""
    exchange = stall.exchange
    before = len(stall.server.requests)
    signed = exchange.signed(stall.bot, sample, SystemClock.wall_ms())
    target = URL(stall.base_url(url, sample.venue) + signed.target, encoded=True)
    try:
        async with session.request(
            sample.method, target, data=signed.body or None, headers=signed.headers
        ) as answer:
            text = await answer.text()
    except (aiohttp.ClientError, TimeoutError) as error:
        return f"no answer, {type(error).__name__}"
    arrived = [each for each in list(stall.server.requests)[before:] if exchange.is_order(each)]
    if answer.status != 200 or [each.accepted for each in arrived] != [True]:
        return f"{answer.status} {text[:_ANSWER_SHOWN]}"
    codes = exchange.codes(arrived[0])
    return "" if codes == [stall.code(sample.venue)] else f"the exchange found {codes}"


def _path(base: str, sample: Sample) -> str:
    return base + sample.target.partition("?")[0]
