"""The wallet's file on disk, and the unlocked wallet (`sealed` has the form of the file).

The words are the wallet; everything else follows from them: the BIP-39 seed (empty BIP-39 passphrase), then
the account keys by SLIP-0010 (`supervm.protocol.base.derivation`). Any BIP-39 program can keep the words, and
whoever has them on paper loses nothing with the passphrase.

A file is written once and never over another wallet: one replaced by mistake is money lost. Only `change_passphrase`
replaces a file, by the same words under another passphrase, in one rename: whatever ends the program, the old file or
the new one is there, whole. Every opening is a try that is counted before it is made (`tries`).

What Python keeps. `Wallet.wipe` overwrites the words and the seed that the wallet itself holds. The passphrase and
what passes through strings on the way - the prompt, a request's JSON, the decrypted words - cannot be overwritten in
Python, nor can the keys inside `SigningKey`: they are let go, and their memory is used again some time. A core dump, a
swap file or a debugger of the same user may find them until then.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final, NoReturn

from supervm.common.errors import CommonError, InputError
from supervm.common.storage.files import replace_file
from supervm.protocol.base.derivation import INDEX_MAX, account_seed
from supervm.protocol.base.keys import SigningKey

from .keystore import Keystore
from .passphrase import INTERACTIVE, Stretching
from .sealed import FILE_BYTES_MAX, GuardedFile, SealedWords, open_sealed, read_sealed, seal
from .tries import counted
from .words import bip39_seed, checked_words, words_of

WALLET_FILE: Final = "wallet.cbor"
"""Name of the wallet in its directory."""


class Wallet:
    """An unlocked wallet: the keys of its accounts. Its secrets never show in its text form."""

    __slots__ = ("_seed", "_words")

    def __init__(self, words: str) -> None:
        self._words = bytearray(words.encode())
        self._seed = bytearray(bip39_seed(words))

    def account(self, index: int) -> SigningKey:
        """Return the key of account `index` (0 .. 2**31-1); its public half is the account id.

        Raises:
            InputError: the number is out of range.
            CommonError: the wallet was wiped.
        """
        if not 0 <= index <= INDEX_MAX:
            raise InputError(f"account number {index} is not allowed; 0 to {INDEX_MAX} are")
        return SigningKey(account_seed(bytes(self._open(self._seed)), index))

    def words(self) -> str:
        """Return the BIP-39 words, single spaces between them. Only for showing them to the owner.

        Raises:
            CommonError: the wallet was wiped.
        """
        return self._open(self._words).decode()

    def wipe(self) -> None:
        """Overwrite the words and the seed that are held here; the wallet is of no use from then on."""
        for secret in (self._words, self._seed):
            secret[:] = bytes(len(secret))
            secret.clear()

    @staticmethod
    def _open(secret: bytearray) -> bytearray:
        if not secret:
            raise CommonError("this wallet was wiped: open it again")
        return secret

    def __reduce__(self) -> NoReturn:
        raise TypeError("a wallet is never pickled: its words would leave the process")

    def __repr__(self) -> str:
        return "<Wallet unlocked>" if self._words else "<Wallet wiped>"


def create_wallet(
    path: Path,
    passphrase: str,
    *,
    words: str | None,
    entropy: bytes | None,
    cost: Stretching = INTERACTIVE,
    keystore: Keystore | None = None,
) -> str:
    """Write a new wallet file (mode 0600) and return its words.

    Args:
        path: the file; its directory is made (mode 0700) when missing.
        passphrase: not empty; opens the wallet again. Whether it is good enough says `strength`.
        words: an existing BIP-39 English mnemonic to import, or None.
        entropy: 16, 20, 24, 28 or 32 random bytes for new words, or None. Exactly one of the two is given.
        cost: what guessing one passphrase costs; it is stored in the file.
        keystore: the device's, if it is to guard the wallet.

    Raises:
        InputError: a file is already there or cannot be written, the words are not a BIP-39 mnemonic, or the
            passphrase is empty or too long.
        CommonError: both or neither of `words` and `entropy`, entropy of another length, a `cost` that no
            wallet may have, or no memory for it.
        KeystoreRefused: the keystore does not guard it.
    """
    if words is not None and entropy is None:
        words = checked_words(words)
    elif entropy is not None and words is None:
        words = words_of(entropy)
    else:
        raise CommonError("a wallet is made from words or from entropy: give exactly one of them")
    if os.path.lexists(path):
        raise InputError(_occupied(path))
    data = seal(words, passphrase, cost, keystore)
    try:
        _make_directory(path.parent)
        _write_new(path, data)
    except FileExistsError:
        raise InputError(_occupied(path)) from None
    except OSError as error:
        raise InputError(f"the wallet {path} cannot be written: {error.strerror}") from error
    return words


def unlock_wallet(
    path: Path, passphrase: str, *, keystore: Keystore | None = None, now_us: int | None = None
) -> Wallet:
    """Open the wallet file at `path`; the try is counted (`tries`).

    Args:
        path: the file.
        passphrase: what opens it.
        keystore: the device's, for a guarded wallet.
        now_us: Unix microseconds; by default the machine's clock.

    Raises:
        WrongPassphrase: the passphrase does not open it.
        TooSoon: the wait after wrong ones is not over.
        InputError: there is no such file, it is not a wallet, or the try cannot be counted.
        KeystoreRefused: the device's keystore does not do its part.
        CommonError: the machine has not the memory that the file's stretching needs.
    """
    file = _read(path)
    with counted(path, _now_us(now_us)):
        return Wallet(open_sealed(file, passphrase, str(path), keystore))


def change_passphrase(
    path: Path,
    old: str,
    new: str,
    *,
    keystore: Keystore | None = None,
    new_keystore: Keystore | None = None,
    cost: Stretching = INTERACTIVE,
    now_us: int | None = None,
) -> None:
    """Put another passphrase or PIN in place of the one that opens the wallet; the try of `old` is counted.

    When this returns the new one is on the medium. If the program ends before, the old or the new one opens the wallet;
    what was written on the way, ``wallet.cbor.new``, is no more than the wallet under the new one. Copies that were
    made before - backups, or what a flash memory has not erased yet - still open with the old one.

    Args:
        path: the file.
        old: what opens it now.
        new: what is to open it; whether it is good enough says `strength`.
        keystore: the device's, if the wallet is guarded now.
        new_keystore: the device's, if it is to be guarded from now on.
        cost: what guessing the new one costs.
        now_us: Unix microseconds; by default the machine's clock.

    Raises:
        InputError, CommonError: as `unlock_wallet` and `create_wallet`; the old passphrase then stays.
    """
    file = _read(path)
    with counted(path, _now_us(now_us)):
        words = open_sealed(file, old, str(path), keystore)
        data = seal(words, new, cost, new_keystore)
        try:
            replace_file(path, data, durable=True)
        except OSError as error:
            raise InputError(
                f"the wallet {path} cannot be written: {error.strerror}; the passphrase is what it was"
            ) from error


def is_guarded(path: Path) -> bool:
    """Return whether the wallet at `path` has a PIN and the device's keystore.

    Raises:
        InputError: there is no such file, or it is not a wallet.
    """
    return isinstance(_read(path), GuardedFile)


def _read(path: Path) -> SealedWords:
    try:
        with path.open("rb") as stream:
            data = stream.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        raise InputError(f"there is no wallet at {path}: make one with 'supervm wallet new'") from None
    except OSError as error:
        raise InputError(f"the wallet {path} cannot be read: {error.strerror}") from error
    return read_sealed(data, str(path))


def _now_us(now_us: int | None) -> int:
    return time.time_ns() // 1000 if now_us is None else now_us


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
