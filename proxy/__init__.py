"""tagproxy: puts the operator's broker code on every order that bots send to an exchange.

Who calls whom, top to bottom; each may import only what stands below it:

    cli            the commands: parse, call, print
    app            composition root: configuration -> objects -> serve -> drain
    sites  admin  sim   what a configuration serves; control plane; simulated exchanges
    pipeline       one request's way: route, identify | verify, tag, charge, answer
    delivery       its second half: admit = sign = send, and what the answer means for the limits
    answers        what goes back, and what is counted and written down about it
    routes  passage     what a request finds by its path; what its stages found out
    net  accounts  security  config  metrics  logs   sockets; who may pass; settings; what is seen
    exchanges  limits   sans-io: what an exchange wants, what it allows
    model  errors  clock  tasks   values, errors, time, how work is started
"""

from __future__ import annotations

from typing import Final

__version__: Final = "0.1.0"
