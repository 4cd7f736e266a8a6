"""An exchange's answer as the parser reads it, piece by piece, within our maxima. RFC 9112."""

from __future__ import annotations

import asyncio
from typing import Final

from httptools import HttpResponseParser

from proxy.net.deadlines import Deadline

_HEADERS_MAX: Final = 200


class TooMuch(Exception):
    """An answer over one of our maxima."""


class ParsedAnswer(Deadline, asyncio.Protocol):
    """The half of a connection that the parser calls."""

    __slots__ = (
        "_body",
        "_body_bytes",
        "_body_bytes_max",
        "_complete",
        "_fed",
        "_garbled",
        "_head_bytes",
        "_head_done",
        "_headers",
        "_keep_alive",
        "_method",
        "_parser",
        "_status",
    )

    def __init__(self, body_bytes_max: int) -> None:
        super().__init__()
        self._body_bytes_max = body_bytes_max
        self._parser = HttpResponseParser(self)
        self._method = b""  # of the request
        self._reset()

    def _reset(self) -> None:
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: bytes | bytearray = b""
        self._body_bytes = 0
        self._head_bytes = 0
        self._head_done = False
        self._complete = False
        self._fed = False  # the parser has a part of the answer
        self._garbled = False  # bytes behind the answer
        self._keep_alive = False

    def on_message_begin(self) -> None:
        """Stop at a second answer where one was asked for."""
        if self._complete:
            raise TooMuch("bytes behind the answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect one field."""
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """An answer to HEAD ends here; any other may have a body."""
        if self._complete:
            return
        if len(self._headers) > _HEADERS_MAX:
            raise TooMuch("too many header fields in the answer")
        self._head_done = True
        if self._method == b"HEAD" and self._parser.get_status_code() >= 200:
            self.on_message_complete()

    def on_body(self, body: bytes) -> None:
        """Collect a piece of the body."""
        if self._complete:
            self._garbled = True
            return
        self._body_bytes += len(body)
        if self._body_bytes > self._body_bytes_max:
            raise TooMuch("the answer is too large")
        if not self._body:
            self._body = body
        else:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += body

    def on_message_complete(self) -> None:
        """Note the end of an answer, or of an interim one."""
        if self._complete:
            return
        status = self._parser.get_status_code()
        if status < 200:
            self._headers.clear()
            self._head_done = False
            return
        self._status = status
        self._keep_alive = self._parser.should_keep_alive()
        self._complete = True

    def _framed(self) -> bool:
        return any(name in (b"content-length", b"transfer-encoding") for name, _ in self._headers)


def describe(error: Exception) -> str:
    """Word what `feed_data` raised."""
    cause = error.__context__
    return str(cause) if isinstance(cause, TooMuch) else "the exchange's answer is no HTTP"
