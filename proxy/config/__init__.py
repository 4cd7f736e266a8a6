"""`proxy.toml` -> frozen values: the only reader of settings and the only place of defaults.

`shape` what the rest of the program sees; `load` the way from file and environment to it;
`toml_lines` where a key stands; `values` how a value is written; `source` tables being read;
`sections` and `exchange_tables` the tables themselves; `cautions` what is legal but unwise.
Nothing here connects, listens or logs.
"""

from __future__ import annotations

from proxy.config.load import choose_path, load
from proxy.config.shape import (
    Address,
    AdminTable,
    Config,
    ExchangeTable,
    LimitsTable,
    Network,
    Origin,
    Rate,
    Secret,
    SecurityTable,
    ServerTable,
    StorageTable,
    TaggingTable,
    VenueTable,
)

__all__ = [
    "Address",
    "AdminTable",
    "Config",
    "ExchangeTable",
    "LimitsTable",
    "Network",
    "Origin",
    "Rate",
    "Secret",
    "SecurityTable",
    "ServerTable",
    "StorageTable",
    "TaggingTable",
    "VenueTable",
    "choose_path",
    "load",
]
