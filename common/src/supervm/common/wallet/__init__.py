"""The owner's wallet: words at rest behind a passphrase, and the account keys made from them.

`store` has the file and the unlocked wallet, `sealed` the form of the file, `words` the BIP-39 words, `passphrase` what
opens the file, `tries` the waits after wrong ones, `strength` what a new one must be, `keystore` what a PIN needs.
For whoever types words there are `first_run` (made, shown once, asked back) and `book` (completion, what is wrong).
"""

from __future__ import annotations

from .passphrase import INTERACTIVE, PASSPHRASE_VARIABLE, Stretching, read_passphrase
from .store import WALLET_FILE, Wallet, change_passphrase, create_wallet, is_guarded, unlock_wallet
from .tries import TooSoon, WrongPassphrase
from .words import WORD_COUNTS, bip39_seed

__all__ = [
    "INTERACTIVE",
    "PASSPHRASE_VARIABLE",
    "WALLET_FILE",
    "WORD_COUNTS",
    "Stretching",
    "TooSoon",
    "Wallet",
    "WrongPassphrase",
    "bip39_seed",
    "change_passphrase",
    "create_wallet",
    "is_guarded",
    "read_passphrase",
    "unlock_wallet",
]
