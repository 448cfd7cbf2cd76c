"""The wallet file and the unlocked wallet.

Theory of operation. The file holds one canonical CBOR array: how the key was stretched from the passphrase
(argon2id, its cost and salt) and the words sealed with XSalsa20-Poly1305. Nothing outside the seal needs a
check of its own: a changed cost or salt gives another key, which opens nothing. (The library counts memory in
whole KiB and ignores the bytes beyond, so only whole KiB are a cost: a file has one form.) The cost is bounded
before it is spent, so a planted file cannot take the machine's memory. The sealed words are padded to one length.

A passphrase file with a byte-order mark once gave the mark to the passphrase. No passphrase has it now, so one that
opens nothing is tried with the mark before it is called wrong: nobody is locked out of a wallet made then.

The words are the wallet; everything else follows from them: the BIP-39 seed (empty BIP-39 passphrase), then
the account keys by SLIP-0010 (`supervm.protocol.base.derivation`). Any BIP-39 program can keep the words, and
whoever has them on paper loses nothing with the passphrase.

A file is written once and never over another: a wallet replaced by mistake is money lost.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final, Literal, NoReturn

import msgspec
from nacl.bindings import crypto_secretbox, crypto_secretbox_open
from nacl.exceptions import CryptoError

from supervm.common.errors import CommonError, InputError
from supervm.protocol.base.codec import Agreed, decode, encode
from supervm.protocol.base.derivation import INDEX_MAX, account_seed
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.base.keys import SigningKey

from .passphrase import BYTE_ORDER_MARK, INTERACTIVE, Stretching, stretch
from .words import bip39_seed, checked_words, words_of

WALLET_FILE: Final = "wallet.cbor"
"""Name of the wallet in its directory."""

_KIB = 1 << 10
_FILE_BYTES_MAX = 1024
_SALT_BYTES = 16
_NONCE_BYTES = 24
_PADDED_BYTES = 256  # 24 words of at most 8 letters and the spaces between them are 215
_SEALED_BYTES = _PADDED_BYTES + 16


class _WalletFile(Agreed, frozen=True):
    kind: Literal["svm.wallet"]
    version: Literal[1]
    passes: Annotated[int, msgspec.Meta(ge=1, le=16)]
    memory_bytes: Annotated[int, msgspec.Meta(ge=8 << 10, le=1 << 30, multiple_of=_KIB)]
    salt: Annotated[bytes, msgspec.Meta(min_length=_SALT_BYTES, max_length=_SALT_BYTES)]
    nonce: Annotated[bytes, msgspec.Meta(min_length=_NONCE_BYTES, max_length=_NONCE_BYTES)]
    sealed: Annotated[bytes, msgspec.Meta(min_length=_SEALED_BYTES, max_length=_SEALED_BYTES)]


class Wallet:
    """An unlocked wallet: the keys of its accounts. Its secrets never show in its text form."""

    __slots__ = ("_seed", "_words")

    def __init__(self, words: str) -> None:
        self._words = words
        self._seed = bip39_seed(words)

    def account(self, index: int) -> SigningKey:
        """Return the key of account `index` (0 .. 2**31-1); its public half is the account id.

        Raises:
            InputError: the number is out of range.
        """
        if not 0 <= index <= INDEX_MAX:
            raise InputError(f"account number {index} is not allowed; 0 to {INDEX_MAX} are")
        return SigningKey(account_seed(self._seed, index))

    def words(self) -> str:
        """Return the BIP-39 words, single spaces between them. Only for showing them to the owner."""
        return self._words

    def __reduce__(self) -> NoReturn:
        raise TypeError("a wallet is never pickled: its words would leave the process")

    def __repr__(self) -> str:
        return "<Wallet unlocked>"


def create_wallet(
    path: Path, passphrase: str, *, words: str | None, entropy: bytes | None, cost: Stretching = INTERACTIVE
) -> str:
    """Write a new wallet file (mode 0600) and return its words.

    Args:
        path: the file; its directory is made (mode 0700) when missing.
        passphrase: not empty; opens the wallet again.
        words: an existing BIP-39 English mnemonic to import, or None.
        entropy: 16, 20, 24, 28 or 32 random bytes for new words, or None. Exactly one of the two is given.
        cost: what guessing one passphrase costs; it is stored in the file.

    Raises:
        InputError: a file is already there or cannot be written, the words are not a BIP-39 mnemonic, or the
            passphrase is empty or too long.
        CommonError: both or neither of `words` and `entropy`, entropy of another length, a `cost` that no
            wallet may have, or no memory for it.
    """
    if words is not None and entropy is None:
        words = checked_words(words)
    elif entropy is not None and words is None:
        words = words_of(entropy)
    else:
        raise CommonError("a wallet is made from words or from entropy: give exactly one of them")
    if not (1 <= cost.passes <= 16 and 8 << 10 <= cost.memory_bytes <= 1 << 30) or cost.memory_bytes % _KIB:
        raise CommonError(f"{cost} is not allowed; 1 to 16 passes over 8 KiB to 1 GiB, in whole KiB, are")
    if os.path.lexists(path):
        raise InputError(_occupied(path))
    salt, nonce = os.urandom(_SALT_BYTES), os.urandom(_NONCE_BYTES)
    key = stretch(passphrase, salt, cost)
    sealed = crypto_secretbox(words.encode().ljust(_PADDED_BYTES), nonce, key)
    file = _WalletFile(
        kind="svm.wallet",
        version=1,
        passes=cost.passes,
        memory_bytes=cost.memory_bytes,
        salt=salt,
        nonce=nonce,
        sealed=sealed,
    )
    try:
        _make_directory(path.parent)
        _write_new(path, encode(file))
    except FileExistsError:
        raise InputError(_occupied(path)) from None
    except OSError as error:
        raise InputError(f"the wallet {path} cannot be written: {error.strerror}") from error
    return words


def unlock_wallet(path: Path, passphrase: str) -> Wallet:
    """Open the wallet file at `path`.

    Raises:
        InputError: there is no such file, it is not a wallet, or the passphrase does not open it.
        CommonError: the machine has not the memory that the file's stretching needs.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(_FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        raise InputError(f"there is no wallet at {path}: make one with 'supervm wallet new'") from None
    except OSError as error:
        raise InputError(f"the wallet {path} cannot be read: {error.strerror}") from error
    try:
        file = decode(_WalletFile, data, bytes_max=_FILE_BYTES_MAX)
    except RemoteProtocolError as error:
        raise InputError(f"{path} is damaged or is not a SuperVM wallet of version 1") from error
    for candidate in (passphrase, BYTE_ORDER_MARK + passphrase):
        key = stretch(candidate, file.salt, Stretching(file.passes, file.memory_bytes))
        try:
            return Wallet(crypto_secretbox_open(file.sealed, file.nonce, key).decode("ascii").rstrip(" "))
        except CryptoError:
            continue
    raise InputError(f"the passphrase does not open {path}: it is wrong, or the file is damaged")


def _occupied(path: Path) -> str:
    return f"{path} is already there, and a wallet is never overwritten: choose another directory"


def _make_directory(directory: Path) -> None:
    if directory.is_dir():
        return
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the directory {directory} cannot be made: {error.strerror}") from error
    _sync_directory(directory.parent)


def _write_new(path: Path, data: bytes) -> None:
    """Put `data` at `path` on the disk, whole or not at all, and never over another file."""
    draft = path.with_name(f".{path.name}.{os.urandom(8).hex()}.tmp")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(draft, path)  # unlike a rename, a link refuses to replace
        except FileExistsError:
            raise
        except OSError:  # no hard links here (Android, FAT): the check and the rename are then two steps
            if os.path.lexists(path):
                raise FileExistsError(path) from None
            os.rename(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    """Put the names in `directory` on the disk; on Windows the file's own flush has to do."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
