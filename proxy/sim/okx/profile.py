"""What the simulated OKX knows of an account, whichever of its keys asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

GENERAL: Final = "0"
LEAD_TRADER: Final = "1"
ROLES: Final = (GENERAL, LEAD_TRADER, "2")  # 2: copies others
REPORT_MS: Final = 2 * 3_600_000  # a rebate report is ready after two hours


@final
@dataclass(slots=True)
class Profile:
    """The facts of one uid; replaced whole when one of them changes.

    https://www.okx.com/docs-v5/en/#trading-account-rest-api-get-account-configuration
    """

    acct_level: str = "2"  # 1 spot, 2 futures, 3 multi-currency margin, 4 portfolio margin
    role: str = GENERAL  # in contracts
    spot_role: str = GENERAL
    lead_instruments: tuple[str, ...] = ()  # spot and swaps; counted more strictly
    acc_rate_limit: int = 1000  # new and amended orders per 2 s
    # "" below VIP5, as the exchange has it:
    next_acc_rate_limit: str = ""
    fill_ratio: str = ""
    main_fill_ratio: str = ""
    broker: bool = False  # may call the brokers' endpoints
    broker_types: str = "api"  # "api", "oauth" or both, comma-joined
    broker_code: str = "simulatedBroker0"
    report_ms: int = REPORT_MS  # how long a report of rebates takes to be made
    # What a broker is told of this account:
    rebate_type: str = "0"  # 0 pays rebate, 1 expired, 2 cap reached, 3 VIP too high
    affiliated: bool = False

    def __post_init__(self) -> None:
        """Take JSON's types; raises ValueError for what no account can be."""
        self.lead_instruments = tuple(self.lead_instruments)
        self.acc_rate_limit = int(self.acc_rate_limit)
        if self.role not in ROLES or self.spot_role not in ROLES:
            raise ValueError("role and spot_role are 0, 1 or 2")
        for name in self.lead_instruments:
            if self._role_in(name) != LEAD_TRADER:
                raise ValueError(f"leads {name} without being a lead trader there")

    def leads(self, kind: str) -> list[str]:
        """Return the lead instruments of SPOT or SWAP."""
        swaps = kind == "SWAP"
        return [name for name in self.lead_instruments if name.endswith("-SWAP") == swaps]

    def _role_in(self, name: str) -> str:
        return self.role if name.endswith("-SWAP") else self.spot_role
