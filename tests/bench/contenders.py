"""The real proxy as a process of its own, with all its observability on, in front of an exchange.

Limits are lifted through the configuration, as an operator would do it; nothing else is unusual.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final, cast

from tests.bench.orders import BOTS
from tests.bench.peers import HOST
from tests.e2e.harness import proxy_in
from tests.e2e.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.harness import Simulator

PREFIX: Final = "/okx"
BUILD: Final = ROOT / "build" / "compiled"  # where `make compiled` leaves what it made

_WIDE: Final = "1000000/2s"
_SECTIONS: Final = {
    "exchanges.okx.limits": {"POST /api/v5/trade/order": _WIDE, "subaccount-orders": _WIDE}
}


class ContenderError(Exception):
    """The proxy did not stop as it should, is not the one meant, or a user could not be added."""


def compiled_build() -> Path | None:
    """The compiled package, to be imported from; None if there is none of these sources."""
    made = BUILD / ".made"
    if not made.is_file():
        return None
    changed = max(path.stat().st_mtime for path in (ROOT / "proxy").rglob("*.py"))
    return BUILD / "site" if made.stat().st_mtime >= changed else None


def malloc_settings() -> dict[str, str]:
    """What `deploy/malloc.env` sets."""
    lines = (ROOT / "deploy" / "malloc.env").read_text("ascii").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@contextlib.contextmanager
def tagproxy(
    folder: Path, upstream: int, ca_file: Path, build: Path | None
) -> Iterator[tuple[int, int]]:
    """`tagproxy serve` with the bench's bots on board; yields its port and process id.

    `build` is the package to run; None runs the sources as they stand.
    """
    # what the harness wants of a simulator is where it listens and whom to trust
    exchange = SimpleNamespace(base_url=f"https://{HOST}:{upstream}", ca_file=ca_file)
    with proxy_in(folder, cast("Simulator", exchange), _SECTIONS, start=False) as proxy:
        for bot in BOTS:
            triple = {"api_key": bot.api_key, "secret": bot.secret, "passphrase": bot.passphrase}
            added = proxy.run(
                "users", "add", bot.name, "--exchange", "okx", stdin=json.dumps(triple)
            )
            if added.returncode != 0:
                raise ContenderError(added.stderr)
        proxy.start(malloc_settings() | ({"PYTHONPATH": str(build)} if build else {}))
        pid = proxy.child.process.pid
        if ("tagproxy__mypyc" in Path(f"/proc/{pid}/maps").read_text("utf-8")) != bool(build):
            raise ContenderError("not the build that was to be measured")
        yield proxy.port, pid
        if (code := proxy.stop()) != 0:
            tail = proxy.child.stderr.read_text("utf-8", "replace")[-2000:]
            raise ContenderError(f"exit {code}: {tail}")
