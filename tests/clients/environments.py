"""An environment of its own for each client library: three of them share the import name `okx`.

Made on demand under `.clients/<name>` from the hashed lock file beside this one, and again when
that file changes. `python tests/clients/environments.py` makes them all.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parents[1] / ".clients"
NAMES: Final = ("ccxt", "okx", "python-okx")

_INSTALL_SECONDS_MAX: Final = 280


class Unavailable(Exception):
    """The environment cannot be made here; the text says why."""


def interpreter(name: str) -> Path:
    """Return the Python of a client's environment, made first if need be.

    Raises `Unavailable` when the packages cannot be had.
    """
    folder = ROOT / name
    python = folder / "bin" / "python"
    stamp = folder / "lock.sha256"
    wanted = _fingerprint(HERE / f"{name}.lock")
    if stamp.is_file() and stamp.read_text("ascii") == wanted:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    _install(python, HERE / f"{name}.lock")
    stamp.write_text(wanted, "ascii")
    return python


def _fingerprint(lock: Path) -> str:
    """The lock file and the Python it was installed for."""
    return hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()


def _install(python: Path, lock: Path) -> None:
    pip = (str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    impatient = ("--retries", "2", "--timeout", "15") if "CI" not in os.environ else ()
    command = (*pip, *impatient, "--require-hashes", "--requirement", str(lock))
    try:
        run = subprocess.run(
            command, capture_output=True, text=True, timeout=_INSTALL_SECONDS_MAX, check=False
        )
    except subprocess.TimeoutExpired as late:
        raise Unavailable(f"{lock.name}: not installed in {_INSTALL_SECONDS_MAX} s") from late
    if run.returncode != 0:
        lines = run.stderr.strip().splitlines() or ["pip said nothing"]
        raise Unavailable(f"{lock.name}: {lines[-1]}")


def main() -> int:
    """Make every environment; 1 if one cannot be made."""
    failed = 0
    for name in NAMES:
        try:
            sys.stdout.write(f"{interpreter(name)}\n")
        except Unavailable as reason:
            sys.stderr.write(f"{reason}\n")
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
