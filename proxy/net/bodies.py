"""Request bodies as they come in: of known length, or chunked. RFC 9112 sections 6 and 7.1.

Chunks are taken apart strictly: every line ends in CRLF, sizes are plain hexadecimal digits,
extensions and trailers are bounded and dropped. The end of a body is known to the byte, so that
what follows is the next request.
"""

from __future__ import annotations

import re
from typing import Final, final

from proxy.net.framing import CHUNKED, Malformed

_LINE_BYTES_MAX: Final = 256
_TRAILER_BYTES_MAX: Final = 8192
_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;[\t -~\x80-\xff]*)?\r\n")
_TRAILER: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*\r\n")

_IN_SIZE: Final = 0
_IN_DATA: Final = 1
_AFTER_DATA: Final = 2
_IN_TRAILER: Final = 3


@final
class SizedBody:
    """A body whose length the head told. Kept in `body` unless it is read over (`keep` false)."""

    __slots__ = ("_keep", "_left", "body")

    def __init__(self, size: int, *, keep: bool) -> None:
        self._keep = keep
        self._left = size
        self.body = bytearray()

    def feed(self, data: bytes, at: int) -> int:
        """Take `data` from offset `at`; return the offset after the body, or -1 if it goes on."""
        end = at + self._left
        if self._keep:
            self.body += data[at:end]
        self._left = max(end - len(data), 0)
        return end if self._left == 0 else -1


@final
class ChunkedBody:
    """A chunked body, up to `size_max` bytes. Kept in `body` unless it is read over."""

    __slots__ = ("_keep", "_left", "_line", "_size_left", "_state", "_trailer_bytes", "body")

    def __init__(self, size_max: int, *, keep: bool) -> None:
        self._size_left = size_max
        self._keep = keep
        self._state = _IN_SIZE
        self._left = 0
        self._line = b""
        self._trailer_bytes = 0
        self.body = bytearray()

    def feed(self, data: bytes, at: int) -> int:
        """Take `data` from offset `at`; return the offset after the body, or -1 if it goes on.

        Raises Malformed.
        """
        while at < len(data):
            if self._state == _IN_DATA:
                end = min(at + self._left, len(data))
                if self._keep:
                    self.body += data[at:end]
                self._left -= end - at
                at = end
                if self._left == 0:
                    self._state = _AFTER_DATA
                continue
            end = data.find(b"\n", at) + 1
            self._line += data[at : end or len(data)]
            if len(self._line) > _LINE_BYTES_MAX:
                raise Malformed(400, "a line of the chunked body is too long")
            if not end:
                break
            line, self._line = self._line, b""
            at = end
            if self._ends_with(line):
                return at
        return -1

    def _ends_with(self, line: bytes) -> bool:
        if self._state == _IN_TRAILER:
            return self._trailer(line)
        if self._state == _AFTER_DATA:
            if line != b"\r\n":
                raise Malformed(400, "malformed chunk")
            self._state = _IN_SIZE
            return False
        match = _SIZE.fullmatch(line)
        if match is None:
            raise Malformed(400, "malformed chunk size")
        self._left = int(match[1], 16)
        self._size_left -= self._left
        if self._size_left < 0:
            raise Malformed(413, "the body is too large")
        self._state = _IN_DATA if self._left else _IN_TRAILER
        return False

    def _trailer(self, line: bytes) -> bool:
        if line == b"\r\n":
            return True
        self._trailer_bytes += len(line)
        if self._trailer_bytes > _TRAILER_BYTES_MAX:
            raise Malformed(400, "the trailers are too long")
        if _TRAILER.fullmatch(line) is None:
            raise Malformed(400, "malformed trailer")
        return False


def body_of(body_bytes: int, size_max: int, *, keep: bool) -> SizedBody | ChunkedBody:
    """Return the taker for a body of `body_bytes`, which may be CHUNKED."""
    if body_bytes == CHUNKED:
        return ChunkedBody(size_max, keep=keep)
    return SizedBody(body_bytes, keep=keep)
