"""The names, labels and types of the metrics are an interface: a change shows as a diff here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from proxy.errors import SLUGS
from proxy.metrics import OUTCOMES, SERIES_MAX, Histogram, Metrics

if TYPE_CHECKING:
    from collections.abc import Callable

GOLDEN = Path(__file__).with_name("metrics.golden.txt")


def _exposition(metrics: Metrics) -> str:
    lines = generate_latest(metrics.registry).decode().splitlines()
    return "\n".join(line for line in lines if "tagproxy_" in line and "build_info{" not in line)


def test_the_exposition_is_the_contracts() -> None:
    metrics = Metrics()
    order = metrics.outcomes("okx", "main", "POST trade/order")
    order["ok"] += 2
    order["rate_limited"] += 1
    metrics.outcomes("okx", "main", "unclassified")["exchange_error"] += 1
    metrics.tagged("okx", "main", "POST trade/order", "rest").n += 2
    metrics.tagged("okx", "main", "POST trade/never-used", "rest")
    metrics.foreign("okx", "main")["other"] += 1
    metrics.overhead("okx").observe(0.00012)
    metrics.exchange_seconds("okx").observe(0.031)
    metrics.limit_wait("okx", "POST /api/v5/trade/order").observe(0.64)
    metrics.limit_rejected("okx", "POST /api/v5/trade/order").n += 1
    metrics.exchange_rate_limited("okx")
    metrics.connections("bot", "http", lambda: 3)
    metrics.connections("exchange", "http", lambda: 2)
    metrics.connections("exchange", "http", lambda: 5)
    metrics.log_lines_dropped(lambda: 4)
    metrics.public_reads("okx")["merged"] += 39
    metrics.exchange_bans("okx", "203.0.113.7").n += 1
    metrics.egress_resting(lambda: [("okx", "203.0.113.7", True), ("okx", "203.0.113.8", False)])
    metrics.accounts(lambda: 3000)
    metrics.missing(lambda: ["stopping"])
    metrics.reloaded_s = 1_790_000_000.5
    assert _exposition(metrics) + "\n" == GOLDEN.read_text()


def test_a_registry_without_a_request_has_every_metrics_name() -> None:
    names = {
        line.split()[2] for line in GOLDEN.read_text().splitlines() if line.startswith("# TYPE")
    }
    fresh = _exposition(Metrics())
    assert {name for name in names if f"# TYPE {name} " in fresh} == names


def test_the_process_and_the_build_are_shown_too() -> None:
    text = generate_latest(Metrics().registry).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert "process_resident_memory_bytes" in families
    (build,) = families["tagproxy_build_info"].samples
    assert set(build.labels) == {"version", "python", "openssl"}
    assert build.value == 1


def test_every_outcome_of_the_contract_is_one() -> None:
    assert ("ok", "exchange_error", *SLUGS) == OUTCOMES


@pytest.mark.parametrize(
    "ask",
    [
        lambda metrics: metrics.outcomes("okx", "main", "x"),
        lambda metrics: metrics.tagged("okx", "main", "x", "ws"),
        lambda metrics: metrics.foreign("okx", "main"),
        lambda metrics: metrics.overhead("okx"),
        lambda metrics: metrics.exchange_seconds("okx"),
        lambda metrics: metrics.limit_wait("okx", "x"),
        lambda metrics: metrics.limit_rejected("okx", "x"),
        lambda metrics: metrics.exchange_rate_limited("okx"),
        lambda metrics: metrics.public_reads("okx"),
        lambda metrics: metrics.exchange_bans("okx", "default"),
    ],
)
def test_the_same_labels_give_the_same_object(ask: Callable[[Metrics], object]) -> None:
    metrics = Metrics()
    assert ask(metrics) is ask(metrics)


def test_an_outcome_that_is_none_does_not_reach_prometheus() -> None:
    metrics = Metrics()
    metrics.outcomes("okx", "main", "x")["user alice"] += 1
    with pytest.raises(AssertionError, match="no such outcome"):
        generate_latest(metrics.registry)


def test_series_are_bounded() -> None:
    metrics = Metrics()
    for number in range(SERIES_MAX):
        metrics.limit_rejected("okx", str(number))
    with pytest.raises(AssertionError, match="too many series"):
        metrics.limit_rejected("okx", "one more")


def test_a_value_counts_in_the_bucket_whose_end_it_is() -> None:
    histogram = Histogram((0.1, 1.0))
    for seconds in (0.0, 0.1, 0.100001, 1.0, 1.5):
        histogram.observe(seconds)
    assert histogram.buckets() == [("0.1", 2), ("1.0", 4), ("+Inf", 5)]
    assert histogram.total == pytest.approx(2.700001)
