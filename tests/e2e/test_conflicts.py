"""A bot's own code where the operator does not want it replaced: `on_conflict` keep and reject.

With `keep` runs `unknown_writes = "forward"`, so that one more start is not needed for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.e2e.bot import FOREIGN_TAG, Answered
from tests.e2e.harness import BROKER_CODE
from tests.e2e.house import House, compact, house_in, order, placed, pretty

pytestmark = pytest.mark.e2e

ORDER_PATH: Final = "/api/v5/trade/order"
BATCH_PATH: Final = "/api/v5/trade/batch-orders"
TIMER_PATH: Final = "/api/v5/trade/cancel-all-after"
HISTORY_PATH: Final = "/api/v5/asset/convert/history"
NO_CODES: Final[list[dict[str, Any]]] = [{}, {"tag": ""}, {"tag": None}]


@pytest.fixture(scope="module")
def keeping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    sections = {
        "tagging": {"on_conflict": "keep"},
        "security": {"unknown_writes": "forward"},
    }
    with house_in(tmp_path_factory.mktemp("keep"), sections) as house:
        yield house


@pytest.fixture
def keep(keeping: House) -> House:
    keeping.forget()
    return keeping


@pytest.fixture(scope="module")
def rejecting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    sections = {"tagging": {"on_conflict": "reject"}}
    with house_in(tmp_path_factory.mktemp("reject"), sections) as house:
        yield house


@pytest.fixture
def reject(rejecting: House) -> House:
    rejecting.forget()
    return rejecting


def conflicts(answer: Answered) -> bool:
    return (answer.status, answer.code, answer.slug) == (400, "51000", "tag_conflict")


@pytest.mark.parametrize("tag", NO_CODES)
def test_an_empty_code_is_none_when_keeping(keep: House, tag: dict[str, Any]) -> None:
    assert placed(keep.bot.call("POST", ORDER_PATH, order(**tag)))
    assert [each["tag"] for each in keep.simulator.orders] == [BROKER_CODE]


@pytest.mark.parametrize("tag", NO_CODES)
def test_an_empty_code_is_none_when_rejecting(reject: House, tag: dict[str, Any]) -> None:
    assert placed(reject.bot.call("POST", ORDER_PATH, order(**tag)))
    assert [each["tag"] for each in reject.simulator.orders] == [BROKER_CODE]


def test_keep_leaves_a_foreign_code_and_every_byte(keep: House) -> None:
    body = json.dumps(order(tag=FOREIGN_TAG, attachAlgoOrds=[{"tag": "other"}]), indent=1).encode()
    assert placed(keep.bot.call("POST", ORDER_PATH, body))
    assert keep.last_body == body


def test_keep_decides_order_by_order(keep: House) -> None:
    orders = [order(tag=FOREIGN_TAG), order(), order(tag=""), order(tag="another")]
    assert placed(keep.bot.call("POST", BATCH_PATH, orders))
    assert [each["tag"] for each in keep.simulator.orders] == [
        *(FOREIGN_TAG, BROKER_CODE, BROKER_CODE, "another")
    ]


def test_keep_refuses_two_codes_in_one_order(keep: House) -> None:
    body = compact(order(tag="first"))[:-1] + b',"\\u0074ag":"second"}'
    answer = keep.bot.call("POST", ORDER_PATH, body)
    assert (answer.status, answer.slug) == (400, "bad_request"), pretty(answer)
    assert keep.received == []


@pytest.mark.parametrize("tag", [*NO_CODES, {"tag": "mine"}])
def test_keep_leaves_a_timer_as_it_is(keep: House, tag: dict[str, Any]) -> None:
    body = compact({"timeOut": "60"} | tag)
    assert placed(keep.newcomer().call("POST", TIMER_PATH, body))
    assert keep.last_body == body


def test_keep_leaves_the_filter_of_conversions(keep: House) -> None:
    assert placed(keep.bot.call("GET", f"{HISTORY_PATH}?tag=mine&limit=5"))
    assert keep.received[-1]["target"] == f"{HISTORY_PATH}?tag=mine&limit=5"
    assert placed(keep.bot.call("GET", f"{HISTORY_PATH}?limit=5"))
    assert keep.received[-1]["target"] == f"{HISTORY_PATH}?limit=5&tag={BROKER_CODE}"


@pytest.mark.parametrize(
    "body",
    [
        compact(order(tag=FOREIGN_TAG)),
        compact(order())[:-1] + b',"\\u0074ag":"foreign"}',
        compact(order(tag=BROKER_CODE))[:-1] + b',"tag":"foreign"}',
        compact(order(attachAlgoOrds=[{"tag": "foreign"}])),
        compact(order(tag=5)),
    ],
)
def test_reject_refuses_a_foreign_code_wherever_it_stands(reject: House, body: bytes) -> None:
    answer = reject.bot.call("POST", ORDER_PATH, body)
    assert conflicts(answer), pretty(answer)
    assert reject.received == []


def test_reject_refuses_the_whole_batch(reject: House) -> None:
    orders = [order(), order(tag=BROKER_CODE), order(tag=FOREIGN_TAG)]
    assert conflicts(reject.bot.call("POST", BATCH_PATH, orders))
    assert reject.received == []
    assert placed(reject.bot.call("POST", BATCH_PATH, orders[:2]))


def test_reject_refuses_a_timer_or_filter_by_a_foreign_code(reject: House) -> None:
    assert conflicts(reject.bot.call("POST", TIMER_PATH, {"timeOut": "60", "tag": "mine"}))
    assert conflicts(reject.bot.call("GET", f"{HISTORY_PATH}?tag=mine"))
    assert reject.received == []


def test_a_refused_code_leaves_the_signature_free(reject: House) -> None:
    """Nothing was sent, so the bot may send the same bytes again."""
    body = compact(order(tag=FOREIGN_TAG))
    headers = reject.bot.headers("POST", ORDER_PATH, body)
    for _ in range(2):
        assert conflicts(reject.bot.call("POST", ORDER_PATH, body, headers=headers))


def test_an_unknown_write_is_forwarded_when_the_operator_says_so(keep: House) -> None:
    keep.simulator.control("POST", "endpoints", {"rows": ["POST new/thing 10/2 user trade"]})
    body = b'{"a": 0.10000000000000001, "tag": "kept"}'
    answer = keep.bot.call("POST", "/api/v5/new/thing", body)
    assert placed(answer), pretty(answer)
    assert keep.last_body == body


@pytest.mark.parametrize(
    "target",
    [
        "/api/v5/asset/withdrawal",
        "/api/v5/Asset/Withdrawal",
        "/API/V5/ASSET/TRANSFER",
        "/api/v6/asset/withdrawal-lightning-2",
        "/api/v5/asset%2Fwithdrawal",
        "/api/v5/users/subaccount/apikey-new",
        "/api/v9/broker/anything",
    ],
)
def test_sensitive_writes_are_never_forwarded(keep: House, target: str) -> None:
    answer = keep.bot.call("POST", target, {"amt": "1"})
    assert (answer.status, answer.slug) in ((403, "forbidden_endpoint"), (400, "bad_request"))
    assert keep.received == []


@pytest.mark.parametrize("target", ["/api/v5/trade/Order", "/API/v5/trade/batch-orders"])
def test_another_spelling_of_an_order_is_not_forwarded_untagged(keep: House, target: str) -> None:
    answer = keep.bot.call("POST", target, order())
    assert (answer.status, answer.slug) == (400, "bad_request"), pretty(answer)
    assert keep.received == []
