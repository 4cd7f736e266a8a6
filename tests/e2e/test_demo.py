"""`tagproxy demo` as somebody with a fresh machine runs it: no HOME, no configuration."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.processes import Child, environment, eventually

pytestmark = pytest.mark.e2e


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Child]:
    child = Child(["demo"], tmp_path, "demo", {"TMPDIR": str(tmp_path)})
    yield child
    child.process.kill()
    child.process.wait()


def test_once_sends_an_order_and_shows_it_twice(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "proxy", "demo", "--once"],
        capture_output=True,
        text=True,
        timeout=18,
        cwd=tmp_path,
        env=environment({"TMPDIR": str(tmp_path)}),
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    sent, marks_1, got, marks_2 = done.stdout.splitlines()[1:5]
    assert '"tag": "6b9ad766b55dBCDE"' in sent
    assert '"tag": "tagproxyDEMO01"' in got
    assert marks_1.strip() == "^" * len('"6b9ad766b55dBCDE"')
    assert marks_2.strip() == "^" * len('"tagproxyDEMO01"')
    assert "okx: accepted and tagged" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_it_prints_places_an_order(
    tmp_path: Path, demo: Child, number: signal.Signals
) -> None:
    def shown() -> str:
        demo.must_run()
        return demo.stdout.read_text()

    eventually("the demo is up", lambda: "Ctrl-C" in shown())
    command = shown().partition("python3 - <<'EOF'\n")[2].partition("EOF\n")[0]
    pasted = subprocess.run(
        [sys.executable, "-I", "-"],
        input=command,
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    assert '"sCode":"0"' in pasted.stdout, pasted.stderr
    eventually("the order is shown", lambda: '"tag": "tagproxyDEMO01"' in shown())
    assert demo.end(number) == 0
    assert demo.stderr.read_text() == ""
    assert not list(tmp_path.glob("tagproxy-demo-*"))
