"""Client libraries of KuCoin, unchanged but for their base URL: everything they send is accepted,
and every refusal raises what the library raises for it when KuCoin itself refuses."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.clients.libraries import Library, Refusal, check_accepted, every_word
from tests.clients.stand import Stand, stand_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

pytestmark = [pytest.mark.clients, pytest.mark.timeout(400)]

WORDS: Final = ("markets", "place", "batch", "query", "pending", "cancel")
CCXT: Final[dict[str, Any]] = {
    "environment": "ccxt",
    "driver": "drive_ccxt_kucoin.py",
    "shows": ('"{code}"',),
}
CCXT_SPOT: Final = CCXT | {"words": (*WORDS, "place_with_own_id", "place_otherwise", "amend")}
CCXT_FUTURES: Final = CCXT | {"words": (*WORDS, "place_with_own_id")}
UNIVERSAL: Final[dict[str, Any]] = {
    "environment": "kucoin-universal-sdk",
    "driver": "drive_kucoin_universal.py",
    "words": (*WORDS, "comma_and_space"),
    "raises": "RestError",
    "shows": ("Invalid status code: {status}", '"{code}"'),
}
CCXT_LIBRARIES: Final = (
    Library("ccxt-spot", arguments=("sync", "spot"), **CCXT_SPOT),
    Library("ccxt-async-spot", arguments=("async", "spot"), **CCXT_SPOT),
    Library("ccxt-futures", arguments=("sync", "futures"), **CCXT_FUTURES),
    Library("ccxt-async-futures", arguments=("async", "futures"), **CCXT_FUTURES),
)
UNIVERSAL_LIBRARIES: Final = (
    Library("universal-spot", arguments=("spot",), **UNIVERSAL),
    Library("universal-futures", arguments=("futures",), **UNIVERSAL),
)
PYTHON_KUCOIN: Final = Library(
    *("python-kucoin", "python-kucoin", "drive_python_kucoin.py", (*WORDS, "place_futures")),
    raises="KucoinAPIException",
    shows=("KucoinAPIException {code}: ",),
)
LIBRARIES: Final = (*CCXT_LIBRARIES, *UNIVERSAL_LIBRARIES, PYTHON_KUCOIN)

REFUSALS: Final = (
    Refusal("unknown_key", "place", 401, "400003", "AuthenticationError"),
    Refusal("user_disabled", "place", 401, "400003", "AuthenticationError"),
    Refusal("bad_signature", "place", 401, "400005", "AuthenticationError"),
    Refusal("bad_passphrase", "place", 401, "400004", "AuthenticationError"),
    Refusal("stale_timestamp", "place", 400, "400002", "InvalidNonce"),
    Refusal("ip_not_allowed", "place", 403, "400006", "AuthenticationError"),
    Refusal("forbidden_endpoint", "withdraw", 403, "400007", "AuthenticationError"),
    Refusal("forbidden_endpoint", "transfer", 403, "400007", "AuthenticationError"),
    Refusal("bad_request", "malformed", 400, "400100", "BadRequest"),
)
# a broker's report, which the library signs as partner itself
FORBIDDEN_REPORT: Final = Refusal("forbidden_endpoint", "rebates", 403, "400007", "")
RATE_LIMITED: Final = Refusal("rate_limited", "place", 429, "429000", "RateLimitExceeded")
# 503000 and 504000 are in none of ccxt's tables, so what KuCoin means by them is lost there
UNREACHABLE: Final = Refusal("upstream_unreachable", "place", 503, "503000", "ExchangeError")
UNKNOWN: Final = Refusal("upstream_unknown", "place", 504, "504000", "ExchangeError")


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    limits = {"spot": "1/60s", "futures": "2/60s"}  # an order takes so much of them
    folder, account = tmp_path_factory.mktemp("kucoin"), {"broker": True}
    with stand_in(folder, "kucoin", LIBRARIES, limits, account) as running:
        yield running


@pytest.mark.parametrize(("library", "word"), every_word(LIBRARIES), ids=str)
def test_what_a_library_sends_is_accepted(stand: Stand, library: Library, word: str) -> None:
    check_accepted(word, stand.once(library, word))


@pytest.mark.parametrize("library", LIBRARIES, ids=str)
def test_every_signed_call_of_a_library_arrives_signed_by_us_as_partner(
    stand: Stand, library: Library
) -> None:
    for word in library.words:
        stand.once(library, word)

    assert len(stand.written_by(library)) >= 5
    _check_partner_headers(stand, stand.sent_by(library))


# python-kucoin's own passphrase in clear would be refused by the exchange: it has to be signed for
@pytest.mark.parametrize("library", LIBRARIES[:-1], ids=str)
def test_an_order_that_the_proxy_cannot_sign_arrives_signed_by_us_as_partner(
    stand: Stand, library: Library
) -> None:
    check_accepted("place", stand.once(library, "place", "keyless"))

    _check_partner_headers(stand, stand.written_by(library, "keyless"))


def _check_partner_headers(stand: Stand, requests: list[dict[str, Any]]) -> None:
    assert requests
    for request in requests:
        table = stand.table(request["venue"])
        assert _partner_headers(request) == _expected_partner_headers(table, request)


def _partner_headers(request: dict[str, Any]) -> list[tuple[str, str]]:
    named = [(name.lower(), value) for name, value in request["headers"]]
    return sorted(each for each in named if each[0].startswith(("kc-api-partner", "kc-broker")))


def _expected_partner_headers(
    table: Mapping[str, Any], request: dict[str, Any]
) -> list[tuple[str, str]]:
    headers = {name.lower(): value for name, value in request["headers"]}
    partner = table["broker_code"]
    message = f"{headers['kc-api-timestamp']}{partner}{headers['kc-api-key']}"
    mac = hmac.digest(table["broker_key"].encode(), message.encode(), hashlib.sha256)
    return [
        ("kc-api-partner", partner),
        ("kc-api-partner-sign", base64.b64encode(mac).decode()),
        ("kc-api-partner-verify", "true"),
        ("kc-broker-name", table["broker_name"]),
    ]


def test_a_passphrase_sent_in_clear_goes_on_as_a_signature(stand: Stand) -> None:
    check_accepted("place", stand.once(PYTHON_KUCOIN, "place"))

    headers = {name.lower(): value for name, value in stand.sent_by(PYTHON_KUCOIN)[-1]["headers"]}
    assert headers["kc-api-key-version"] in ("2", "3")
    assert len(base64.b64decode(headers["kc-api-passphrase"], validate=True)) == 32


@pytest.mark.parametrize("refusal", REFUSALS, ids=str)
@pytest.mark.parametrize("library", LIBRARIES, ids=str)
def test_a_refusal_raises_what_the_library_has_for_it(
    stand: Stand, library: Library, refusal: Refusal
) -> None:
    refusal.check(library, stand.once(library, refusal.word, refusal.purpose))


@pytest.mark.parametrize("library", UNIVERSAL_LIBRARIES, ids=str)
def test_a_broker_report_is_for_those_who_were_granted_it(stand: Stand, library: Library) -> None:
    FORBIDDEN_REPORT.check(library, stand.once(library, "rebates"))
    assert stand.once(library, "rebates", "granted").get("gave")

    asked = [each for each in stand.sent_by(library, "granted") if "rebase" in each["target"]]
    assert len(asked) == 1
    _check_partner_headers(stand, asked)


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
