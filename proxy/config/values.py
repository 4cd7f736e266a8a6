"""How single values are written in `proxy.toml`: pure functions from what TOML gave.

Each takes a value and returns it in base units, or raises `Wrong`, saying what is wrong with
it. Text that came from an environment variable (`EnvText`) may stand for numbers, booleans and
lists as well.
"""

from __future__ import annotations

import json
import re
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final, Literal, TypeVar, cast, final
from urllib.parse import SplitResult, urlsplit

from proxy.config.shape import Address, Network, Origin, Rate

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
Word = TypeVar("Word", bound=str)

_DURATION: Final = re.compile(r"(\d+)(ms|s|m|h|d)", re.ASCII)
_UNIT_NS: Final = {
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
}
_SIZE: Final = re.compile(r"(\d+)(B|KB|MB|GB|KiB|MiB|GiB)", re.ASCII)
_UNIT_BYTES: Final = {
    "B": 1,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
}
_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_DEFAULT_PORT: Final = {"https": 443, "http": 80, "wss": 443, "ws": 80}
_KINDS: Final[tuple[tuple[type, str], ...]] = (
    (str, "a string"),
    (list, "an array"),
    (dict, "a table"),
)
_PORT_MAX: Final = 65_535
_SHOWN_MAX: Final = 60


class Wrong(ValueError):
    """What is wrong with a value, in its text."""


@final
class ElementError(Wrong):
    """What is wrong with one element of an array."""

    def __init__(self, index: int, what: str) -> None:
        super().__init__(what)
        self.index = index


@final
class EnvText(str):
    """Text from an environment variable."""

    __slots__ = ()


def text(value: object) -> str:
    """A string that is not empty."""
    if not isinstance(value, str):
        raise Wrong(f"must be a string, not {_kind(value)}")
    if not value.strip():
        raise Wrong("is empty")
    return str(value)


def boolean(value: object) -> bool:
    """`true` or `false`."""
    if isinstance(value, EnvText) and value in ("true", "false"):
        return value == "true"
    if not isinstance(value, bool):
        raise Wrong(f"must be true or false, not {_shown(value)}")
    return value


def positive_integer(value: object) -> int:
    """A whole number of at least 1."""
    if isinstance(value, EnvText) and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Wrong(f"must be a whole number, not {_shown(value)}")
    if value < 1:
        raise Wrong(f"must be at least 1, not {value}")
    return value


