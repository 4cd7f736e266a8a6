"""An environment of its own for each client library: three of them share the import name `okx`.

Made on demand under `.clients/<name>` from the hashed lock file beside this one, and again when
that file changes; whoever wants one that is being made waits for it.
`python tests/clients/environments.py` makes them all.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parents[1] / ".clients"
NAMES: Final = (
    *("ccxt", "okx", "pymexc", "python-okx"),  # the large ones first
    *("kucoin-universal-sdk", "mexc-api", "python-kucoin"),
)

_INSTALL_SECONDS_MAX: Final = 280
_AT_ONCE: Final = 2


class Unavailable(Exception):
    """The environment cannot be made here; the text says why."""


def interpreter(name: str) -> Path:
    """Return the Python of a client's environment, made first if need be.

    Raises `Unavailable` when the packages cannot be had.
    """
    folder = ROOT / name
    lock = HERE / f"{name}.lock"
    python = folder / "bin" / "python"
    stamp = folder / "lock.sha256"
    wanted = _fingerprint(lock)
    with _alone(name):
        if not stamp.is_file() or stamp.read_text("ascii") != wanted:
            shutil.rmtree(folder, ignore_errors=True)
            venv.create(folder)
            _install(python, lock)
            stamp.write_text(wanted, "ascii")
    return python


@contextlib.contextmanager
def _alone(name: str) -> Iterator[None]:
    """Keep other processes from making the same one."""
    ROOT.mkdir(exist_ok=True)
    with (ROOT / f"{name}.making").open("w") as making:
        fcntl.flock(making, fcntl.LOCK_EX)  # ends with the file, and with the process
        yield


def _fingerprint(lock: Path) -> str:
    """The lock file and the Python it was installed for."""
    return hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()


def _install(python: Path, lock: Path) -> None:
    """Install with this Python's own pip: a pip for each environment would take as long again."""
    pip = (sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check")
    impatient = ("--retries", "2", "--timeout", "15") if "CI" not in os.environ else ()
    command = (*pip, "install", "--quiet", *impatient, "--require-hashes", "-r", str(lock))
    try:
        run = subprocess.run(
            command, capture_output=True, text=True, timeout=_INSTALL_SECONDS_MAX, check=False
        )
    except subprocess.TimeoutExpired as late:
        raise Unavailable(f"{lock.name}: not installed in {_INSTALL_SECONDS_MAX} s") from late
    if run.returncode != 0:
        lines = run.stderr.strip().splitlines() or ["pip said nothing"]
        raise Unavailable(f"{lock.name}: {lines[-1]}")


def _made(name: str) -> str:
    try:
        interpreter(name)
    except Unavailable as reason:
        sys.stderr.write(f"{reason}\n")
        return ""
    return name


def main() -> int:
    """Make every environment; 1 if one cannot be made."""
    with ThreadPoolExecutor(_AT_ONCE) as workers:
        made = [name for name in workers.map(_made, NAMES) if name]
    sys.stdout.write(f"{' '.join(made)}\n")
    return 0 if len(made) == len(NAMES) else 1


if __name__ == "__main__":
    sys.exit(main())
