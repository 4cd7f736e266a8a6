from __future__ import annotations

import argparse

import pytest

from proxy.cli.sim import address, new_user


@pytest.mark.parametrize(
    ("text", "where"),
    [("127.0.0.1:0", ("127.0.0.1", 0)), ("[::1]:8080", ("::1", 8080)), ("x:65535", ("x", 65535))],
)
def test_an_address_is_host_and_port(text: str, where: tuple[str, int]) -> None:
    assert address(text) == where


@pytest.mark.parametrize("text", ["", "127.0.0.1", ":80", "x:", "x:-1", "x:65536", "x:١"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="not HOST:PORT"):
        address(text)


def test_users_are_different_and_show_no_secret() -> None:
    one, other = new_user("1"), new_user("1", demo=True)
    assert one.api_key != other.api_key
    assert one.secret not in repr(one)
