from __future__ import annotations

import io
from ipaddress import ip_address
from pathlib import Path
from typing import final

import pytest

from proxy.cli.demo_screen import Screen, changes
from proxy.cli.demo_setting import Key, Stall
from proxy.model import Reply, Request
from proxy.sim import Recorded, SimulatedExchange
from proxy.sim.mexc import Mexc
from proxy.sim.mexc import User as MexcUser
from proxy.sim.okx import Okx, User

ORDER = b"/okx/api/v5/trade/order"
REAL = User("real-key-of-the-user", "s", "p", "1001")
MEXC_REAL = MexcUser("mx0vREALREAL", "s", "1001")


@final
class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def request(
    body: bytes, method: bytes = b"POST", target: bytes = ORDER, **headers: bytes
) -> Request:
    named = {name.replace("_", "-").encode(): value for name, value in headers.items()}
    named = {b"ok-access-key": b"issued-key-of-the-bot"} | named
    made = Request(method, target, named, ip_address("127.0.0.1"), 0)
    made.body = body
    return made


def recorded(
    body: bytes, answer: bytes, *, accepted: bool = True, target: str = "/api/v5/trade/order"
) -> Recorded:
    headers = [(b"OK-ACCESS-KEY", b"real-key-of-the-user"), (b"OK-ACCESS-SIGN", b"hidden")]
    record = Recorded(1, "POST", target, headers, body, "127.0.0.1", 1, 0)
    record.answer, record.order_ids = answer, ("42",)
    record.accepted, record.code = accepted, "0" if accepted else "51000"
    return record


def shown(out: io.StringIO, record: Recorded, sent: Request) -> list[str]:
    """Let the exchange receive an order and the bot have its answer; return the screen."""
    screen = Screen(out)
    screen.watch(Okx([REAL]), REAL)(record)
    screen.answered(sent, Reply(200, b"", record.answer))
    return out.getvalue().splitlines()


@pytest.mark.parametrize(
    ("before", "after", "gone", "new"),
    [
        ('{"tag":"a"}', '{"tag":"b"}', ['"a"'], ['"b"']),
        ('{"sz":"1"}', '{"tag":"b","sz":"1"}', [], ['"tag":"b",']),
        ('[{"tag":"x"},{"tag":"x"}]', '[{"tag":"y"},{"tag":"y"}]', ['"x"'] * 2, ['"y"'] * 2),
        ("", "", [], []),
        ("{}", "{}", [], []),
    ],
)
def test_changes_are_whole_words(before: str, after: str, gone: list[str], new: list[str]) -> None:
    spans = changes(before, after)
    assert [before[start:end] for start, end in spans[0]] == gone
    assert [after[start:end] for start, end in spans[1]] == new


def test_an_order_is_shown_before_and_after() -> None:
    record = recorded(b'{"tag":"b"}', b"answer")
    assert shown(io.StringIO(), record, request(b'{"tag":"a"}', user_agent=b"bot/1")) == [
        "order 1: POST /okx/api/v5/trade/order -> accepted, 42",
        '  bot sent      {"tag":"a"}',
        "                       ^^^",
        '  exchange got  {"tag":"b"}',
        "                       ^^^",
        "  signed by     issued-k… at the bot, real-key… at the exchange",
        "",
    ]


def test_a_code_in_a_header_is_shown_and_signatures_are_cut() -> None:
    out = io.StringIO()
    screen = Screen(out)
    query = "symbol=BTCUSDT&signature=%s"
    record = recorded(b"", b"answer", target=f"/api/v3/order?{query % ('0f' * 32)}")
    record.headers = [
        (b"X-MEXC-APIKEY", b"mx0vREALREAL"),
        (b"source", b"ours"),
        (b"Content-Type", b"application/json"),
        (b"New-Broker", b"us"),
    ]
    screen.watch(Mexc([MEXC_REAL]), MEXC_REAL)(record)
    target = f"/mexc/api/v3/order?{query % ('e1' * 32)}".encode()
    sent = request(
        b"",
        target=target,
        source=b"theirs",
        x_mexc_apikey=b"mx0vISSUED",
        cookie=b"private",
        user_agent=b"bot/1",
    )
    screen.answered(sent, Reply(200, b"", b"answer"))
    assert out.getvalue().splitlines() == [
        "order 1: POST /mexc/api/v3/order -> accepted, 42",
        "  bot sent      symbol=BTCUSDT&signature=e1e1e1e1…",
        "                                         ^^^^^^^^",
        "                source: theirs",
        "                        ^^^^^^",
        "  exchange got  symbol=BTCUSDT&signature=0f0f0f0f…",
        "                                         ^^^^^^^^",
        "                new-broker: us",
        "                ^^^^^^^^^^^^^^",
        "                source: ours",
        "                        ^^^^",
        "  signed by     mx0vISSU… at the bot, mx0vREAL… at the exchange",
        "",
    ]


def test_a_terminal_gets_colour_instead() -> None:
    out = Terminal()
    shown(out, recorded(b'{"tag":"b"}', b"answer", accepted=False), request(b'{"tag":"a"}'))
    assert '{"tag":\x1b[1;7m"b"\x1b[0m}' in out.getvalue()
    assert "^" not in out.getvalue()
    assert "-> code 51000" in out.getvalue()


@pytest.mark.parametrize(
    ("method", "head", "visible"),
    [
        (b"POST", b"X-Tagproxy-Error: bad_request\r\n", True),
        (b"GET", b"X-Tagproxy-Error: bad_request\r\n", False),
        (b"POST", b"", False),
    ],
)
def test_a_refused_write_is_shown_and_a_read_is_not(
    method: bytes, head: bytes, visible: bool
) -> None:
    out = io.StringIO()
    Screen(out).answered(request(b"{}", method), Reply(400, head, b"why"))
    assert ("refused: POST /okx/api/v5/trade/order -> 400" in out.getvalue()) is visible


async def test_it_says_where_every_venue_is_and_what_to_paste(tmp_path: Path) -> None:
    out = io.StringIO()
    folder = tmp_path / "paste"
    stalls = [
        Stall(SimulatedExchange(exchange), user, Key(f"{exchange.kind}-key", "S", phrase, "1"))
        for exchange, user, phrase in ((Okx(), REAL, "P"), (Mexc(), MEXC_REAL, ""))
    ]
    Screen(out).welcome(stalls, "http://127.0.0.1:1", "http://127.0.0.1:2", folder)
    lines = out.getvalue().splitlines()
    mexc = lines.index("mexc")
    assert lines[mexc + 1 : mexc + 5] == [
        "  base URL    http://127.0.0.1:1/mexc",
        "  api_key     mexc-key",
        "  secret      S",
        "",
    ]
    assert "  passphrase  P" in lines
    assert "# okx spot, Python and nothing else" in lines
    command = f"  python3 {folder}/mexc-futures-ccxt.py"
    assert command in lines
    text = (folder / "mexc-futures-ccxt.py").read_text()
    assert "mexc-key" in text
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
