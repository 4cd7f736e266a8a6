"""Commands as an operator has them: words and standard input in, text and exit code out."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from proxy import cli
from proxy.accounts.vault import Sealed, Vault, parse_master_key
from proxy.sim.okx import SimulatedOkx

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    import pytest

T = TypeVar("T")

SECRET, PASSPHRASE = "Planted-Secret-7F", "Planted-Passphrase-9!"
CONFIG = """
[storage]
url = "sqlite:///{folder}/tagproxy.db"
master_key = {{ env = "TAGPROXY_TEST_KEY" }}
[exchanges.okx]
kind = "okx"
rest_url = "https://127.0.0.1:1"
broker_code = "CODE"
[exchanges.okx-us]
kind = "okx"
rest_url = "https://127.0.0.1:1"
broker_code = "CODE"
[exchanges.headers]
kind = "headers"
rest_url = "https://127.0.0.1:1"
broker_code = "CODE"
"""


class Seal(NamedTuple):
    """Stored credentials."""

    id: str
    kind: str
    fingerprint: bytes
    master_id: str
    sealed: bytes

    @property
    def stored(self) -> Sealed:
        return Sealed(self.master_id, self.sealed)


@dataclass
class Commands:
    """Runs commands against one configuration in a temporary directory."""

    folder: Path
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch

    @property
    def config_file(self) -> Path:
        return self.folder / "proxy.toml"

    def configure(self, table: str, line: str) -> None:
        """Put a line into a table of the configuration."""
        text = self.config_file.read_text()
        self.config_file.write_text(text.replace(f"[{table}]\n", f"[{table}]\n{line}\n"))

    def command(self, noun: str, *words: str, given: object = None) -> tuple[int, str, str]:
        """Return exit code, standard output and standard error of `tagproxy NOUN …`."""
        content = given if isinstance(given, str) else json.dumps(given)
        stdin = io.BytesIO(content.encode() if given is not None else b"")
        self.monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stdin))
        code = cli.main([noun, words[0], "-c", str(self.config_file), *words[1:]])
        return code, *self.capsys.readouterr()

    def run(self, *words: str, given: object = None) -> tuple[int, str, str]:
        """Return exit code, standard output and standard error of `tagproxy users …`."""
        return self.command("users", *words, given=given)

    def done(self, *words: str, given: object = None) -> str:
        """Return the output of a command that must succeed without a word on standard error."""
        code, out, err = self.run(*words, given=given)
        assert (code, err) == (0, "")
        return out

    def noted(self, *words: str, given: object = None) -> str:
        """Return the one line that a command which must succeed says on standard error."""
        code, _, err = self.run(*words, given=given)
        assert code == 0, err
        assert err.startswith("tagproxy: ")
        assert err.count("\n") == 1
        return err

    def refused(self, code: int, *words: str, given: object = None) -> str:
        """Return the one line of a command that must fail with `code` and print nothing."""
        found, out, err = self.run(*words, given=given)
        assert (found, out) == (code, ""), err
        assert err.startswith("tagproxy: ")
        assert err.count("\n") == 1
        return err

    def json(self, *words: str) -> Any:
        return json.loads(self.done(*words, "--json"))

    def account(self, name: str, exchange: str = "okx") -> Any:
        """Return the one account of a user on an exchange, as `show --json` has it."""
        (account,) = self.json("show", name, "--exchange", exchange)["accounts"]
        return account

    def add(self, name: str, *words: str, key: str = "", exchange: str = "okx") -> str:
        given = triple(key or f"Own-Key-Of-{name}-0123456789")
        return self.done("add", name, "--exchange", exchange, *words, given=given)

    def sql(self, statement: str, *values: object) -> list[Any]:
        """Do something to the database behind everybody's back."""
        with closing(sqlite3.connect(self.folder / "tagproxy.db")) as database, database:
            return database.execute(statement, values).fetchall()

    @property
    def seals(self) -> list[Seal]:
        """Every credentials row of the database."""
        found = "SELECT id, kind, fingerprint, master_id, sealed FROM credentials ORDER BY id"
        return [Seal(*row) for row in self.sql(found)]

    @property
    def revision(self) -> int:
        """How many changes a running proxy was told of."""
        ((revision,),) = self.sql("SELECT value FROM revision")
        return int(revision)

    @property
    def vault(self) -> Vault:
        return Vault([parse_master_key(os.environ["TAGPROXY_TEST_KEY"])])

    @property
    def files(self) -> bytes:
        """Every byte of the database."""
        return b"".join(file.read_bytes() for file in sorted(self.folder.glob("tagproxy.db*")))


def triple(api_key: str) -> dict[str, str]:
    return {"api_key": api_key, "secret": SECRET, "passphrase": PASSPHRASE}


class Exchange:
    """A simulated OKX on a thread of its own."""

    def __init__(self, okx: SimulatedOkx, loop: asyncio.AbstractEventLoop) -> None:
        self.okx = okx
        self._loop = loop

    @property
    def url(self) -> str:
        host, port = self.okx.address
        return f"http://{host}:{port}"

    def change(self, change: Callable[[SimulatedOkx], T]) -> T:
        """Look at the exchange, or change it, on its own thread."""

        async def on_its_thread() -> T:
            return change(self.okx)

        return self._waited(on_its_thread())

    def _waited(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)


async def _started() -> SimulatedOkx:
    okx = SimulatedOkx()
    await okx.start()
    return okx


@contextmanager
def exchange_on_a_thread() -> Iterator[Exchange]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="exchange", daemon=True)
    thread.start()
    okx = asyncio.run_coroutine_threadsafe(_started(), loop).result(10)
    try:
        yield Exchange(okx, loop)
    finally:
        asyncio.run_coroutine_threadsafe(okx.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
