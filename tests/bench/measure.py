"""The method: fresh starts in turn, proxy, load and exchange on one core, CPU of the proxy alone.

With the load on another core the same program costs 10-40 µs more a request for wake-ups, and
differently each time; on one core the figure repeats within 5 %.
"""

from __future__ import annotations

import statistics
import tempfile
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.bench.contenders import tagproxy
from tests.bench.cpu import Instructions, spent_ns
from tests.bench.load import Run, closed_loop, open_loop
from tests.bench.orders import CLOSED_PER_SECOND, signed_orders
from tests.bench.peers import HOST, exchange, pass_through

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from tests.bench.orders import Kind

NGINX: Final = "nginx pass-through"
COMPILED: Final = "tagproxy compiled"  # the wheel that operators install
PURE: Final = "tagproxy pure"
_ROUND: Final = 8_000  # orders signed at a time: even on a slow machine the last are young enough


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


Scores = dict[str, dict[str, Score]]  # by exchange and contender


def measure(
    plan: Plan,
    kinds: Sequence[Kind],
    contenders: Mapping[str, Path | None],
    while_loaded: Callable[[str, int], AbstractContextManager[None]] | None = None,
) -> Scores:
    """Launch each contender in turn before each exchange, `plan.launches` times.

    `contenders` tells where each is imported from, None for nginx. `while_loaded` is entered with
    a name and the process id for the loaded part of each launch.
    """
    scores: Scores = {kind.name: {name: Score() for name in contenders} for kind in kinds}
    with tempfile.TemporaryDirectory(prefix="tagproxy-bench-") as top:
        there = Path(top) / "exchange"
        there.mkdir()
        with exchange(there) as upstream:
            turns = [
                (launch, kind, name)
                for launch in range(plan.launches)
                for kind in kinds
                for name in contenders
            ]
            for number, (launch, kind, name) in enumerate(turns):
                folder = Path(top) / str(number)
                folder.mkdir()
                with ExitStack() as stack:
                    build = contenders[name]
                    port, pid = stack.enter_context(
                        pass_through(folder, upstream)
                        if build is None
                        else tagproxy(kind, folder, upstream, there / "cert.pem", build)
                    )
                    prefix = "" if build is None else f"/{kind.name}"
                    loaded = (
                        while_loaded(f"{kind.name} {name}", pid) if while_loaded else nullcontext()
                    )
                    signer = _Signer(kind, f"{HOST}:{port}", prefix, launch)
                    score = scores[kind.name][name]
                    with loaded:
                        _measure_closed(plan, score, port, pid, signer)
                    if plan.open_requests:
                        _measure_open(plan, score, port, signer)
    return scores


@dataclass(slots=True)
class _Signer:
    """Signs orders for one launch, each time with ids of their own."""

    kind: Kind
    host: str
    prefix: str
    launch: int
    calls: int = 0

    def orders(self, count: int, per_second: float = CLOSED_PER_SECOND) -> list[bytes]:
        self.calls += 1
        word = f"r{self.launch}x{self.calls}"
        return signed_orders(self.kind, count, self.host, self.prefix, word, per_second)


def _measure_closed(plan: Plan, score: Score, port: int, pid: int, signer: _Signer) -> None:
    spent: list[int] = []
    counted: list[int] = []

    @contextmanager
    def measured() -> Iterator[None]:
        counter = Instructions(pid) if plan.instructions else None
        began_ns = spent_ns(pid)
        yield
        spent.append(spent_ns(pid) - began_ns)
        if counter is not None:
            counted.append(counter.stop())

    counts = [plan.warm_up, *[_ROUND] * (plan.requests // _ROUND)]
    if plan.requests % _ROUND:
        counts.append(plan.requests % _ROUND)
    rounds = (partial(signer.orders, count) for count in counts)
    run = closed_loop((HOST, port), plan.connections, signer.kind.accepted, rounds, measured)
    if counted:
        score.instructions.append(sum(counted) / run.requests)
    score.cpu_us.append(sum(spent) / 1000 / run.requests)
    score.per_second.append(run.requests / run.seconds)
    _percentiles(run, score.p50_us, score.p99_us)


def _measure_open(plan: Plan, score: Score, port: int, signer: _Signer) -> None:
    orders = signer.orders(plan.open_requests, plan.open_per_second)
    run = open_loop(
        (HOST, port),
        plan.connections,
        signer.kind.accepted,
        orders,
        plan.open_per_second,
        signer.launch,
    )
    _percentiles(run, score.open_p50_us, score.open_p99_us)


def _percentiles(run: Run, p50_us: list[float], p99_us: list[float]) -> None:
    p50_us.append(run.percentile_us(50))
    p99_us.append(run.percentile_us(99))
