"""The method: fresh starts in turn, proxy, load and exchange on one core, CPU of the proxy alone.

With the load on another core the same program costs 10-40 µs more a request for wake-ups, and
differently each time; on one core the figure repeats within 5 %.
"""

from __future__ import annotations

import statistics
import tempfile
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.bench.contenders import PREFIX, compiled_build, tagproxy
from tests.bench.cpu import Instructions, spent_ns
from tests.bench.load import Run, closed_loop, open_loop
from tests.bench.orders import signed_orders
from tests.bench.peers import HOST, exchange, pass_through

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

NGINX: Final = "nginx pass-through"
COMPILED: Final = "tagproxy compiled"  # the wheel that operators install
PURE: Final = "tagproxy pure"
NAMES: Final = (NGINX, COMPILED, PURE)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    launches: int = 5
    requests: int = 40_000  # per launch, after the warm-up
    warm_up: int = 4_000
    connections: int = 64
    open_requests: int = 3_000  # 0: no open loop
    open_per_second: float = 1_000.0
    instructions: bool = False  # count them too; needs perf


@dataclass(slots=True)
class Score:
    """What one contender reached, a value per launch."""

    cpu_us: list[float] = field(default_factory=list)
    instructions: list[float] = field(default_factory=list)
    per_second: list[float] = field(default_factory=list)
    p50_us: list[float] = field(default_factory=list)
    p99_us: list[float] = field(default_factory=list)
    open_p50_us: list[float] = field(default_factory=list)
    open_p99_us: list[float] = field(default_factory=list)

    def cpu_median_us(self) -> float:
        return statistics.median(self.cpu_us)


def measure(
    plan: Plan,
    names: tuple[str, ...] = NAMES,
    while_loaded: Callable[[str, int], AbstractContextManager[None]] | None = None,
) -> dict[str, Score]:
    """Launch each contender in turn, `plan.launches` times.

    `while_loaded` is entered with name and process id for the measured part of each launch.
    """
    scores = {name: Score() for name in names}
    with tempfile.TemporaryDirectory(prefix="tagproxy-bench-") as top:
        there = Path(top) / "exchange"
        there.mkdir()
        with exchange(there) as upstream:
            for launch in range(plan.launches):
                for name in names:
                    folder = Path(top) / f"{name.replace(' ', '-')}-{launch}"
                    folder.mkdir()
                    with _started(name, folder, upstream, there) as (port, pid):
                        prefix = "" if name == NGINX else PREFIX
                        loaded = while_loaded(name, pid) if while_loaded else nullcontext()
                        _measure_one(plan, scores[name], port, pid, prefix, launch, loaded)
    return scores


def _started(
    name: str, folder: Path, upstream: int, there: Path
) -> AbstractContextManager[tuple[int, int]]:
    if name == NGINX:
        return pass_through(folder, upstream)
    build = None
    if name == COMPILED:
        build = compiled_build()
        assert build is not None, "make compiled first"
    return tagproxy(folder, upstream, there / "cert.pem", build)


def _measure_one(
    plan: Plan,
    score: Score,
    port: int,
    pid: int,
    prefix: str,
    launch: int,
    loaded: AbstractContextManager[None],
) -> None:
    host = f"{HOST}:{port}"
    readings: list[int] = []
    counters: list[Instructions] = []

    def around() -> None:
        if not readings:
            counters.extend([Instructions(pid)] if plan.instructions else [])
            stack.enter_context(loaded)
        readings.append(spent_ns(pid))
        if len(readings) == 2:
            stack.close()

    warm_up = signed_orders(plan.warm_up, host, prefix, f"w{launch}")
    orders = signed_orders(plan.requests, host, prefix, f"c{launch}")
    with ExitStack() as stack:
        run = closed_loop((HOST, port), plan.connections, warm_up, orders, around)
    score.instructions += [counter.stop() / plan.requests for counter in counters]
    score.cpu_us.append((readings[1] - readings[0]) / 1000 / run.requests)
    score.per_second.append(run.requests / run.seconds)
    _percentiles(run, score.p50_us, score.p99_us)
    if plan.open_requests:
        orders = signed_orders(plan.open_requests, host, prefix, f"o{launch}")
        run = open_loop((HOST, port), plan.connections, orders, plan.open_per_second, launch)
        _percentiles(run, score.open_p50_us, score.open_p99_us)


def _percentiles(run: Run, p50_us: list[float], p99_us: list[float]) -> None:
    p50_us.append(run.percentile_us(50))
    p99_us.append(run.percentile_us(99))
