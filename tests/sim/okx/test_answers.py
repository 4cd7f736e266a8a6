from __future__ import annotations

import pytest

from proxy.sim.answers import Answer, Prepared
from proxy.sim.okx.answers import Refused, accepted


def test_an_answer_is_made_once_a_moment() -> None:
    prepared = Prepared()
    made: list[Answer] = []

    def make() -> Answer:
        made.append(accepted([len(made)]))
        return made[-1]

    answers = [prepared.get(key, at, make) for key, at in (("a", 1), ("a", 1), ("b", 1), ("a", 2))]
    assert len(made) == 3
    assert answers == [made[0], made[0], made[1], made[2]]


def test_a_refusal_is_not_kept() -> None:
    prepared = Prepared()

    def refuse() -> Answer:
        raise Refused("51001", "x")

    with pytest.raises(Refused):
        prepared.get("a", 1, refuse)
    assert prepared.get("a", 1, lambda: accepted([])).code == "0"


def test_what_is_kept_has_a_bound() -> None:
    prepared = Prepared()
    first = prepared.get(0, 1, lambda: accepted([]))
    for key in range(1, 4097):
        prepared.get(key, 1, lambda: accepted([]))
    assert prepared.get(0, 1, lambda: accepted([])) is not first
