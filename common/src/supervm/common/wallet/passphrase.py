"""Where a passphrase comes from, and the key that is stretched from it."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nacl.bindings import crypto_pwhash_alg, crypto_pwhash_ALG_ARGON2ID13

from supervm.common.errors import CommonError, InputError

PASSPHRASE_VARIABLE: Final = "SUPERVM_PASSPHRASE"  # noqa: S105 - the name of the variable, no secret
"""Environment variable that may hold the passphrase."""
PASSPHRASE_BYTES_MAX: Final = 4096
"""Longest passphrase, in UTF-8 bytes after NFKD."""
BYTE_ORDER_MARK: Final = "\ufeff"
"""What some editors put before a file's text. Wallets made before it was dropped have it in theirs."""
KEY_BYTES: Final = 32
"""Length of a stretched key."""

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Stretching:
    """What guessing one passphrase costs (argon2id).

    Attributes:
        passes: 1 .. 16 passes over the memory.
        memory_bytes: 8 KiB .. 1 GiB.
    """

    passes: int
    memory_bytes: int


INTERACTIVE: Final = Stretching(passes=2, memory_bytes=64 * _MIB)
"""libsodium's interactive cost: 64 MiB and about 65 ms (limits.md rule 11)."""


def stretch(passphrase: str, salt: bytes, cost: Stretching) -> bytes:
    """Return the 32-byte key that argon2id makes from `passphrase` and the 16-byte `salt`.

    Raises:
        InputError: the passphrase is empty, too long or not text.
        CommonError: the machine has not the memory that `cost` asks for.
    """
    # NFKD: the same passphrase typed on another system may arrive in other code points.
    try:
        secret = unicodedata.normalize("NFKD", passphrase).encode()
    except UnicodeEncodeError:
        raise InputError("the passphrase is not valid text; write it in UTF-8") from None
    if not secret:
        raise InputError("the passphrase is empty; a wallet needs one")
    if len(secret) > PASSPHRASE_BYTES_MAX:
        raise InputError(_too_long("the passphrase"))
    try:
        return crypto_pwhash_alg(KEY_BYTES, secret, salt, cost.passes, cost.memory_bytes, crypto_pwhash_ALG_ARGON2ID13)
    except RuntimeError as error:
        need_mib = -(-cost.memory_bytes // _MIB)
        raise CommonError(f"the passphrase needs {need_mib} MiB of free memory for a moment") from error


def read_passphrase(*, file: Path | None, environ: Mapping[str, str], prompt: Callable[[str], str] | None) -> str:
    """Return the passphrase from the first place that is given: `file`, the environment, the `prompt`.

    Args:
        file: what ``--passphrase-file`` names: one line of UTF-8; a byte-order mark before it and its line end are no
            part of the passphrase.
        environ: searched for ``SUPERVM_PASSPHRASE``.
        prompt: asks a person, given the question; None where nobody can be asked.

    Raises:
        InputError: no place is given, or what it holds is empty, too long, or not one line of text.
    """
    if file is not None:
        source, passphrase = f"the passphrase file {file}", _read_line(file)
    elif PASSPHRASE_VARIABLE in environ:
        source, passphrase = PASSPHRASE_VARIABLE, environ[PASSPHRASE_VARIABLE]
    elif prompt is not None:
        source, passphrase = "the passphrase", prompt("Wallet passphrase: ")
    else:
        raise InputError(f"the wallet needs a passphrase: give --passphrase-file FILE or set {PASSPHRASE_VARIABLE}")
    passphrase = passphrase.removeprefix(BYTE_ORDER_MARK)  # an editor's mark, also where a shell read the file
    if not passphrase:
        raise InputError(f"{source} is empty; a wallet needs a passphrase")
    return passphrase


def _read_line(file: Path) -> str:
    what = f"the passphrase file {file}"
    try:
        with file.open("rb") as stream:
            # room for a byte-order mark, a line end, and to see that there is more
            data = stream.read(PASSPHRASE_BYTES_MAX + 6)
    except OSError as error:
        raise InputError(f"{what} cannot be read: {error.strerror}") from error
    line = data.removeprefix(BYTE_ORDER_MARK.encode()).removesuffix(b"\n").removesuffix(b"\r")
    if len(line) > PASSPHRASE_BYTES_MAX:
        raise InputError(_too_long(what))
    if b"\n" in line:
        raise InputError(f"{what} has more than one line; exactly one is allowed")
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise InputError(f"{what} is not UTF-8 text") from None


def _too_long(what: str) -> str:
    return f"{what} is longer than {PASSPHRASE_BYTES_MAX} bytes"
