"""Environment variables laid over the file."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING

import pytest

from proxy.config import Address, Config, Rate
from proxy.errors import ConfigError
from tests.config.conftest import MASTER_KEY, WHOLE

if TYPE_CHECKING:
    from collections.abc import Callable

    Load = Callable[..., Config]


def test_a_variable_goes_before_the_file(loaded: Load) -> None:
    text = '[server]\nlisten = "127.0.0.1:1"\n' + WHOLE
    config = loaded(text, {"TAGPROXY_SERVER__LISTEN": "127.0.0.1:2", "OTHER": "x"})
    assert config.server.listen == Address("127.0.0.1", 2)


def test_an_underscore_stands_for_the_dash_of_an_exchanges_name(loaded: Load) -> None:
    text = WHOLE.replace("exchanges.okx", "exchanges.okx-us")
    config = loaded(text, {"TAGPROXY_EXCHANGES__OKX_US__REST_URL": "https://us.okx.com"})
    assert config.exchanges["okx-us"].rest_url.host == "us.okx.com"


def test_tables_that_the_file_has_not_can_come_from_variables_alone(loaded: Load) -> None:
    config = loaded(
        "",
        {
            "TAGPROXY_STORAGE__MASTER_KEY": MASTER_KEY,
            "TAGPROXY_EXCHANGES__OKX_EEA__KIND": "okx",
            "TAGPROXY_EXCHANGES__OKX_EEA__REST_URL": "https://eea.okx.com",
            "TAGPROXY_EXCHANGES__OKX_EEA__BROKER_CODE": "code1",
        },
    )
    assert config.exchanges["okx-eea"].broker_code == "code1"


def test_every_kind_of_value_can_be_written_in_a_variable(loaded: Load) -> None:
    config = loaded(
        WHOLE,
        {
            "TAGPROXY_SERVER__MAX_CONNECTIONS": "5",
            "TAGPROXY_SERVER__PROXY_PROTOCOL": "true",
            "TAGPROXY_SERVER__TRUSTED_PROXIES": "10.0.0.0/8, 192.0.2.1",
            "TAGPROXY_LIMITS__UNPUBLISHED": "1/1s",
            "TAGPROXY_EXCHANGES__OKX__EGRESS": '["203.0.113.7"]',
            "TAGPROXY_EXCHANGES__OKX__LIMITS": '{ "POST /orders" = "7/2s" }',
            "TAGPROXY_EXCHANGES__OKX__BROKER_KEY": '{ env = "TAGPROXY_PARTNER" }',
            "TAGPROXY_PARTNER": "partner",
        },
    )
    assert config.server.max_connections == 5
    assert config.server.proxy_protocol
    networks = (ip_network("10.0.0.0/8"), ip_network("192.0.2.1"))
    assert config.server.trusted_proxies == networks
    assert config.limits.unpublished == Rate(1, 1_000_000_000)
    assert config.exchanges["okx"].egress == ("203.0.113.7",)
    assert config.exchanges["okx"].limit_overrides == {"POST /orders": Rate(7, 2_000_000_000)}
    key = config.exchanges["okx"].broker_key
    assert key is not None
    assert key.reveal() == b"partner"


def test_a_venues_key_can_be_overridden(loaded: Load) -> None:
    text = WHOLE.replace('kind = "okx"', 'kind = "duo"')
    config = loaded(text, {"TAGPROXY_EXCHANGES__OKX__FUTURES__BROKER_CODE": "code2"})
    assert config.exchanges["okx"].venues["futures"].broker_code == "code2"


def test_an_option_of_one_kind_can_be_overridden(loaded: Load) -> None:
    text = WHOLE.replace('kind = "okx"', 'kind = "duo"')
    assert loaded(text).exchanges["okx"].options == {"subject": "both"}
    config = loaded(text + 'subject = "both"\n', {"TAGPROXY_EXCHANGES__OKX__SUBJECT": "account"})
    assert config.exchanges["okx"].options == {"subject": "account"}


def test_an_optional_venue_can_come_from_variables_alone(loaded: Load) -> None:
    text = WHOLE.replace('kind = "okx"', 'kind = "lone"') + 'broker_key = "key"\n'
    assert loaded(text).exchanges["okx"].venues == {}
    url = "https://futures.example"
    config = loaded(text, {"TAGPROXY_EXCHANGES__OKX__FUTURES__REST_URL": url})
    assert str(config.exchanges["okx"].venues["futures"].rest_url) == url


def test_a_secret_named_in_the_file_is_no_override_whatever_its_name(loaded: Load) -> None:
    text = WHOLE.replace(f'"{MASTER_KEY}"', '[{ env = "TAGPROXY_KEY" }]')
    assert loaded(text, {"TAGPROXY_KEY": MASTER_KEY}).storage.master_keys[0].reveal() == b"A" * 32


def test_a_secret_that_looks_like_toml_is_not_read_as_such(loaded: Load) -> None:
    text = WHOLE + 'broker_key = { env = "TAGPROXY_KEY" }\n'
    key = loaded(text, {"TAGPROXY_KEY": "[not toml"}).exchanges["okx"].broker_key
    assert key is not None
    assert key.reveal() == b"[not toml"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        (
            "TAGPROXY_EXCHANGES__OKX__REST_URL",
            "okx.com",
            'exchanges.okx.rest_url: must be a URL such as "https://host"',
        ),
        ("TAGPROXY_SERVER__LISSTEN", "127.0.0.1:1", "server.lissten: unknown key"),
        ("TAGPROXY_LISTEN", "127.0.0.1:1", "listen: unknown key"),
        ("TAGPROXY_", "x", '"": unknown key'),
        ("TAGPROXY_STORAGE__URL__HOST", "x", "unknown key"),
        ("TAGPROXY_SERVER__TRUSTED_PROXIES", "[1", "is not a TOML value"),
        (
            "TAGPROXY_SERVER__TRUSTED_PROXIES",
            '["10.0.0.0/8", "x"]',
            'server.trusted_proxies[1]: must be a network such as "10.0.0.0/8", not "x"',
        ),
        ("TAGPROXY_EXCHANGES__OKX__SUBJECT", "both", "exchanges.okx.subject: unknown key"),
        (
            "TAGPROXY_SERVER__MAX_CONNECTIONS",
            "-1",
            'server.max_connections: must be a whole number, not "-1"',
        ),
        (
            "TAGPROXY_SERVER__PROXY_PROTOCOL",
            "yes",
            'server.proxy_protocol: must be true or false, not "yes"',
        ),
    ],
)
def test_a_fault_in_a_variable_names_the_variable(
    loaded: Load, name: str, value: str, told: str
) -> None:
    with pytest.raises(ConfigError) as faults:
        loaded(WHOLE, {name: value})
    assert str(faults.value) == f"environment variable {name}: {told}"


def test_what_a_variables_table_lacks_is_missing_in_the_file(loaded: Load) -> None:
    with pytest.raises(ConfigError) as faults:
        loaded(WHOLE, {"TAGPROXY_EXCHANGES__TWO__LISTEN": "127.0.0.1:1"})
    first = faults.value.faults[0]
    assert (first.line, first.key, first.what) == (4, "exchanges.two.kind", "is missing")
