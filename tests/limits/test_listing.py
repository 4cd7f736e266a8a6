"""How budgets stand, as people are told."""

from __future__ import annotations

from proxy.limits.limiter import Budget
from proxy.limits.listing import BUDGETS_MAX
from tests.limits.virtual import (
    SUBJECT,
    S,
    new_limiter,
    now_ns,
    one,
    spend,
    until,
    user_pool,
    virtual,
)

POOL = user_pool(4, 2 * S)
CAP = user_pool(10, 2 * S, "subaccount-orders")
USER = (SUBJECT[0], "1002", False)


@virtual
async def test_the_fullest_comes_first_and_only_ones_own_are_listed() -> None:
    limiter = new_limiter()
    spend(limiter, limiter.bucket(CAP, SUBJECT, ""), 2)
    spend(limiter, limiter.bucket(POOL, SUBJECT, "BTC-USDT"), 2)
    held = one(limiter, limiter.bucket(POOL, SUBJECT, "ETH-USDT"), 4)
    assert held.take()
    spend(limiter, limiter.bucket(POOL, USER, "BTC-USDT"))
    assert limiter.budgets(SUBJECT) == [
        Budget("trade/order", "ETH-USDT", 0, 4, 2 * S),
        Budget("trade/order", "BTC-USDT", 2, 4, 2 * S),
        Budget("subaccount-orders", "", 8, 10, 2 * S),
    ]
    held.refund()
    await until(now_ns() + 3 * S)
    assert [budget.left for budget in limiter.budgets(SUBJECT)] == [10, 4, 4]
    assert limiter.budgets((SUBJECT[0], "1003", False)) == []


@virtual
async def test_after_a_union_either_name_tells_of_the_users_budgets() -> None:
    limiter = new_limiter()
    spend(limiter, limiter.bucket(POOL, SUBJECT, ""))
    spend(limiter, limiter.bucket(POOL, USER, ""))
    limiter.unite(SUBJECT, USER)
    expected = [Budget("trade/order", "", 2, 4, 2 * S)]
    assert limiter.budgets(SUBJECT) == limiter.budgets(USER) == expected


@virtual
async def test_the_list_is_bounded() -> None:
    limiter = new_limiter()
    for number in range(BUDGETS_MAX + 50):
        spend(limiter, limiter.bucket(POOL, SUBJECT, str(number)), 1 + (number == 7))
    listed = limiter.budgets(SUBJECT)
    assert len(listed) == BUDGETS_MAX
    assert listed[0] == Budget("trade/order", "7", 2, 4, 2 * S)
