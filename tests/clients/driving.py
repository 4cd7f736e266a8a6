"""The part of a driver that is the same for every client library.

Drivers run inside an environment that has one client library and nothing of ours. They read calls
from standard input, never from arguments, one JSON object a line:
    {"base": URL of the exchange at the proxy, "as": key triple, "do": word}
and answer each with one line, `outcome: {"gave": …}`, or
    outcome: {"raised": [class names, the raised one first], "text": …}
A library may print what it likes: its standard output goes where its errors go, but for what it
prints when it is imported.
"""

import contextlib
import json
import sys
import time

PRICE = "20000"  # far below the market: it rests


class Lagging:
    """The module `time` with a clock that is behind; for libraries without an option for that."""

    def __init__(self, behind_ms):
        self._behind_s = behind_ms / 1000

    def time(self):
        return time.time() - self._behind_s

    def __getattr__(self, name):
        return getattr(time, name)


def drive(perform):
    """Answer every call with `perform(base, triple, word)`; what it raises is an outcome too."""
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        for line in sys.stdin:
            outcome = json.dumps(outcome_of(perform, json.loads(line)))
            answers.write(f"outcome: {outcome}\n")
            answers.flush()


def outcome_of(perform, call):
    try:
        return {"gave": perform(call["base"], call["as"], call["do"])}
    except Exception as error:  # noqa: BLE001 - whatever a client raises is the result
        names = [kind.__name__ for kind in type(error).__mro__]
        return {"raised": names, "text": str(error)}


def words(*functions):
    """Return the functions by their names."""
    return {word.__name__: word for word in functions}
