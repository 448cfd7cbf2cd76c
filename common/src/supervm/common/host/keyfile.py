"""Key files of a node: ``node.key`` and, on an L1, ``validator.key`` (decisions.md, Control).

A key file is one line: the 32-byte ed25519 seed as 64 hexadecimal digits. Only its owner may read it (mode 0600); one
that others can read is refused, because a key that leaked once is nobody's alone.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from supervm.protocol.base.keys import SEED_BYTES, SigningKey

from ..errors import InputError
from ..text.options import hex_bytes

NODE_KEY_FILE: Final = "node.key"
VALIDATOR_KEY_FILE: Final = "validator.key"


def create_private_file(path: Path, data: bytes) -> None:
    """Write a new file with mode 0600 and make it durable; never overwrites.

    Raises:
        InputError: the file exists, or it cannot be written; then nothing is left of it.
    """
    create_file(path, data, mode=0o600)


def create_file(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """As `create_private_file`, with another mode (less the process's umask) for what others may read."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError:
        raise InputError(f"{path} exists already and is never overwritten; choose another folder or file") from None
    except OSError as error:
        raise InputError(f"{path} cannot be made: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)  # half a file is none, and would bar the next try
        raise InputError(f"{path} cannot be written: {error.strerror}") from error


def make_key_file(path: Path, seed: bytes) -> SigningKey:
    """Write `seed` (32 random bytes) to a new key file and return its key.

    Raises:
        InputError: the file exists or cannot be written.
    """
    key = SigningKey(seed)
    create_private_file(path, seed.hex().encode() + b"\n")
    return key


def load_key_file(path: Path) -> SigningKey:
    """Read a key file.

    Raises:
        InputError: it is missing, readable by others, or not one line of 64 hexadecimal digits.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such key file; `supervm init` makes one") from None
    if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
        raise InputError(f"{path}: others may read this key (mode {stat.S_IMODE(mode):04o}); run: chmod 600 {path}")
    seed = hex_bytes(text, SEED_BYTES)
    if seed is None:
        raise InputError(f"{path}: this is not a key file; one line of {2 * SEED_BYTES} hexadecimal digits is expected")
    return SigningKey(seed)
