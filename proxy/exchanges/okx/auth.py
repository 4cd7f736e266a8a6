"""Who signed, and signing anew: OKX's REST signature.
https://www.okx.com/docs-v5/en/#overview-rest-authentication

HMAC-SHA256 over timestamp + METHOD + path with query as sent + body, base64. The demo flag and
`expTime` are not covered. Runs once per request: what can be remembered is (whole minutes and
seconds, never anything of a key).
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from datetime import UTC, datetime
from functools import lru_cache
from hmac import compare_digest
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

from proxy.errors import Refusal
from proxy.model import Claim, Signed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.model import Broker, Credentials, Endpoint, Outbound, Request

TIMESTAMP_WINDOW_MS: Final = 30_000
_HEADERS: Final = (
    b"ok-access-key",
    b"ok-access-sign",
    b"ok-access-timestamp",
    b"ok-access-passphrase",
)
_SHOWN: Final = tuple(name.upper() for name in _HEADERS)
_DEMO: Final = b"x-simulated-trading: 1\r\n"
_EXPIRES: Final = re.compile(rb"[0-9]{1,15}")
_TIMESTAMP: Final = re.compile(
    rb"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?Z"
)
_MILLIS: Final = tuple(b".%03dZ" % millis for millis in range(1000))
_MILLIS_OF: Final = {b"%03dZ" % millis: millis for millis in range(1000)}


def identify(request: Request) -> Claim | None:
    """Read who a request says it is from; None without credentials. Raises `Refusal`."""
    get = request.headers.get
    key = get(b"ok-access-key")
    signature = get(b"ok-access-sign")
    timestamp = get(b"ok-access-timestamp")
    passphrase = get(b"ok-access-passphrase")
    if not (key and signature and timestamp and passphrase):
        if not (key or signature or timestamp or passphrase):
            return None
        missing = [name.decode().upper() for name in _HEADERS if not get(name)]
        raise Refusal("missing_credentials", f"{', '.join(missing)} missing")
    demo = _is_demo(request)
    expires = get(b"exptime")
    if expires and _EXPIRES.fullmatch(expires) is None:
        raise Refusal("bad_request", "expTime must be Unix milliseconds")
    millis = _MILLIS_OF.get(timestamp[20:])
    second_ms = _second_ms(timestamp[:20]) if millis is not None else -1
    unix_ms = second_ms + millis if millis is not None and second_ms >= 0 else _unix_ms(timestamp)
    return Claim(
        key,
        timestamp,
        unix_ms,
        signature,
        passphrase,
        demo,
        int(expires) if expires else 0,
        unix_ms - TIMESTAMP_WINDOW_MS,
        unix_ms + TIMESTAMP_WINDOW_MS,
    )


def _is_demo(request: Request) -> bool:
    demo = request.headers.get(b"x-simulated-trading")
    if demo is not None and demo not in (b"0", b"1"):
        raise Refusal("bad_request", "x-simulated-trading must be 0 or 1")
    return demo == b"1"


def unsigned_head(request: Request) -> bytes:
    """What a public request without a key carries: whether it asks the demo or the live market."""
    return _DEMO if _is_demo(request) else b""


def forwarded_head(request: Request, broker: Broker | None) -> bytes:
    """The bot's own four headers as they came, and the demo flag. No header has a broker's code,
    so `broker` is not asked. Raises `Refusal`."""
    get = request.headers.get
    lines = b"".join(
        b"%b: %b\r\n" % (name, value)
        for name, value in zip(_SHOWN, map(get, _HEADERS), strict=True)
        if value
    )
    return lines + (_DEMO if _is_demo(request) else b"")


@lru_cache(maxsize=256)
def _second_ms(text: bytes) -> int:
    """Unix ms of a `2020-12-08T09:08:57.`; -1 for what only the careful way can judge."""
    if text[19:] != b".":
        return -1
    try:
        return _unix_ms(text[:19] + b"Z")
    except Refusal:
        return -1


def _unix_ms(timestamp: bytes) -> int:
    """Read `2020-12-08T09:08:57.715Z`; some clients leave out trailing zeros of the fraction."""
    match = _TIMESTAMP.fullmatch(timestamp)
    if match is None:
        raise _not_a_time()
    try:
        when = datetime.strptime(match[1].decode(), "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        raise _not_a_time() from None
    if when.year < 1970:
        raise _not_a_time()
    return int(when.timestamp()) * 1000 + int(((match[2] or b"") + b"000")[:3])


def _not_a_time() -> Refusal:
    return Refusal("stale_timestamp", "OK-ACCESS-TIMESTAMP must be like 2020-12-08T09:08:57.715Z")


def verify(endpoint: Endpoint, request: Request, claim: Claim, credentials: Credentials) -> bytes:
    """Prove a claim; returns the HMAC. Raises `Refusal` (`bad_signature`, `bad_passphrase`)."""
    mac = credentials.mac
    if mac is None:
        raise Refusal("bad_signature")
    stamped = claim.timestamp + request.method
    digest = mac.digest(stamped + request.path + request.suffix + request.body)
    if not compare_digest(b2a_base64(digest, newline=False), claim.signature):
        for target in _other_targets(request):
            digest = mac.digest(stamped + target + request.body)
            if compare_digest(b2a_base64(digest, newline=False), claim.signature):
                break
        else:
            raise Refusal("bad_signature")
    if not compare_digest(credentials.passphrase, claim.passphrase):
        raise Refusal("bad_passphrase")
    return digest


def _other_targets(request: Request) -> Iterator[bytes]:
    """What else real clients sign: our prefix too, a bare "?" or none, a read's query decoded.

    A decoded form only counts where decoding makes no new separators, so that one signature
    cannot stand for two different queries.
    """
    suffix = request.suffix
    suffixes = [suffix]
    if len(suffix) < 2:
        suffixes.append(b"" if suffix else b"?")
    elif request.method == b"GET":
        for form in (
            unquote_to_bytes(suffix),
            unquote_to_bytes(suffix.replace(b"+", b" ")),
            suffix.replace(b"+", b" "),
            suffix.replace(b"+", b"%20"),
        ):
            if form not in suffixes and _separators(form) == _separators(suffix):
                suffixes.append(form)
    for prefix in (b"", request.prefix) if request.prefix else (b"",):
        for form in suffixes:
            if prefix or form is not suffix:
                yield prefix + request.path + form


def _separators(query: bytes) -> tuple[int, int, int, int]:
    return query.count(b"&"), query.count(b"="), query.count(b"?"), query.count(b"#")


@lru_cache(maxsize=8)
def _second(unix_s: int) -> bytes:
    """`2020-12-08T09:08:57`."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()


def sign(outbound: Outbound, credentials: Credentials, broker: Broker, wall_ms: int) -> Signed:
    """Sign for OKX at `wall_ms` (Unix). The tag is in the body by now, so `broker` is not asked."""
    target = outbound.path + outbound.suffix
    demo = _DEMO if outbound.demo else b""
    mac = credentials.mac
    if mac is None:
        head = b"Authorization: Bearer " + credentials.bearer + b"\r\n" + demo
        return Signed(target, head, outbound.body)
    timestamp = _second(wall_ms // 1000) + _MILLIS[wall_ms % 1000]
    digest = mac.digest(timestamp + outbound.method + target + outbound.body)
    head = (
        b"OK-ACCESS-KEY: %b\r\nOK-ACCESS-SIGN: %b\r\n"
        b"OK-ACCESS-TIMESTAMP: %b\r\nOK-ACCESS-PASSPHRASE: %b\r\n%b"
    ) % (
        credentials.api_key,
        b2a_base64(digest, newline=False),
        timestamp,
        credentials.passphrase,
        demo,
    )
    return Signed(target, head, outbound.body)
