"""KuCoin's signatures, as its documentation tells them and nothing else of ours does.

Each is base64 of an HMAC-SHA256.
https://www.kucoin.com/docs-new/authentication
https://www.kucoin.com/docs-new/rest/broker/instructions
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from urllib.parse import unquote, unquote_plus


def mac(secret: str, message: str | bytes) -> str:
    """Return the base64 HMAC-SHA256 of a message."""
    content = message.encode("utf-8", "surrogateescape") if isinstance(message, str) else message
    return base64.b64encode(hmac.new(secret.encode(), content, hashlib.sha256).digest()).decode()


def signature(secret: str, timestamp: str, method: str, target: str, body: bytes = b"") -> str:
    """Return what KC-API-SIGN must hold; `target` is path and query, not percent-encoded."""
    head = f"{timestamp}{method.upper()}{target}"
    return mac(secret, head.encode("utf-8", "surrogateescape") + body)


def sealed_passphrase(secret: str, passphrase: str) -> str:
    """Return what KC-API-PASSPHRASE must hold for keys of version 2 and 3."""
    return mac(secret, passphrase)


def partner_signature(broker_key: str, timestamp: str, partner: str, api_key: str) -> str:
    """Return what KC-API-PARTNER-SIGN must hold."""
    return mac(broker_key, f"{timestamp}{partner}{api_key}")


def readings(target: str) -> list[str]:
    """Return what the query of a target may mean: a plus is itself, or a space as in forms.

    The documentation signs the query before it was encoded and says nothing of a plus; its own
    client library signs a space where it sends one.
    """
    path, mark, query = target.partition("?")
    decoded = (unquote(query), unquote_plus(query))
    return list(dict.fromkeys(f"{path}{mark}{each}" for each in decoded))


def matches(expected: str, given: str) -> bool:
    """Compare two signatures; odd characters in `given` are a plain mismatch."""
    return hmac.compare_digest(expected.encode(), given.encode("utf-8", "surrogateescape"))
