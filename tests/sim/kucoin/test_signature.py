"""KuCoin's own example: https://www.kucoin.com/docs-new/authentication."""

from __future__ import annotations

import pytest

from proxy.sim.kucoin.signature import (
    matches,
    partner_signature,
    readings,
    sealed_passphrase,
    signature,
)

SECRET = "cde06451-dbed"
STAMP = "1680885532722"
BODY = (
    b'{"symbol":"BTC-USDT","side":"buy","size":"0.0001","price":"30000","type":"limit",'
    b'"clientOid":"2b802154-8d31-42e6-88ea-c8c18d3e4822","tradeType":"TRADE"}'
)


def test_the_documented_example() -> None:
    signed = signature(SECRET, STAMP, "POST", "/api/v1/orders", BODY)
    assert signed == "ncPuAcZW8WYUZyvblRVVgMfYoVH+FlCTO6K45/FMLFQ="
    assert sealed_passphrase(SECRET, "1111111") == "rl1Ki0WuwidRT48JnoGQo+AJ4UtZ6mQEKt6F5XYVnT4="


def test_the_documented_example_of_a_partner() -> None:
    signed = partner_signature("e8512b82-a4aa", STAMP, "goodbroker", "6422da9c97b45100018c6e62")
    assert signed == "CN1imIGUz/USkPuhOtGWi5DlZ08VeuVfknJNOPqUEac="


@pytest.mark.parametrize(
    ("target", "meant"),
    [
        ("/p", ["/p"]),
        ("/p?a=%21%40%23", ["/p?a=!@#"]),
        ("/p?a=1+2%2C", ["/p?a=1+2,", "/p?a=1 2,"]),
        ("/p%41?a=b?c", ["/p%41?a=b?c"]),
    ],
)
def test_what_is_signed_of_a_query_is_not_encoded(target: str, meant: list[str]) -> None:
    assert readings(target) == meant


def test_odd_characters_are_a_mismatch() -> None:
    assert not matches("abc=", "\udcff\xe9")
    assert matches("abc=", "abc=")
