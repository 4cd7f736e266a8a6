"""`make bench`: what a request costs here beside nginx passing it through, in the same run."""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.bench.contenders import compiled_build
from tests.bench.cpu import pin_to_one_core
from tests.bench.kinds import KINDS
from tests.bench.measure import COMPILED, NGINX, PURE, Plan, measure
from tests.bench.peers import NGINX as NGINX_PATH
from tests.bench.report import facts_of, ratio, scores_as_json, table
from tests.e2e.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

RATIO_MAX: Final = 3.5


def main() -> int:
    """Measure and print; 1 if `--assert` was given and the ratio is above RATIO_MAX."""
    options = _options()
    if NGINX_PATH is None:
        sys.stderr.write("bench: nginx is needed beside us and as the exchange; install it\n")
        return 2
    contenders = _contenders(options)
    if not contenders:
        return 2
    kinds = tuple(KINDS.values()) if options.exchange == "all" else (KINDS[options.exchange],)
    plan = Plan(
        launches=options.launches,
        requests=options.requests,
        warm_up=options.warm_up,
        connections=options.connections,
        open_requests=options.open_requests,
        instructions=options.instructions,
    )
    core = pin_to_one_core()
    facts = facts_of(plan, core)
    scores = measure(plan, kinds, contenders, _profiler(options.perf) if options.perf else None)
    if options.json:
        whole = facts | {"exchanges": scores_as_json(scores)}
        sys.stdout.write(json.dumps(whole, indent=2) + "\n")
    else:
        sys.stdout.write(table(facts, scores))
    installed = COMPILED if COMPILED in contenders else PURE
    worst = max(ratio(of_kind, installed) for of_kind in scores.values())
    if options.assert_ratio and not worst <= RATIO_MAX:
        sys.stderr.write(f"bench: more than {RATIO_MAX} × nginx pass-through\n")
        return 1
    return 0


def _contenders(options: argparse.Namespace) -> dict[str, Path | None]:
    """What to measure, and where each is imported from."""
    found: dict[str, Path | None] = {NGINX: None}
    build = compiled_build()
    if build is None:
        sys.stderr.write("bench: no compiled build of these sources; `make compiled` makes one\n")
    else:
        found[COMPILED] = build
    found[PURE] = ROOT
    found = {name: where for name, where in found.items() if options.only in name}
    return found | {str(path): path.resolve() for path in options.beside}


def _options() -> argparse.Namespace:
    default = Plan()
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    parser.add_argument("--launches", type=int, default=default.launches)
    parser.add_argument("--requests", type=int, default=default.requests, help="per launch")
    parser.add_argument("--warm-up", type=int, default=default.warm_up)
    parser.add_argument("--connections", type=int, default=default.connections)
    parser.add_argument(
        "--open-requests", type=int, default=default.open_requests, help="0: no open loop"
    )
    parser.add_argument(
        "--instructions", action="store_true", help="count them by perf: deaf to neighbours"
    )
    parser.add_argument("--exchange", choices=(*KINDS, "all"), default="all")
    parser.add_argument(
        "--beside",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="measure another package too: sources, or a compiled build's site",
    )
    parser.add_argument(
        "--only", choices=("nginx", "tagproxy", "compiled", "pure", "none"), default=""
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--assert", dest="assert_ratio", action="store_true", help=f"fail above {RATIO_MAX}"
    )
    parser.add_argument(
        "--perf", type=Path, metavar="DIR", help="perf record each loaded process into DIR"
    )
    return parser.parse_args()


def _profiler(folder: Path) -> Callable[[str, int], AbstractContextManager[None]]:
    """Has `perf` watch each process while it is loaded; its CPU figure is then a little high."""
    folder.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def watched(name: str, pid: int) -> Iterator[None]:
        data = folder / (re.sub(r"[^a-z0-9]+", "-", name) + ".data")
        command = ("perf", "record", "-q", "-F", "2000", "-o", str(data), "-p", str(pid))
        process = subprocess.Popen(command)
        try:
            yield
        finally:
            process.terminate()
            process.wait()
            sys.stderr.write(f"perf report --no-children --sort dso -i {data}\n")

    return watched


if __name__ == "__main__":
    sys.exit(main())
