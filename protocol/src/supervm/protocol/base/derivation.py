"""Wallet keys from one seed: SLIP-0010 for ed25519, hardened derivation only.

Ed25519 has no public derivation in SLIP-0010, so every step is hardened and a path that asks for another
kind is refused. Accounts of a wallet are ``m/44'/5461581'/account'`` (decisions.md, Keys and accounts).
"""

from __future__ import annotations

import hmac
import re
from typing import Final

from .errors import LocalProtocolError

COIN_TYPE: Final = 0x53564D
"""5461581, the letters ``SVM``: SuperVM's coin type in BIP-44 paths; nobody else holds it in SLIP-0044."""

INDEX_MAX: Final = 2**31 - 1
"""Largest index of a step, so also the largest account number; the top bit says "hardened" (SLIP-0010)."""

_DEPTH_MAX = 255
_HARDENED = 1 << 31
_STEP = re.compile(r"(0|[1-9][0-9]{0,9})'", re.ASCII)


def _steps(path: str) -> list[int]:
    first, *rest = path.split("/")
    if first != "m":
        raise LocalProtocolError(f"derivation path {path!r} must begin with m, as in m/44'/{COIN_TYPE}'/0'")
    if len(rest) > _DEPTH_MAX:
        raise LocalProtocolError(f"derivation path has {len(rest)} steps; at most {_DEPTH_MAX} are allowed")
    indices = []
    for place, step in enumerate(rest, 1):
        match = _STEP.fullmatch(step)
        if match is None or int(match[1]) > INDEX_MAX:
            raise LocalProtocolError(
                f"step {place} of derivation path {path!r} is {step!r}; ed25519 allows only hardened steps, "
                f"0' to {INDEX_MAX}'"
            )
        indices.append(int(match[1]))
    return indices


def derive_seed(master_seed: bytes, path: str) -> bytes:
    """Return the 32-byte ed25519 seed at `path` below `master_seed` (SLIP-0010).

    Args:
        master_seed: 16 to 64 bytes, for example a BIP-39 seed.
        path: ``m`` followed by hardened steps, for example ``m/44'/5461581'/0'``.

    Raises:
        LocalProtocolError: the seed's length, or a step of the path, is not allowed.
    """
    if not 16 <= len(master_seed) <= 64:
        raise LocalProtocolError(f"a master seed has 16 to 64 bytes; {len(master_seed)} were given")
    node = hmac.digest(b"ed25519 seed", master_seed, "sha512")
    for index in _steps(path):
        data = b"\x00" + node[:32] + (index | _HARDENED).to_bytes(4, "big")
        node = hmac.digest(node[32:], data, "sha512")
    return node[:32]


def account_seed(bip39_seed: bytes, account: int) -> bytes:
    """Return the 32-byte seed of wallet account number `account` (0 .. 2**31-1).

    Raises:
        LocalProtocolError: the seed's length or the account number is not allowed.
    """
    if not 0 <= account <= INDEX_MAX:
        raise LocalProtocolError(f"account number {account} is not allowed; 0 to {INDEX_MAX} are")
    return derive_seed(bip39_seed, f"m/44'/{COIN_TYPE}'/{account}'")
