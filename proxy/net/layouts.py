"""Heads of a layout seen before, cut at known offsets instead of parsed.

A peer's next head nearly always has the length of an earlier one and differs from it in the same
few values. What stands between those must be, byte for byte, what the careful way accepted; the
values must be plain text of the same lengths. So the careful way would read the same. Whatever
does not fit takes that way. What varies is the value of a field, or a request's query: that of a
signed one always does. RFC 9112 sections 3 to 5.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Final, Generic, TypeVar, final

from proxy.model import Request

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

_END: Final = b"\r\n\r\n"
FIELD: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ([!-~]+(?: [!-~]+)*)")
_QUERIED: Final = re.compile(rb"([A-Z]+ /[!-\"$->@-~]*\?)([!-\"$-~]+)( HTTP/1\.1)")
_HASH: Final = 35
_SPACE: Final = 32
# What a value may hold stays as it is, any other byte becomes another one.
TEXT: Final = bytes(byte if _SPACE <= byte < 0x7F else 255 - byte for byte in range(256))

# Names that frame the message or the connection: only a line seen before will do.
CAREFUL: Final = frozenset(
    {
        b"connection",
        b"content-encoding",
        b"expect",
        b"host",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_LENGTH: Final = b"content-length"

_HEAD_BYTES_MAX: Final = 2048  # of a head worth remembering
_LAYOUTS_MAX: Final = 4  # remembered at a time
_LESSONS_AT_ONCE: Final = 8  # misses that are all learnt from
_MISSES_PER_LESSON: Final = 16  # after those: learning costs as much as it saves


class Layout:
    """What all heads of one length have in common. `lines` are without their ends."""

    __slots__ = ("_cut_fixed", "_cut_values", "_fixed", "_lines", "_varying", "size")

    def __init__(self, lines: list[bytes], varying: frozenset[int]) -> None:
        fixed_format = values_format = ""
        fixed = b""
        pieces: list[bytes] = []
        for number, line in enumerate(lines):
            if number not in varying:
                fixed += line + b"\r\n"
                continue
            start, value, end = _parted(line, number)
            fixed += start
            pieces.append(fixed)
            fixed_format += f"{len(fixed)}s{len(value)}x"
            values_format += f"{len(fixed)}x{len(value)}s"
            fixed = end + b"\r\n"
        fixed += b"\r\n"
        pieces.append(fixed)
        self._fixed = tuple(pieces)
        self._cut_fixed = struct.Struct(f"{fixed_format}{len(fixed)}s").unpack_from
        self._cut_values = struct.Struct(values_format).unpack_from
        self._lines = lines
        self._varying = varying
        self.size = sum(map(len, lines)) + 2 * len(lines) + 2

    def values(self, data: bytes) -> tuple[bytes, ...] | None:
        """Return the values that vary, if `data` begins with a head of this layout."""
        try:
            if self._cut_fixed(data) != self._fixed:
                return None
        except struct.error:  # too short
            return None
        values: tuple[bytes, ...] = self._cut_values(data)
        text = b"".join(values)
        if text.translate(TEXT) != text:
            return None
        if _SPACE in text:
            for value in values:
                if value[0] == _SPACE or value[-1] == _SPACE:
                    return None
        return values

    def varying_with(self, lines: list[bytes]) -> frozenset[int]:
        """Return the lines that must vary for `lines` to fit too: fields of the same name and
        length that frame nothing, and the query. None where that will not do."""
        if len(lines) != len(self._lines):
            return frozenset()
        varying = set(self._varying)
        for number, (mine, other) in enumerate(zip(self._lines, lines, strict=True)):
            if mine == other:
                continue
            form = FIELD if number else _QUERIED
            mine_match, match = form.fullmatch(mine), form.fullmatch(other)
            if (
                mine_match is None
                or match is None
                or mine_match[1] != match[1]
                or len(mine) != len(other)
                or match[1].lower() in CAREFUL
            ):
                return frozenset()
            varying.add(number)
        return frozenset(varying)


def _parted(line: bytes, number: int) -> tuple[bytes, bytes, bytes]:
    """What stands before the value of a line that varies, the value, and what follows it."""
    if number:
        name, value = line.split(b": ", 1)
        return name + b": ", value, b""
    match = _QUERIED.fullmatch(line)
    assert match is not None
    return match[1], match[2], match[3]


L = TypeVar("L", bound=Layout)


class Layouts(Generic[L]):
    """The layouts that one peer's heads had of late. `last` is the first to try."""

    __slots__ = ("_by_size", "_misses", "last")

    def __init__(self) -> None:
        self.last: L | None = None
        self._by_size: dict[int, L] = {}
        self._misses = 0

    def of_size(self, size: int) -> L | None:
        """Return the layout of heads of `size` bytes, now the first to try, or None."""
        layout = self._by_size.get(size)
        if layout is not None:
            self.last = layout
        return layout

    def lines(self, head: bytes) -> list[bytes] | None:
        """Return the lines of `head`, which fitted no layout, if it is to be learnt from."""
        self._misses = misses = self._misses + 1
        if misses > _LESSONS_AT_ONCE and misses % _MISSES_PER_LESSON:
            return None
        return head[:-4].split(b"\r\n") if len(head) <= _HEAD_BYTES_MAX else None

    def varying(self, size: int, lines: list[bytes]) -> frozenset[int]:
        """Return what varied so far between `lines` and the heads of the same size before."""
        layout = self._by_size.get(size)
        return layout.varying_with(lines) if layout is not None else frozenset()

    def keep(self, layout: L) -> None:
        """Remember `layout`, if need be instead of the oldest."""
        known = self._by_size
        if layout.size not in known and len(known) >= _LAYOUTS_MAX:
            del known[next(iter(known))]
        known[layout.size] = self.last = layout


