"""MEXC's two request signatures, as its documentation tells them and nothing else of ours does.

Both are hexadecimal HMAC-SHA256, lower case only.
https://www.mexc.com/api-docs/spot-v3/general-info#signed
https://www.mexc.com/api-docs/futures/integration-guide#request-format
"""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import quote


def spot_signature(secret: str, query: bytes, body: bytes = b"") -> str:
    """Return what `signature` must hold: query and body exactly as sent, nothing between them.

    Both without the `signature` parameter itself.
    """
    return _hex(secret, query + body)


def futures_signature(secret: str, api_key: str, stamp: str, parameters: bytes) -> str:
    """Return what the header Signature must hold; `parameters` is a POST's body as it is sent,
    else what `sorted_parameters` makes."""
    return _hex(secret, api_key.encode() + stamp.encode() + parameters)


def sorted_parameters(pairs: list[tuple[str, str]]) -> bytes:
    """Return a GET's or DELETE's business parameters as they are signed: by name, values encoded.

    What stands in the path is not signed.
    """
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in sorted(pairs)).encode()


def matches(expected: str, given: str) -> bool:
    """Compare two signatures; odd characters and upper case in `given` are a plain mismatch."""
    return hmac.compare_digest(expected.encode(), given.encode("utf-8", "surrogateescape"))


def _hex(secret: str, message: bytes) -> str:
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
