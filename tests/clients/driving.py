"""The part of a driver that is the same for every client library.

Drivers run inside an environment that has one client library and nothing of ours. They read
`{"base": URL, "calls": [{"as": key triple, "do": word, "base": URL or nothing, …}, …]}` from
standard input, never from arguments, and write one outcome per call: `{"gave": …}`, or
`{"raised": [class names, the raised one first], "text": …}`.
"""

import json
import sys

SWAP = "BTC-USDT-SWAP"
PRICE = "20000"  # far below the market: it rests
TRIGGER = "19000"


def drive(perform):
    """Answer every call with `perform(base, triple, word)`; what it raises is an outcome too."""
    job = json.load(sys.stdin)
    outcomes = []
    for call in job["calls"]:
        base = call.get("base", job["base"])
        try:
            outcomes.append({"gave": perform(base, call["as"], call["do"])})
        except Exception as error:  # noqa: BLE001 - whatever a client raises is the result
            names = [kind.__name__ for kind in type(error).__mro__]
            outcomes.append({"raised": names, "text": str(error)})
    json.dump(outcomes, sys.stdout)
