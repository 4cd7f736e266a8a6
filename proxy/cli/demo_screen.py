"""What `tagproxy demo` puts on the screen: how to reach it, and each order twice.

An order is shown as the bot sent it and as the exchange received it, with what changed marked: in
colour on a terminal, by ^^^ underneath elsewhere. Of the headers those are shown that may carry a
broker's code: what the exchange's sample orders have beside their signature, and what else
reached the exchange.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Final, NamedTuple, TextIO, final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from proxy.cli.demo_setting import Stall
    from proxy.model import Reply, Request
    from proxy.sim import Recorded
    from proxy.sim.exchange import Holder, Paste, Simulated

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\w.+-]+|.', re.DOTALL)
_LONG: Final = re.compile(r"[A-Za-z0-9+/]{32,}={0,2}")  # signatures
_MARKED: Final = "\x1b[1;7m{}\x1b[0m"
_SHOWN: Final = 8  # of a key or a signature
_MARGIN: Final = 14
_UNPAIRED_MAX: Final = 1000
_GENERAL: Final = frozenset(
    {
        *("accept", "accept-encoding", "accept-language", "connection", "content-length"),
        *("content-type", "host", "transfer-encoding", "user-agent"),
    }
)


@final
class _Headers(NamedTuple):
    """What to make of an exchange's headers; names in lower case."""

    signature: frozenset[str]
    codes: frozenset[str]


@final
class Screen:
    """Writes to `out`; pairs what a bot sent with what the exchange says it received."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._colour = out.isatty()
        # by the exchange's answer, which is unique
        self._received: dict[bytes, tuple[Recorded, Simulated, _Headers]] = {}
        self._count = 0

    def line(self, text: str = "") -> None:
        """Write one line at once."""
        print(text, file=self._out, flush=True)

    def welcome(self, stalls: Sequence[Stall], url: str, admin_url: str, folder: Path) -> None:
        """Say how to reach the demo; `folder` is for commands ready to paste, of which only the
        first for each exchange is shown."""
        self.line("tagproxy demo: simulated exchanges, the proxy before them, one user with bots")
        for stall in stalls:
            self.line(f"\n{stall.exchange.kind}")
            for venue in stall.exchange.venues:
                name = "base URL" if venue == stall.exchange.venues[0] else venue
                self.line(f"  {name:<11} {stall.base_url(url, venue)}")
            for name in ("api_key", "secret", "passphrase"):
                if value := getattr(stall.bot, name):
                    self.line(f"  {name:<11} {value}")
        self.line(f"\nmetrics       {admin_url}/metrics")
        self.line("\nPlace an order with somebody else's broker code on it:")
        folder.mkdir()
        more = []
        for stall in stalls:
            pastes = stall.exchange.pastes(stall.base_url(url), stall.bot)
            for paste in pastes[:1]:
                self.line(f"\n# {stall.exchange.kind} {paste.title}\n{paste.text.rstrip()}")
            more += [_filed(folder, stall.exchange.kind, paste) for paste in pastes[1:]]
        self.line("\nOthers:")
        for command in more:
            self.line(f"  {command}")
        self.line("\nOrders show here as they pass. Ctrl-C ends the demo.\n")

    def watch(self, exchange: Simulated, user: Holder) -> Callable[[Recorded], None]:
        """Return what an exchange is to call with each order that it answers; `user` is any."""
        signed: set[str] = set()
        codes: set[str] = set()
        for sample in exchange.samples:
            own = {name.lower() for name in sample.headers}
            signed |= {name.lower() for name in exchange.signed(user, sample, 0).headers} - own
            codes |= own
        headers = _Headers(frozenset(signed | _GENERAL), frozenset(codes))
        return lambda record: self._receive(record, exchange, headers)

    def _receive(self, record: Recorded, exchange: Simulated, headers: _Headers) -> None:
        """Remember what the exchange received, until its answer reaches the bot."""
        self._received[record.answer] = record, exchange, headers
        if len(self._received) > _UNPAIRED_MAX:
            del self._received[next(iter(self._received))]

    def answered(self, request: Request, reply: Reply) -> None:
        """Show one request once it is answered: an order, or a write that was refused."""
        found = self._received.pop(reply.body, None)
        if found is None:
            if request.method != b"GET" and b"X-Tagproxy-Error" in reply.head:
                self._show_refused(request, reply)
            return
        record, exchange, headers = found
        self._count += 1
        outcome = f"code {record.code}"
        if record.accepted:
            outcome = ", ".join(("accepted", *record.order_ids))
        self.line(f"order {self._count}: {_named(request)} -> {outcome}")
        got = {name.lower(): value for name, value in record.headers}
        names = headers.codes | ({name.decode() for name in got} - headers.signature)
        before = _said(request.target.decode("latin-1"), request.body, request.headers, names)
        after = _said(record.target, record.body, got, names)
        marks = changes(before, after)
        self._show("bot sent", before, marks[0])
        self._show("exchange got", after, marks[1])
        issued, real = _keys(request, record, exchange)
        self._show("signed by", f"{issued} at the bot, {real} at the exchange", [])
        self.line()

    def _show_refused(self, request: Request, reply: Reply) -> None:
        self.line(f"refused: {_named(request)} -> {reply.status}")
        self.line(f"  {reply.body.decode('utf-8', 'replace')}\n")

    def _show(self, name: str, text: str, marks: list[tuple[int, int]]) -> None:
        at = 0
        for line in text.split("\n"):
            end = at + len(line)
            spans = [(max(a, at) - at, min(b, end) - at) for a, b in marks if a < end and b > at]
            self._show_line(name, line, spans)
            name, at = "", end + 1

    def _show_line(self, name: str, line: str, spans: list[tuple[int, int]]) -> None:
        if self._colour:
            for start, end in reversed(spans):
                line = line[:start] + _MARKED.format(line[start:end]) + line[end:]
            self.line(f"  {name:<{_MARGIN}}{line}")
            return
        self.line(f"  {name:<{_MARGIN}}{line}")
        under = [
            "^" if any(start <= at < end for start, end in spans) else " "
            for at in range(max((end for _, end in spans), default=0))
        ]
        if under:
            self.line(" " * (_MARGIN + 2) + "".join(under))


def changes(before: str, after: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return which spans of each text the other has not, word by word."""
    words, others = _TOKEN.findall(before), _TOKEN.findall(after)
    matcher = difflib.SequenceMatcher(None, words, others, autojunk=False)
    spans: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
    for kind, from_1, to_1, from_2, to_2 in matcher.get_opcodes():
        if kind == "equal":
            continue
        for found, text, start, end in (
            (spans[0], words, from_1, to_1),
            (spans[1], others, from_2, to_2),
        ):
            if start < end:
                at = len("".join(text[:start]))
                found.append((at, at + len("".join(text[start:end]))))
    return spans


