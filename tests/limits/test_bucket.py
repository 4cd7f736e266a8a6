"""What a bucket is called, and whose turn it is in it."""

from __future__ import annotations

import pytest

from proxy.limits.bucket import Bucket
from proxy.model import Pool
from tests.limits.virtual import (
    MS,
    SUBJECT,
    S,
    new_limiter,
    now_ns,
    one,
    shared_pool,
    spend,
    until,
    user_pool,
    virtual,
)


@pytest.mark.parametrize(
    ("name", "value", "count", "window_ns", "expected"),
    [
        ("POST /api/v5/trade/order", "BTC-USDT-SWAP", 60, 2 * S, "trade/order BTC-USDT-SWAP 60/2s"),
        ("GET /api/v5/market/ticker", "", 20, 2 * S, "market/ticker 20/2s"),
        ("subaccount-orders", "", 1000, 2 * S, "subaccount-orders 1000/2s"),
        ("futures POST /api/v1/orders", "", 30, 3 * S, "futures orders 30/3s"),
        ("anonymous half of GET /api/v5/x/y", " ::1", 5, S, "anonymous half of x/y ::1 5/1s"),
        ("spot", "", 4000, 30 * S, "spot 4000/30s"),
        ("POST /api/v3/order", "", 12, S, "order 12/1s"),
        ("GET /api/v3/order per user", "", 500, 10 * S, "GET order per user 500/10s"),
        ("GET /api/v3/account requests", "", 2, S, "GET account requests 2/1s"),
        ("POST /api/v3/batchOrders per ip", "", 2, S, "batchOrders per ip 2/1s"),
        ("spot-orders per ip", "", 12, S, "spot-orders per ip 12/1s"),
        (
            *("futures POST /api/v1/private/order/create per ip", "", 4, 2 * S),
            "futures private/order/create per ip 4/2s",
        ),
        ("WS order", "", 5, 250 * MS, "order 5/250ms"),
        ("GET /x", "", 500, 600 * S, "x 500/10m"),
        ("GET /x", "", 5, 86_400 * S, "x 5/24h"),
    ],
)
def test_a_limit_is_described_as_people_write_it(
    name: str, value: str, count: int, window_ns: int, expected: str
) -> None:
    pool = Pool(name, count, window_ns, ("user",))
    assert Bucket(pool, (SUBJECT, name, value)).describe() == expected


@virtual
async def test_free_and_next_slot_tell_what_a_newcomer_would_find() -> None:
    limiter = new_limiter()
    bucket = limiter.bucket(user_pool(3, 2 * S), SUBJECT, "BTC-USDT")
    start_ns = now_ns()
    spend(limiter, bucket, 2)
    await until(start_ns + S)
    spend(limiter, bucket)
    assert bucket.free(now_ns()) == 0
    assert bucket.next_slot_ns(now_ns(), 1) == S + 10 * MS
    assert bucket.next_slot_ns(now_ns(), 3) == 2 * S + 10 * MS
    assert bucket.next_slot_ns(now_ns(), 4) == -1
    await until(start_ns + 2 * S + 10 * MS)
    assert bucket.free(now_ns()) == 2
    assert bucket.next_slot_ns(now_ns(), 2) == 0


@virtual
async def test_a_newcomer_goes_in_the_round_that_goes_now() -> None:
    bucket = new_limiter().bucket(shared_pool(20, 2 * S), SUBJECT, "")
    bucket.rounds[2] = 7
    assert bucket.turn("a", 2) == 7
    bucket.note_turn("a", 2, 7, 3)
    assert bucket.turn("a", 2) == 10  # counted in units
    assert bucket.turn("b", 2) == 7
    assert bucket.turn("a", 0) == 0  # each priority has rounds of its own


@virtual
async def test_turns_of_tickets_that_left_in_vain_are_not_held_against_their_account() -> None:
    limiter = new_limiter()
    bucket = limiter.bucket(shared_pool(20, 2 * S), SUBJECT, "")
    stays = one(limiter, bucket, priority=2)
    bucket.enter((2, 0, 1), 1, stays)
    bucket.note_turn("account", 2, 0, 1)
    bucket.note_turn("account", 2, 1, 1)  # this one leaves
    bucket.forget_turn("account", 2)
    assert bucket.turn("account", 2) == 1
    bucket.leave((2, 0, 1), now_ns())
    bucket.forget_turn("account", 2)
    assert bucket.turn("account", 2) == 0
