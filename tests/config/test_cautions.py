"""What is legal but unwise."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from proxy.config import load
from proxy.exchanges import registry
from tests.config.conftest import MASTER_KEY, WHOLE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from proxy.config import Config

    Load = Callable[..., Config]


def _told(config: Config) -> list[str]:
    return [str(caution).rpartition("/")[2] for caution in config.cautions]


def test_a_plain_configuration_is_wise(loaded: Load) -> None:
    assert _told(loaded()) == []


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (
            '[server]\nlisten = "0.0.0.0:8080"\n',
            "",
            "2: server.listen: bots' port 0.0.0.0:8080 is open to the network without TLS",
        ),
        (
            "",
            'listen = "[::]:8081"\n',
            "8: exchanges.okx.listen: bots' port [::]:8081 is open to the network without TLS",
        ),
        (
            '[admin]\nlisten = "10.0.0.1:9464"\n',
            "",
            (
                "2: admin.listen: admin port 10.0.0.1:9464 is open to the network;"
                " it asks for no password"
            ),
        ),
        (
            '[limits]\nmax_wait = "1999ms"\n',
            "",
            (
                "2: limits.max_wait: is shorter than an order window of okx, 2000 ms:"
                " bursts are refused, not queued"
            ),
        ),
        (
            '[server]\ntrusted_proxies = ["10.0.0.0/8", "0.0.0.0/0"]\n',
            "",
            ("2: server.trusted_proxies: holds everybody: any bot may name any address as its own"),
        ),
        (
            "",
            'deadline = "10s"\n',
            (
                "8: exchanges.okx.deadline: most client libraries give up after 10s"
                " and never see a later answer"
            ),
        ),
        (
            "",
            'deadline = "3s"\n',
            "8: exchanges.okx.deadline: is not longer than limits.max_wait",
        ),
    ],
)
def test_what_is_unwise_is_told_with_its_line(
    loaded: Load, before: str, after: str, told: str
) -> None:
    assert _told(loaded(before + WHOLE + after)) == [f"proxy.toml:{told}"]


def test_the_examples_code_is_nobodys(loaded: Load) -> None:
    told = "proxy.toml:7: exchanges.okx.broker_code: is the example's; put your own"
    assert _told(loaded(WHOLE.replace("code1", "YOURCODE"))) == [told]


def test_credentials_in_clear_may_only_go_to_this_machine(loaded: Load) -> None:
    away = WHOLE.replace("https://www.okx.com", "http://192.0.2.1:80")
    told = "proxy.toml:6: exchanges.okx.rest_url: real credentials leave without TLS"
    assert _told(loaded(away)) == [told]
    assert _told(loaded(away.replace("192.0.2.1", "127.0.0.1"))) == []
    assert _told(loaded(away.replace("192.0.2.1", "localhost"))) == []


def test_a_directory_that_is_not_there_is_told(loaded: Load, tmp_path: Path) -> None:
    config = loaded(WHOLE.replace("////tmp", f"///{tmp_path}/no"))
    assert [caution.what for caution in config.cautions] == [f"there is no directory {tmp_path}/no"]


def test_a_master_key_that_others_can_read_is_told(loaded: Load, tmp_path: Path) -> None:
    key = tmp_path / "master.key"
    key.write_text(MASTER_KEY)
    text = WHOLE.replace(f'"{MASTER_KEY}"', '{ file = "master.key" }')
    os.chmod(key, stat.S_IRUSR)
    assert _told(loaded(text)) == []
    os.chmod(key, 0o644)
    config = loaded(text)
    assert [caution.what for caution in config.cautions] == [f"everyone can read {key}"]
    listed = text.replace("{ file", "[{ file").replace(" }", " }]")
    assert _told(loaded(listed)) == _told(config)


def test_a_venues_own_port_counts_as_a_bots_port(loaded: Load) -> None:
    text = WHOLE.replace('kind = "okx"', 'kind = "duo"')
    config = loaded(text + '[exchanges.okx.futures]\nlisten = "0.0.0.0:1"\n')
    assert [caution.key for caution in config.cautions] == ["exchanges.okx.futures.listen"]


def test_a_proxy_protocol_that_anybody_may_speak_is_told(loaded: Load) -> None:
    text = '[server]\nlisten = "0.0.0.0:1"\nproxy_protocol = true\n'
    config = loaded(text + WHOLE)
    assert "server.proxy_protocol" in [caution.key for caution in config.cautions]
    listed = loaded(text + 'trusted_proxies = ["10.0.0.0/8"]\n' + WHOLE)
    assert "server.proxy_protocol" not in [caution.key for caution in listed.cautions]


LONE = (
    WHOLE.replace('kind = "okx"', 'kind = "lone"')
    + 'broker_key = "key"\nbroker_name = "us"\n'
    + '[exchanges.okx.futures]\nrest_url = "https://futures.example"\n'
)


def test_a_signed_code_of_each_venues_own_is_wise(loaded: Load) -> None:
    assert _told(loaded(LONE + 'broker_code = "code2"\nbroker_key = "key2"\n')) == []


def test_a_venue_under_mains_code_is_told_whether_it_says_so_or_not(loaded: Load) -> None:
    what = "is that of okx itself; futures has one of its own, with its own key"
    for text in (LONE, LONE + 'broker_code = "code1"\n'):
        (caution,) = loaded(text).cautions
        assert (caution.key, caution.what) == ("exchanges.okx.futures.broker_code", what)


def test_a_signed_code_without_a_name_is_told(loaded: Load) -> None:
    config = loaded(
        LONE.replace('broker_name = "us"\n', "") + 'broker_code = "code2"\nbroker_key = "k2"\n'
    )
    told = "proxy.toml:7: exchanges.okx.broker_code: has no broker_name beside it"
    assert _told(config) == [told]


def test_a_code_that_nobody_signs_may_be_the_same_everywhere(loaded: Load) -> None:
    text = WHOLE.replace('kind = "okx"', 'kind = "duo"')
    assert _told(loaded(text + '[exchanges.okx.futures]\nbroker_code = "code1"\n')) == []


def test_what_a_venue_says_itself_is_judged_and_what_it_leaves_out_is_not(loaded: Load) -> None:
    text = WHOLE.replace('kind = "okx"', 'kind = "duo"').replace(
        "https://www.okx.com", "http://192.0.2.1"
    )
    text = text.replace("code1", "YOURCODE")
    own = '[exchanges.okx.futures]\nrest_url = "http://192.0.2.2"\nbroker_code = "YOURCODE"\n'
    keys = ["exchanges.okx.broker_code", "exchanges.okx.rest_url"]
    venue = ["exchanges.okx.futures.broker_code", "exchanges.okx.futures.rest_url"]
    assert [caution.key for caution in loaded(text).cautions] == keys
    assert [caution.key for caution in loaded(text + own).cautions] == keys + venue


@pytest.mark.parametrize(("deadline", "is_told"), [("8s", False), ("30s", False), ("31s", True)])
def test_a_window_that_no_request_can_wait_out_is_not_the_waits_fault(
    tmp_path: Path, deadline: str, is_told: bool
) -> None:
    """KuCoin's budgets are of 30 s."""
    path = tmp_path / "proxy.toml"
    text = WHOLE.replace("okx", "kucoin") + f'broker_key = "key"\ndeadline = "{deadline}"\n'
    path.write_text(text)
    keys = [caution.key for caution in load(path, {}, registry.exchanges()).cautions]
    assert ("limits.max_wait" in keys) is is_told