def _said(target: str, body: bytes, headers: Mapping[bytes, bytes], names: Iterable[str]) -> str:
    """Return what a request says: a line for its query, its body and each header of these names,
    which are in lower case."""
    query = _LONG.sub(_shortened, target.partition("?")[2])
    sent = {name: headers.get(name.encode()) for name in sorted(names)}
    lines = (
        f"{name}: {_LONG.sub(_shortened, value.decode('latin-1'))}"
        for name, value in sent.items()
        if value is not None
    )
    return "\n".join(filter(None, (query, body.decode("utf-8", "replace"), *lines)))


def _keys(request: Request, record: Recorded, exchange: Simulated) -> tuple[str, str]:
    """The API keys, shortened; the header's name is told by the key that the exchange knows."""
    for name, value in record.headers:
        if (real := value.decode("latin-1")) in exchange.users:
            issued = request.headers.get(name.lower(), b"").decode("latin-1")
            return f"{issued[:_SHOWN]}…", f"{real[:_SHOWN]}…"
    return "nobody", "nobody"


def _named(request: Request) -> str:
    target = request.target.partition(b"?")[0]
    return f"{request.method.decode('latin-1')} {target.decode('latin-1')}"


def _shortened(found: re.Match[str]) -> str:
    return f"{found[0][:_SHOWN]}…"


def _filed(folder: Path, kind: str, paste: Paste) -> str:
    """Write a text to paste to a file; return the command that runs it."""
    shell = paste.text.startswith("python3 ")
    name = re.sub(r"[^a-z0-9]+", "-", f"{kind} {paste.title}".lower())
    file = folder / f"{name}.{'sh' if shell else 'py'}"
    file.write_text(paste.text, "utf-8")
    file.chmod(0o600)
    return f"{'sh' if shell else 'python3'} {file}"
