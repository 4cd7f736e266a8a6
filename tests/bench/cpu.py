"""What a process has cost so far, and where it may run. Linux only: proc(5), sched(7)."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import time
from pathlib import Path
from typing import Final

_ATTACH_SECONDS: Final = 0.3  # perf does not say when it has begun to count
_TICK_NS: Final = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def spent_ns(pid: int) -> int:
    """CPU time of all threads of `pid` since it started.

    From schedstat, which counts nanoseconds; where the kernel has none, from stat, in ticks.
    """
    total = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((thread / "schedstat").read_text("ascii").split()[0])
        except FileNotFoundError:
            return _ticks(pid) * _TICK_NS
    return total


def _ticks(pid: int) -> int:
    stat = Path(f"/proc/{pid}/stat").read_text("utf-8")
    user, system = stat.rpartition(")")[2].split()[11:13]
    return int(user) + int(system)


def pin_to_one_core() -> int:
    """Keep this process, and whatever it starts, on one core; return which."""
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core


def machine() -> str:
    """Model and number of the machine's processors."""
    model = platform.machine()
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{os.cpu_count()} × {model}"


class Instructions:
    """Counts what `pid` executes in user space, by perf(1), between start and `stop`.

    Where neighbours on the machine disturb the time, this still repeats within 1 %.
    """

    def __init__(self, pid: int) -> None:
        command = ("perf", "stat", "-x,", "-e", "instructions:u", "-p", str(pid))
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        time.sleep(_ATTACH_SECONDS)

    def stop(self) -> int:
        """Return the count so far. Raises `OSError` where there is nothing to count with."""
        self._process.send_signal(signal.SIGINT)
        _, said = self._process.communicate()
        count = said.strip().splitlines()[-1].partition(",")[0] if said.strip() else ""
        if not count.isdecimal():
            raise OSError(f"perf stat counts no instructions here: {said.strip()}")
        return int(count)
