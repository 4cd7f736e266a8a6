"""tagproxy: puts the operator's broker code on every order that bots send to an exchange.

Who calls whom, top to bottom; each may import only what stands below it:

    cli            the commands: parse, call, print
    app            composition root: configuration -> objects -> serve -> drain
    admin  sim     control plane; the simulated exchanges
    pipeline       one request's way: route, identify, verify, tag, admit, sign, send, classify
    net  accounts  metrics  logs   sockets; who may pass; what is seen
    exchanges  limits              sans-io: what an exchange wants, what it allows
    model  errors  clock  tasks    values, errors, time, how work is started
"""

from __future__ import annotations

from typing import Final

__version__: Final = "0.1.0"
