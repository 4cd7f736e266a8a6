"""JSON lines on stderr: one for each request, and rare ones of what happens to the process.

The data path appends to a buffer; one thread renders and writes, so that a stderr that takes
nothing never holds up a request. The buffer is bounded, and what does not fit is counted. No
bodies, queries, signatures or secrets: of an error that is not ours only its kind and place are
written, and messages of other libraries pass `redact`.
"""

from __future__ import annotations

import logging
import os
import re
import select
import threading
import traceback
from collections import deque
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, cast, final

import orjson

from proxy.clock import SystemClock
from proxy.errors import TagproxyError
from proxy.log_lines import TEXT_MAX, Line, Lines

if TYPE_CHECKING:
    from proxy.clock import Clock
    from proxy.metrics import Metrics

Level = Literal["debug", "info", "warning", "error"]


_Entry: TypeAlias = tuple[int, Line] | dict[str, object]

LINES_MAX: Final = 50_000  # waiting to be written
_EVENTS_EXTRA: Final = 1_000  # room that only events have
_LINGER_S: Final = 0.1
_BATCH: Final = 2_000  # waiting lines that end the lingering
_CHUNK: Final = 64  # lines rendered at a stretch: no longer is the event loop kept waiting
_KIND_EVENTS_MAX: Final = 5
_KIND_WINDOW_MS: Final = 10_000
_KINDS_MAX: Final = 1_000
_FRAMES_MAX: Final = 6
_CLOCK: Final = SystemClock()


@final
class RequestLog:
    """The process's log. The thread starts with the first line."""

    __slots__ = (
        "_batch",
        "_closing",
        "_entries",
        "_fd",
        "_full",
        "_kinds",
        "_lines",
        "_lost",
        "_others",
        "_refused",
        "_room",
        "_some",
        "_thread",
        "_wall_ms",
    )

    def __init__(
        self,
        metrics: Metrics,
        clock: Clock = _CLOCK,
        *,
        fd: int = 2,
        lines_max: int = LINES_MAX,
        batch: int = _BATCH,
    ) -> None:
        self._refused = 0  # lines that found no room
        self._lost = 0  # lines that stderr did not take; the thread's own
        metrics.log_lines_dropped(lambda: self.dropped)
        self._wall_ms = clock.wall_ms
        self._fd = fd
        self._room = lines_max
        self._batch = min(batch, lines_max - 1)
        self._entries: deque[_Entry] = deque()
        self._some = threading.Event()  # there is something to write
        self._full = threading.Event()  # and enough of it to stop lingering
        self._closing = False
        self._thread: threading.Thread | None = None
        self._kinds: dict[tuple[str, str], list[int]] = {}
        self._lines = Lines()
        self._others: list[logging.Handler] | None = None

    @property
    def dropped(self) -> int:
        """Lines that were never written."""
        return self._refused + self._lost

    def start(self) -> None:
        """Take over stdlib logging and warnings, from `warning` up."""
        self._others = logging.root.handlers[:]
        logging.root.handlers[:] = [LibraryRecords(self)]
        logging.root.setLevel(logging.WARNING)
        logging.captureWarnings(capture=True)

    def write(self, *line: *Line) -> None:
        """Note one request."""
        entries = self._entries
        waiting = len(entries)
        if waiting >= self._room:
            self._refused += 1
            return
        entries.append((self._wall_ms(), line))
        if not waiting:
            self._wake()
        elif waiting == self._batch:
            self._full.set()

    def event(self, level: Level, message: str, **fields: object) -> None:
        """Note something rare. `message` is a fixed text: of one message, `exchange` and `egress`
        no more than a few are written in ten seconds, and the next one says how many were not."""
        now_ms = self._wall_ms()
        where = f"{fields.get('exchange', '')} {fields.get('egress', '')}"
        suppressed = self._suppressed(message, where, now_ms)
        if suppressed < 0:
            return
        entry: dict[str, object] = {"time": now_ms, "level": level, "message": redact(message)}
        for name, value in fields.items():
            entry[name] = redact(value) if isinstance(value, str) else value
        if suppressed:
            entry["suppressed"] = suppressed
        if len(self._entries) >= self._room + _EVENTS_EXTRA:
            self._refused += 1
            return
        self._entries.append(entry)
        self._wake()

    def fault(self, message: str, error: BaseException, **fields: object) -> None:
        """Note an error that nobody expected: its kind, its place, and its text if it is ours."""
        self.event("error", message, **fields, **_described(error))

    def close(self, timeout_s: float = 2.0) -> None:
        """Write what waits, no longer than `timeout_s`; what is left then counts as dropped."""
        if self._others is not None:
            logging.captureWarnings(capture=False)
            logging.root.handlers[:] = self._others
            self._others = None
        self._closing = True
        self._room = -_EVENTS_EXTRA
        if self._thread is not None:
            self._some.set()
            self._full.set()
            self._thread.join(timeout_s)
        self._refused += len(self._entries)

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="log", daemon=True)
            self._thread.start()
        self._some.set()

    def _suppressed(self, message: str, exchange: str, now_ms: int) -> int:
        """How many of a kind were not written before this one; -1 if it is not to be either."""
        if len(self._kinds) >= _KINDS_MAX:
            self._kinds.clear()
        kind = self._kinds.setdefault((message, exchange), [now_ms, 0])
        if not 0 <= now_ms - kind[0] < _KIND_WINDOW_MS:
            suppressed = max(kind[1] - _KIND_EVENTS_MAX, 0)
            kind[:] = [now_ms, 1]
            return suppressed
        kind[1] += 1
        return 0 if kind[1] <= _KIND_EVENTS_MAX else -1

    # ---- the thread -----------------------------------------------------------------------

    def _run(self) -> None:
        while not self._closing or self._entries:
            self._some.wait()
            self._full.wait(_LINGER_S)
            self._some.clear()
            self._full.clear()
            if self._closing:
                self._some.set()
                self._full.set()
            self._drain()

    def _drain(self) -> None:
        entries = self._entries
        while entries:
            count = min(len(entries), _CHUNK)
            chunk = b"".join([self._render(entries.popleft()) for _ in range(count)])
            if not self._put(chunk):
                self._lost += count

    def _put(self, data: bytes) -> bool:
        """Write all of `data`; False if stderr is gone."""
        while data:
            try:
                data = data[os.write(self._fd, data) :]
            except BlockingIOError:
                writable = select.poll()
                writable.register(self._fd, select.POLLOUT)
                writable.poll(1000)
            except OSError:
                return False
        return True

    def _render(self, entry: _Entry) -> bytes:
        if isinstance(entry, dict):
            entry["time"] = self._lines.time(cast("int", entry["time"])).decode()
            return _json(entry)
        return self._lines.render(entry[0], entry[1])


