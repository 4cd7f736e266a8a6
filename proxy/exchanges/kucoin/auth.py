"""Who signed, and signing anew: KuCoin's REST signature.
https://www.kucoin.com/docs-new/authentication

HMAC-SHA256 over timestamp + METHOD + path?query + body, base64. The query is signed as it was
before percent-encoding, the body byte for byte; no header is covered. The passphrase travels as
its own HMAC. The partner headers, signed at the same instant, are `broker.py`'s.
"""

from __future__ import annotations

from binascii import b2a_base64
from hmac import compare_digest
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

from proxy.errors import Refusal
from proxy.exchanges.kucoin.broker import BROKER_HEADERS, partner_head
from proxy.model import Claim, Signed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from proxy.model import Broker, Credentials, Endpoint, Outbound, Request

_WINDOW_MS: Final = 5_000  # either way, else 400002; there is no deadline of the bot's own
_TIMESTAMP_DIGITS_MAX: Final = 15
_CLAIMED: Final = (b"KC-API-KEY", b"KC-API-SIGN", b"KC-API-TIMESTAMP", b"KC-API-PASSPHRASE")
_SIGNED: Final = (*_CLAIMED, b"KC-API-KEY-VERSION")
_HEAD: Final = (
    b"KC-API-KEY: %b\r\nKC-API-SIGN: %b\r\nKC-API-TIMESTAMP: %b\r\n"
    b"KC-API-PASSPHRASE: %b\r\nKC-API-KEY-VERSION: 3\r\n%b"
)


def identify(request: Request) -> Claim | None:
    """Read who a request says it is from; None without a signature. Raises `Refusal`.

    https://github.com/sammchardy/python-kucoin sends key and passphrase, and nothing else, with
    the public reads that it does not sign: KuCoin serves those like anybody's.
    """
    get = request.headers.get
    key = get(b"kc-api-key")
    signature = get(b"kc-api-sign")
    timestamp = get(b"kc-api-timestamp")
    passphrase = get(b"kc-api-passphrase")
    if not (key and signature and timestamp and passphrase):
        if not (signature or timestamp):
            return None
        missing = [name.decode() for name in _CLAIMED if not get(name.lower())]
        raise Refusal("missing_credentials", f"{', '.join(missing)} missing")
    if not timestamp.isdigit() or len(timestamp) > _TIMESTAMP_DIGITS_MAX:
        raise Refusal("stale_timestamp", "KC-API-TIMESTAMP must be Unix milliseconds")
    unix_ms = int(timestamp)
    return Claim(
        key,
        timestamp,
        unix_ms,
        signature,
        passphrase,
        False,  # noqa: FBT003 - a keyword costs time that every request would pay
        0,
        unix_ms - _WINDOW_MS,
        unix_ms + _WINDOW_MS,
    )


def verify(endpoint: Endpoint, request: Request, claim: Claim, credentials: Credentials) -> bytes:
    """Prove a claim; returns the HMAC. Raises `Refusal` (`bad_signature`, `bad_passphrase`).

    The passphrase may come in clear or as its HMAC, whatever the key version says: clients do
    not agree (https://github.com/sammchardy/python-kucoin sends it in clear, and no version).
    """
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
    sent = claim.passphrase
    sealed = credentials.passphrase_mac or _sealed_passphrase(credentials)
    if not compare_digest(sealed, sent) and not compare_digest(credentials.passphrase, sent):
        raise Refusal("bad_passphrase")
    return digest


def _sealed_passphrase(credentials: Credentials) -> bytes:
    """The passphrase as it travels; made once for each key."""
    assert credentials.mac is not None
    sealed = b2a_base64(credentials.mac.digest(credentials.passphrase), newline=False)
    credentials.passphrase_mac = sealed
    return sealed


def _other_targets(request: Request) -> Iterator[bytes]:
    """What else real clients sign: our prefix too, a bare "?" or none, the query decoded.

    A decoded form only counts where decoding makes no new separators, so that one signature
    cannot stand for two different queries. The documentation's own example has a decoded "#".
    """
    suffix = request.suffix
    suffixes = [suffix]
    if len(suffix) < 2:
        suffixes.append(b"" if suffix else b"?")
    elif suffix.find(b"%") >= 0 or suffix.find(b"+") >= 0:
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


def _separators(query: bytes) -> tuple[int, int]:
    return query.count(b"&"), query.count(b"=")


def sign(outbound: Outbound, credentials: Credentials, broker: Broker, wall_ms: int) -> Signed:
    """Sign for KuCoin at `wall_ms` (Unix), as the partner too. Raises `Refusal` (`internal`).

    Key version 3: the only one that KuCoin still issues, and what its own client sends; it is
    computed as 2 is.
    """
    mac = credentials.mac
    if mac is None:
        raise Refusal("internal", "no secret is held to sign with")
    target = signed = outbound.path
    suffix = outbound.suffix
    if len(suffix) > 1:
        if suffix.find(b"+") >= 0:
            suffix = suffix.replace(b"+", b"%20")
        signed = target + (_decoded(suffix) if suffix.find(b"%") >= 0 else suffix)
        target += suffix
    timestamp = b"%d" % wall_ms
    key, body = credentials.api_key, outbound.body
    head = _HEAD % (
        key,
        b2a_base64(mac.digest(timestamp + outbound.method + signed + body), newline=False),
        timestamp,
        credentials.passphrase_mac or _sealed_passphrase(credentials),
        partner_head(broker, timestamp, key),
    )
    return Signed(target, head, body)


def _decoded(suffix: bytes) -> bytes:
    """The query as KuCoin reads it before it signs: percent-decoded text.

    A plus does not get here. Whether KuCoin takes one for itself or, as its own client does, for
    a space, is not documented; in a form's value it is a space, so it travels as %20, which
    everybody reads alike. What is no UTF-8 becomes U+FFFD, as in the text of the other side.
    """
    return unquote_to_bytes(suffix).decode("utf-8", "replace").encode()


def forwarded_head(request: Request, broker: Broker | None) -> bytes:
    """The bot's own signature as it came, with its own broker headers (`broker` None) or with
    ours in their place: they cover its timestamp and its key, and nothing else of it."""
    if broker is None:
        return _as_they_came(request, (*_SIGNED, *BROKER_HEADERS))
    get = request.headers.get
    timestamp, key = get(b"kc-api-timestamp", b""), get(b"kc-api-key", b"")
    return _as_they_came(request, _SIGNED) + partner_head(broker, timestamp, key)


def _as_they_came(request: Request, names: Iterable[bytes]) -> bytes:
    headers = request.headers
    return b"".join(
        b"%b: %b\r\n" % (name, headers[name.lower()]) for name in names if name.lower() in headers
    )


def unsigned_head(request: Request) -> bytes:
    """What a public request without a key carries: nothing."""
    return b""
