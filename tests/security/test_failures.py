"""Failed attempts are throttled per key and source address."""

from __future__ import annotations

import pytest

from proxy.errors import Refusal
from proxy.security.failures import Failures

HOME = "192.0.2.1"
ELSEWHERE = "192.0.2.2"
SECOND_NS = 1_000_000_000


def _fail(failures: Failures, times: int, now_ns: int = 0) -> None:
    for _ in range(times):
        failures.failed(b"key", HOME, now_ns)


def test_too_many_failures_block_the_pair_and_say_until_when() -> None:
    failures = Failures(attempts_max=3, window_ns=60 * SECOND_NS)
    _fail(failures, 3)
    with pytest.raises(Refusal) as refused:
        failures.check(b"key", HOME, 20 * SECOND_NS)
    assert refused.value.slug == "rate_limited"
    assert refused.value.retry_after_ms == 40_001


def test_fewer_failures_block_nobody() -> None:
    failures = Failures(attempts_max=3)
    _fail(failures, 2)
    failures.check(b"key", HOME, 0)


@pytest.mark.parametrize(("key", "source"), [(b"key", ELSEWHERE), (b"other", HOME)])
def test_the_same_key_elsewhere_and_another_key_here_still_pass(key: bytes, source: str) -> None:
    failures = Failures(attempts_max=1)
    _fail(failures, 1)
    failures.check(key, source, 0)


def test_the_block_ends_with_its_window() -> None:
    failures = Failures(attempts_max=1, window_ns=60 * SECOND_NS)
    _fail(failures, 1)
    failures.check(b"key", HOME, 60 * SECOND_NS)


def test_old_failures_do_not_add_up() -> None:
    failures = Failures(attempts_max=2, window_ns=60 * SECOND_NS)
    _fail(failures, 1, 0)
    _fail(failures, 1, 61 * SECOND_NS)
    failures.check(b"key", HOME, 61 * SECOND_NS)


def test_the_table_is_bounded_and_forgets_the_least_recent() -> None:
    failures = Failures(attempts_max=1, pairs_max=2)
    for key in (b"a", b"b", b"c"):
        failures.failed(key, HOME, 0)
    failures.check(b"a", HOME, 0)
    with pytest.raises(Refusal):
        failures.check(b"b", HOME, 0)


def test_a_huge_key_takes_little_memory() -> None:
    failures = Failures(attempts_max=2)
    failures.failed(b"k" * 30_000 + b"1", HOME, 0)
    failures.failed(b"k" * 30_000 + b"2", HOME, 0)
    with pytest.raises(Refusal):
        failures.check(b"k" * 30_000 + b"3", HOME, 0)
