"""The vault of a node that has its wallet in a file (`wallet.door.Vault`)."""

from __future__ import annotations

from pathlib import Path

from supervm.common.wallet import change_passphrase, is_guarded, unlock_wallet
from supervm.common.wallet.keystore import Keystore

from .config import MobileOptions, open_accounts
from .wallet.door import Opened


class FileVault:
    """A wallet's file; it is read anew at each opening, so a passphrase that was changed meanwhile counts.

    Args:
        path: the file.
        options: which accounts are opened, and their names.
        keystore: the platform's; None where there is none.
    """

    def __init__(self, path: Path, options: MobileOptions, keystore: Keystore | None = None) -> None:
        self._path = path
        self._options = options
        self._keystore = keystore

    def open(self, passphrase: str, now_us: int) -> Opened:
        """Open the wallet, take its keys, and let its words go.

        Raises:
            CommonError: see `unlock_wallet`.
        """
        wallet = unlock_wallet(self._path, passphrase, keystore=self._keystore, now_us=now_us)
        try:
            keys, names = open_accounts(wallet, self._options)
        finally:
            wallet.wipe()
        return Opened(keys, names)

    def change(self, old: str, new: str, now_us: int) -> None:
        """Put another passphrase in place; a wallet that the keystore guards stays guarded.

        Raises:
            CommonError: see `change_passphrase`.
        """
        guard = self._keystore if is_guarded(self._path) else None
        change_passphrase(self._path, old, new, keystore=guard, new_keystore=guard, now_us=now_us)
