"""`tagproxy vault`: another master key for the secrets of the database."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.accounts.database import Database
from proxy.accounts.resealing import reseal
from proxy.accounts.vault import Vault, parse_master_key
from proxy.errors import VaultError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from proxy.config import Config
    from proxy.exchanges.spec import Exchange

FAILED = 1
_KEY_BYTES_MAX = 4_096
_NEXT = """\
{count} secrets sealed anew: every one now needs master key {key_id}. What is left to do:
  1. put the new key first in [storage] and keep the old ones after it:
     master_key = [{{ file = "{file}" }}, …]
  2. reload whatever serves from this database (SIGHUP); until then it goes on with what it has
  3. run this command once more, until it says 0
  4. take the old keys out, and destroy them once no backup of the database needs them"""


def register(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
    common: argparse.ArgumentParser,
) -> None:
    """Add `vault` and its one command; `common` has the options that every command takes."""
    parser = subparsers.add_parser("vault", help="change the master key")
    commands = parser.add_subparsers(dest="vault_command", required=True, metavar="COMMAND")
    text = "seal every secret anew under a new master key; a running serve goes on"
    rotate = commands.add_parser("rotate", parents=[common], help=text, description=text)
    rotate.add_argument(
        "--new-key", required=True, metavar="FILE", type=Path, help="32 bytes in base64"
    )
    parser.set_defaults(run=run)


async def run(args: argparse.Namespace, config: Config, _kinds: Mapping[str, Exchange]) -> int:
    """Seal every secret anew; 1 when some could not be, each told on a line of standard error.

    Raises `VaultError` for a key that is no master key, or is not the one needed.
    """
    new = _read_key(args.new_key)
    old = [key.reveal() for key in config.storage.master_keys]
    vault = Vault([new, *(key for key in old if key != new)])
    database = await Database.open(config.storage.url)
    try:
        resealed = await reseal(database, vault)
    finally:
        await database.close()
    for fault in resealed.faults:
        print(f"tagproxy: not sealed anew: {fault}", file=sys.stderr)
    print(
        _NEXT.format(count=resealed.secrets, key_id=vault.sealing_id, file=args.new_key.resolve())
    )
    return FAILED if resealed.faults else 0


def _read_key(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(_KEY_BYTES_MAX)
    try:
        return parse_master_key(content.decode())
    except UnicodeDecodeError:
        raise VaultError(f"{path}: the master key is not base64") from None
    except VaultError as error:
        raise VaultError(f"{path}: {error}") from error
