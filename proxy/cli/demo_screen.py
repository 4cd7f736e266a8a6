"""What `tagproxy demo` puts on the screen: how to reach it, and each order twice.

An order is shown as the bot sent it and as the exchange received it, with what changed marked:
in colour on a terminal, by ^^^ underneath elsewhere.
"""

from __future__ import annotations

import difflib
import json
import re
from typing import TYPE_CHECKING, Final, TextIO, final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from proxy.model import KeyTriple, Reply, Request
    from proxy.sim import Recorded

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\w.+-]+|.', re.DOTALL)
_MARKED: Final = "\x1b[1;7m{}\x1b[0m"
_KEY_SHOWN: Final = 8
_UNPAIRED_MAX: Final = 1000

# Ready to paste: needs Python and nothing else.
_PASTE: Final = """\
python3 - <<'EOF'
import base64, hashlib, hmac, http.client, json
from datetime import datetime, timezone
path = "/api/v5/trade/order"
body = json.dumps({{"instId": "BTC-USDT", "tdMode": "cash", "side": "buy", "ordType": "limit",
                   "px": "40000", "sz": "0.01", "tag": "someoneElse"}})
now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
sign = hmac.new(b{secret!r}, (now + "POST" + path + body).encode(), hashlib.sha256)
bot = http.client.HTTPConnection({host!r}, {port})
bot.request("POST", {prefix!r} + path, body, {{
    "OK-ACCESS-KEY": {api_key!r},
    "OK-ACCESS-PASSPHRASE": {passphrase!r},
    "OK-ACCESS-TIMESTAMP": now,
    "OK-ACCESS-SIGN": base64.b64encode(sign.digest()).decode(),
    "Content-Type": "application/json"}})
print(bot.getresponse().read().decode())
EOF
"""
_CCXT: Final = """\
import ccxt
okx = ccxt.okx({{"apiKey": {api_key!r}, "secret": {secret!r}, "password": {passphrase!r}}})
okx.urls["api"]["rest"] = {base!r}
print(okx.create_order("BTC/USDT", "limit", "buy", 0.01, 40000))
"""


@final
class Screen:
    """Writes to `out`; pairs what a bot sent with what the exchange says it received."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._colour = out.isatty()
        self._received: dict[bytes, Recorded] = {}  # by the exchange's answer, which is unique
        self._count = 0

    def line(self, text: str = "") -> None:
        """Write one line at once."""
        print(text, file=self._out, flush=True)

    def welcome(self, base_url: str, admin_url: str, issued: KeyTriple) -> None:
        """Say how to reach the demo, with commands ready to paste."""
        url = urlsplit(base_url)
        words = {
            "base": base_url,
            "host": url.hostname,
            "port": url.port,
            "prefix": url.path,
            "api_key": issued.api_key,
            "secret": issued.secret,
            "passphrase": issued.passphrase,
        }
        self.line("tagproxy demo: a simulated OKX, the proxy before it, one user with a bot\n")
        self.line(f"  base URL    {base_url}")
        for name in ("api_key", "secret", "passphrase"):
            self.line(f"  {name:<11} {words[name]}")
        self.line(f"  metrics     {admin_url}/metrics")
        self.line("\nPlace an order with somebody else's broker code on it:\n")
        self.line(_PASTE.format(**words))
        self.line("The same with ccxt:\n")
        self.line(_CCXT.format(**words))
        self.line("Orders show here as they pass. Ctrl-C ends the demo.\n")

    def received(self, record: Recorded) -> None:
        """Remember what the exchange received, until its answer reaches the bot."""
        self._received[record.answer] = record
        if len(self._received) > _UNPAIRED_MAX:
            del self._received[next(iter(self._received))]

    def answered(self, request: Request, reply: Reply) -> None:
        """Show one request once it is answered: an order, or a write that was refused."""
        record = self._received.pop(reply.body, None)
        if record is None:
            if request.method != b"GET" and b"X-Tagproxy-Error" in reply.head:
                self._show_refused(request, reply)
            return
        self._count += 1
        orders = ", ".join(record.order_ids)
        outcome = f"accepted, {orders}" if record.code == "0" else f"code {record.code}"
        self.line(f"order {self._count}: {record.method} {record.target} -> {outcome}")
        before = request.body.decode("utf-8", "replace")
        after = record.body.decode("utf-8", "replace")
        changed_before, changed_after = changes(before, after)
        self._show("bot sent", before, changed_before)
        self._show("exchange got", after, changed_after)
        issued = _key(request.headers.get(b"ok-access-key", b"").decode("latin-1"))
        real = _key(record.header("OK-ACCESS-KEY") or "")
        self.line(f"  {'signed by':<14}{issued} at the bot, {real} at the exchange\n")

    def _show_refused(self, request: Request, reply: Reply) -> None:
        target = request.target.partition(b"?")[0].decode("latin-1")
        self.line(f"refused: {request.method.decode('latin-1')} {target} -> {reply.status}")
        self.line(f"  {reply.body.decode('utf-8', 'replace')}\n")

    def _show(self, name: str, text: str, marks: list[tuple[int, int]]) -> None:
        if self._colour:
            for start, end in reversed(marks):
                text = text[:start] + _MARKED.format(text[start:end]) + text[end:]
            self.line(f"  {name:<14}{text}")
            return
        self.line(f"  {name:<14}{text}")
        under = [
            "^" if any(start <= at < end for start, end in marks) else " "
            for at in range(max((end for _, end in marks), default=0))
        ]
        if under:
            self.line(" " * 16 + "".join(under))


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


def tags(body: bytes) -> list[str | None]:
    """Return the broker code of every order in a body."""
    content = json.loads(body)
    items = content if isinstance(content, list) else [content]
    return [item.get("tag") for item in items]


def _key(api_key: str) -> str:
    return f"{api_key[:_KEY_SHOWN]}…"
