from __future__ import annotations

import pytest

from proxy.sim.mexc import parameters
from proxy.sim.mexc.answers import Denied


def test_the_signature_is_taken_out_wherever_it_stands() -> None:
    for raw in (b"a=1&b=%5B&signature=ff", b"a=1&signature=ff&b=%5B", b"signature=ff&a=1&b=%5B"):
        part = parameters.read(raw)
        assert part == ([("a", "1"), ("b", "[")], b"a=1&b=%5B", "ff")


def test_nothing_is_no_parameters() -> None:
    assert parameters.read(b"") == ([], b"", None)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"a=1&signature=f&signature=f", 700004),
        (b"a", 700008),
        (b"=1", 700008),
        (b"a=1&", 700008),
        (b'a=["x"]', 700008),
        (b"a=b c", 700008),
        (b"a=b=c", 700008),
        (b"a=\xc3\xa4", 700008),
        (b"a=%", 700008),
        (b"a=%5", 700008),
        (b"a=%zz", 700008),
        (b"a=%5b", 700002),
        (b"a=b+c", 700002),
    ],
)
def test_what_is_oddly_written_is_refused(raw: bytes, code: int) -> None:
    with pytest.raises(Denied) as caught:
        parameters.read(raw)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("query", "body"), [(b"a=1&a=1", b""), (b"a=1", b"a=1"), (b"%61=1", b"a=1")]
)
def test_a_name_may_stand_once_in_query_and_body_together(query: bytes, body: bytes) -> None:
    with pytest.raises(Denied) as caught:
        parameters.joined(parameters.read(query), parameters.read(body))
    assert caught.value.code == 700004
