"""`tagproxy check`: is the configuration good, and is it wise?"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from proxy import config
from proxy.exchanges import registry

if TYPE_CHECKING:
    import argparse


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "check",
        help="validate the configuration",
        description="Prints each fault as FILE:LINE: key: what is wrong, and exits 78; or warns"
        " of what is legal but unwise, and exits 0.",
    )
    parser.set_defaults(run=_check)


def _check(args: argparse.Namespace) -> int:
    checked = config.load(args.config, os.environ, registry.exchanges())
    for caution in checked.cautions:
        print(f"warning: {caution}")
    names = ", ".join(sorted(checked.exchanges))
    print(f"{args.config}: good, serves {names}")
    return 0
