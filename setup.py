"""Builds the package: as it stands, or, with TAGPROXY_COMPILE=1, its hot modules by mypyc.

The metadata is pyproject.toml's. A compiled wheel has the sources too, beside C extensions that
Python prefers to them. Compiling needs a C compiler and mypy (tests/requirements.lock) in the
environment that builds: `make compiled`. https://mypyc.readthedocs.io/
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from setuptools import setup

if TYPE_CHECKING:
    from setuptools import Extension

# What runs for every request, with whatever such modules inherit from.
# A compiled class must never be referenced weakly: mypyc (2.4) leaves the reference dangling. That
# keeps logs.py out, whose logging.Handler the stdlib refers to so. What tests stand in for by a
# class of their own stays out too, or is asked for by a Protocol: clock.py, accounts/directory.py.
HOT: Final = (
    "proxy/accounts/activity.py",
    "proxy/accounts/standing.py",
    "proxy/admission.py",
    "proxy/answers.py",
    "proxy/delivery.py",
    "proxy/egress.py",
    "proxy/exchanges/edge.py",
    "proxy/exchanges/flat.py",
    "proxy/exchanges/kucoin/*.py",
    "proxy/exchanges/mac.py",
    "proxy/exchanges/mexc/*.py",
    "proxy/exchanges/okx/*.py",
    "proxy/exchanges/spec.py",
    "proxy/limits/*.py",
    "proxy/log_lines.py",
    "proxy/message.py",
    "proxy/metrics.py",
    "proxy/model.py",
    "proxy/net/*.py",
    "proxy/passage.py",
    "proxy/pipeline.py",
    "proxy/public_reads.py",
    "proxy/routes.py",
    "proxy/security/*.py",
    "proxy/slots.py",
    "proxy/tasks.py",
)


def hot_modules() -> list[str]:
    """The sources that are compiled; a package's `__init__` has nothing to win."""
    found = (path for pattern in HOT for path in Path().glob(pattern))
    return sorted(str(path) for path in found if path.name != "__init__.py")


def extensions() -> list[Extension]:
    """One shared library with every hot module, so that calls between them are C calls."""
    from mypyc.build import mypycify

    compiled = mypycify(
        ["--follow-imports=silent", "--cache-dir=build/mypy", *hot_modules()],
        opt_level="3",
        debug_level="0",
        group_name="tagproxy",
        target_dir="build/mypyc",
    )
    for extension in compiled:
        # mypyc turns its compiler's warnings into errors, and each compiler has others
        extension.extra_compile_args.append("-Wno-error")
    return compiled


setup(ext_modules=extensions() if os.environ.get("TAGPROXY_COMPILE") == "1" else [])
