"""What a read configuration tells the core of a phone, and the accounts that it opens (`options` declares the keys)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from supervm.common.errors import InputError
from supervm.common.host.config import CONFIG_FILE
from supervm.common.parts.participation import STANDARD
from supervm.common.parts.reach.options import read_region
from supervm.common.text.options import defaults
from supervm.common.text.textfile import read_text
from supervm.protocol.base.errors import LocalProtocolError

from .options import OPTIONS, QUEUE_MAX

if TYPE_CHECKING:
    from supervm.common.host.config import NodeConfig
    from supervm.common.wallet import Wallet
    from supervm.protocol.base.keys import SigningKey

METERED: Final[Mapping[str, bool | None]] = {"unknown": None, "yes": True, "no": False}
"""What the key ``metered`` may say."""


@dataclass(frozen=True, slots=True)
class MobileOptions:
    """Values of `OPTIONS`, with the names read from their file."""

    accounts: int
    names: tuple[str, ...]
    validity_ms: int
    queue_max: int = QUEUE_MAX
    mode: str = STANDARD
    metered: bool | None = None
    anchor: Path | None = None
    lock_after_us: int = 0
    find_peers: bool = False
    region: str = ""
    directory_nodes: int = 0
    ask_phones: bool = False


def mobile_options(config: NodeConfig) -> MobileOptions:
    """Return what a checked configuration sets, with the names read from their file.

    Raises:
        InputError: the file of names cannot be read, or holds too many names or one twice; or the region is none.
    """
    values = {**defaults(OPTIONS), **config.tier_options}
    accounts = int(values["accounts"])
    names: tuple[str, ...] = ()
    if values["names"]:
        path = config.directory / str(values["names"])
        names = tuple(read_text(path, what="the file of account names").splitlines())
        if len(names) > accounts or len(dict.fromkeys(names)) != len(names):
            raise InputError(f"{path}: at most {accounts} names are allowed, each once; there are {len(names)} lines")
    anchor = config.directory / str(values["anchor"]) if values["anchor"] else None
    validity_ms, lock_after_us = int(values["validity_s"]) * 1000, int(values["lock_after_s"]) * 1_000_000
    queue_max, mode = int(values["queue_max"]), str(values["mode"])
    try:
        region = read_region(str(values["region"]))
    except LocalProtocolError as error:
        raise InputError(f"{config.directory / CONFIG_FILE}: [l4] {error}") from error
    find_peers = bool(values["find_peers"])
    return MobileOptions(
        accounts,
        names,
        validity_ms,
        queue_max,
        mode,
        METERED[str(values["metered"])],
        anchor,
        lock_after_us,
        find_peers=find_peers,
        region=region,
        directory_nodes=int(values["directory_nodes"]),
        ask_phones=bool(values["ask_phones"]),
    )


def open_accounts(wallet: Wallet, options: MobileOptions) -> tuple[dict[bytes, SigningKey], dict[str, bytes]]:
    """Return account id -> key and name -> account id, in account order."""
    keys = [wallet.account(number) for number in range(options.accounts)]
    return (
        {key.public: key for key in keys},
        {name: keys[number].public for number, name in enumerate(options.names) if name},
    )
