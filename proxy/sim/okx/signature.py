"""OKX's request signature, as its documentation tells it and nothing else of ours does.

Base64 of HMAC-SHA256 over timestamp + method + request path with query + body.
https://www.okx.com/docs-v5/en/#overview-rest-authentication
"""

from __future__ import annotations

import base64
import hashlib
import hmac


def signature(secret: str, timestamp: str, method: str, target: str, body: bytes = b"") -> str:
    """Return what OK-ACCESS-SIGN must hold; `target` is path and query exactly as sent."""
    message = f"{timestamp}{method.upper()}{target}".encode() + body
    mac = hmac.new(secret.encode(), message, hashlib.sha256)
    return base64.b64encode(mac.digest()).decode()


def matches(expected: str, given: str) -> bool:
    """Compare two signatures; odd characters in `given` are a plain mismatch."""
    return hmac.compare_digest(expected.encode(), given.encode("utf-8", "surrogateescape"))
