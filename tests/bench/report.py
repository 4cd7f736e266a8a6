"""How the figures are shown: with machine, date and versions, or they are worth nothing."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
import ssl
import statistics
import subprocess
from typing import Any

import proxy
from tests.bench.contenders import malloc_settings
from tests.bench.cpu import machine
from tests.bench.measure import NGINX, Plan, Score, Scores
from tests.bench.peers import NGINX as NGINX_BINARY


def facts_of(plan: Plan, core: int) -> dict[str, Any]:
    """What a figure is worth nothing without."""
    packages = ("uvloop", "httptools", "orjson")
    versions = [f"Python {platform.python_version()}", ssl.OPENSSL_VERSION, _nginx_version()]
    versions += [f"{name} {importlib.metadata.version(name)}" for name in packages]
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "tagproxy": proxy.__version__,
        "machine": machine(),
        "core": core,
        "versions": versions,
        "settings": malloc_settings(),
        "launches": plan.launches,
        "requests": plan.requests,
        "connections": plan.connections,
        "open_per_second": plan.open_per_second if plan.open_requests else 0,
    }


def _nginx_version() -> str:
    said = subprocess.run(
        [NGINX_BINARY or "nginx", "-v"], capture_output=True, check=True, text=True
    )
    return said.stderr.strip().rpartition(" ")[2]


def ratio(scores: dict[str, Score], name: str) -> float:
    """CPU per request over nginx's; NaN when either was not measured."""
    if NGINX not in scores or name not in scores:
        return float("nan")
    return scores[name].cpu_median_us() / scores[NGINX].cpu_median_us()


def scores_as_json(scores: Scores) -> dict[str, Any]:
    """Medians and every launch, by exchange and contender."""
    return {
        kind: {
            name: {
                "cpu_us": score.cpu_median_us(),
                "ratio": ratio(of_kind, name) if NGINX in of_kind else None,
                "each_launch": {field: getattr(score, field) for field in Score.__slots__},
            }
            for name, score in of_kind.items()
        }
        for kind, of_kind in scores.items()
    }


def table(facts: dict[str, Any], scores: Scores) -> str:
    """What a person reads."""
    figures = ("CPU µs/req", "÷ nginx", "instructions", "req/s", "p50 µs", "p99 µs")
    header = ("", *figures, "open p50", "open p99")
    named = [
        (kind, name, of_kind, score)
        for kind, of_kind in scores.items()
        for name, score in of_kind.items()
    ]
    rows = [header, *(_row(f"{kind} {name}", of_kind, name) for kind, name, of_kind, _ in named)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    measured = f"medians of {facts['launches']} fresh starts, {facts['requests']} requests each"
    lines = [
        f"tagproxy {facts['tagproxy']}, {facts['date']}, {facts['machine']}, core {facts['core']}",
        ", ".join(facts["versions"]),
        f"{measured}, {facts['connections']} connections; open: {facts['open_per_second']:.0f}/s",
        "",
        *("  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in rows),
        "",
        *(
            f"{kind} {name}, each start: " + " ".join(f"{cpu:.1f}" for cpu in score.cpu_us)
            for kind, name, _, score in named
        ),
    ]
    return "\n".join(lines) + "\n"


def _row(shown: str, scores: dict[str, Score], name: str) -> tuple[str, ...]:
    score = scores[name]
    columns = (
        *(score.instructions, score.per_second),
        *(score.p50_us, score.p99_us, score.open_p50_us, score.open_p99_us),
    )
    medians = (f"{statistics.median(values):.0f}" if values else "-" for values in columns)
    return shown, f"{score.cpu_median_us():.2f}", f"{ratio(scores, name):.2f}", *medians
