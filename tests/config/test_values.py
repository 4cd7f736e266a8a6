"""How single values are written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config import values
from proxy.config.shape import Address

if TYPE_CHECKING:
    from collections.abc import Callable

MS = 1_000_000


@pytest.mark.parametrize(
    ("written", "ns"),
    [
        ("0s", 0),
        ("0ms", 0),
        ("250ms", 250 * MS),
        ("2s", 2000 * MS),
        ("1m", 60_000 * MS),
        ("24h", 86_400_000 * MS),
        ("1d", 86_400_000 * MS),
    ],
)
def test_a_duration_is_nanoseconds(written: str, ns: int) -> None:
    assert values.duration(written) == ns


@pytest.mark.parametrize(
    "written", ["", "2", "s", "2 s", "-2s", "1.5s", "2S", "٢s", "2s\n", 2, None]
)
def test_what_is_no_duration_is_wrong(written: object) -> None:
    with pytest.raises(values.Wrong, match="must be a duration"):
        values.duration(written)


@pytest.mark.parametrize(
    ("written", "size"),
    [("1B", 1), ("64KiB", 65_536), ("1MiB", 1_048_576), ("1MB", 1_000_000), ("2GiB", 2 << 30)],
)
def test_a_size_is_bytes(written: str, size: int) -> None:
    assert values.size(written) == size


@pytest.mark.parametrize("written", ["1", "1M", "1mib", "1 MiB", "1.5MiB", 1024])
def test_what_is_no_size_is_wrong(written: object) -> None:
    with pytest.raises(values.Wrong, match="must be a size"):
        values.size(written)


@pytest.mark.parametrize(
    ("written", "rate"),
    [
        ("10/2s", (10, 2000 * MS)),
        ("120/2s", (120, 2000 * MS)),
        ("1/60m", (1, 3_600_000 * MS)),
    ],
)
def test_a_rate_is_a_count_and_a_window(written: str, rate: tuple[int, int]) -> None:
    assert values.rate(written) == rate
    assert (values.rate(written).count, values.rate(written).window_ns) == rate


@pytest.mark.parametrize("written", ["10", "/2s", "10/", "10/s", "-1/2s", "1.5/2s", "1/2/3s", 10])
def test_what_is_no_rate_is_wrong(written: object) -> None:
    with pytest.raises(values.Wrong, match="must be a rate"):
        values.rate(written)


@pytest.mark.parametrize(
    ("written", "host", "port"),
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080),
        ("[::1]:8080", "::1", 8080),
        ("[2001:DB8::0]:1", "2001:db8::", 1),
        ("localhost:0", "localhost", 0),
    ],
)
def test_an_address_is_host_and_port(written: str, host: str, port: int) -> None:
    assert values.address(written) == (host, port)


@pytest.mark.parametrize(
    "written",
    [":8080", "::1:8080", "[::1]", "[x]:1", "127.0.0.1:", "1.2.3:1", "-x:1", "a b:1", "h:1x", 8080],
)
def test_what_is_no_address_is_wrong(written: object) -> None:
    with pytest.raises(values.Wrong, match="must be HOST:PORT"):
        values.address(written)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("proxy.example", False),
    ],
)
def test_only_this_machine_reaches_loopback(host: str, loopback: bool) -> None:
    assert Address(host, 1).loopback is loopback


def test_an_address_is_shown_as_it_is_written() -> None:
    assert str(Address("::1", 80)) == "[::1]:80"
    assert str(Address("127.0.0.1", 80)) == "127.0.0.1:80"


@pytest.mark.parametrize(
    ("written", "what"),
    [(3, "must be a string, not 3"), ([], "must be a string, not an array"), (" ", "is empty")],
)
def test_text_is_a_string_with_something_in_it(written: object, what: str) -> None:
    with pytest.raises(values.Wrong, match=f"^{what}$"):
        values.text(written)


@pytest.mark.parametrize(
    "written",
    [
        "http://[::1",
        "http://[x]",
        "http://h:x",
        "http://",
        "http:// h",
        "http://é",
        "//h",
        "h\n",
        3,
    ],
)
def test_what_is_no_url_is_wrong(written: object) -> None:
    with pytest.raises(values.Wrong, match="must be a URL"):
        values.rest_origin(written)


def test_a_long_value_is_not_shown_whole() -> None:
    with pytest.raises(values.Wrong) as wrong:
        values.duration("9" * 1000)
    assert len(str(wrong.value)) < 150


ANYTHING = st.recursive(
    st.one_of(st.text(), st.integers(), st.booleans(), st.floats(), st.dates(), st.none()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=5,
)
PARSERS = [
    *(values.text, values.boolean, values.positive_integer, values.positive_duration),
    *(values.size, values.rate, values.address, values.local_address, values.network),
    *(values.rest_origin, values.ws_origin, values.public_url, values.choice("a", "b")),
    values.each(values.network),
]


def _wrong(parse: Callable[[object], object], value: object) -> str:
    try:
        parse(value)
    except values.Wrong as wrong:
        return str(wrong)
    return ""


@pytest.mark.parametrize("parse", PARSERS)
@given(value=st.one_of(ANYTHING, st.from_regex(re.compile(r"[a-z]+://[\x20-\x7e]*", re.ASCII))))
def test_a_value_is_read_or_wrong_in_one_line_and_nothing_else(
    parse: Callable[[object], object], value: object
) -> None:
    assert "\n" not in _wrong(parse, value)
