"""deploy/tagproxy.service, by what it says and by what systemd says of it."""

from __future__ import annotations

import re
import subprocess
import tomllib
from typing import TYPE_CHECKING, Final

import pytest

from proxy import cli
from proxy.config.shape import ServerTable, StorageTable
from tests.deploy.conftest import DEPLOY

if TYPE_CHECKING:
    from pathlib import Path

UNIT: Final = (DEPLOY / "tagproxy.service").read_text()
PROGRAM: Final = "/opt/tagproxy/current/bin/tagproxy"
CREDENTIALS: Final = "/run/credentials/tagproxy.service/"
EXPOSURE_MAX: Final = 15  # tenths; 1.1 by systemd 252


def values(key: str) -> list[str]:
    """Return what the unit sets `key` to, line for line."""
    lines = UNIT.splitlines()
    return [line.partition("=")[2] for line in lines if line.partition("=")[0] == key]


def value(key: str) -> str:
    (only,) = values(key)
    return only


def commands() -> list[str]:
    """Return the arguments of every call of tagproxy."""
    lines = values("ExecStartPre") + values("ExecStart") + values("ExecReload")
    return [line.partition(PROGRAM)[2] for line in lines if PROGRAM in line]


@pytest.fixture
def unit_file(tmp_path: Path) -> Path:
    """The unit with a program that is there on every system."""
    path = tmp_path / "tagproxy.service"
    path.write_text(UNIT.replace(PROGRAM, "/bin/true"))
    return path


def test_the_allocator_is_set_as_in_malloc_env() -> None:
    wanted = [line for line in (DEPLOY / "malloc.env").read_text().splitlines() if "=" in line]
    lines = [line for line in wanted if not line.startswith("#")]
    assert lines
    assert [line for line in values("Environment") if line.startswith("MALLOC_")] == lines


def test_a_stop_may_take_as_long_as_the_drain_and_the_hand_over() -> None:
    stop_s = int(value("TimeoutStopSec").removesuffix("s"))
    assert stop_s >= ServerTable().drain_timeout_ns / 1e9 + 10


def test_there_are_files_for_every_connection() -> None:
    bots = ServerTable().max_connections
    assert int(value("LimitNOFILE")) >= bots + 100 * 256


def test_a_bad_configuration_is_not_tried_again() -> None:
    assert str(cli.BAD_CONFIG) in value("RestartPreventExitStatus").split()
    assert value("Restart") == "on-failure"
    # only a failed ExecStart heeds RestartPreventExitStatus
    assert value("ExecStartPre").startswith("-")


def test_its_commands_can_be_parsed() -> None:
    assert [line.split()[0] for line in commands()] == ["check", "serve", "check"]
    for line in commands():
        words = line.split()
        args = cli._parser(cli._COMMANDS[words[0]]).parse_args(words)
        assert args.config == "/etc/tagproxy/proxy.toml"


def test_the_state_directory_is_the_databases() -> None:
    folder = StorageTable(master_keys=()).database.parent
    assert str(folder) == f"/var/lib/{value('StateDirectory')}"


def test_the_configuration_finds_the_credentials_that_the_unit_hands_over() -> None:
    text = (DEPLOY / "proxy.toml").read_text()
    tomllib.loads(text)
    named = re.findall(rf'file = "{CREDENTIALS}([^"]+)"', text)
    handed = dict(line.split(":") for line in values("LoadCredential"))
    assert named
    assert {name: f"/etc/tagproxy/{name}" for name in named} == handed


def test_systemd_finds_nothing_wrong_with_it(systemd_analyze: str, unit_file: Path) -> None:
    done = subprocess.run(
        [systemd_analyze, "verify", "--man=no", "--generators=no", str(unit_file)],
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if "tagproxy.service" in line]
    assert (done.returncode, ours) == (0, [])


def test_systemd_finds_a_mistake_in_it(systemd_analyze: str, unit_file: Path) -> None:
    """The test above can fail."""
    unit_file.write_text(unit_file.read_text().replace("LimitNOFILE=65536", "LimitNOFILE=many"))
    done = subprocess.run(
        [systemd_analyze, "verify", "--man=no", "--generators=no", str(unit_file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "tagproxy.service" in done.stderr


def test_it_is_exposed_little(systemd_analyze: str, unit_file: Path) -> None:
    done = subprocess.run(
        [systemd_analyze, "security", "--offline=true", f"--threshold={EXPOSURE_MAX}", unit_file],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-400:] + done.stderr
    assert "Overall exposure level" in done.stdout
