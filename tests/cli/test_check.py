"""`tagproxy check`, and how every command begins and ends."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from proxy import __version__, cli
from proxy.cli import main
from proxy.errors import CommandError, ConfigError, Fault, StoreError, VaultError

if TYPE_CHECKING:
    from collections.abc import Callable

GOOD = """\
[storage]
url = "sqlite:////tmp/tagproxy.db"
master_key = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="
[exchanges.okx]
kind = "okx"
rest_url = "https://www.okx.com"
broker_code = "code1"
"""


@pytest.fixture(autouse=True)
def no_overrides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("TAGPROXY_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / "some.toml"
        path.write_text(text)
        return str(path)

    return write


def test_a_good_configuration_is_exit_0(
    written: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(GOOD)
    assert main(["check", "-c", path]) == 0
    assert capsys.readouterr() == (f"{path}: good, serves okx\n", "")


def test_warnings_are_printed_and_still_exit_0(
    written: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = written('[server]\nlisten = "0.0.0.0:1"\n' + GOOD)
    assert main(["check", "-c", path]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first == (
        f"warning: {path}:2: server.listen: bots' port 0.0.0.0:1 is open to the network without TLS"
    )


def test_each_fault_is_a_line_with_its_place_and_exit_78(
    written: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = written('color = 1\n[server]\nmax_body = "big"\n' + GOOD.replace("code1", "no-code!"))
    assert main(["check", "-c", path]) == 78
    out, err = capsys.readouterr()
    first, second, third = err.splitlines()
    assert out == ""
    assert first == f"{path}:1: color: unknown key"
    assert second.startswith(f"{path}:3: server.max_body: must be a size")
    assert third.startswith(f"{path}:10: exchanges.okx.broker_code: ")


def test_the_environment_counts(
    written: Callable[[str], str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TAGPROXY_EXCHANGES__OKX__REST_URL", "okx.com")
    assert main(["check", "-c", written(GOOD)]) == 78
    assert "variable TAGPROXY_EXCHANGES__OKX__REST_URL: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "-c", "some.toml"],
        ["check", "--config", "some.toml"],
        ["check", "--config=some.toml"],
        ["-c", "some.toml", "check"],
        ["-csome.toml", "check"],
        ["-c", "other.toml", "check", "-c", "some.toml"],
    ],
)
def test_the_configuration_can_be_named_before_and_after_the_command(
    written: Callable[[str], str], capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    written(GOOD)
    assert main(arguments) == 0
    assert capsys.readouterr().out == "some.toml: good, serves okx\n"


def test_without_a_name_the_configuration_here_is_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "proxy.toml").write_text(GOOD)
    assert main(["check"]) == 0
    assert capsys.readouterr().out == "proxy.toml: good, serves okx\n"


def test_a_missing_configuration_is_one_line_and_exit_78(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["check", "-c", "none.toml"]) == 78
    assert capsys.readouterr().err == "none.toml: no such file; name one with -c\n"


@pytest.mark.parametrize(
    "arguments", [[], ["nonsense"], ["check", "--nonsense"], ["check", "extra"], ["-c"]]
)
def test_bad_usage_is_one_line_and_exit_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("tagproxy: ")
    assert err.count("\n") == 1


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    help_text = capsys.readouterr().out
    for command in ("serve", "check", "demo", "sim", "users", "vault"):
        assert f"\n    {command} " in help_text


def test_the_version_names_key_libraries_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"tagproxy {__version__} (python ")
    for library in ("openssl ", "uvloop ", "httptools ", "aiohttp ", "cryptography "):
        assert library in shown


# ---- how a command ends ---------------------------------------------------------------------


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], list[str]]:
    """Put a command of the test's own in the place of `demo`."""

    def install(run: Callable[..., Any]) -> list[str]:
        module = ModuleType("proxy.cli.demo")

        def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
            parser = subparsers.add_parser("demo")
            below = parser.add_subparsers().add_parser("deep")
            below.set_defaults(run=run)

        module.__dict__["register"] = register
        monkeypatch.setitem(sys.modules, "proxy.cli.demo", module)
        return ["demo", "deep", "-c", "x.toml"]

    return install


async def _three() -> int:
    return 3


@pytest.mark.parametrize("run", [lambda _: 3, lambda _: _three()])
def test_a_command_returns_its_exit_code_now_or_later(
    command: Callable[[Callable[..., Any]], list[str]], run: Callable[..., Any]
) -> None:
    assert main(command(run)) == 3


