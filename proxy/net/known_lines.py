"""Heads whose lines were seen before, read without a parser.

Clients send nearly the same head again and again: each line is looked up whole. One never seen
may be a request line or a field of the plainest form. What frames the message or the connection
passes only as the very line that httptools and the checks of `framing.py` let pass before; any
other head takes that careful way. RFC 9112 sections 3 and 5.
"""

from __future__ import annotations

import re
from typing import Final, final

from proxy.net.layouts import CAREFUL, FIELD, TEXT

_LINES_MAX: Final = 4096
_LINE_BYTES_MAX: Final = 256
_VALUES_MAX: Final = 64  # of one name that are kept: timestamps and signatures never come again
_REQUEST: Final = re.compile(rb"(GET|POST|PUT|DELETE) (/[!-\"$-~]*) HTTP/1\.1")
_LENGTH_DIGITS_MAX: Final = 15


@final
class KnownLines:
    """The request and field lines that one listener's bots send."""

    __slots__ = (
        "_fields",
        "_requests",
        "_restless",
        "_values",
        "body_bytes",
        "headers",
        "method",
        "target",
    )

    def __init__(self) -> None:
        self._requests: dict[bytes, tuple[bytes, bytes]] = {}
        self._fields: dict[bytes, tuple[bytes, bytes]] = {}
        self._values: dict[bytes, int] = {}  # how many lines of each name were kept
        self._restless: dict[bytes, bytes] = {}  # names, as sent, of which no more lines are kept
        self.method = b""
        self.target = b""
        self.headers: dict[bytes, bytes] = {}
        self.body_bytes = 0

    def read(self, head: bytes, headers_max: int) -> bool:
        """Read a whole HTTP/1.1 head into the fields; False where only the careful way will do."""
        lines = head.split(b"\r\n")
        request = self._requests.get(lines[0]) or self._request(lines[0])
        if request is None:
            return False
        get = self._fields.get
        headers: dict[bytes, bytes] = {}
        for line in lines[1:-2]:
            field = get(line) or self._field(line)
            if field is None:
                return False
            name, value = field
            headers[name] = value
        count = len(headers)
        if count != len(lines) - 3 or count > headers_max or b"host" not in headers:
            return False
        length = headers.get(b"content-length")
        if length is None:
            self.body_bytes = 0
        elif length.isdigit() and len(length) <= _LENGTH_DIGITS_MAX:
            self.body_bytes = int(length)
        else:
            return False
        self.method, self.target = request
        self.headers = headers
        return True

    def learn(self, head: bytes) -> None:
        """Remember the framing lines of an HTTP/1.1 head that the careful way accepted and that
        leaves the connection open."""
        for line in head.split(b"\r\n")[1:-2]:
            match = FIELD.fullmatch(line)
            if match is not None:
                name, value = match.groups()
                name = name.lower()
                if name == b"host" or (name == b"connection" and value == b"keep-alive"):
                    self._keep(line, name, value)

    def _request(self, line: bytes) -> tuple[bytes, bytes] | None:
        match = _REQUEST.fullmatch(line)
        if match is None:
            return None
        method, target = match.groups()
        if method == b"POST" and len(target) <= _LINE_BYTES_MAX:
            if len(self._requests) >= _LINES_MAX:
                self._requests.clear()
            self._requests[line] = (method, target)
        return method, target

    def _field(self, line: bytes) -> tuple[bytes, bytes] | None:
        sent, _, text = line.partition(b": ")
        restless = self._restless.get(sent)
        if restless is not None:
            if text and text.translate(TEXT) == text and b" " not in (text[:1], text[-1:]):
                return restless, text
            return None
        match = FIELD.fullmatch(line)
        if match is None:
            return None
        name, value = match.groups()
        name = name.lower()
        if name in CAREFUL:
            return None
        self._keep(line, name, value)
        return name, value

    def _keep(self, line: bytes, name: bytes, value: bytes) -> None:
        kept = self._values.get(name, 0)
        if len(line) > _LINE_BYTES_MAX:
            return
        if kept >= _VALUES_MAX:
            if name not in CAREFUL and len(self._restless) < _VALUES_MAX:
                self._restless[line[: len(name)]] = name
            return
        if len(self._fields) >= _LINES_MAX:
            self._fields.clear()
            self._values.clear()
        self._values[name] = kept + 1
        self._fields[line] = (name, value)
