"""The simulators are the second opinion: what they may know of the proxy, and of each other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import proxy.sim
from proxy.sim import registry

ROOM = Path(proxy.sim.__file__).parent
MAY_KNOW = ("proxy.clock", "proxy.errors", "proxy.sim")


def imported(folder: Path) -> set[str]:
    """Every module of ours that the files of a folder import."""
    names: set[str] = set()
    for file in folder.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module == "proxy.sim":
                names |= {f"proxy.sim.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module)
    return {name for name in names if name.split(".")[0] == "proxy"}


@pytest.mark.parametrize("folder", [".", *registry.kinds()])
def test_simulators_share_nothing_with_the_proxy(folder: str) -> None:
    known = imported(ROOM / folder)
    assert {name for name in known if ".".join(name.split(".")[:2]) not in MAY_KNOW} == set()


@pytest.mark.parametrize("kind", registry.kinds())
def test_an_exchange_knows_no_other_exchange(kind: str) -> None:
    folders = {name.split(".")[2] for name in imported(ROOM / kind) if name.count(".") > 1}
    assert folders & set(registry.kinds()) == {kind}