def duration(value: object) -> int:
    """`"2s"`, `"250ms"`, `"24h"`, `"0s"` -> nanoseconds."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise Wrong(f'must be a duration such as "250ms", "2s" or "24h", not {_shown(value)}')
    return int(found[1]) * _UNIT_NS[found[2]]


def positive_duration(value: object) -> int:
    """A duration longer than nothing -> nanoseconds."""
    if (ns := duration(value)) == 0:
        raise Wrong("must be longer than 0")
    return ns


def size(value: object) -> int:
    """`"1MiB"`, `"64KiB"`, `"1MB"` -> bytes."""
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise Wrong(f'must be a size such as "64KiB" or "1MiB", not {_shown(value)}')
    octets = int(found[1]) * _UNIT_BYTES[found[2]]
    if octets == 0:
        raise Wrong("must be larger than 0")
    return octets


def rate(value: object) -> Rate:
    """`"10/2s"`, `"1/60m"` -> so many in any such window."""
    count, slash, window = value.partition("/") if isinstance(value, str) else ("", "", "")
    if not slash or not (count.isascii() and count.isdigit()) or not _DURATION.fullmatch(window):
        raise Wrong(f'must be a rate such as "10/2s" or "1/60m", not {_shown(value)}')
    result = Rate(int(count), duration(window))
    if 0 in result:
        raise Wrong(f"neither part may be 0, not {_shown(value)}")
    return result


def address(value: object) -> Address:
    """`"127.0.0.1:8080"`, `"[::1]:8080"` -> where to listen."""
    wrong = Wrong(f'must be HOST:PORT such as "127.0.0.1:8080", not {_shown(value)}')
    host, colon, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > _PORT_MAX:
        raise wrong
    if host.startswith("[") and host.endswith("]"):
        return Address(_ip(host[1:-1], wrong), int(port))
    return Address(_host(host, wrong), int(port))


def local_address(value: object) -> str:
    """An IP address in its usual spelling."""
    wrong = Wrong(f"must be an IP address, not {_shown(value)}")
    return _ip(value if isinstance(value, str) else "", wrong)


def network(value: object) -> Network:
    """`"10.0.0.0/8"` or a single address -> the network."""
    wrong = Wrong(f'must be a network such as "10.0.0.0/8", not {_shown(value)}')
    try:
        return ip_network(value if isinstance(value, str) else "")
    except ValueError as error:
        raise wrong from error


def rest_origin(value: object) -> Origin:
    """An `https` or `http` URL without a path."""
    return _origin(value, ("https", "http"))


def ws_origin(value: object) -> Origin:
    """A `wss` or `ws` URL without a path."""
    return _origin(value, ("wss", "ws"))


def public_url(value: object) -> str:
    """A base URL, without a slash at its end."""
    _split(value, ("https", "http"))
    return text(value).rstrip("/")


def choice(*words: Word) -> Callable[[object], Word]:
    """One of `words`."""
    listed = ", ".join(f'"{word}"' for word in words)

    def parse(value: object) -> Word:
        for word in words:
            if value == word:
                return word
        raise Wrong(f"must be one of {listed}, not {_shown(value)}")

    return parse


def each(parse: Callable[[object], T]) -> Callable[[object], tuple[T, ...]]:
    """An array of what `parse` reads; in a variable, commas may stand between the elements."""

    def parse_all(value: object) -> tuple[T, ...]:
        if isinstance(value, EnvText):
            value = [part.strip() for part in value.split(",")]
        if not isinstance(value, list):
            raise Wrong(f"must be an array, not {_kind(value)}")
        parsed: list[T] = []
        for index, element in enumerate(value):
            try:
                parsed.append(parse(element))
            except ValueError as error:
                raise ElementError(index, str(error)) from error
        return tuple(parsed)

    return parse_all


def _origin(value: object, schemes: tuple[str, ...]) -> Origin:
    parts = _split(value, schemes)
    if parts.path not in ("", "/"):
        raise Wrong(f"must have no path, not {_shown(parts.path)}")
    scheme = cast("Literal['https', 'http', 'wss', 'ws']", parts.scheme)
    port = parts.port if parts.port is not None else _DEFAULT_PORT[scheme]
    return Origin(scheme, parts.hostname or "", port)


def _split(value: object, schemes: tuple[str, ...]) -> SplitResult:
    wrong = Wrong(f'must be a URL such as "{schemes[0]}://host"')
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise wrong
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError as error:
        raise wrong from error
    if parts.scheme not in schemes or port == 0 or " " in value:
        raise wrong
    host = parts.hostname or ""
    _ip(host, wrong) if ":" in host else _host(host, wrong)
    if parts.username is not None or parts.query or parts.fragment:
        raise Wrong("must have no user, query or fragment")
    return parts


def _ip(written: str, wrong: Wrong) -> str:
    try:
        return str(ip_address(written))
    except ValueError as error:
        raise wrong from error


def _host(written: str, wrong: Wrong) -> str:
    if not _HOST.fullmatch(written):
        raise wrong
    if written.replace(".", "").isdigit():
        return _ip(written, wrong)
    return written


def _shown(value: object) -> str:
    if not isinstance(value, str):
        return _kind(value)
    cut = value if len(value) <= _SHOWN_MAX else f"{value[:_SHOWN_MAX]}…"
    return json.dumps(cut, ensure_ascii=False)  # a fault stays one line


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    for kind, name in _KINDS:
        if isinstance(value, kind):
            return name
    return "a date"
