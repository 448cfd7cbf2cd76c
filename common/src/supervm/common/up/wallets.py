"""The phones' wallets: one file for each, and which name has which of its accounts."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from supervm.common.wallet import WALLET_FILE, create_wallet, unlock_wallet
from supervm.common.wallet import Wallet as Unlocked
from supervm.protocol.base.address import encode_address

from .payments import Wallet

ENTROPY_BYTES = 32


def make_wallets(directory: Path, phones: Sequence[str], passphrase: str) -> dict[str, Unlocked]:
    """Make a new wallet in the folder of each phone; return them unlocked, so that no key is stretched twice.

    Stretching takes about 65 ms and 64 MiB each and needs no interpreter, so each processor does one at a time.

    Raises:
        InputError: a wallet is there already, or cannot be written.
    """

    def make(phone: str) -> Unlocked:
        path = directory / phone / WALLET_FILE
        return Unlocked(create_wallet(path, passphrase, words=None, entropy=secrets.token_bytes(ENTROPY_BYTES)))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(phones, pool.map(make, phones), strict=True))


def opener(directory: Path, passphrase: str) -> Callable[[str], Unlocked]:
    """Return what unlocks the wallet of a phone."""
    return lambda phone: unlock_wallet(directory / phone / WALLET_FILE, passphrase)


def wallets_of_names(
    accounts: Mapping[str, Sequence[str]], unlocked: Callable[[str], Unlocked], known: Mapping[str, Wallet]
) -> dict[str, Wallet]:
    """Return where each name lives, and its address.

    Args:
        accounts: phone -> names in the order of their accounts.
        unlocked: gives the wallet of a phone; asked only for phones that a name not yet known lives on.
        known: what was found out earlier.
    """
    wallets = dict(known)
    for phone, names in accounts.items():
        if all(name in wallets for name in names):
            continue
        wallet = unlocked(phone)
        for index, name in enumerate(names):
            if name not in wallets:
                wallets[name] = Wallet(phone, encode_address(wallet.account(index).public, test=True))
    return wallets
