"""Programs of the system that these tests need: a laptop may lack them, CI may not."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

import pytest

DEPLOY: Final = Path(__file__).resolve().parents[2] / "deploy"


def program(name: str, package: str) -> str:
    """Return the path of a program; without it the test skips, and fails in CI."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        missing = f"{name} is not installed (Debian: {package})"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return found


@pytest.fixture(scope="session")
def promtool() -> str:
    return program("promtool", "prometheus")


@pytest.fixture(scope="session")
def systemd_analyze() -> str:
    return program("systemd-analyze", "systemd")


@pytest.fixture(scope="session")
def nginx() -> str:
    return program("nginx", "nginx-light")


@pytest.fixture(scope="session")
def sqlite3() -> str:
    return program("sqlite3", "sqlite3")
