"""deploy/INSTALL.md says true things, and the steps marked in it work, one after the other."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final, final

import pytest
from sqlalchemy import text

from proxy import cli
from proxy.accounts.database import Database
from tests.deploy.conftest import DEPLOY

ROOT: Final = DEPLOY.parent
MANUAL: Final = (DEPLOY / "INSTALL.md").read_text()
MARK: Final = "<!-- run by tests/deploy/test_install.py -->\n"
CREDENTIALS: Final = "/run/credentials/tagproxy.service"
PLACES: Final = ("/etc/tagproxy", "/var/lib/tagproxy", "/var/backups", "/root/", CREDENTIALS)
STUBS: Final = {
    # what needs root or systemd: told apart from what is tried here
    "systemctl": 'echo "$@" >> "$HOME/systemctl"',
    "sudo": '[ "$1 $2" = "-u tagproxy" ]; shift 2; exec "$@"',
    "install": """
given=()
while [ $# -gt 0 ]; do
    case $1 in -o|-g) [ "$2" = tagproxy ]; shift 2;; *) given+=("$1"); shift;; esac
done
exec /usr/bin/install "${given[@]}\"""",
    "tagproxy": f'exec {shlex.quote(sys.executable)} -m proxy "$@"',
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", MANUAL, re.DOTALL)


def marked() -> list[str]:
    return [part.split("```sh\n")[1].split("```")[0] for part in MANUAL.split(MARK)[1:]]


