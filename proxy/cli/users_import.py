"""`tagproxy users import`: accounts by JSON lines, each
    {"name", "exchange", "account", "api_key", "secret", "passphrase", "issue", "allow", "ip",
     "code", "mode"}
of which the first two are needed, and of a key what the mode needs. `allow` and `ip` are arrays
or comma-joined; an empty value clears, and what a line does not say stays as it is. `issue` is
for accounts without issued credentials. Per line, once it is done for good, an object is printed:
    {"line", "name", "exchange", "account", "result", "error"?, "issued"?}
    result: added | unchanged | changed | failed
A line that fails fails alone. The same lines again change nothing; should a run be cut off, those
whose credentials were issued and never printed are "unchanged" in the next: `users rotate` them.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast, final

import orjson

from proxy.accounts.importing import BATCH_MAX, Importer, Line
from proxy.accounts.terms import MODES, Terms
from proxy.cli import users_values
from proxy.cli.users_desk import TRIPLE_FIELDS, issued_object
from proxy.config.values import Wrong
from proxy.model import SENSITIVE_CLASSES, KeyTriple

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping
    from io import BufferedIOBase

    from proxy.accounts.importing import Done
    from proxy.cli.users_desk import Desk
    from proxy.exchanges.spec import Exchange

FAILED: Final = 1
LINE_BYTES_MAX: Final = 16_384
_READ_BYTES: Final = 65_536
_NAMES: Final = ("name", "exchange", "account")
_FIELDS: Final = (*_NAMES, *TRIPLE_FIELDS, "issue", "allow", "ip", "code", "mode")


@final
class _Read(NamedTuple):
    """A line, and the account it names as far as it names one."""

    line: Line
    named: Mapping[str, str]


async def run(desk: Desk, args: argparse.Namespace) -> int:
    """Import a file or standard input; 1 when a line failed. Raises `OSError`, `StoreError`."""
    exchanges = {name: desk.kinds[table.kind] for name, table in desk.config.exchanges.items()}
    importer = Importer(desk.store, desk.enrolment.settler, exchanges, dry=args.dry_run)
    lines = failed = 0
    with _opened(args.file) as stream:
        for batch in _batches(stream):
            read = [_read(number, text, exchanges) for number, text in batch]
            done = await importer.take([one.line for one in read])
            for one, what in zip(read, done, strict=True):
                print(orjson.dumps(_shown(one, what, dry=args.dry_run)).decode())
            sys.stdout.flush()
            lines += len(done)
            failed += sum(one.result == "failed" for one in done)
    if failed:
        print(f"tagproxy: {failed} of {lines} lines failed", file=sys.stderr)
    return FAILED if failed else 0


def _shown(read: _Read, done: Done, *, dry: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {"line": read.line.number, **read.named, "result": done.result}
    if done.error:
        shown["error"] = done.error
    settled = done.settled
    if settled is not None and settled.issued is not None and not dry:
        shown["issued"] = issued_object(settled.issued, settled.issued_id)
    return shown


# ---- lines --------------------------------------------------------------------------------


def _opened(name: str) -> contextlib.AbstractContextManager[BufferedIOBase]:
    if name == "-":
        return contextlib.nullcontext(cast("BufferedIOBase", sys.stdin.buffer))
    return open(name, "rb")


def _batches(stream: BufferedIOBase) -> Iterator[list[tuple[int, bytes]]]:
    """Yield numbered lines as they come in, some at a time; blank ones are passed over.

    Of a line that is too long only the beginning is kept, and that is too long as well.
    """
    number = 0
    rest = b""
    while part := stream.read1(_READ_BYTES):  # what there is, however little
        *whole, rest = (rest + part).split(b"\n")
        lines = list(enumerate(whole, number + 1))
        number += len(whole)
        rest = rest[: LINE_BYTES_MAX + 1]
        yield from _some(lines)
    yield from _some([(number + 1, rest)])


def _some(lines: list[tuple[int, bytes]]) -> Iterator[list[tuple[int, bytes]]]:
    filled = [line for line in lines if line[1].strip()]
    for at in range(0, len(filled), BATCH_MAX):
        yield filled[at : at + BATCH_MAX]


def _read(number: int, text: bytes, exchanges: Mapping[str, Exchange]) -> _Read:
    """Read one line. What is wrong with it is told without a word of what stands there."""
    named = dict.fromkeys(_NAMES, "")
    try:
        fields = _fields(text)
        named["name"] = _name(fields, "name")
        named["exchange"] = _exchange(fields, exchanges)
        named["account"] = _name({"account": "main"} | fields, "account")
        terms = _terms(fields, named)
        fault = terms.fault(exchanges[terms.exchange])
    except Wrong as wrong:
        return _Read(Line(number, None, str(wrong)), named)
    return _Read(Line(number, None if fault else terms, fault), named)


def _fields(text: bytes) -> dict[str, Any]:
    if len(text) > LINE_BYTES_MAX:
        raise Wrong(f"the line is longer than {LINE_BYTES_MAX} bytes")
    try:
        fields = orjson.loads(text)
    except orjson.JSONDecodeError:
        fields = None
    if not isinstance(fields, dict):
        raise Wrong("the line is not a JSON object")
    if not fields.keys() <= set(_FIELDS):
        raise Wrong(f"the line has other fields than {', '.join(_FIELDS)}")
    return {name: value for name, value in fields.items() if value is not None}


def _name(fields: Mapping[str, Any], field: str) -> str:
    try:
        return users_values.name(_text(fields, field))
    except Wrong as wrong:
        raise Wrong(f"{field}: {wrong}") from wrong


def _exchange(fields: Mapping[str, Any], exchanges: Mapping[str, Exchange]) -> str:
    name = _text(fields, "exchange")
    if name not in exchanges:
        there = ", ".join(sorted(exchanges))
        raise Wrong(f"exchange: must be a table of the configuration, which has {there}")
    return name


def _terms(fields: Mapping[str, Any], named: Mapping[str, str]) -> Terms:
    key = [_text(fields, name) for name in TRIPLE_FIELDS]
    issue = fields.get("issue", False)
    if not isinstance(issue, bool):
        raise Wrong("issue: must be true or false")
    mode = _text(fields, "mode") if "mode" in fields else None
    if mode is not None and mode not in MODES:
        raise Wrong(f"mode: must be one of {', '.join(MODES)}")
    code = _text(fields, "code") if "code" in fields else None
    classes = f"must be of {', '.join(SENSITIVE_CLASSES)}"
    return Terms(
        named["name"],
        named["exchange"],
        named["account"],
        mode=mode,
        grants=_listed(fields, "allow", users_values.classes, classes),
        networks=_listed(fields, "ip", users_values.networks, "must be like 10.0.0.0/8"),
        code=code,
        real=KeyTriple(*key) if any(key) else None,
        issue=issue,
    )


def _text(fields: Mapping[str, Any], field: str) -> str:
    """A text, "" where there is none."""
    value = fields.get(field, "")
    if not isinstance(value, str):
        raise Wrong(f"{field}: must be a string")
    return value


def _listed(
    fields: Mapping[str, Any],
    field: str,
    parse: Callable[[list[str]], tuple[str, ...]],
    rule: str,
) -> tuple[str, ...] | None:
    if field not in fields:
        return None
    given = fields[field]
    parts = users_values.parted(given) if isinstance(given, str) else given
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise Wrong(f"{field}: must be an array of strings")
    try:
        return parse(parts)
    except Wrong:
        raise Wrong(f"{field}: {rule}") from None
