"""Vectors of MEXC's documentation and of ccxt 4.5.90; not computed here."""

from __future__ import annotations

from proxy.sim.mexc.signature import (
    futures_signature,
    matches,
    sorted_parameters,
    spot_signature,
)

KEY = "mx0aBYs33eIilxBWC5"
SECRET = "45d0b3c26f2644f19bfb98b07741b2f5"
STAMP = "1644489390087"
FIRST = b"symbol=BTCUSDT&side=BUY&type=LIMIT"
REST = b"quantity=1&price=11&recvWindow=5000&timestamp=1644489390087"


def test_everything_in_the_query_is_example_2_of_the_documentation() -> None:
    expected = "fd3e4e8543c5188531eb7279d68ae7d26a573d0fc5ab0d18eb692451654d837a"
    assert spot_signature(SECRET, FIRST + b"&" + REST) == expected
    assert spot_signature(SECRET, b"", FIRST + b"&" + REST) == expected


def test_query_and_body_are_example_3_with_nothing_between_them() -> None:
    expected = "d1a676610ceb39174c8039b3f548357994b2a34139a8addd33baadba65684592"
    assert spot_signature(SECRET, FIRST, REST) == expected


def test_a_futures_post_is_signed_as_ccxt_does() -> None:
    body = b'{"symbol":"BTC_USDT","vol":1,"side":1,"type":5,"openType":2}'
    expected = "841bfbcfb242aed23e003eb4f230dba819c0d1c2a42c9f3df18805ad5b79ca8f"
    assert futures_signature(SECRET, KEY, STAMP, body) == expected


def test_a_futures_get_is_signed_as_ccxt_does() -> None:
    said = sorted_parameters([("symbol", "BTC_USDT"), ("states", "2,3"), ("page_num", "1")])
    assert said == b"page_num=1&states=2%2C3&symbol=BTC_USDT"
    expected = "65bb42d08468cd6e2f76de3f2394ff94c6b15e18a7c51688d74e0b15c6f5fdf3"
    assert futures_signature(SECRET, KEY, STAMP, said) == expected


def test_upper_case_and_odd_characters_are_a_mismatch() -> None:
    assert matches("ab", "ab")
    assert not matches("ab", "AB")
    assert not matches("ab", "äö\udc80")