@final
class RequestLayout(Layout):
    """HTTP/1.1 requests that leave the connection open and expect nothing."""

    __slots__ = ("_headers", "_names", "_path", "_sized", "body_bytes", "method", "target")

    # The number of a value, and the name of its field.
    _names: list[tuple[int, bytes]]

    def __init__(
        self,
        lines: list[bytes],
        varying: frozenset[int],
        method: bytes,
        target: bytes,
        headers: dict[bytes, bytes],
    ) -> None:
        super().__init__(lines, varying)
        self.method = method
        self.target = target
        self._headers = headers
        # with its question mark, where the query varies: then that is the first value
        self._path = target[: target.index(b"?") + 1] if 0 in varying else b""
        fields = sorted(varying - {0})
        names = [lines[number].split(b":", 1)[0].lower() for number in fields]
        self._names = list(enumerate(names, len(varying) - len(fields)))
        self._sized = _LENGTH in names
        self.body_bytes = int(headers.get(_LENGTH, b"0"))  # of the head that was read last

    def read(
        self, data: bytes, source: IPv4Address | IPv6Address, started_ns: int, peer: str
    ) -> Request | None:
        """Return the request whose head `data` begins with, if that has this layout."""
        values = self.values(data)
        if values is None:
            return None
        target = self.target
        if self._path:
            query = values[0]
            if _SPACE in query or _HASH in query:
                return None
            target = self._path + query
        headers = self._headers.copy()
        for at, name in self._names:
            headers[name] = values[at]
        if self._sized:
            length = headers[_LENGTH]
            if not length.isdigit():
                return None
            self.body_bytes = int(length)
        return Request(self.method, target, headers, source, started_ns, peer)


@final
class RequestLayouts(Layouts[RequestLayout]):
    """The layouts of one bot."""

    __slots__ = ()

    def learn(self, head: bytes, method: bytes, target: bytes, headers: dict[bytes, bytes]) -> None:
        """Remember a head that the careful way accepted, and that asks nothing of the connection
        and has no body or one of known length. `headers` is what it read."""
        lines = self.lines(head)
        if lines is None or len(headers) != len(lines) - 1:
            return
        varying = self.varying(len(head), lines)
        for number in varying:
            if not number:
                if lines[0] != b"%b %b HTTP/1.1" % (method, target):
                    return
                continue
            name, value = lines[number].split(b": ", 1)
            if headers.get(name.lower()) != value:
                return
        self.keep(RequestLayout(lines, varying, method, target, headers.copy()))


@final
class AnswerLayout(Layout):
    """HTTP/1.1 answers with a body of known length that leave the connection open."""

    __slots__ = ("_fields", "_headers", "_last", "_last_head", "_length_at", "body_bytes", "status")

    # The number of a value, and the place and the name of its field.
    _fields: list[tuple[int, int, bytes]]

    def __init__(
        self,
        lines: list[bytes],
        varying: frozenset[int],
        status: int,
        headers: list[tuple[bytes, bytes]],
        length_at: int,
    ) -> None:
        super().__init__(lines, varying)
        self.status = status
        self._headers = headers
        self._last_head = b""  # the one that was read last; under load it comes again at once
        self._last = headers  # what it said
        # the first line is the status line
        self._fields = [
            (at, number - 1, headers[number - 1][0]) for at, number in enumerate(sorted(varying))
        ]
        self._length_at = length_at if length_at + 1 in varying else -1
        self.body_bytes = int(headers[length_at][1])  # of the head that was read last

    def read(self, data: bytes) -> list[tuple[bytes, bytes]] | None:
        """Return the fields of the answer, if `data` is one of this layout, whole, and no more."""
        head = data[: self.size]
        if head != self._last_head:
            values = self.values(data)
            if values is None:
                return None
            headers = self._headers.copy()
            for at, place, name in self._fields:
                headers[place] = (name, values[at])
            if self._length_at >= 0:
                length = headers[self._length_at][1]
                if not length.isdigit():
                    return None
                self.body_bytes = int(length)
            self._last_head = head
            self._last = headers
        return self._last if len(data) == self.size + self.body_bytes else None


@final
class AnswerLayouts(Layouts[AnswerLayout]):
    """The layouts of one exchange's answers."""

    __slots__ = ()

    def read(self, data: bytes) -> list[tuple[bytes, bytes]] | None:
        """Return the fields of an answer, if `data` is one of a known layout: then `last` is it."""
        layout = self.last
        if layout is None:
            return None
        headers = layout.read(data)
        if headers is not None:
            return headers
        other = self.of_size(data.find(_END) + 4)
        return other.read(data) if other is not None and other is not layout else None

    def learn(self, data: bytes, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Remember an answer that came in one piece, `data`, and that the careful way accepted
        as one that leaves the connection open. `headers` is what it read."""
        if status < 200 or status in (204, 304):
            return
        size = data.find(_END) + 4
        lines = self.lines(data[:size])
        if lines is None or len(headers) != len(lines) - 1:
            return
        names = [name for name, _ in headers]
        if names.count(_LENGTH) != 1 or b"transfer-encoding" in names:
            return
        length_at = names.index(_LENGTH)
        length = headers[length_at][1]
        if not length.isdigit() or size + int(length) != len(data):
            return
        varying = self.varying(size, lines)
        for number in varying:
            name, value = lines[number].split(b": ", 1)
            if headers[number - 1] != (name.lower(), value):
                return
        self.keep(AnswerLayout(lines, varying, status, headers.copy(), length_at))
