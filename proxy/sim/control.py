"""The simulator's back door: JSON under /sim/ on each of its ports, for tests in other processes.

GET    /sim/state                    users, counts
POST   /sim/users {User fields, Profile fields}   add or replace a key; what is told of the account
                                     behind it holds for every key of its uid, see
                                     `proxy.sim.okx.profile`; DELETE /sim/users?api_key=… ends a key
GET    /sim/accounts                 every account's Profile, with its uid and demo
POST   /sim/accounts {uid, demo, Profile fields}   change an account, its keys untouched
GET    /sim/requests?since=N&fields=a,b   what arrived after request number N, bodies as Latin-1;
                                     all that `proxy.sim.recorded` shows, or the fields named
GET    /sim/sources                  {address: {opened, open, resumed, requests, refused, banned}}:
                                     connections (of TLS: handshakes done; resumed among them) and
                                     requests; connections to this back door are left out
GET    /sim/orders                   every order
GET    /sim/breaches?subject=…       {"breaches": {bucket: n}, "buckets": {bucket: {rule, subject,
                                     limit, span_ns, anchored, arrivals, accepted, most_in_sliding,
                                     most_in_anchored}}}; the subject is the uid (" demo" after it)
                                     or the source address
GET    /sim/arrivals?bucket=…        [[at_ns, units, within], …]
POST   /sim/reset                    forget all but users, accounts and rows
POST   /sim/delay {fixed_ms, late_ms, late_share, seed}    on the way in, from now on
POST   /sim/faults {Fault fields}    see `proxy.sim.faults`: `source` narrows a fault to an address,
                                     `for_ms` makes it last; DELETE drops those still to come
POST   /sim/limits {"POST /api/v5/trade/order": "4/2"}     count/seconds in place of the table's
POST   /sim/endpoints {"rows": ["GET new/thing 10/2 user read"]}   serve more, in the table's form
POST   /sim/clock {"offset_ms": N}   the exchange's clock is off by so much
POST   /sim/close-idle               close connections without a request under way
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any, Final, final

from aiohttp import web

from proxy.sim import table
from proxy.sim.faults import Delay, Fault
from proxy.sim.windows import most_in_anchored, most_in_sliding, named

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.sim.exchange import Simulated
    from proxy.sim.server import SimulatedExchange

_USER_SHOWN: Final = ("api_key", "uid", "demo", "perm", "ips")


@final
class Control:
    """Answers /sim/…; a call that makes no sense is 400 with the reason."""

    def __init__(self, server: SimulatedExchange[Simulated]) -> None:
        self._server = server
        self._reads: dict[str, Callable[[dict[str, str]], Any]] = {
            "state": self._state,
            "accounts": self._accounts,
            "requests": self._requests,
            "sources": self._sources,
            "orders": self._orders,
            "breaches": self._breaches,
            "arrivals": self._arrivals,
        }
        self._writes: dict[str, Callable[[dict[str, Any]], Any]] = {
            "users": self._add_user,
            "accounts": self._change_account,
            "reset": self._reset,
            "delay": self._set_delay,
            "faults": self._add_fault,
            "limits": self._set_limits,
            "endpoints": self._add_rows,
            "clock": self._set_clock,
            "close-idle": self._close_idle,
        }

    def answer(self, request: web.BaseRequest, body: bytes) -> web.Response:
        """Do one call."""
        name = request.path.removeprefix("/sim/")
        try:
            if request.method == "GET" and name in self._reads:
                result = self._reads[name](dict(request.query))
            elif request.method == "POST" and name in self._writes:
                result = self._writes[name](json.loads(body) if body else {})
            elif request.method == "DELETE" and name == "users":
                result = self._server.exchange.remove_user(request.query["api_key"])
            elif request.method == "DELETE" and name == "faults":
                result = len(self._server.faults.coming)
                self._server.faults.coming.clear()
            else:
                return web.json_response({"error": "no such call"}, status=404)
        except (KeyError, TypeError, ValueError) as error:
            return web.json_response({"error": repr(error)}, status=400)
        return web.json_response(result)

    def _state(self, query: dict[str, str]) -> Any:
        users = self._server.exchange.users.values()
        return {
            "users": [
                {key: getattr(user, key) for key in _USER_SHOWN if hasattr(user, key)}
                for user in users
            ],
            "requests": len(self._server.requests),
            "breaches": sum(self._server.breaches.values()),
        }

    def _accounts(self, query: dict[str, str]) -> Any:
        return self._server.exchange.accounts()

    def _requests(self, query: dict[str, str]) -> Any:
        since = int(query.get("since", 0))
        shown = [each.shown() for each in self._server.requests if each.number > since]
        names = [name for name in query.get("fields", "").split(",") if name]
        return [{name: each[name] for name in names} for each in shown] if names else shown

    def _sources(self, query: dict[str, str]) -> Any:
        return self._server.door.shown()

    def _orders(self, query: dict[str, str]) -> Any:
        return self._server.orders

    def _breaches(self, query: dict[str, str]) -> Any:
        budgets = self._server.budgets
        buckets = {}
        for bucket, window in budgets.windows.items():
            rule, subject = named(bucket)
            if query.get("subject", subject) != subject:
                continue
            cost = budgets.rules[bucket]
            buckets[bucket] = {
                "rule": rule,
                "subject": subject,
                "limit": cost.limit,
                "span_ns": cost.span_ns,
                "anchored": cost.anchored,
                "arrivals": sum(each.units for each in window.arrivals),
                "accepted": sum(each.units for each in window.arrivals if each.within),
                "most_in_sliding": most_in_sliding(window.arrivals, cost.span_ns),
                "most_in_anchored": most_in_anchored(window.arrivals, cost.span_ns),
            }
        breaches = {name: n for name, n in budgets.breaches.items() if name in buckets}
        return {"breaches": breaches, "buckets": buckets}

    def _arrivals(self, query: dict[str, str]) -> Any:
        return [list(each) for each in self._server.budgets.windows[query["bucket"]].arrivals]

    def _add_user(self, fields: dict[str, Any]) -> Any:
        return self._server.exchange.add_user(fields).uid

    def _change_account(self, fields: dict[str, Any]) -> Any:
        return self._server.exchange.change_account(fields)

    def _reset(self, fields: dict[str, Any]) -> Any:
        self._server.reset()

    def _set_delay(self, fields: dict[str, Any]) -> Any:
        self._server.delay = Delay(**fields)

    def _add_fault(self, fields: dict[str, Any]) -> Any:
        fault = Fault(**fields)
        self._server.faults.coming.append(fault)
        return dataclasses.asdict(fault)

    def _set_limits(self, fields: dict[str, Any]) -> Any:
        for name, limit in fields.items():
            self._server.exchange.set_limit(name, *table.rate(str(limit)))

    def _add_rows(self, fields: dict[str, Any]) -> Any:
        for line in fields["rows"]:
            self._server.add_row(line)

    def _set_clock(self, fields: dict[str, Any]) -> Any:
        self._server.clock_offset_ms = int(fields["offset_ms"])

    def _close_idle(self, fields: dict[str, Any]) -> Any:
        return self._server.close_idle()
