"""The table ``[l4]`` of a node's configuration, and the accounts that it opens (docs/configuration.md lists it)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from supervm.common.contract.options import ANCHOR_OPTION, OptionSpec
from supervm.common.errors import InputError
from supervm.common.text.textfile import read_text

if TYPE_CHECKING:
    from supervm.common.host.config import NodeConfig
    from supervm.common.wallet import Wallet
    from supervm.protocol.base.keys import SigningKey

ACCOUNTS_MAX: Final = 100_000
"""Most accounts that one node opens."""

ACCOUNT_OPTIONS: Final[Mapping[str, OptionSpec]] = {
    "accounts": OptionSpec(int, 1, "accounts of the wallet that this node opens, from number 0 on", 1, ACCOUNTS_MAX),
    "names": OptionSpec(str, "", "file with one name per account, in account order; empty: no names"),
}
"""Keys about the wallet's accounts."""
PAYMENT_OPTIONS: Final[Mapping[str, OptionSpec]] = {
    "validity_s": OptionSpec(int, 96 * 3600, "seconds that a payment may take to execute", 5, 7 * 86_400),
}
"""Keys about payments."""
TRUST_OPTIONS: Final[Mapping[str, OptionSpec]] = {"anchor": ANCHOR_OPTION}
"""Keys about what is trusted."""

OPTIONS: Final[Mapping[str, OptionSpec]] = {**ACCOUNT_OPTIONS, **PAYMENT_OPTIONS, **TRUST_OPTIONS}
"""Keys of the table ``[l4]``."""


@dataclass(frozen=True, slots=True)
class MobileOptions:
    """Values of `OPTIONS`, read."""

    accounts: int
    names: tuple[str, ...]
    validity_ms: int
    anchor: Path | None = None


def mobile_options(config: NodeConfig) -> MobileOptions:
    """Return what a checked configuration sets, with the names read from their file.

    Raises:
        InputError: the file of names cannot be read, or holds too many names or one twice.
    """
    values = {name: config.tier_options.get(name, option.default) for name, option in OPTIONS.items()}
    accounts = int(values["accounts"])
    names: tuple[str, ...] = ()
    if values["names"]:
        path = config.directory / str(values["names"])
        names = tuple(read_text(path, what="the file of account names").splitlines())
        if len(names) > accounts or len(dict.fromkeys(names)) != len(names):
            raise InputError(f"{path}: at most {accounts} names are allowed, each once; there are {len(names)} lines")
    anchor = config.directory / str(values["anchor"]) if values["anchor"] else None
    return MobileOptions(accounts, names, int(values["validity_s"]) * 1000, anchor)


def open_accounts(wallet: Wallet, options: MobileOptions) -> tuple[dict[bytes, SigningKey], dict[str, bytes]]:
    """Return account id -> key and name -> account id, in account order."""
    keys = [wallet.account(number) for number in range(options.accounts)]
    return (
        {key.public: key for key in keys},
        {name: keys[number].public for number, name in enumerate(options.names) if name},
    )