def test_a_command_knows_the_configuration_also_below_another(
    command: Callable[[Callable[..., Any]], list[str]],
) -> None:
    named: list[Path] = []

    def run(args: argparse.Namespace) -> int:
        named.append(args.config)
        return 0

    assert main(command(run)) == 0
    assert named == [Path("x.toml")]


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (CommandError("no such user"), 1, "tagproxy: no such user\n"),
        (StoreError("the database\nis locked"), 1, "tagproxy: the database is locked\n"),
        (VaultError("wrong master key"), 78, "tagproxy: wrong master key\n"),
        (ConfigError([Fault("a", 1, "k", "w"), Fault("a", 0, "", "v")]), 78, "a:1: k: w\na: v\n"),
        (OSError(98, "Address in use"), 1, "tagproxy: Address in use\n"),
        (FileNotFoundError(2, "No such file", "x"), 1, "tagproxy: x: No such file\n"),
        (OSError(), 1, "tagproxy: OSError\n"),
        (KeyboardInterrupt(), 1, ""),
        (SystemExit("quit"), 1, ""),
    ],
)
def test_an_error_is_its_exit_code_and_one_line(
    command: Callable[[Callable[..., Any]], list[str]],
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    told: str,
) -> None:
    def run(_: argparse.Namespace) -> int:
        raise error

    assert main(command(run)) == code
    assert capsys.readouterr().err == told


def test_a_fault_of_ours_is_one_line_that_shows_no_value(
    command: Callable[[Callable[..., Any]], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_: argparse.Namespace) -> int:
        raise ValueError("hunter2")

    assert main(command(run)) == 1
    told = capsys.readouterr().err
    assert told.startswith("tagproxy: unexpected ValueError at test_check.py:")
    assert told.count("\n") == 1
    assert "hunter2" not in told


def test_a_command_that_this_version_has_not_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    later = cli._Command("proxy.cli.later", "comes later")
    monkeypatch.setitem(cli._COMMANDS, "later", later)
    assert main(["later"]) == 1
    assert capsys.readouterr().err == "tagproxy: this version has no command later\n"


def test_a_command_on_a_configuration_gets_it_and_the_kinds_of_exchanges(
    monkeypatch: pytest.MonkeyPatch, written: Callable[[str], str]
) -> None:
    got: list[Any] = []
    module = ModuleType("proxy.cli.vault")

    async def run(_: argparse.Namespace, config: Any, kinds: Any) -> int:
        got.extend([set(config.exchanges), "okx" in kinds])
        return 0

    def register(
        subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
        common: argparse.ArgumentParser,
    ) -> None:
        subparsers.add_parser("vault", parents=[common]).set_defaults(run=run)

    module.__dict__["register"] = register
    monkeypatch.setitem(sys.modules, "proxy.cli.vault", module)
    assert main(["vault", "-c", written(GOOD)]) == 0
    assert got == [{"okx"}, True]
    assert main(["vault", "-c", "none.toml"]) == 78


# ---- as a process ---------------------------------------------------------------------------


def _process(*arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])}
    return subprocess.run(
        [sys.executable, "-m", "proxy", *arguments],
        capture_output=True,
        text=True,
        env=environ,
        check=False,
    )


@pytest.mark.e2e
def test_python_m_proxy_is_the_same(written: Callable[[str], str]) -> None:
    good = _process("check", "-c", written(GOOD))
    assert (good.returncode, good.stdout) == (0, f"{written(GOOD)}: good, serves okx\n")
    bad = _process("check", "-c", "none.toml")
    assert (bad.returncode, bad.stderr) == (78, "none.toml: no such file; name one with -c\n")


@pytest.mark.e2e
def test_a_reader_that_goes_away_is_no_traceback(written: Callable[[str], str]) -> None:
    environ = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])}
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run(
        [sys.executable, "-m", "proxy", "check", "-c", written(GOOD)],
        stdout=write,
        stderr=subprocess.PIPE,
        env=environ,
        check=False,
    )
    os.close(write)
    assert (ended.returncode, ended.stderr) == (1, b"")


@pytest.mark.e2e
def test_no_command_pays_for_the_libraries_of_another() -> None:
    heavy = ("aiohttp", "sqlalchemy", "uvloop", "prometheus_client", "httptools", "proxy.app")
    code = f"""
import sys
from proxy.cli import main
main(["check", "-c", "none.toml"])
print([name for name in {heavy!r} if name in sys.modules])
"""
    environ = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])}
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=True
    )
    assert ended.stdout == "[]\n"
