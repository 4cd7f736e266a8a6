"""Whose order it is: the partner headers, and what comes of wrong ones.

https://www.kucoin.com/docs-new/rest/broker/instructions
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.sim.kucoin import signature
from proxy.sim.kucoin.answers import Refused
from proxy.sim.kucoin.table import BROKER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.sim.http import Headers
    from proxy.sim.kucoin.desk import Partner, World
    from proxy.sim.kucoin.table import Row

PARTNER: Final = "kc-api-partner"
SIGN: Final = "kc-api-partner-sign"
VERIFY: Final = "kc-api-partner-verify"
NAME: Final = "kc-broker-name"


def attributed(partners: Mapping[str, Partner], headers: Headers) -> str:
    """Return the partner who earns by this request; "" is nobody.

    Headers are those of a request whose key and timestamp are right. Raises Refused for wrong
    ones that ask to be verified; others are passed over in silence.
    """
    verify = _value(headers, VERIFY) == "true"
    name = _value(headers, PARTNER)
    if not name and not verify:
        return ""
    partner = partners.get(name)
    if partner is None:
        if verify:
            raise Refused("400200")
        return ""
    timestamp, key = _value(headers, "kc-api-timestamp"), _value(headers, "kc-api-key")
    expected = signature.partner_signature(partner.key, timestamp, partner.id, key)
    if not signature.matches(expected, _value(headers, SIGN)):
        if verify:
            raise Refused("400201")
        return ""
    return partner.id


def admit_broker(world: World, row: Row, uid: str, headers: Headers) -> None:
    """Refuse a broker's call to who is none, and one at the broker venue without the headers that
    it must have; raises Refused."""
    if row.venue != BROKER and row.group != "broker":
        return
    if not world.profile(uid).broker:
        raise Refused("600100", "Broker account does not exist or is frozen")
    if row.venue != BROKER:
        return
    name = attributed(world.partners[BROKER], headers)
    if not name:
        raise Refused("400200")
    wanted = world.partners[BROKER][name].name
    if not _value(headers, NAME) or (wanted and _value(headers, NAME) != wanted):
        raise Refused("600100", "Broker account does not exist or is frozen")


def _value(headers: Headers, name: str) -> str:
    return headers.get(name, [""])[0]