@final
class Machine:
    """A folder in place of `/`, and the programs that would need more than that."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "bin").mkdir()
        for name, body in STUBS.items():
            program = root / "bin" / name
            program.write_text(f"#!/bin/bash\nset -eu\n{body}\n")
            program.chmod(0o755)
        (root / "root").mkdir()
        (root / "src" / "deploy").mkdir(parents=True)
        example = (DEPLOY / "proxy.toml").read_text()
        (root / "src" / "deploy" / "proxy.toml").write_text(self.placed(example))

    def placed(self, text: str) -> str:
        """Return text with every place below this root."""
        for place in PLACES:
            text = re.sub(rf'(?<=[\s"(=/]){re.escape(place)}', f"{self.root}{place}", text)
        return text.replace("\ncd /\n", f"\ncd {self.root}/etc/tagproxy\n")

    def run(self, block: str) -> str:
        """Run one block as it stands; return what it printed."""
        done = subprocess.run(
            ["/bin/bash", "-eu", "-c", self.placed(f"\n{block}")],
            capture_output=True,
            text=True,
            timeout=15,
            check=False,
            cwd=self.root / "src",
            env={
                "PATH": f"{self.root}/bin:{os.environ['PATH']}",
                "HOME": str(self.root),
                "PYTHONPATH": str(ROOT),
            },
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
        return done.stdout

    def serving(self, *, running: bool) -> None:
        """Put the credentials where systemd does, or take them away."""
        folder = Path(f"{self.root}{CREDENTIALS}")
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("master.key", "okx.code"):
            copy = folder / name
            if running:
                copy.write_bytes((self.root / "etc/tagproxy" / name).read_bytes())
            else:
                copy.unlink()

    def mode(self, name: str) -> str:
        return oct(stat.S_IMODE((self.root / name).stat().st_mode))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_marked_steps_work_one_after_the_other(machine: Machine, sqlite3: str) -> None:
    """`sqlite3` is asked for because a step does."""
    assert sqlite3
    configure, first_user, while_stopped, backup, restore = marked()

    machine.run(configure)
    assert machine.mode("etc/tagproxy/master.key") == "0o600"
    assert machine.mode("etc/tagproxy/okx.code") == "0o600"
    assert machine.mode("etc/tagproxy/proxy.toml") == "0o640"

    machine.serving(running=True)
    assert '"api_key"' in machine.run(first_user)
    assert not (machine.root / "root/alice.json").exists()

    machine.serving(running=False)
    shown = machine.run(while_stopped)
    assert "proxy.toml: good, serves okx" in shown
    assert "warning" not in shown
    assert re.search(r"^alice +okx +main", shown, re.MULTILINE)

    machine.run(backup)
    assert machine.mode("var/backups/tagproxy/tagproxy.db") == "0o600"
    machine.serving(running=True)
    machine.run("cd /\nsudo -u tagproxy tagproxy users remove alice\n")
    machine.run(restore)
    assert (machine.root / "systemctl").read_text() == "stop tagproxy\nstart tagproxy\n"
    assert "alice" in machine.run("cd /\nsudo -u tagproxy tagproxy users show alice\n")


def test_a_step_that_fails_is_noticed(machine: Machine) -> None:
    """The test above can fail."""
    with pytest.raises(AssertionError, match="no such file"):
        machine.run("cd /tmp\ntagproxy check -c /etc/tagproxy/proxy.toml\necho on\n")


def test_every_command_shown_can_be_parsed() -> None:
    shown = [line.strip() for block in blocks("sh") for line in block.splitlines()]
    shown = [line.removeprefix("sudo -u tagproxy ") for line in shown]
    shown = [line for line in shown if line.startswith("tagproxy ") and "--version" not in line]
    assert len(shown) > 5
    for line in shown:
        words = shlex.split(line.partition(" <")[0].partition("  #")[0])[1:]
        cli._parser(cli._COMMANDS[words[0]]).parse_args(words)


def test_every_command_named_in_the_text_exists() -> None:
    named = set(re.findall(r"`tagproxy ([a-z]+)", MANUAL))
    assert named <= set(cli._COMMANDS)


def test_the_files_it_takes_from_the_sources_exist() -> None:
    named = set(re.findall(r"(?<![/\w])(deploy/[a-z_.]+|requirements\.lock|CHANGELOG\.md)", MANUAL))
    assert {"deploy/proxy.toml", "deploy/tagproxy.service", "deploy/alerts.yml"} <= named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_make_target_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert re.findall(r"^make (\w+)", MANUAL, re.MULTILINE) == ["compiled"]
    assert "\ncompiled:" in makefile


def test_every_setting_named_exists() -> None:
    reference = (ROOT / "proxy.toml").read_text()
    known = set(re.findall(r"^(?:# )?([a-z_]+) = ", reference, re.MULTILINE))
    inline = re.findall(r"`([a-z]+_[a-z]+)(?: = [^`]*)?`", MANUAL)
    block = re.findall(r"^([a-z_]+) = ", "\n".join(blocks("toml")), re.MULTILINE)
    assert {"public_url", "trusted_proxies", "egress"} <= {*inline, *block}
    assert {*inline, *block} - {"proxy_pass"} <= known


def test_every_piece_of_configuration_is_toml() -> None:
    for block in blocks("toml"):
        tomllib.loads(block)


def test_nginx_takes_what_is_shown(nginx: str, tmp_path: Path) -> None:
    (shown,) = blocks("nginx")
    shown = re.sub(r"^ *ssl_certificate.*\n", "", shown, flags=re.MULTILINE)
    shown = shown.replace("listen 443 ssl", f"listen unix:{tmp_path}/s")
    for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
        shown += f"{kind}_temp_path {tmp_path}/{kind};\n"
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"pid {tmp_path}/pid;\nerror_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{shown}}}\n"
    )
    done = subprocess.run(
        [nginx, "-t", "-q", "-e", "stderr", "-c", config],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user's")
def test_what_root_makes_beside_the_database_belongs_to_its_owner(tmp_path: Path) -> None:
    """Root may list or add users before the service's first start, or while it is stopped."""
    owner = 12_345
    os.chown(tmp_path, owner, owner)
    path = tmp_path / "tagproxy.db"

    def owners() -> dict[str, int]:
        return {file.name: file.stat().st_uid for file in tmp_path.iterdir()}

    async def use() -> dict[str, int]:
        database = await Database.open(f"sqlite:///{path}")
        try:
            async with database.write() as connection:
                await connection.execute(text("DELETE FROM accounts"))
            return owners()
        finally:
            await database.close()

    assert asyncio.run(use()) == dict.fromkeys(
        (path.name, f"{path.name}-wal", f"{path.name}-shm"), owner
    )
