"""`users check` against a strict exchange: what is well, what is not, and what cannot be said."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from dataclasses import replace
from typing import Any

import pytest

from proxy.errors import Refusal
from proxy.exchanges import registry
from proxy.exchanges.spec import Option
from proxy.model import Tag
from proxy.sim.faults import Fault
from proxy.sim.okx import SimulatedOkx, User
from tests.cli.commands import PASSPHRASE, SECRET, Commands, Exchange, triple

KEY = "00000000-0000-4000-8000-00000000000a"


@pytest.fixture
def alice(users: Commands, exchange: Exchange) -> Exchange:
    """An account whose key the exchange knows."""
    knows(exchange, main_uid="500", ips="127.0.0.1,127.0.0.2")
    users.add("alice", key=KEY)
    return exchange


def knows(exchange: Exchange, uid: str = "501", **fields: Any) -> None:
    def add(okx: SimulatedOkx) -> None:
        okx.world.users[KEY] = User(KEY, SECRET, PASSPHRASE, uid, **fields)

    exchange.change(add)


def well(users: Commands) -> list[str]:
    """Return the findings of a check that must find everything well."""
    code, out, err = users.run("check", "alice")
    assert (code, err) == (0, ""), out
    return out.splitlines()


def faults(users: Commands, *words: str) -> list[str]:
    """Return what a check finds wrong."""
    code, out, err = users.run("check", "alice", *words)
    assert (code, err) == (1, "")
    return [line.removeprefix("  FAULT ") for line in out.splitlines() if "FAULT" in line]


def report(users: Commands, code: int = 0) -> Any:
    found, out, _ = users.run("check", "alice", "--json")
    assert found == code, out
    (one,) = json.loads(out)
    assert one["well"] == (code == 0)
    return one


def fault(exchange: Exchange, kind: str, **fields: Any) -> None:
    exchange.change(lambda okx: okx.faults.coming.append(Fault(kind, **fields)))


def test_everything_well_is_told_line_by_line(users: Commands, alice: Exchange) -> None:
    lines = well(users)
    assert lines[0] == "alice on okx, account main:"
    assert all(line.startswith("  ok ") for line in lines[1:]), lines
    text = "\n".join(lines)
    for words in (
        "the key works, round trip",
        "this machine's clock is",
        "uid 501, a sub-account of 500",
        "permissions: read_only, trade",
        "bound to 127.0.0.1, 127.0.0.2",
        "POST /api/v5/trade/order would carry our code: CODE",
    ):
        assert words in text
    assert SECRET not in text


def test_json_has_every_fact(users: Commands, alice: Exchange) -> None:
    one = report(users)
    (address,) = one.pop("addresses")
    assert address.pop("round_trip_ms") < 1000
    assert abs(address.pop("clock_offset_ms")) < 1000
    assert address == {"address": "default", "reached": True, "key_works": True, "bound": None}
    assert {finding["kind"] for finding in one.pop("findings")} == {"ok"}
    assert one == {
        "name": "alice",
        "exchange": "okx",
        "account": "main",
        "mode": "sign",
        "well": True,
        "uid": "501",
        "main_uid": "500",
        "permissions": ["read_only", "trade"],
        "bound_to": ["127.0.0.1", "127.0.0.2"],
        "demo": False,
        "code": "CODE",
    }


def test_nothing_is_placed_and_nothing_is_changed(users: Commands, alice: Exchange) -> None:
    before = users.json("show", "alice")
    well(users)
    methods = {each.method for each in alice.change(lambda okx: list(okx.requests))}
    assert methods == {"GET"}
    assert users.json("show", "alice") == before


def test_a_key_of_the_demo_market_is_told(users: Commands, exchange: Exchange) -> None:
    knows(exchange, demo=True)
    users.add("alice", key=KEY)
    assert report(users)["demo"] is True
    assert "the key is of the demo market" in "\n".join(well(users))


def test_a_key_bound_to_nothing_is_worth_a_note(users: Commands, exchange: Exchange) -> None:
    knows(exchange)
    users.add("alice", key=KEY)
    assert "  note  the key is bound to no address" in "\n".join(well(users))


def test_a_key_that_is_gone_is_a_fault_and_is_not_quoted(
    users: Commands, exchange: Exchange
) -> None:
    users.add("alice", key=KEY)
    (line,) = faults(users)
    assert "the key does not work: HTTP 401" in line
    assert "50119" in line
    assert KEY not in line
    assert report(users, 1)["addresses"][0]["key_works"] is False


def test_a_wrong_secret_is_a_fault(users: Commands, exchange: Exchange) -> None:
    knows(exchange)
    given = triple(KEY) | {"secret": "Another-Secret"}
    users.done("add", "alice", "--exchange", "okx", given=given)
    (line,) = faults(users)
    assert "50113" in line


def test_a_question_asked_too_often_is_not_the_keys_fault(users: Commands, alice: Exchange) -> None:
    fault(alice, "code", code="50011", status=429, path="/api/v5/account/config", times=9)
    (line,) = faults(users)
    assert line.startswith("it does not say whose the key is: HTTP 429")
    assert report(users, 1)["addresses"][0]["key_works"] is None


def test_a_key_of_another_uid_than_the_accounts_is_a_fault(
    users: Commands, alice: Exchange
) -> None:
    users.done("remove", "alice")
    users.add("alice", key="Some-Other-Key")
    users.noted("set-key", "alice", "--exchange", "okx", given=triple(KEY))
    well(users)
    knows(alice, "502")
    (line,) = faults(users)
    assert "uid 502; but this account's uid was 501" in line


@pytest.mark.parametrize(("offset_ms", "side"), [(5_000, "behind"), (-5_000, "ahead of")])
def test_a_clock_that_is_off_is_a_fault(
    users: Commands, alice: Exchange, offset_ms: int, side: str
) -> None:
    alice.change(lambda okx: setattr(okx, "clock_offset_ms", offset_ms))
    (line,) = faults(users)
    assert f"ms {side} the exchange's: set it by NTP" in line
    (address,) = report(users, 1)["addresses"]
    assert abs(address["clock_offset_ms"] - offset_ms) < 500


def test_each_address_is_asked_from_and_compared_with_those_of_the_key(
    users: Commands, exchange: Exchange
) -> None:
    knows(exchange, ips="127.0.0.1")
    users.add("alice", key=KEY)
    users.configure("exchanges.okx", 'egress = ["127.0.0.1", "127.0.0.2"]')
    first, second = faults(users)
    assert first.startswith("from 127.0.0.2: the key does not work: HTTP 401")
    assert "50110" in first
    assert second == "not bound to 127.0.0.2"
    shown = report(users, 1)
    assert [(one["address"], one["key_works"], one["bound"]) for one in shown["addresses"]] == [
        ("127.0.0.1", True, True),
        ("127.0.0.2", False, False),
    ]
    sources = {str(each.source) for each in exchange.change(lambda okx: list(okx.requests))}
    assert {source.partition(":")[0] for source in sources} == {"127.0.0.1", "127.0.0.2"}


def test_an_address_that_is_not_ours_is_a_fault_of_its_own(
    users: Commands, alice: Exchange
) -> None:
    users.configure("exchanges.okx", 'egress = ["127.0.0.1", "203.0.113.7"]')
    first, second = faults(users)
    assert first.startswith("from 203.0.113.7: http://127.0.0.1:")
    assert "cannot be reached: Cannot assign requested address" in first
    assert second == "not bound to 203.0.113.7"


def test_an_exchange_that_is_not_there_is_a_fault(users: Commands) -> None:
    users.add("alice", key=KEY)
    (line,) = faults(users)
    assert line == "https://127.0.0.1:1: cannot be reached: Connection refused"
    shown = report(users, 1)
    assert (shown["addresses"][0]["reached"], shown["uid"]) == (False, "")
    assert "ok" in {
        finding["kind"] for finding in shown["findings"]
    }  # the code is set all the same


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("hang", "no answer in time"),
        ("drop", "the connection failed"),
        ("html", "no time in its answer: HTTP 502"),
        ("garbage", "the connection failed"),
    ],
)
def test_an_exchange_that_answers_nonsense_is_a_fault(
    users: Commands, alice: Exchange, kind: str, what: str
) -> None:
    users.configure("exchanges.okx", 'deadline = "300ms"')
    fault(alice, kind, times=9)
    (line,) = faults(users)
    assert what in line


def test_an_answer_without_end_is_not_read_to_its_end(users: Commands) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        text = users.config_file.read_text()
        users.config_file.write_text(
            text.replace("https://127.0.0.1:1", f"http://127.0.0.1:{port}", 1)
        )
        users.add("alice", key=KEY)

        def flood() -> None:
            connected, _ = server.accept()
            with connected:
                connected.recv(65536)
                connected.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
                with contextlib.suppress(OSError):
                    while True:
                        connected.sendall(bytes(65536))

        thread = threading.Thread(target=flood)
        thread.start()
        (line,) = faults(users)
        thread.join(5)
    assert "an answer of more than 65536 bytes" in line


def test_an_account_that_observes_is_checked_as_far_as_it_goes(
    users: Commands, exchange: Exchange
) -> None:
    add = ("add", "alice", "--exchange", "okx", "--mode", "observe")
    users.done(*add, given={"api_key": KEY})
    lines = well(users)
    assert "the exchange answers, round trip" in lines[1]
    assert "no secret is held: uid, permissions and bound addresses" in lines[-2]
    assert "with whatever code they carry" in lines[-1]
    shown = report(users)
    assert (shown["uid"], shown["code"], shown["demo"]) == ("", "", None)
    assert shown["addresses"][0]["key_works"] is None


def test_the_accounts_own_code_is_the_one_that_counts(users: Commands, alice: Exchange) -> None:
    users.done("set", "alice", "--exchange", "okx", "--code", "Own1")
    assert "would carry the account's own code: Own1" in "\n".join(well(users))


def test_the_examples_code_is_a_fault(users: Commands, alice: Exchange) -> None:
    text = users.config_file.read_text()
    users.config_file.write_text(text.replace('"CODE"', '"YOURCODE"'))
    (line,) = faults(users)
    assert "YOURCODE, which is the example's" in line


def test_a_code_in_headers_is_looked_for_there(users: Commands, exchange: Exchange) -> None:
    """A kind that does not set it is found out."""
    assert {row.tag for row in registry.exchanges()["headers"].endpoints} == {Tag.HEADERS}
    knows(exchange)
    text = users.config_file.read_text()
    users.config_file.write_text(text.replace("https://127.0.0.1:1", exchange.url))
    users.add("alice", key=KEY, exchange="headers")
    (line,) = faults(users)
    assert "it leaves without the code (CODE)" in line


def test_an_order_is_tried_as_the_operators_options_have_it(
    users: Commands, exchange: Exchange
) -> None:
    kinds: Any = registry.exchanges()
    plain = kinds["okx"]

    def refuse(*_: Any, **__: Any) -> Any:
        raise Refusal("internal", "signed with option a")

    kinds["okx"] = replace(
        plain,
        options=(Option("way", ("a", "b"), "b", ""),),
        configured=lambda options: replace(plain, tag=refuse) if options["way"] == "a" else plain,
    )
    knows(exchange, ips="127.0.0.1")
    users.add("alice", key=KEY)
    well(users)
    users.configure("exchanges.okx", 'way = "a"')
    (line,) = faults(users)
    assert "signed with option a" in line


def test_a_disabled_account_is_checked_and_told(users: Commands, alice: Exchange) -> None:
    users.done("disable", "alice", "--reason", "unpaid since May")
    assert "  note  disabled (block) unpaid since May" in well(users)


def test_every_account_of_a_user_is_checked_or_those_named(
    users: Commands, alice: Exchange
) -> None:
    users.add("alice", exchange="okx-us", key="Some-Other-Key")
    code, out, _ = users.run("check", "alice")
    assert code == 1
    assert [line for line in out.splitlines() if not line.startswith(" ")] == [
        "alice on okx, account main:",
        "alice on okx-us, account main:",
    ]
    assert users.run("check", "alice", "--exchange", "okx")[0] == 0
    assert "there is no bob" in users.refused(1, "check", "bob")


def test_an_exchange_that_left_the_configuration_is_a_fault(users: Commands) -> None:
    users.add("alice", exchange="okx-us", key=KEY)
    text = users.config_file.read_text()
    head, _, tail = text.partition("[exchanges.okx-us]")
    users.config_file.write_text(head + tail[tail.index("[") :])
    assert faults(users) == ["the configuration has no exchange okx-us"]


def test_the_key_is_asked_about_at_most_half_as_often_as_allowed(
    users: Commands, alice: Exchange
) -> None:
    """An exchange that allows 2 a second where the table has 5 in two still sees no breach."""
    limit = {"GET /api/v5/account/config": (2, 1_000_000_000)}
    alice.change(lambda okx: okx.meter.overrides.update(limit))
    knows(alice)
    users.configure("exchanges.okx", 'egress = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]')
    assert [one["key_works"] for one in report(users)["addresses"]] == [True] * 3
    assert not alice.change(lambda okx: okx.breaches)
