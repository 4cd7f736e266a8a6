from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from proxy.cli import sim
from proxy.cli.sim import address
from proxy.errors import CommandError
from proxy.sim import registry

if TYPE_CHECKING:
    from pathlib import Path


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


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    sim.register(parser.add_subparsers())
    return parser.parse_args(["sim", *words])


async def printed(
    capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Run the command until it has said everything; its venue lines and its key lines."""
    args = parsed(*words)
    running = asyncio.create_task(args.run(args))
    text = ""
    while not text and not running.done():
        await asyncio.sleep(0)
        text = capsys.readouterr().out
    os.kill(os.getpid(), signal.SIGTERM)
    assert await running == 0
    lines = [json.loads(line) for line in text.splitlines()]
    venues = [line for line in lines if "base_url" in line]
    assert lines[: len(venues)] == venues
    return venues, lines[len(venues) :]


async def test_every_venue_is_told_okx_first_and_then_the_keys(
    capsys: pytest.CaptureFixture[str],
) -> None:
    venues, keys = await printed(capsys)
    exchanges = registry.exchanges()
    told = [(line["exchange"], line["venue"]) for line in venues]
    assert told == [(each.kind, venue) for each in exchanges for venue in each.venues]
    assert told[0] == ("okx", "main")
    assert len({line["base_url"] for line in venues}) == len(venues)
    assert [(line["exchange"], line["demo"]) for line in keys] == [
        (each.kind, demo) for each in exchanges for demo in (False, True)[: 1 + each.has_demo]
    ]
    assert all(line["uid"] == "1001" and line["api_key"] and line["secret"] for line in keys)
    assert keys[0]["passphrase"]


async def test_ports_are_counted_from_the_one_asked_for(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    port = free_ports(8)
    venues, _ = await printed(
        capsys, "--listen", f"127.0.0.1:{port}", "--tls", str(tmp_path / "ca")
    )
    urls = [f"https://127.0.0.1:{port + number}" for number in range(len(venues))]
    assert [line["base_url"] for line in venues] == urls
    assert {line["ca_file"] for line in venues} == {str(tmp_path / "ca" / "ca.pem")}


def free_ports(count: int) -> int:
    """The first of some ports in a row that nobody listens on just now."""
    for first in range(21_000, 29_000, count):
        try:
            for port in range(first, first + count):
                with closing(socket.socket()) as tried:
                    tried.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise AssertionError("no ports")


async def test_only_some_may_be_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    venues, keys = await printed(capsys, "--only", "okx")
    assert {line["exchange"] for line in venues + keys} == {"okx"}


def test_who_is_not_simulated_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed("--only", "okx,nobody")
    assert "'nobody' is not one of" in capsys.readouterr().err


async def test_ports_past_the_last_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "kinds", lambda: ("okx", "okx"))
    args = parsed("--listen", "127.0.0.1:65535")
    with pytest.raises(CommandError, match="2 ports are needed"):
        await args.run(args)
