from __future__ import annotations

import pytest

from proxy.sim.kucoin import desk
from proxy.sim.kucoin.desk import Book, Number, World


def test_a_full_book_forgets_what_has_ended_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "ORDERS_KEPT", 2)
    book = Book()
    for number in "123":
        book.add({"id": number, "clientOid": f"name{number}"})
        if number == "2":
            del book.pending["2"]
    assert list(book.orders) == ["1", "3"]
    assert book.find("", "name2") is None
    assert book.find("", "name1") is book.find("1")


def test_ids_look_as_the_venue_writes_them() -> None:
    world = World([])
    assert len(world.new_id("main")) == 24
    assert len(world.new_id("futures")) == 18
    assert world.new_id("futures") != world.new_id("futures")


def test_a_number_keeps_its_spelling() -> None:
    assert Number("1.50") == "1.50"
