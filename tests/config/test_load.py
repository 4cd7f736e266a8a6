"""What a good file becomes, and where it is looked for."""

from __future__ import annotations

import base64
import tomllib
from dataclasses import fields
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from proxy.config import (
    Address,
    AdminTable,
    Config,
    LimitsTable,
    Origin,
    Rate,
    Secret,
    SecurityTable,
    ServerTable,
    StorageTable,
    TaggingTable,
    choose_path,
    load,
)
from proxy.config.shape import ExchangeTable
from proxy.errors import ConfigError
from proxy.exchanges import registry
from tests.config.conftest import MASTER_KEY, WHOLE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.exchanges.spec import Exchange

EXAMPLE = Path(__file__).parents[2] / "proxy.toml"
GOOD = Path(__file__).parent / "good"
S = 1_000_000_000


def test_what_is_left_out_has_its_default(loaded: Callable[..., Config]) -> None:
    config = loaded()
    assert config.server == ServerTable()
    assert config.admin == AdminTable(Address("127.0.0.1", 9464))
    assert config.limits == LimitsTable("memory", 3 * S, S // 100, Rate(10, 2 * S))
    assert config.security == SecurityTable("known", "refuse")
    assert config.tagging == TaggingTable("replace")
    okx = config.exchanges["okx"]
    assert (okx.deadline_ns, okx.connect_timeout_ns) == (8 * S, 3 * S)
    assert okx.ws_url is None
    assert okx.venues == {}


def test_every_key_of_a_whole_file_is_read(kinds: Mapping[str, Exchange]) -> None:
    config = load(GOOD / "whole.toml", {"KEY": "partner"}, kinds)
    assert config.server == ServerTable(
        listen=Address("::1", 8080),
        public_url="https://proxy.example/bots",
        trusted_proxies=(ip_network("10.0.0.0/8"), ip_network("fd00::/8")),
        proxy_protocol=True,
        workers=1,
        max_body_bytes=64 * 1024,
        max_buffered_bytes=1_000_000,
        max_connections=100,
        head_timeout_ns=S,
        body_timeout_ns=60 * S,
        idle_timeout_ns=3600 * S,
        write_timeout_ns=86_400 * S,
        drain_timeout_ns=S // 4,
    )
    assert config.admin.listen == Address("localhost", 0)
    assert config.storage.url == "sqlite:////tmp/tagproxy.db"
    assert config.storage.database == Path("/tmp/tagproxy.db")  # noqa: S108 - only its name
    assert [key.reveal() for key in config.storage.master_keys] == [b"A" * 32, b"B" * 32]
    assert config.limits == LimitsTable("memory", 0, 20_000_000, Rate(1, 3600 * S))
    assert config.security == SecurityTable("none", "forward")
    assert config.tagging == TaggingTable("reject")
    duo = config.exchanges["duo-eu"]
    assert (duo.name, duo.kind) == ("duo-eu", "duo")
    assert duo.rest_url == Origin("https", "duo.example", 8443)
    assert duo.ws_url == Origin("wss", "ws.duo.example", 443)
    assert (duo.broker_code, duo.broker_name) == ("code1", "name")
    assert duo.broker_key == Secret(b"partner")
    assert (duo.deadline_ns, duo.connect_timeout_ns) == (9 * S, S // 2)
    assert duo.egress == ("203.0.113.7", "2001:db8::1")
    assert duo.ca_file == GOOD / "ca.pem"
    assert duo.rules == GOOD / "extra-rows.toml"
    assert duo.listen == Address("127.0.0.1", 8081)
    assert duo.limit_overrides == {"POST /orders": Rate(120, 2 * S)}


def test_a_venue_has_what_its_exchange_has_and_what_it_says_itself(
    loaded: Callable[..., Config],
) -> None:
    text = WHOLE.replace('kind = "okx"', 'kind = "duo"\nws_url = "wss://ws.example"')
    own = '[exchanges.okx.futures]\nrest_url = "http://127.0.0.1:1"\nbroker_code = "code2"\n'
    same = loaded(text).exchanges["okx"].venues["futures"]
    assert (str(same.rest_url), str(same.ws_url)) == ("https://www.okx.com", "wss://ws.example")
    assert (same.name, same.broker_code) == ("futures", "code1")
    other = loaded(text + own).exchanges["okx"].venues["futures"]
    assert (str(other.rest_url), other.broker_code) == ("http://127.0.0.1:1", "code2")
    assert other.ws_url == same.ws_url


def test_an_optional_venue_is_there_only_where_its_table_is(
    loaded: Callable[..., Config],
) -> None:
    text = WHOLE.replace('kind = "okx"', 'kind = "lone"') + 'broker_key = "key"\n'
    assert loaded(text).exchanges["okx"].venues == {}
    own = '[exchanges.okx.futures]\nrest_url = "https://futures.example"\nbroker_key = "key2"\n'
    venue = loaded(text + own).exchanges["okx"].venues["futures"]
    assert (str(venue.rest_url), venue.broker_code) == ("https://futures.example", "code1")
    assert venue.broker_key == Secret(b"key2")


def test_an_option_left_out_has_its_default(loaded: Callable[..., Config]) -> None:
    text = WHOLE.replace('kind = "okx"', 'kind = "duo"')
    assert loaded(text).exchanges["okx"].options == {"subject": "both"}
    config = loaded(text + 'subject = "account"\n')
    assert config.exchanges["okx"].options == {"subject": "account"}
    assert loaded().exchanges["okx"].options == {}


def test_a_secret_is_never_shown(tmp_path: Path, loaded: Callable[..., Config]) -> None:
    (tmp_path / "partner.key").write_text("hunter2\n")
    config = loaded(WHOLE + 'broker_key = { file = "partner.key" }\n')
    key = config.exchanges["okx"].broker_key
    assert key is not None
    assert key.reveal() == b"hunter2"
    assert "hunter2" not in repr(config)
    assert MASTER_KEY not in repr(config)
    assert str(b"A" * 32) not in repr(config)


def test_secrets_are_equal_by_what_they_hold() -> None:
    assert Secret(b"a") == Secret(b"a")
    assert len({Secret(b"a"), Secret(b"a"), Secret(b"b")}) == 2
    assert Secret(b"a") != b"a"


def test_two_readings_of_one_file_are_equal(loaded: Callable[..., Config]) -> None:
    assert loaded() == loaded()
    assert loaded() != loaded(WHOLE + 'deadline = "7s"\n')


@pytest.mark.parametrize(
    ("written", "authority", "tls"),
    [
        ("https://www.okx.com", "www.okx.com", True),
        ("https://www.okx.com:443/", "www.okx.com", True),
        ("http://127.0.0.1:80", "127.0.0.1", False),
        ("http://127.0.0.1:8443", "127.0.0.1:8443", False),
        ("https://[::1]:1", "[::1]:1", True),
        ("https://WWW.okx.com", "www.okx.com", True),
    ],
)
def test_an_origin_says_what_a_host_header_says(
    loaded: Callable[..., Config], written: str, authority: str, tls: bool
) -> None:
    origin = loaded(WHOLE.replace("https://www.okx.com", written)).exchanges["okx"].rest_url
    assert (origin.authority, origin.tls) == (authority, tls)


def test_the_file_given_goes_before_the_one_here_and_that_before_the_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert choose_path("other.toml") == Path("other.toml")
    assert choose_path(None) == Path("/etc/tagproxy/proxy.toml")
    (tmp_path / "proxy.toml").touch()
    assert choose_path(None) == Path("proxy.toml")


# ---- the example that we ship ---------------------------------------------------------------


def _uncommented() -> dict[str, Any]:
    """The example with every setting in it switched on, but the further exchanges."""
    text = EXAMPLE.read_text().partition("# A key exists on one site only")[0]
    lines = []
    for line in text.splitlines():
        bare = line.removeprefix("# ")
        key, equals, _ = bare.partition(" = ")
        is_key = bool(equals) and (key.isidentifier() or key.startswith('"POST '))
        is_setting = bare != line and (is_key or bare.startswith("[exchanges."))
        lines.append(bare if is_setting else line)
    return tomllib.loads("\n".join(lines))


def test_the_example_is_good_once_the_master_key_exists(tmp_path: Path) -> None:
    key = tmp_path / "master.key"
    key.write_text(base64.b64encode(bytes(32)).decode())
    environ = {"TAGPROXY_STORAGE__MASTER_KEY": f'{{ file = "{key}" }}'}
    config = load(EXAMPLE, environ, registry.exchanges())
    assert list(config.exchanges) == ["okx"]
    assert {caution.key for caution in config.cautions} >= {"exchanges.okx.broker_code"}


def test_every_exchange_of_the_example_is_good_once_it_is_switched_on(tmp_path: Path) -> None:
    """Its key files are not there, so they are given by value."""
    further = EXAMPLE.read_text().partition("\n[exchanges.okx]\n")
    lines = []
    for line in "".join(further[1:]).splitlines():
        bare = line.removeprefix("# ")
        key, equals, _ = bare.partition(" = ")
        is_key = bool(equals) and (key.isidentifier() or key.startswith('"'))
        lines.append(bare if is_key or bare.startswith("[exchanges.") else "")
    shown = tomllib.loads("\n".join(lines))["exchanges"]
    assert {table["kind"] for table in shown.values()} == set(registry.exchanges())
    assert set(shown["mexc"]) >= {option.name for option in registry.exchanges()["mexc"].options}
    path = tmp_path / "proxy.toml"
    missing = ("rules", "ca_file")
    kept = [line for line in lines if line.partition(" = ")[0] not in missing]
    secrets = "\n".join(kept).replace('{ file = "…" }', '"key"')
    path.write_text(f'[storage]\nmaster_key = "{MASTER_KEY}"\n' + secrets)
    config = load(path, {}, registry.exchanges())
    assert set(config.exchanges) == set(shown)
    assert set(config.exchanges["kucoin"].venues) == {"futures", "broker"}
    for option in registry.exchanges()["mexc"].options:
        assert config.exchanges["mexc"].options[option.name] == option.default


def test_the_example_has_every_key_there_is() -> None:
    shown = _uncommented()
    for name, table in (
        ("server", ServerTable),
        ("admin", AdminTable),
        ("storage", StorageTable),
        ("limits", LimitsTable),
        ("security", SecurityTable),
        ("tagging", TaggingTable),
    ):
        keys = {_key(field.name) for field in fields(table)}
        assert set(shown[name]) == keys, name
    keys = {_key(field.name) for field in fields(ExchangeTable)} - {"name", "venues", "options"}
    assert set(shown["exchanges"]["okx"]) == keys


def test_the_defaults_that_the_example_shows_are_the_defaults(
    loaded: Callable[..., Config],
) -> None:
    shown = _uncommented()
    environ = {
        f"TAGPROXY_{table}__{key}".upper(): str(value).lower() if value is False else str(value)
        for table in ("server", "admin", "storage", "limits", "security", "tagging")
        for key, value in shown[table].items()
        if key not in ("public_url", "tls_cert", "tls_key", "trusted_proxies", "master_key")
    }
    okx = shown["exchanges"]["okx"]
    for key in ("deadline", "connect_timeout"):
        environ[f"TAGPROXY_EXCHANGES__OKX__{key.upper()}"] = okx[key]
    bare = WHOLE.replace('url = "sqlite:////tmp/tagproxy.db"\n', "")
    assert len(environ) > 20
    assert loaded(bare, environ) == loaded(bare)


def _key(field: str) -> str:
    renamed = {"master_keys": "master_key", "limit_overrides": "limits"}
    bare = field.removesuffix("_ns").removesuffix("_bytes")
    return renamed.get(field, bare)


# ---- an operator's own rows -------------------------------------------------------------------

ROW = """\
[[endpoint]]
method = "POST"
path = "/new-orders"
action = "place"
permission = "trade"
tag = "none"
pool = "new-orders"
source = "operator"
checked = "2026-11-20"

[[pool]]
name = "new-orders"
limit = "5/1s"
scope = "user"
"""


def test_limits_may_name_what_the_operators_rows_bring(
    tmp_path: Path, loaded: Callable[..., Config]
) -> None:
    (tmp_path / "rows.toml").write_text(ROW)
    limits = '[exchanges.okx.limits]\n"new-orders" = "7/1s"\n'
    config = loaded(WHOLE + 'rules = "rows.toml"\n' + limits)
    assert config.exchanges["okx"].limit_overrides == {"new-orders": Rate(7, S)}
    assert config.exchanges["okx"].rules == tmp_path / "rows.toml"


def test_rows_that_are_no_text_are_a_fault_of_their_own_file(
    tmp_path: Path, loaded: Callable[..., Config]
) -> None:
    (tmp_path / "rows.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"/rows\.toml: is not UTF-8$"):
        loaded(WHOLE + 'rules = "rows.toml"\n')
