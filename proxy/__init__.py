"""tagproxy: puts the operator's broker code on every order that bots send to an exchange.

Who calls whom, top to bottom; each may import only what stands below it:

    cli            the commands: parse, call, print
    app            composition root: configuration -> objects -> serve -> reload -> drain
    serving  ports  sites   the way of a request; the bots' ports; the exchanges: put together
    admin  sim     control plane; simulated exchanges
    pipeline       one request's way: route, identify | verify, tag, charge, answer
    admission      who may pass
    identities  courses  learned_limits  asking   who an account is to the exchange
    me             what a bot may ask of us
    public_reads   one request to the exchange for all who ask the same
    delivery       admit = sign = send, and what the answer means for the limits
    slots  egress  message   which budgets, from which address, which bytes
    answers        what goes back, and what is counted and written down about it
    routes  passage     what a request finds by its path; what its stages found out
    net  accounts  security  config  metrics  logs  notify   sockets, people, settings, signs
    exchanges  limits   sans-io: what an exchange wants, what it allows
    model  errors  clock  tasks   values, errors, time, how work is started
"""

from __future__ import annotations

from typing import Final

__version__: Final = "0.1.0"
