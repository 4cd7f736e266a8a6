"""Secrets are planted, all is done that can be done, and everything written is searched."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.bot import ORDER, Answered, Bot, Triple
from tests.e2e.house import House, compact, house_in, placed
from tests.e2e.processes import eventually, fetch
from tests.e2e.wire import wire_to

pytestmark = pytest.mark.e2e

ORDER_PATH: Final = "/api/v5/trade/order"
BALANCE_PATH: Final = "/api/v5/account/balance"
QUERY_VALUE: Final = "PLANTEDqueryVALUE77"
BODY_VALUE: Final = "PLANTEDbodyVALUE77"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    sections = {"exchanges.okx": {"deadline": "1s"}, "server": {"max_body": "8KiB"}}
    with house_in(tmp_path, sections) as house:
        yield house


def traffic(house: House, triple: Triple, signatures: set[str]) -> list[Answered]:
    """Send what passes and what fails in every way; note every signature sent."""
    bot = house.proxy.bot(triple)
    wrong = Triple(triple.api_key, triple.passphrase, triple.secret)  # secrets in odd places
    swapped = Triple(triple.secret, triple.secret, triple.passphrase)
    body = compact(ORDER | {"note": BODY_VALUE})
    target = f"{BALANCE_PATH}?ccy={QUERY_VALUE}"
    calls: list[tuple[Bot | Triple, str, str, bytes]] = [
        (bot, "POST", ORDER_PATH, body),
        (bot, "GET", target, b""),
        (bot, "GET", f"/api/v5/new/thing?a={QUERY_VALUE}", b""),
        (bot, "POST", "/api/v5/asset/withdrawal", body),
        (bot, "POST", f"{ORDER_PATH}?tag={QUERY_VALUE}", body),
        (bot, "POST", ORDER_PATH, b'{"tag":{"a":"' + BODY_VALUE.encode() + b'"}}'),
        (bot, "POST", ORDER_PATH, b"{" + BODY_VALUE.encode()),
        (bot, "POST", ORDER_PATH, BODY_VALUE.encode() * 1000),
        (wrong, "POST", ORDER_PATH, body),
        (swapped, "GET", target, b""),
        (bot, "GET", f"/api/v5//{QUERY_VALUE}?a={QUERY_VALUE}", b""),
    ]
    answers = []
    for caller, method, path, content in calls:
        sender = house.proxy.bot(caller) if isinstance(caller, Triple) else caller
        headers = sender.headers(method, path, content)
        signatures.add(headers["OK-ACCESS-SIGN"])
        first = sender.call(method, path, content, headers=headers)
        answers += [first, sender.call(method, path, content, headers=headers)]  # replayed
    for kind in ("hang", "process-drop", "garbage", "html"):
        house.simulator.fault(kind, path=ORDER_PATH)
        answers.append(bot.call("POST", ORDER_PATH, body))
    with wire_to(bot) as wire:
        wire.send(f"GET /okx{target} HTTP/1.1\r\nX: {triple.secret}\x00\r\n\r\n".encode())
        answers.append(wire.answer())
    return answers


def test_nothing_secret_is_written_anywhere(house: House) -> None:
    proxy = house.proxy
    signatures: set[str] = set()
    answers = traffic(house, house.issued, signatures) + traffic(house, house.real, signatures)
    assert any(placed(answer) for answer in answers)
    signatures |= {
        value
        for each in house.received
        for name, value in each["headers"]
        if name.upper() == "OK-ACCESS-SIGN"
    }
    newcomer = house.newcomer()
    said = _commands(house)
    rotated = json.loads(proxy.run("users", "rotate", "alice", "--exchange", "okx").stdout)
    metrics = fetch(f"{proxy.admin_url}/metrics")[1]
    running = Path(f"/proc/{proxy.child.process.pid}")
    told = (running / "cmdline").read_bytes() + (running / "environ").read_bytes()
    eventually("the log is out", lambda: len(proxy.log) > len(answers) - 10)
    while_running = _files(proxy.directory)
    proxy.kill()
    proxy.start()
    assert proxy.stop() == 0
    secrets = _secrets(house.real, house.issued, newcomer.triple)
    secrets |= {rotated["secret"], rotated["passphrase"], QUERY_VALUE, BODY_VALUE} | signatures
    haystacks = {"metrics": metrics, "process": told, "commands": said.encode()}
    haystacks |= while_running | _files(proxy.directory)
    for number, answer in enumerate(answers):
        if answer.slug:
            haystacks[f"answer {number} {answer.slug}"] = answer.body + str(answer.headers).encode()
    assert _found(haystacks, secrets) == []
    master = (proxy.directory / "master.key").read_bytes()
    del haystacks["master.key"]
    assert _found(haystacks, {master.decode().strip()}) == []
    # the search itself finds what is there
    assert _found({"x": b"..." + house.real.secret.encode()}, secrets) == [("x", "plain")]


def _commands(house: House) -> str:
    said = []
    for arguments in (
        ("check",),
        ("users", "list", "--json"),
        ("users", "list"),
        ("users", "show", "alice", "--json"),
        ("users", "show", "alice"),
        ("users", "disable", "alice", "--reason", "x"),
        ("users", "enable", "alice"),
        ("users", "add", "alice", "--exchange", "okx", "--issue"),
        ("--version",),
    ):
        done = house.proxy.run(*arguments, stdin=house.real.as_json())
        said.append(done.stdout + done.stderr)
    return "".join(said)


def _secrets(*triples: Triple) -> set[str]:
    return {text for triple in triples for text in (triple.secret, triple.passphrase)}


def _files(directory: Path) -> dict[str, bytes]:
    """Everything in the proxy's directory, -wal and -shm of the database as well."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def _found(haystacks: dict[str, bytes], secrets: set[str]) -> list[tuple[str, str]]:
    found = []
    for where, text in haystacks.items():
        for secret in secrets:
            plain = secret.encode()
            forms = {
                "plain": plain,
                "base64": base64.b64encode(plain).rstrip(b"=")[:-1],
                "hex": plain.hex().encode(),
                "JSON": json.dumps(secret).encode()[1:-1],
                "UTF-16": secret.encode("utf-16-le"),
            }
            found += [(where, how) for how, form in forms.items() if form in text][:1]
    return found


def test_files_are_readable_by_their_owner_alone(house: House) -> None:
    assert placed(house.bot.order())
    names = [path for path in house.proxy.directory.glob("tagproxy.db*") if path.is_file()]
    assert {path.name for path in names} >= {"tagproxy.db", "tagproxy.db-wal"}
    assert {oct(path.stat().st_mode & 0o777) for path in names} == {"0o600"}


def test_a_wrong_master_key_opens_nothing(house: House) -> None:
    proxy = house.proxy
    assert proxy.stop() == 0
    key_file = proxy.directory / "master.key"
    right = key_file.read_bytes()
    wrong = base64.b64encode(b"x" * 32)
    key_file.write_bytes(wrong)
    for arguments in (("serve",), ("users", "show", "alice"), ("users", "list")):
        done = proxy.run(*arguments)
        if done.returncode == 0:  # a list needs no secret
            assert arguments == ("users", "list")
            continue
        assert done.returncode == 78, done
        assert len(done.stderr.splitlines()) <= 3
        assert wrong.decode() not in done.stderr
        assert right.decode() not in done.stderr
    key_file.write_bytes(right)
    proxy.start()
    eventually("it serves again", lambda: placed(house.bot.order()))
