"""`tagproxy serve`: the proxy itself."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from proxy import app

if TYPE_CHECKING:
    import argparse


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "serve",
        help="run the proxy until SIGTERM",
        description="Serves until SIGTERM, then finishes what is in flight and exits 0.",
    )
    parser.set_defaults(run=_serve)


def _serve(args: argparse.Namespace) -> int:
    return app.serve(args.config, os.environ)
