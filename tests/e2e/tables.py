"""The proxy's tables of simulated exchanges, and how tables are written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from proxy.sim import registry

BROKER_CODE: Final = "e2eBROKERcode01"  # OKX's


def okx(base_url: str, ca_file: Path | None) -> dict[str, Any]:
    """Return a table of OKX; anything may listen there."""
    table: dict[str, Any] = {
        "kind": "okx",
        "rest_url": base_url,
        "ws_url": base_url.replace("http", "ws", 1),
        "broker_code": BROKER_CODE,
    }
    return table | _trust(base_url, ca_file)


def others(
    kind: str, base_urls: Mapping[str, str], ca_file: Path | None
) -> dict[str, dict[str, Any]]:
    """Return a table for each venue that has an address, with what makes an operator a broker
    there."""
    operator = registry.make(kind).operator
    made: dict[str, dict[str, Any]] = {}
    for venue, base_url in base_urls.items():
        name = f"exchanges.{kind}" + ("" if venue == "main" else f".{venue}")
        made[name] = {"rest_url": base_url, **operator.get(venue, {})}
    made[f"exchanges.{kind}"] |= {"kind": kind} | _trust(base_urls["main"], ca_file)
    return made


def _trust(base_url: str, ca_file: Path | None) -> dict[str, str]:
    return {"ca_file": str(ca_file)} if base_url.startswith("https:") else {}


def lines(values: Mapping[str, Any]) -> str:
    """Return what stands under a table's name."""
    return "".join(f"{_key(key)} = {_value(value)}\n" for key, value in values.items())


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() else json.dumps(key)


def _value(value: Any) -> str:
    """JSON's scalars and arrays of them are TOML's too."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value)
