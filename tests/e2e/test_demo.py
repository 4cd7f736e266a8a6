"""`tagproxy demo` as somebody with a fresh machine runs it: no HOME, no configuration."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.sim import registry
from tests.e2e.processes import Child, environment, eventually

pytestmark = pytest.mark.e2e

# The demo with one thing spoiled, in a process of its own.
SPOILED = """
import sys
from proxy import cli
from proxy.sim.mexc import Mexc
{spoil}
sys.exit(cli.main(["demo", "--once"]))
"""


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Child]:
    child = Child(["demo"], tmp_path, "demo", {"TMPDIR": str(tmp_path)})
    yield child
    child.process.kill()
    child.process.wait()


def ended(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python to its end."""
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=18,
        cwd=tmp_path,
        env=environment({"TMPDIR": str(tmp_path)}),
        check=False,
    )


def test_once_sends_an_order_to_every_venue_and_shows_it_twice(tmp_path: Path) -> None:
    done = ended(tmp_path, "-m", "proxy", "demo", "--once")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    sent, marks_1, got, marks_2 = done.stdout.splitlines()[1:5]
    assert '"tag": "6b9ad766b55dBCDE"' in sent
    assert '"tag": "tagproxyDEMO01"' in got
    assert marks_1.strip() == "^" * len('"6b9ad766b55dBCDE"')
    assert marks_2.strip() == "^" * len('"tagproxyDEMO01"')
    for exchange in registry.exchanges():
        for sample in exchange.samples:
            path = sample.target.partition("?")[0]
            below = "" if sample.venue == "main" else f"/{sample.venue}"
            order = f"POST /{exchange.kind}{below}{path}"
            assert re.search(f"^order .: {order} -> accepted", done.stdout, re.MULTILINE), order
            assert re.search(f"^{order} +accepted and tagged$", done.stdout, re.MULTILINE), order
        for name, value in exchange.samples[0].headers.items():
            assert f"{name.lower()}: {value}\n" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("spoil", "wrong"),
    [
        ("Mexc.codes = lambda self, record: ['CCXT']", r"the exchange found \['CCXT'\]"),
        (
            "Mexc.samples = [Mexc.samples[0]._replace(target='/api/v3/order?symbol=BTCUSDT')]",
            '400 {"code":700004',
        ),
    ],
)
def test_one_order_that_is_not_as_it_should_be_fails_it(
    tmp_path: Path, spoil: str, wrong: str
) -> None:
    done = ended(tmp_path, "-c", SPOILED.format(spoil=spoil))
    assert done.returncode == 1, done.stdout + done.stderr
    found = re.findall(r"^POST (/\w+/\S+) +(?!-)(\S.+)$", done.stdout, re.MULTILINE)
    verdicts = dict(found)
    assert re.match(f"NOT as it should be: {wrong}", verdicts["/mexc/api/v3/order"]), found
    assert verdicts["/kucoin/api/v1/hf/orders"] == "accepted and tagged"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_commands_it_prints_place_orders(
    tmp_path: Path, demo: Child, number: signal.Signals
) -> None:
    def shown() -> str:
        demo.must_run()
        return demo.stdout.read_text()

    eventually("the demo is up", lambda: "Ctrl-C" in shown())
    printed = re.findall(r"python3 - <<'EOF'\n(.*?)EOF\n", shown(), re.DOTALL)
    filed = [Path(file).read_text() for file in re.findall(r"sh (/\S+\.sh)\n", shown())]
    texts = printed + [text.partition("\n")[2].removesuffix("EOF\n") for text in filed]
    known = registry.exchanges()
    pastes = [paste for each in known for paste in each.pastes("http://x", each.new_user("1"))]
    assert len(printed) == len(known)
    assert len(texts) == sum(paste.text.startswith("python3 ") for paste in pastes) > len(known)
    for text in texts:
        pasted = subprocess.run(
            [sys.executable, "-I", "-"],
            input=text,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
        assert '"orderId":' in pasted.stdout or '"sCode":"0"' in pasted.stdout, pasted
    eventually("the orders are shown", lambda: shown().count("-> accepted") == len(texts))
    for exchange in known:
        assert exchange.operator["main"]["broker_code"] in shown()
    assert demo.end(number) == 0
    assert demo.stderr.read_text() == ""
    assert not list(tmp_path.glob("tagproxy-demo-*"))
