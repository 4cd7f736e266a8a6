"""Every metric of the process: counters of our own, put into Prometheus' words at a scrape.

The data path fetches a metric once, when a route is built, and then adds to a plain integer: a
look-up of labels for every request costs 4 µs. No metric is defined elsewhere. Label values come
from tables, never from a request. https://prometheus.io/docs/instrumenting/writing_exporters/
"""

from __future__ import annotations

import platform
import ssl
from bisect import bisect_left
from collections import defaultdict
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypeVar, final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector

from proxy import __version__
from proxy.errors import SLUGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client.core import Metric

K = TypeVar("K")
V = TypeVar("V")

Outcomes: TypeAlias = defaultdict[str, int]
Via = Literal["rest", "ws"]
Side = Literal["bot", "exchange"]
Protocol = Literal["http", "ws"]

OUTCOMES: Final = ("ok", "exchange_error", *SLUGS)
FOUND: Final = ("none", "ours", "other")
READ_HOW: Final = ("sent", "merged", "hit")
SERIES_MAX: Final = 10_000  # of one metric: tables give labels, so more is a fault of ours

_OVERHEAD_S: Final[tuple[float, ...]] = (
    *(0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001),
    *(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0),
)
_EXCHANGE_S: Final[tuple[float, ...]] = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1),
    *(0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
_LIMIT_WAIT_S: Final[tuple[float, ...]] = (
    *(0.001, 0.005, 0.01, 0.025, 0.05, 0.1),
    *(0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0),
)


@final
class Count:
    """A number that only grows: `count.n += 1`."""

    __slots__ = ("n",)

    def __init__(self) -> None:
        self.n = 0


@final
class Histogram:
    """How often a value fell into each bucket, and the sum of all values."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds  # seconds, upper ends, ends included
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Upper ends and how many values lie at or below each."""
        below = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip((*map(repr, self.bounds), "+Inf"), self.counts, strict=True):
            below += count
            buckets.append((bound, below))
        return buckets


@final
class Metrics:
    """The metrics of one process. Asking for the same labels again gives the same object."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._outcomes: dict[tuple[str, str, str], Outcomes] = {}
        self._tagged: dict[tuple[str, str, str, Via], Count] = {}
        self._foreign: dict[tuple[str, str], dict[str, int]] = {}
        self._overhead: dict[str, Histogram] = {}
        self._exchange: dict[str, Histogram] = {}
        self._limit_wait: dict[tuple[str, str], Histogram] = {}
        self._limit_rejected: dict[tuple[str, str], Count] = {}
        self._rate_limited: dict[str, Count] = {}
        self._public_reads: dict[str, dict[str, int]] = {}
        self._bans: dict[tuple[str, str], Count] = {}
        self._resting: Callable[[], Iterable[tuple[str, str, bool]]] = tuple
        self._connections: dict[tuple[Side, Protocol], list[Callable[[], int]]] = {}
        self._lines_dropped: Callable[[], int] = int
        self._accounts: Callable[[], int] = int
        self._missing: Callable[[], list[str]] = list
        self.reload_worked = True  # the last reading of the configuration
        self.reloaded_s = 0.0  # Unix, when it last worked
        self.registry.register(_Exposition(self._families))
        ProcessCollector(registry=self.registry)

    def outcomes(self, exchange: str, venue: str, endpoint: str) -> Outcomes:
        """Requests by how they ended: `outcomes["ok"] += 1`; keys are of `OUTCOMES`."""
        return _at(self._outcomes, (exchange, venue, endpoint), lambda: defaultdict(int))

    def tagged(self, exchange: str, venue: str, endpoint: str, via: Via) -> Count:
        """Orders that left with our code."""
        return _at(self._tagged, (exchange, venue, endpoint, via), Count)

    def foreign(self, exchange: str, venue: str) -> dict[str, int]:
        """What the bots had sent as code: `foreign["other"] += 1`; keys are of `FOUND`."""
        return _at(self._foreign, (exchange, venue), lambda: dict.fromkeys(FOUND, 0))

    def overhead(self, exchange: str) -> Histogram:
        """Time spent here, waiting for a limit and for the exchange excluded."""
        return _at(self._overhead, exchange, lambda: Histogram(_OVERHEAD_S))

    def exchange_seconds(self, exchange: str) -> Histogram:
        """Time from a request's last byte out to its answer."""
        return _at(self._exchange, exchange, lambda: Histogram(_EXCHANGE_S))

    def limit_wait(self, exchange: str, rule: str) -> Histogram:
        """Time that requests queued for a slot of `rule`."""
        return _at(self._limit_wait, (exchange, rule), lambda: Histogram(_LIMIT_WAIT_S))

    def limit_rejected(self, exchange: str, rule: str) -> Count:
        """Requests refused here for want of a slot of `rule`."""
        return _at(self._limit_rejected, (exchange, rule), Count)

    def exchange_rate_limited(self, exchange: str) -> Count:
        """How often the exchange itself said "too many"."""
        return _at(self._rate_limited, exchange, Count)

    def public_reads(self, exchange: str) -> dict[str, int]:
        """Public reads answered, by how: `reads["merged"] += 1`; keys are of `READ_HOW`."""
        return _at(self._public_reads, exchange, lambda: dict.fromkeys(READ_HOW, 0))

    def exchange_bans(self, exchange: str, egress: str) -> Count:
        """How often the exchange refused one of our addresses."""
        return _at(self._bans, (exchange, egress), Count)

    def egress_resting(self, read: Callable[[], Iterable[tuple[str, str, bool]]]) -> None:
        """Show at each scrape which (exchange, address) rest; `read` returns all there are."""
        self._resting = read

    def accounts(self, read: Callable[[], int]) -> None:
        """Show what `read` returns at each scrape."""
        self._accounts = read

    def missing(self, read: Callable[[], list[str]]) -> None:
        """Show at each scrape whether what `read` returns, what is missing to serve, is empty."""
        self._missing = read

    def connections(self, side: Side, protocol: Protocol, read: Callable[[], int]) -> None:
        """Show what `read` returns at each scrape; several of one label are added up."""
        self._connections.setdefault((side, protocol), []).append(read)

    def log_lines_dropped(self, read: Callable[[], int]) -> None:
        """Show what `read` returns at each scrape."""
        self._lines_dropped = read

    def _families(self) -> Iterator[Metric]:
        build = GaugeMetricFamily(
            "tagproxy_build_info",
            "What runs here; the value is always 1.",
            labels=("version", "python", "openssl"),
        )
        openssl = ssl.OPENSSL_VERSION.removeprefix("OpenSSL ").partition(" ")[0]
        build.add_metric((__version__, platform.python_version(), openssl), 1)
        yield build
        yield self._requests()
        yield self._orders_tagged()
        yield self._foreign_codes()
        yield _histograms(
            "tagproxy_overhead_seconds",
            "Time a request spent in the proxy, limiter wait and exchange excluded.",
            ("exchange",),
            (((exchange,), histogram) for exchange, histogram in self._overhead.items()),
        )
        yield _histograms(
            "tagproxy_exchange_seconds",
            "Time from sending a request to having its answer.",
            ("exchange",),
            (((exchange,), histogram) for exchange, histogram in self._exchange.items()),
        )
        yield _histograms(
            "tagproxy_limit_wait_seconds",
            "Time a request queued for a slot of a limit.",
            ("exchange", "rule"),
            self._limit_wait.items(),
        )
        yield self._rejected()
        yield self._refused_by_exchange()
        yield self._reads()
        yield from self._egresses()
        yield self._open_connections()
        yield from self._state()
        dropped = CounterMetricFamily(
            "tagproxy_log_lines_dropped", "Log lines lost because stderr took no more."
        )
        dropped.add_metric((), self._lines_dropped())
        yield dropped

    def _requests(self) -> Metric:
        family = CounterMetricFamily(
            "tagproxy_requests",
            "Requests answered, by outcome.",
            labels=("exchange", "venue", "endpoint", "outcome"),
        )
        for labels, outcomes in self._outcomes.items():
            for outcome, count in outcomes.items():
                assert outcome in OUTCOMES, f"no such outcome: {outcome}"
                family.add_metric((*labels, outcome), count)
        return family

    def _orders_tagged(self) -> Metric:
        family = CounterMetricFamily(
            "tagproxy_orders_tagged",
            "Orders that left with our broker code.",
            labels=("exchange", "venue", "endpoint", "via"),
        )
        for labels, count in self._tagged.items():
            if count.n:
                family.add_metric(labels, count.n)
        return family

    def _foreign_codes(self) -> Metric:
        family = CounterMetricFamily(
            "tagproxy_foreign_codes",
            "Broker codes found in what bots sent.",
            labels=("exchange", "venue", "found"),
        )
        for labels, counts in self._foreign.items():
            for found, count in counts.items():
                family.add_metric((*labels, found), count)
        return family

    def _rejected(self) -> Metric:
        family = CounterMetricFamily(
            "tagproxy_limit_rejected",
            "Requests refused for want of a slot.",
            labels=("exchange", "rule"),
        )
        for labels, count in self._limit_rejected.items():
            family.add_metric(labels, count.n)
        return family

    def _refused_by_exchange(self) -> Metric:
        family = CounterMetricFamily(
            "tagproxy_exchange_rate_limited",
            'How often the exchange itself said "too many"; the goal is zero.',
            labels=("exchange",),
        )
        for exchange, count in self._rate_limited.items():
            family.add_metric((exchange,), count.n)
        return family

    def _reads(self) -> Metric:
        family = CounterMetricFamily(
            "tagproxy_public_reads",
            "Public reads answered: sent, merged with one on its way, or a copy.",
            labels=("exchange", "how"),
        )
        for exchange, counts in self._public_reads.items():
            for how, count in counts.items():
                family.add_metric((exchange, how), count)
        return family

    def _egresses(self) -> Iterator[Metric]:
        bans = CounterMetricFamily(
            "tagproxy_exchange_bans",
            "How often the exchange refused an address of ours.",
            labels=("exchange", "egress"),
        )
        for labels, count in self._bans.items():
            bans.add_metric(labels, count.n)
        yield bans
        resting = GaugeMetricFamily(
            "tagproxy_egress_resting",
            "Whether an address of ours rests because the exchange refused it.",
            labels=("exchange", "egress"),
        )
        for exchange, egress, rests in self._resting():
            resting.add_metric((exchange, egress), rests)
        yield resting

    def _state(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "tagproxy_ready", "Whether /readyz says so.", value=not self._missing()
        )
        yield GaugeMetricFamily(
            "tagproxy_accounts", "Accounts that can be served.", value=self._accounts()
        )
        yield GaugeMetricFamily(
            "tagproxy_config_last_reload_successful",
            "Whether the last reading of the configuration worked.",
            value=self.reload_worked,
        )
        yield GaugeMetricFamily(
            "tagproxy_config_last_reload_success_timestamp_seconds",
            "When the configuration in force was read.",
            value=self.reloaded_s,
        )

    def _open_connections(self) -> Metric:
        family = GaugeMetricFamily(
            "tagproxy_connections", "Open connections.", labels=("side", "protocol")
        )
        for labels, reads in self._connections.items():
            family.add_metric(labels, sum(read() for read in reads))
        return family


@final
class _Exposition(Collector):
    """What the registry asks at a scrape."""

    def __init__(self, families: Callable[[], Iterator[Metric]]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families()

    def describe(self) -> Iterable[Metric]:
        return ()


def _at(series: dict[K, V], labels: K, make: Callable[[], V]) -> V:
    found = series.get(labels)
    if found is None:
        assert len(series) < SERIES_MAX, f"too many series: {labels}"
        found = series[labels] = make()
    return found


def _histograms(
    name: str,
    text: str,
    labels: tuple[str, ...],
    series: Iterable[tuple[tuple[str, ...], Histogram]],
) -> Metric:
    family = HistogramMetricFamily(name, text, labels=labels)
    for values, histogram in series:
        family.add_metric(values, buckets=histogram.buckets(), sum_value=histogram.total)
    return family
