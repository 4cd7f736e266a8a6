"""README.md says what the product does: its tables, commands and settings, compared with it."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Final

import pytest

from proxy import cli
from proxy.errors import SLUGS
from proxy.exchanges.registry import exchanges
from proxy.metrics import Metrics

ROOT: Final = Path(__file__).resolve().parents[1]
README: Final = (ROOT / "README.md").read_text()
# as the columns of the refusals stand
ORDERS: Final = (
    ("okx", b"/api/v5/trade/order"),
    ("mexc", b"/api/v3/order"),
    ("mexc", b"/api/v1/private/order/create"),
    ("kucoin", b"/api/v1/orders"),
)
NEVER: Final = "–"
PROXY_TOML: Final = (ROOT / "proxy.toml").read_text()


def table(mark: str) -> list[list[str]]:
    """Return the rows of the table behind a comment, without its head."""
    text = README.partition(f"<!-- {mark}: checked by tests/test_readme.py -->")[2]
    lines = text.strip().split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def shells() -> list[str]:
    """Return every command in a block of shell."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    return [
        line.partition(" #")[0].strip()
        for block in blocks
        for line in block.splitlines()
        if line.strip() and not line.startswith("#")
    ]


def test_the_refusals_are_the_ones_there_are() -> None:
    shown = [row[0].strip("`") for row in table("refusals")]
    assert sorted(shown) == sorted(SLUGS)


@pytest.mark.parametrize("row", table("refusals"), ids=lambda row: row[0].strip("`"))
def test_a_refusal_is_answered_as_shown(row: list[str]) -> None:
    slug = next(each for each in SLUGS if each == row[0].strip("`"))
    for shown, (kind, path) in zip(row[1:], ORDERS, strict=False):
        if shown == NEVER:
            continue
        status, body = exchanges()[kind].refusal(slug, path, "[x]")
        assert shown == f"{status} {json.loads(body)['code']}", kind


def test_the_metrics_are_the_ones_there_are() -> None:
    shown = {row[0].strip("`") for row in table("metrics")}
    metrics = Metrics()
    exposed = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in metrics.registry.collect()
        if family.name.startswith("tagproxy_")
    }
    assert shown <= exposed
    assert exposed - shown <= {"tagproxy_build_info", "tagproxy_log_lines_dropped_total"}


def commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def test_every_command_shown_can_be_parsed() -> None:
    shown = [line for line in shells() if line.startswith("tagproxy ")]
    assert shown
    for line in shown:
        words = shlex.split(line.partition(" <")[0])[1:]
        parser = cli._parser(cli._COMMANDS[words[0]])
        parser.parse_args(words)


def test_every_command_named_in_the_text_exists() -> None:
    named = set(re.findall(r"`tagproxy ([a-z]+)", README))
    assert named <= set(cli._COMMANDS)


def test_every_make_target_shown_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = set(re.findall(r"\bmake ([a-z]+)", README.replace("and make:", "")))
    assert {"demo", "test"} <= named
    assert {name for name in named if f"\n{name}:" not in makefile} == set()


def keys_of(text: str) -> set[str]:
    """Return the keys and tables that a commented configuration has, commented out or not."""
    return set(re.findall(r"^(?:# )?([a-z_]+) = ", text, re.MULTILINE)) | set(
        re.findall(r"^(?:# )?\[([a-z.\-]+)\]", text, re.MULTILINE)
    )


def test_every_setting_named_is_in_the_reference() -> None:
    known = keys_of(PROXY_TOML)
    blocks = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    shown = {key for block in blocks for key in keys_of(block)}
    inline = set(re.findall(r"`(?:\[[a-z.]+\] )?([a-z]+_[a-z]+)(?: = [^`]*)?`", README))
    inline = {name for name in inline if not name.startswith("tagproxy_")}
    not_settings = {*SLUGS, "base_url_http", "proxy_host"}
    assert shown <= known
    assert {key for key in inline if key not in not_settings} <= known
    assert {"max_wait", "max_body", "on_conflict"} <= known


def test_the_least_configuration_shown_is_toml() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    assert set(tomllib.loads(block)) == {"storage", "exchanges"}


def test_the_files_named_exist() -> None:
    named = re.findall(r"`((?:proxy|tests|deploy)/[a-z_/.]+|[a-z]+\.toml)`", README)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_conflict_modes_are_the_ones_there_are() -> None:
    modes = re.search(r'on_conflict = "replace" +# [^:]*: (.*)', PROXY_TOML)
    assert modes is not None
    rows = re.findall(r"^\| `(replace|keep|reject)`", README, re.MULTILINE)
    assert {mode.strip('" ') for mode in modes[1].split(",")} == set(rows)
