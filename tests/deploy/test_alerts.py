"""The alerts and the scrape example: true names, and alerts that fire when they should."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from proxy.config.shape import AdminTable
from proxy.exchanges import registry
from proxy.metrics import OUTCOMES, Metrics
from proxy.model import Tag
from tests.deploy.conftest import DEPLOY

ALERTS: Final = (DEPLOY / "alerts.yml").read_text()
TRIED: Final = Path(__file__).with_name("alerts_test.yml")


def expressions() -> dict[str, str]:
    """Return what each alert looks at."""
    found = re.findall(r"- alert: (\w+)\n +expr: (.*?)\n +(?:for|labels):", ALERTS, re.DOTALL)
    return dict(found)


def exposed(collector: CollectorRegistry) -> set[str]:
    """Return the names that queries may use, those of a histogram's parts too."""
    names = set()
    for line in generate_latest(collector).decode().splitlines():
        if line.startswith("# TYPE "):
            name, kind = line.split()[2:]
            ends = ("_bucket", "_count", "_sum") if kind == "histogram" else ("",)
            names |= {name + end for end in ends}
    return names


def run(*arguments: str | Path) -> str:
    """Run a program and return what it printed; fails the test with it."""
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_every_alert_was_read() -> None:
    assert len(expressions()) == ALERTS.count("- alert:")


def test_every_metric_of_an_alert_is_exposed() -> None:
    known = exposed(Metrics().registry)
    for alert, expression in expressions().items():
        named = set(re.findall(r"\b(?:tagproxy|process)_\w+", expression))
        assert named <= known, alert
        assert named or "up{" in expression


def test_every_outcome_of_an_alert_is_one() -> None:
    named = re.findall(r'outcome=~?"([^"]+)"', ALERTS)
    assert {outcome for group in named for outcome in group.split("|")} <= set(OUTCOMES)


def test_the_endpoints_of_untagged_orders_are_those_with_a_place_for_the_code() -> None:
    pattern = re.search(r'endpoint=~"([^"]+)"', expressions()["TagproxyOrdersUntagged"])
    assert pattern is not None
    endpoints = [
        endpoint
        for exchange in registry.exchanges().values()
        for endpoint in exchange.endpoints
        if endpoint.method != "WS"
    ]
    tagged = {each.label for each in endpoints if each.tag in (Tag.BODY, Tag.EACH_ITEM)}
    matched = {each.label for each in endpoints if re.fullmatch(pattern[1], each.label)}
    assert matched == tagged


def test_every_alert_says_what_is_wrong_how_urgent_it_is_and_what_to_do() -> None:
    for alert in ALERTS.split("- alert: ")[1:]:
        for word in ("severity: page", "summary: ", "action: "):
            other = word.replace("page", "ticket")
            assert word in alert or other in alert, alert.splitlines()[0]


def test_every_alert_is_seen_firing() -> None:
    assert set(expressions()) == set(re.findall(r'alertname="(\w+)"', TRIED.read_text()))


def test_what_an_alert_names_to_look_at_exists() -> None:
    commands = set(re.findall(r"`(?:sudo -u tagproxy )?tagproxy (\w+)", ALERTS))
    assert commands <= {"check", "users", "vault", "serve"}
    manual = (DEPLOY / "INSTALL.md").read_text()
    for heading in re.findall(r'see\s+"(\w+)"\s+in INSTALL.md', ALERTS):
        assert re.search(rf"^## .*{heading}$", manual, re.MULTILINE)


def test_prometheus_takes_the_rules(promtool: str) -> None:
    assert f"{len(expressions())} rules found" in run(
        promtool, "check", "rules", DEPLOY / "alerts.yml"
    )


def test_prometheus_takes_the_configuration_and_scrapes_the_admin_port(promtool: str) -> None:
    run(promtool, "check", "config", DEPLOY / "prometheus.yml")
    config = (DEPLOY / "prometheus.yml").read_text()
    admin = AdminTable().listen
    assert f'targets: ["{admin}"]' in config
    assert re.search(r"job_name: tagproxy\b", config)


def test_the_alerts_fire_when_they_should_and_else_not(promtool: str) -> None:
    run(promtool, "test", "rules", TRIED)
