"""Client libraries of MEXC, unchanged but for their base URL: everything they send is accepted, and
every refusal raises what the library raises for it when MEXC itself refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.clients.libraries import Library, Refusal, check_accepted, every_refusal, every_word
from tests.clients.stand import Stand, stand_in

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.clients, pytest.mark.timeout(400)]

WORDS: Final = ("markets", "place", "query", "pending", "cancel")
CCXT: Final[dict[str, Any]] = {
    "environment": "ccxt",
    "driver": "drive_ccxt_mexc.py",
    "shows": ('"code":{code},',),
}
CCXT_SPOT: Final = CCXT | {"words": (*WORDS, "place_with_own_id", "batch")}
CCXT_SWAP: Final = CCXT | {"words": (*WORDS, "place_with_own_id", "algo", "swap_batch")}
SPOT: Final = (
    Library("ccxt-spot", arguments=("sync", "spot"), **CCXT_SPOT),
    Library("ccxt-async-spot", arguments=("async", "spot"), **CCXT_SPOT),
    Library(
        *("mexc-api", "mexc-api", "drive_mexc_api.py", WORDS),
        raises="MexcAPIError",
        shows=("({status}, ",),
    ),
    Library(
        *("pymexc", "pymexc", "drive_pymexc.py", (*WORDS, "batch")),
        raises="MexcAPIError",
        shows=("(code={code}): ",),
    ),
)
SWAP: Final = (
    Library("ccxt-swap", arguments=("sync", "swap"), **CCXT_SWAP),
    Library("ccxt-async-swap", arguments=("async", "swap"), **CCXT_SWAP),
)
LIBRARIES: Final = (*SPOT, *SWAP)

# What ccxt raises is what it has for the code, wherever that is odd.
SPOT_REFUSALS: Final = (
    Refusal("unknown_key", "place", 400, "10072", "BadRequest"),
    Refusal("user_disabled", "place", 400, "10072", "BadRequest"),
    Refusal("bad_signature", "place", 400, "700002", "AuthenticationError"),
    Refusal("stale_timestamp", "place", 400, "700003", "InvalidNonce"),
    Refusal("ip_not_allowed", "place", 400, "700006", "BadRequest"),
    Refusal("forbidden_endpoint", "withdraw", 403, "700007", "AuthenticationError"),
    Refusal("bad_request", "malformed", 400, "700004", "BadRequest"),
)
SWAP_REFUSALS: Final = (
    Refusal("unknown_key", "place", 401, "402", "AuthenticationError"),
    Refusal("user_disabled", "place", 401, "402", "AuthenticationError"),
    Refusal("bad_signature", "place", 401, "602", "AuthenticationError"),
    Refusal("stale_timestamp", "place", 401, "513", "BadRequest"),
    Refusal("ip_not_allowed", "place", 401, "406", "PermissionDenied"),
    # funds move by spot's paths, whoever asks
    Refusal("forbidden_endpoint", "transfer", 403, "700007", "AuthenticationError"),
    Refusal("bad_request", "malformed", 400, "600", "BadRequest"),
)
REFUSALS: Final = dict.fromkeys(SPOT, SPOT_REFUSALS) | dict.fromkeys(SWAP, SWAP_REFUSALS)
RATE_LIMITED: Final = dict.fromkeys(
    SPOT, Refusal("rate_limited", "place", 429, "429", "RateLimitExceeded")
) | dict.fromkeys(SWAP, Refusal("rate_limited", "place", 200, "510", "RateLimitExceeded"))
UNREACHABLE: Final = dict.fromkeys(
    SPOT, Refusal("upstream_unreachable", "place", 503, "503", "ExchangeNotAvailable")
) | dict.fromkeys(
    SWAP, Refusal("upstream_unreachable", "place", 503, "501", "ExchangeNotAvailable")
)
UNKNOWN: Final = Refusal("upstream_unknown", "place", 504, "504", "RequestTimeout")


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    limits = {"spot-orders": "1/60s", "futures POST /api/v1/private/order/create": "1/60s"}
    folder, account = tmp_path_factory.mktemp("mexc"), {"market_maker": True}
    with stand_in(folder, "mexc", LIBRARIES, limits, account) as running:
        yield running


@pytest.mark.parametrize(("library", "word"), every_word(LIBRARIES), ids=str)
def test_what_a_library_sends_is_accepted(stand: Stand, library: Library, word: str) -> None:
    check_accepted(word, stand.once(library, word))


@pytest.mark.parametrize("library", LIBRARIES, ids=str)
def test_every_signed_call_of_a_library_arrives_with_our_code(
    stand: Stand, library: Library
) -> None:
    for word in library.words:
        stand.once(library, word)

    assert len(stand.written_by(library)) >= 5
    assert _sources(stand, library) == {(stand.table()["broker_code"],)}


@pytest.mark.parametrize("library", LIBRARIES, ids=str)
def test_an_order_that_the_proxy_cannot_sign_arrives_with_our_code(
    stand: Stand, library: Library
) -> None:
    check_accepted("place", stand.once(library, "place", "keyless"))

    assert _sources(stand, library, "keyless") == {(stand.table()["broker_code"],)}


def _sources(stand: Stand, library: Library, purpose: str = "") -> set[tuple[str, ...]]:
    """Return the broker codes on what a user sent, those of each request together."""
    return {
        tuple(value for name, value in request["headers"] if name.lower() == "source")
        for request in stand.sent_by(library, purpose)
    }


@pytest.mark.parametrize("library", SPOT, ids=str)
def test_spot_orders_arrive_in_the_query_alone(stand: Stand, library: Library) -> None:
    check_accepted("place", stand.once(library, "place"))

    written = stand.written_by(library)
    assert {request["body"] for request in written} == {""}
    assert all("&signature=" in request["target"] for request in written)


@pytest.mark.parametrize(("library", "refusal"), every_refusal(REFUSALS), ids=str)
def test_a_refusal_raises_what_the_library_has_for_it(
    stand: Stand, library: Library, refusal: Refusal
) -> None:
    refusal.check(library, stand.once(library, refusal.word, refusal.purpose))


@pytest.mark.parametrize("library", LIBRARIES, ids=str)
def test_nothing_that_was_refused_reached_the_exchange(stand: Stand, library: Library) -> None:
    for refusal in REFUSALS[library]:
        stand.once(library, refusal.word, refusal.purpose)

    assert stand.refused_and_yet_sent(library, REFUSALS[library]) == []


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
    refusal = RATE_LIMITED[library]
    check_accepted("place", stand.once(library, "place", refusal.purpose))

    refusal.check(library, stand.do(library, "place", refusal.purpose))


@pytest.mark.parametrize("library", LIBRARIES, ids=str)
def test_an_exchange_that_is_gone_raises_what_the_library_has_for_it(
    stand: Stand, library: Library
) -> None:
    refusal = UNREACHABLE[library]
    refusal.check(library, stand.once(library, "place", refusal.purpose))
