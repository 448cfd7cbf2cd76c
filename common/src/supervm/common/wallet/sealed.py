"""The form of a wallet's file: words, sealed with a key that is stretched from a passphrase or PIN.

Theory of operation. The file holds one canonical CBOR array: how the key was stretched (argon2id, its cost and salt)
and the words sealed with XSalsa20-Poly1305. Nothing outside the seal needs a check of its own: a changed cost or salt
gives another key, which opens nothing. (The library counts memory in whole KiB and ignores the bytes beyond, so only
whole KiB are a cost: a file has one form.) The cost is bounded before it is spent, so a planted file cannot take the
machine's memory. The sealed words are padded to one length.

Version 2 is a guarded wallet: the key is the stretched one hashed together with a random secret, and of that the file
has only what the device's keystore has made of it (`keystore`).

A passphrase file with a byte-order mark once gave the mark to the passphrase. No passphrase has it now, so one that
opens nothing of version 1 is tried with the mark before it is called wrong: nobody is locked out of a wallet made then.
"""

from __future__ import annotations

import hashlib
import os
from typing import Annotated, Final, Literal

import msgspec
from nacl.bindings import crypto_secretbox, crypto_secretbox_open
from nacl.exceptions import CryptoError

from supervm.common.errors import CommonError, InputError
from supervm.protocol.base.codec import Agreed, decode, encode
from supervm.protocol.base.errors import RemoteProtocolError

from .keystore import SECRET_BYTES, WRAPPED_BYTES_MAX, Keystore, KeystoreRefused
from .passphrase import BYTE_ORDER_MARK, Stretching, stretch
from .tries import WrongPassphrase

FILE_BYTES_MAX: Final = 1024
"""Longest file of a wallet."""

_KIB = 1 << 10
_SALT_BYTES = 16
_NONCE_BYTES = 24
_PADDED_BYTES = 256  # 24 words of at most 8 letters and the spaces between them are 215
_SEALED_BYTES = _PADDED_BYTES + 16

_Passes = Annotated[int, msgspec.Meta(ge=1, le=16)]
_Memory = Annotated[int, msgspec.Meta(ge=8 << 10, le=1 << 30, multiple_of=_KIB)]
_Salt = Annotated[bytes, msgspec.Meta(min_length=_SALT_BYTES, max_length=_SALT_BYTES)]
_Nonce = Annotated[bytes, msgspec.Meta(min_length=_NONCE_BYTES, max_length=_NONCE_BYTES)]
_Sealed = Annotated[bytes, msgspec.Meta(min_length=_SEALED_BYTES, max_length=_SEALED_BYTES)]


class PlainFile(Agreed, frozen=True):
    """A wallet that its passphrase opens."""

    kind: Literal["svm.wallet"]
    version: Literal[1]
    passes: _Passes
    memory_bytes: _Memory
    salt: _Salt
    nonce: _Nonce
    sealed: _Sealed


class GuardedFile(Agreed, frozen=True):
    """A wallet that its PIN opens together with the keystore of its device."""

    kind: Literal["svm.wallet"]
    version: Literal[2]
    passes: _Passes
    memory_bytes: _Memory
    salt: _Salt
    nonce: _Nonce
    sealed: _Sealed
    wrapped: Annotated[bytes, msgspec.Meta(min_length=1, max_length=WRAPPED_BYTES_MAX)]


SealedWords = PlainFile | GuardedFile
"""What a wallet's file is."""


def seal(words: str, passphrase: str, cost: Stretching, keystore: Keystore | None = None) -> bytes:
    """Return the bytes of a file that holds `words`.

    Args:
        words: at most 256 ASCII characters.
        passphrase: opens them again; a PIN where there is a `keystore`.
        cost: what guessing one passphrase costs.
        keystore: has a part of the key; None: there is no such part.

    Raises:
        InputError: the passphrase is empty or too long.
        CommonError: the cost is none that a wallet may have, or there is no memory for it.
        KeystoreRefused: it cannot wrap.
    """
    if not (1 <= cost.passes <= 16 and 8 << 10 <= cost.memory_bytes <= 1 << 30) or cost.memory_bytes % _KIB:
        raise CommonError(f"{cost} is not allowed; 1 to 16 passes over 8 KiB to 1 GiB, in whole KiB, are")
    salt, nonce = os.urandom(_SALT_BYTES), os.urandom(_NONCE_BYTES)
    key = stretch(passphrase, salt, cost)
    padded = words.encode().ljust(_PADDED_BYTES)
    if keystore is None:
        sealed = crypto_secretbox(padded, nonce, key)
        return encode(PlainFile("svm.wallet", 1, cost.passes, cost.memory_bytes, salt, nonce, sealed))
    secret = os.urandom(SECRET_BYTES)
    wrapped = keystore.wrap(secret)
    if not 1 <= len(wrapped) <= WRAPPED_BYTES_MAX:
        raise CommonError(f"the keystore wraps into {len(wrapped)} bytes; 1 to {WRAPPED_BYTES_MAX} are allowed")
    sealed = crypto_secretbox(padded, nonce, _mixed(key, secret))
    return encode(GuardedFile("svm.wallet", 2, cost.passes, cost.memory_bytes, salt, nonce, sealed, wrapped))


def read_sealed(data: bytes, name: str) -> SealedWords:
    """Return what a wallet's file holds; `name` stands in the error.

    Raises:
        InputError: it is no wallet.
    """
    try:
        return decode(PlainFile, data, bytes_max=FILE_BYTES_MAX)
    except RemoteProtocolError:
        pass
    try:
        return decode(GuardedFile, data, bytes_max=FILE_BYTES_MAX)
    except RemoteProtocolError as error:
        raise InputError(f"{name} is damaged or is not a SuperVM wallet of version 1 or 2") from error


def open_sealed(file: SealedWords, passphrase: str, name: str, keystore: Keystore | None = None) -> str:
    """Return the words.

    Raises:
        WrongPassphrase: the passphrase does not open them.
        InputError: it cannot be one, or the wallet is guarded and there is no keystore here.
        KeystoreRefused: the keystore does not unwrap its part.
        CommonError: the machine has not the memory that the stretching needs.
    """
    cost, secret = Stretching(file.passes, file.memory_bytes), b""
    candidates = [passphrase, BYTE_ORDER_MARK + passphrase]
    if isinstance(file, GuardedFile):
        del candidates[1]
        if keystore is None:
            raise KeystoreRefused(f"{name} opens only on the device that it was made on: import its words here")
        secret = keystore.unwrap(file.wrapped)
    for candidate in candidates:
        key = stretch(candidate, file.salt, cost)
        try:
            padded = crypto_secretbox_open(file.sealed, file.nonce, _mixed(key, secret) if secret else key)
        except CryptoError:
            continue
        return padded.decode("ascii").rstrip(" ")
    raise WrongPassphrase(f"the passphrase does not open {name}: it is wrong, or the file is damaged")


def _mixed(key: bytes, secret: bytes) -> bytes:
    return hashlib.blake2b(key, digest_size=32, key=secret, person=b"svm.wallet.guard").digest()
