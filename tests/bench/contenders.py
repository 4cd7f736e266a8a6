"""The real proxy as a process of its own, with all its observability on, in front of an exchange.

Limits are lifted through the configuration, as an operator would do it; nothing else is unusual.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final, cast

from tests.bench.peers import HOST
from tests.e2e.harness import proxy_in
from tests.e2e.processes import ROOT, environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.orders import Kind
    from tests.e2e.harness import Simulator

BUILD: Final = ROOT / "build" / "compiled"  # where `make compiled` leaves what it made


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
    kind: Kind, folder: Path, upstream: int, ca_file: Path, build: Path
) -> Iterator[tuple[int, int]]:
    """`tagproxy serve` with the bench's bots on board; yields its port and process id.

    `build` is where the package to run is imported from: the sources as they stand, or a build.
    """
    # what the harness wants of a simulator is where it listens and whom to trust
    exchange = SimpleNamespace(
        base_url=f"https://{HOST}:{upstream}", ca_file=ca_file, kind=kind.name
    )
    exchange.base_urls = {"main": exchange.base_url}
    exchange.exchange = {kind.name: exchange}.get
    sections = {f"exchanges.{kind.name}.limits": kind.limits}
    imported = {"PYTHONPATH": str(build)}
    with proxy_in(
        folder, cast("Simulator", exchange), sections, start=False, kinds=(kind.name,)
    ) as proxy:
        for bot in kind.bots:
            command = ("--config", str(proxy.config_file), "users", "add", bot.name)
            added = subprocess.run(
                [sys.executable, "-m", "proxy", *command, "--exchange", kind.name],
                input=json.dumps(bot.triple()),
                capture_output=True,
                text=True,
                cwd=folder,
                env=environment(imported),
                check=False,
            )
            if added.returncode != 0:
                raise ContenderError(added.stderr)
        proxy.start(malloc_settings() | imported)
        pid = proxy.child.process.pid
        compiled = next(build.glob("tagproxy__mypyc*"), None)
        if (str(compiled) in Path(f"/proc/{pid}/maps").read_text("utf-8")) != bool(compiled):
            raise ContenderError("not the build that was to be measured")
        yield proxy.port, pid
        if (code := proxy.stop()) != 0:
            tail = proxy.child.stderr.read_text("utf-8", "replace")[-2000:]
            raise ContenderError(f"exit {code}: {tail}")
