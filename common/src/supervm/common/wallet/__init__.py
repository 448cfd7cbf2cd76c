"""The owner's wallet: words at rest behind a passphrase, and the account keys made from them.

`store` has the file and the unlocked wallet, `words` the BIP-39 words, `passphrase` what opens the file.
"""

from __future__ import annotations

from .passphrase import INTERACTIVE, PASSPHRASE_VARIABLE, Stretching, read_passphrase
from .store import WALLET_FILE, Wallet, create_wallet, unlock_wallet
from .words import WORD_COUNTS, bip39_seed

__all__ = [
    "INTERACTIVE",
    "PASSPHRASE_VARIABLE",
    "WALLET_FILE",
    "WORD_COUNTS",
    "Stretching",
    "Wallet",
    "bip39_seed",
    "create_wallet",
    "read_passphrase",
    "unlock_wallet",
]