def _json(entry: dict[str, object]) -> bytes:
    try:
        return orjson.dumps(entry, default=str, option=orjson.OPT_APPEND_NEWLINE)
    except orjson.JSONEncodeError:  # a lone surrogate in what a bot sent
        clean = {
            name: str(value).encode(errors="replace").decode() for name, value in entry.items()
        }
        return orjson.dumps(clean, option=orjson.OPT_APPEND_NEWLINE)


def _described(error: BaseException) -> dict[str, object]:
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES_MAX:]
    described: dict[str, object] = {
        "error": type(error).__name__,
        "at": [f"{os.path.basename(frame.filename)}:{frame.lineno}" for frame in frames],
    }
    if isinstance(error, TagproxyError | OSError):
        described["text"] = str(error)
    return described


# ---- what other libraries say ---------------------------------------------------------------

_NAMED_SECRET: Final = re.compile(
    r"""(?ix)(secret|passphrase|password|passwd|signature|sign|token|authorization|api[-_]?key
    |access-key)(["']?\s*[:=]\s*)(b?["'][^"']*["']?|[^\s,;&}\])]+)"""
)
_QUERY: Final = re.compile(r"\?[^\s\"'>)]+")
_QUOTED_BYTES: Final = re.compile(r"b(?:'(?:[^'\\]|\\.)*'?|\"(?:[^\"\\]|\\.)*\"?)")
_USER_OF_URL: Final = re.compile(r"(\w://)[^/@\s]+@")
_KEY_LIKE: Final = re.compile(
    r"(?=[\w+/=-]*\d)(?=[\w+/=-]*[A-Z])(?=[\w+/=-]*[a-z])[\w+/=-]{24,}|\b[0-9a-f-]{32,}\b"
)


def redact(text: str) -> str:
    """Take out of one message of unknown origin whatever could be a secret; one line of it."""
    text = text.partition("\n")[0][:TEXT_MAX]
    text = text.partition("[parameters:")[0]  # SQLAlchemy shows what it bound
    text = _USER_OF_URL.sub(r"\1…@", text)
    text = _QUOTED_BYTES.sub("b'…'", text)
    text = _NAMED_SECRET.sub(r"\1\2…", text)
    text = _QUERY.sub("?…", text)
    return _KEY_LIKE.sub("…", text)


@final
class LibraryRecords(logging.Handler):
    """Turns records of stdlib logging into events."""

    def __init__(self, log: RequestLog) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Note the record; never raises."""
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - arguments that do not fit their text
            message = str(record.msg)
        level: Level = "error" if record.levelno >= logging.ERROR else "warning"
        if record.levelno < logging.WARNING:
            level = "info"
        error = record.exc_info[1] if record.exc_info else None
        fields = _described(error) if error is not None else {}
        self._log.event(level, redact(message), logger=record.name, **fields)
