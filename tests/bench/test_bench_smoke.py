"""The bench runs: with counts too small to mean anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.bench.kinds import KINDS
from tests.bench.measure import NGINX, PURE
from tests.bench.orders import signed_orders
from tests.bench.peers import NGINX as NGINX_BINARY
from tests.e2e.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = [pytest.mark.bench, pytest.mark.timed, pytest.mark.timeout(90)]


def run(module: str, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", module, *arguments)
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    if NGINX_BINARY is None and "CI" not in os.environ:
        pytest.skip("nginx is not installed")
    tiny = ("--launches", "1", "--requests", "200", "--warm-up", "100", "--open-requests", "50")
    done = run("tests.bench", (*tiny, "--connections", "8", "--json"))
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [NGINX, PURE])
def test_bench_measures_each_contender_before_each_exchange(
    figures: dict[str, Any], kind: str, name: str
) -> None:
    score = figures["exchanges"][kind][name]

    assert score["cpu_us"] > 0
    assert 0 < score["each_launch"]["p50_us"][0] <= score["each_launch"]["p99_us"][0]
    assert 0 < score["each_launch"]["open_p50_us"][0] <= score["each_launch"]["open_p99_us"][0]


def test_bench_says_where_and_with_what_it_measured(figures: dict[str, Any]) -> None:
    assert figures["connections"] == 8
    assert figures["machine"]
    assert any(version.startswith("nginx/") for version in figures["versions"])
    assert set(figures["settings"]) == {
        "MALLOC_TRIM_THRESHOLD_",
        "MALLOC_TOP_PAD_",
        "MALLOC_MMAP_THRESHOLD_",
    }


@pytest.mark.parametrize("kind", KINDS)
def test_orders_are_all_different_and_of_one_size(kind: str) -> None:
    orders = signed_orders(KINDS[kind], 100, "127.0.0.1:1", f"/{kind}", "t")

    assert len(set(orders)) == 100
    assert len({len(order) for order in orders}) == 1


def test_micro_bench_names_every_step_and_exchange() -> None:
    done = run("tests.bench.micro", ("10",))

    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0][1:] == ["okx", "mexc", "kucoin"]
    assert [line[0] for line in lines[1:]] == [
        *("nothing", "identify", "verify", "read", "ids", "tag"),
        *("charges", "admit", "sign", "classify", "together"),
    ]
