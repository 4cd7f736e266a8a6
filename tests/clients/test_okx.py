"""Client libraries of OKX, unchanged but for their base URL: everything they send is accepted, and
every refusal raises what the library raises for it when OKX itself refuses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.clients.libraries import Library, Refusal, check_accepted, every_word
from tests.clients.stand import Stand, stand_in
from tests.e2e.harness import BROKER_CODE

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.clients, pytest.mark.timeout(400)]

WORDS: Final = ("markets", "place", "batch", "algo", "query", "pending", "amend", "cancel")
CCXT: Final[dict[str, Any]] = {
    "environment": "ccxt",
    "driver": "drive_ccxt_okx.py",
    "words": (*WORDS, "place_with_own_id"),
    "shows": ('"{code}"',),
}
LIBRARIES: Final = (
    Library("ccxt", arguments=("sync",), **CCXT),
    Library("ccxt-async", arguments=("async",), **CCXT),
    Library("python-okx", "python-okx", "drive_python_okx.py", WORDS, returns=True),
    Library(
        *("okx", "okx", "drive_okx.py", WORDS),
        raises="ResponseStatusError",
        shows=("code {status}", '"{code}"'),
    ),
)
CARRIERS: Final = ("/api/v5/trade/order", "/api/v5/trade/batch-orders", "/api/v5/trade/order-algo")

REFUSALS: Final = (
    Refusal("unknown_key", "place", 401, "50111", "AuthenticationError"),
    Refusal("user_disabled", "place", 401, "50111", "AuthenticationError"),
    Refusal("bad_signature", "place", 401, "50113", "AuthenticationError"),
    Refusal("bad_passphrase", "place", 401, "50105", "AuthenticationError"),
    Refusal("stale_timestamp", "place", 401, "50102", "InvalidNonce"),
    Refusal("ip_not_allowed", "place", 401, "50110", "PermissionDenied"),
    # 50120 is in none of ccxt's tables, so what OKX means by it is lost there
    Refusal("forbidden_endpoint", "transfer", 403, "50120", "ExchangeError"),
    Refusal("forbidden_endpoint", "withdraw", 403, "50120", "ExchangeError"),
    Refusal("bad_request", "too_many", 400, "51000", "BadRequest"),
)
RATE_LIMITED: Final = Refusal("rate_limited", "place", 429, "50011", "RateLimitExceeded")
UNREACHABLE: Final = Refusal("upstream_unreachable", "place", 503, "50001", "OnMaintenance")
UNKNOWN: Final = Refusal("upstream_unknown", "place", 504, "50004", "RequestTimeout")


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    limits = {"POST /api/v5/trade/order": "1/60s"}
    with stand_in(tmp_path_factory.mktemp("okx"), "okx", LIBRARIES, limits) as running:
        yield running


@pytest.mark.parametrize(("library", "word"), every_word(LIBRARIES), ids=str)
def test_what_a_library_sends_is_accepted(stand: Stand, library: Library, word: str) -> None:
    check_accepted(word, stand.once(library, word))


@pytest.mark.parametrize("library", LIBRARIES, ids=str)
def test_every_order_of_a_library_arrives_with_our_code(stand: Stand, library: Library) -> None:
    for word in library.words:
        stand.once(library, word)

    orders = _orders_of(stand, library, *CARRIERS)
    assert len(orders) >= 9
    assert {order["tag"] for order in orders} == {BROKER_CODE}


@pytest.mark.parametrize("library", LIBRARIES[:2], ids=str)
def test_client_order_ids_of_ccxt_arrive_as_it_made_them(stand: Stand, library: Library) -> None:
    assert stand.once(library, "place_with_own_id").get("gave")

    names = [order["clOrdId"] for order in _orders_of(stand, library, "/api/v5/trade/batch-orders")]
    assert any(name.startswith("own") for name in names)
    assert all(name.startswith(("own", "6b9ad766b55dBCDE")) for name in names)


def _orders_of(stand: Stand, library: Library, *paths: str) -> list[dict[str, Any]]:
    written = [each for each in stand.written_by(library) if each["target"] in paths]
    bodies = [json.loads(request["body"]) for request in written]
    return [item for body in bodies for item in (body if isinstance(body, list) else [body])]


@pytest.mark.parametrize("refusal", REFUSALS, ids=str)
@pytest.mark.parametrize("library", LIBRARIES, ids=str)
def test_a_refusal_raises_what_the_library_has_for_it(
    stand: Stand, library: Library, refusal: Refusal
) -> None:
    refusal.check(library, stand.once(library, refusal.word, refusal.purpose))


@pytest.mark.parametrize("library", LIBRARIES, ids=str)
def test_nothing_that_was_refused_reached_the_exchange(stand: Stand, library: Library) -> None:
    for refusal in REFUSALS:
        stand.once(library, refusal.word, refusal.purpose)

    assert stand.refused_and_yet_sent(library, REFUSALS) == []


@pytest.mark.parametrize("library", LIBRARIES, ids=str)
def test_an_order_without_an_answer_is_sent_once_and_reported_as_unknown(
    stand: Stand, library: Library
) -> None:
    UNKNOWN.check(library, stand.do_unanswered(library, "place", UNKNOWN.purpose))

    assert len(stand.written_by(library, UNKNOWN.purpose)) == 1


@pytest.mark.parametrize("library", LIBRARIES, ids=str)
def test_one_order_too_many_raises_what_the_library_has_for_it(
    stand: Stand, library: Library
) -> None:
    check_accepted("place", stand.once(library, "place", RATE_LIMITED.purpose))

    RATE_LIMITED.check(library, stand.do(library, "place", RATE_LIMITED.purpose))


@pytest.mark.parametrize("library", LIBRARIES, ids=str)
def test_an_exchange_that_is_gone_raises_what_the_library_has_for_it(
    stand: Stand, library: Library
) -> None:
    UNREACHABLE.check(library, stand.once(library, "place", UNREACHABLE.purpose))
