"""Odd spellings of a path. RFC 3986 sections 3.3 and 6.2.

A path that two parsers may read differently is refused: what we matched would not be what the
exchange serves. Known paths never come here; they are matched byte for byte.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from proxy.errors import Refusal

PATH_BYTES_MAX: Final = 512

# pchar of RFC 3986 without ";", percent-encodings looked at apart
_PLAIN: Final = re.compile(rb"/[A-Za-z0-9\-._~!$&'()*+,=:@%/]*")
_UNRESERVED: Final = re.compile(
    rb"%(?:4[1-9A-F]|5[0-9A]|6[1-9A-F]|7[0-9A]|3[0-9]|2D|2E|5F|7E)", re.IGNORECASE
)
_BROKEN: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_DECODED_ODD: Final = re.compile(rb"[\x00-\x20\x7f-\xff;\\%]|//")


def decoded_path(path: bytes) -> str:
    """Return the percent-decoded, lower-case form of a plainly spelled path.

    Raises `Refusal` (`bad_request`) for encoded unreserved characters, `//`, `;`, `\\`, dot
    segments, a trailing slash and everything that could be read in two ways.
    """
    if len(path) > PATH_BYTES_MAX:
        raise Refusal("bad_request", "the path is too long")
    if _PLAIN.fullmatch(path) is None or path.find(b"//") >= 0:
        raise Refusal("bad_request", "the path is spelled oddly")
    if len(path) > 1 and path.endswith(b"/"):
        raise Refusal("bad_request", "the path ends in a slash")
    if _BROKEN.search(path) or _UNRESERVED.search(path):
        raise Refusal("bad_request", "the path encodes what needs no encoding")
    decoded = unquote_to_bytes(path)
    if _DECODED_ODD.search(decoded):
        raise Refusal("bad_request", "the path is spelled oddly")
    if any(segment in (b".", b"..") for segment in decoded.split(b"/")):
        raise Refusal("bad_request", "the path has dot segments")
    return decoded.decode("ascii").lower()
