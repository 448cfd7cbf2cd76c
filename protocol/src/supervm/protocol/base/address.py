"""Addresses and node ids as text: bech32m (BIP-350).

An address is ``svm1...`` (``tsvm1...`` on test networks) over a version byte and the account's 32-byte key;
version 0 is an ed25519 account. Version 1 is a pool of the protocol, which nobody may pay, so reading one is
refused here with a message of its own. A node id is ``svmnode1...`` over the same bytes. The checksum finds
any four wrong characters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from .errors import LocalProtocolError
from .keys import key_problem

HRP_MAIN: Final = "svm"
"""Prefix of addresses on the main network."""
HRP_TEST: Final = "tsvm"
"""Prefix of addresses on test networks."""
HRP_NODE: Final = "svmnode"
"""Prefix of node ids."""
TEXT_MAX: Final = 90
"""Longest bech32m text in characters (BIP-173)."""

CACHED_ADDRESSES: Final = 4_096
"""Addresses remembered each way: a node shows the same ones again and again, and each costs 45 us."""

_KEY_BYTES = 32
_VERSION_KEY = 0
_VERSION_POOL = 1
_CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VALUES = {character: value for value, character in enumerate(_CHARSET)}
_CHECKSUM_CHARACTERS = 6
_BECH32M = 0x2BC830A3
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def _polymod(values: Iterable[int]) -> int:
    state = 1
    for value in values:
        top = state >> 25
        state = (state & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATOR):
            if top >> bit & 1:
                state ^= generator
    return state


def _expand(hrp: str) -> list[int]:
    codes = hrp.encode("ascii")
    return [code >> 5 for code in codes] + [0] + [code & 31 for code in codes]


def bech32m_encode(hrp: str, values: Sequence[int]) -> str:
    """Return the bech32m text of `values` (each 0..31) under the lower-case prefix `hrp`.

    Raises:
        LocalProtocolError: the text would be longer than 90 characters.
    """
    length = len(hrp) + 1 + len(values) + _CHECKSUM_CHARACTERS
    if length > TEXT_MAX:
        raise LocalProtocolError(f"the text would have {length} characters; at most {TEXT_MAX} are allowed")
    checksum = _polymod([*_expand(hrp), *values, *([0] * _CHECKSUM_CHARACTERS)]) ^ _BECH32M
    tail = [checksum >> 5 * place & 31 for place in reversed(range(_CHECKSUM_CHARACTERS))]
    return hrp + "1" + "".join(_CHARSET[value] for value in [*values, *tail])


def bech32m_decode(text: str) -> tuple[str, list[int]]:
    """Return the prefix in lower case and the 5-bit values of `text`, its checksum checked and removed.

    Raises:
        LocalProtocolError: what is wrong and where, counting characters from 1.
    """
    if len(text) > TEXT_MAX:
        raise LocalProtocolError(f"the text has {len(text)} characters; at most {TEXT_MAX} are allowed")
    for place, character in enumerate(text, 1):
        if not 33 <= ord(character) <= 126:
            raise LocalProtocolError(f"character {place} is {character!a}; only printable ASCII is allowed")
    lower = text.lower()
    if text not in (lower, text.upper()):
        raise LocalProtocolError("capital and small letters are mixed; write all letters in one case")
    hrp, separator, data = lower.rpartition("1")
    if not separator:
        raise LocalProtocolError("there is no '1' between the prefix and the data")
    if not hrp:
        raise LocalProtocolError("there is nothing before the '1'; a prefix is needed")
    for place, character in enumerate(data, len(hrp) + 2):
        if character not in _VALUES:
            raise LocalProtocolError(f"character {place} is {character!r}; after '1' only {_CHARSET} occur")
    if len(data) < _CHECKSUM_CHARACTERS:
        raise LocalProtocolError(
            f"there are {len(data)} characters after the '1'; the checksum alone has {_CHECKSUM_CHARACTERS}"
        )
    values = [_VALUES[character] for character in data]
    if _polymod([*_expand(hrp), *values]) != _BECH32M:
        raise LocalProtocolError("the checksum does not fit: a character is wrong, missing or added")
    return hrp, values[:-_CHECKSUM_CHARACTERS]


def to_values(data: bytes) -> list[int]:
    """Return `data` in groups of 5 bits, the last padded with zero bits."""
    bits = len(data) * 8
    padding = -bits % 5
    number = int.from_bytes(data, "big") << padding
    return [number >> shift & 31 for shift in range(bits + padding - 5, -1, -5)]


def from_values(values: Sequence[int]) -> bytes:
    """Return the bytes in groups of 5 bits; the padding must be shorter than a group and zero.

    Raises:
        LocalProtocolError: the padding is too long or not zero.
    """
    padding = len(values) * 5 % 8
    number = 0
    for value in values:
        number = number << 5 | value
    if padding >= 5:
        raise LocalProtocolError(f"the data ends in {padding} bits of padding; at most 4 are allowed")
    if number & ((1 << padding) - 1):
        raise LocalProtocolError("the padding at the end of the data must be zero bits")
    return (number >> padding).to_bytes(len(values) * 5 // 8, "big")


def _encode(hrp: str, what: str, key: bytes) -> str:
    if len(key) != _KEY_BYTES:
        raise LocalProtocolError(f"{what} has {_KEY_BYTES} bytes; {len(key)} were given")
    return bech32m_encode(hrp, to_values(bytes([_VERSION_KEY]) + key))


def _read(text: str, hrps: tuple[str, ...]) -> tuple[str, bytes]:
    hrp, values = bech32m_decode(text)
    if hrp not in hrps:
        allowed = " or ".join(f"{other}1" for other in hrps)
        raise LocalProtocolError(f"it begins with {hrp}1; it must begin with {allowed}")
    data = from_values(values)
    if not data:
        raise LocalProtocolError("it carries no data")
    if data[0] == _VERSION_POOL:
        raise LocalProtocolError("it names a pool of the protocol, which cannot be paid")
    if data[0] != _VERSION_KEY:
        raise LocalProtocolError(f"it has version {data[0]}; this program knows version {_VERSION_KEY}")
    if len(data) != 1 + _KEY_BYTES:
        raise LocalProtocolError(f"it carries {len(data) - 1} bytes; a key has {_KEY_BYTES}")
    problem = key_problem(data[1:])
    if problem is not None:
        raise LocalProtocolError(problem)
    return hrp, data[1:]


def _decode(text: str, what: str, hrps: tuple[str, ...]) -> tuple[str, bytes]:
    try:
        return _read(text, hrps)
    except LocalProtocolError as error:
        # The text may be anything somebody pasted: show little of it, and only as ASCII.
        shown = ascii(text if len(text) <= TEXT_MAX else text[:TEXT_MAX] + "...")
        raise LocalProtocolError(f"{shown} is not {what}: {error}") from None


@lru_cache(maxsize=CACHED_ADDRESSES)
def encode_address(account: bytes, *, test: bool) -> str:
    """Return the address of a 32-byte `account`: ``svm1...``, or ``tsvm1...`` on a test network.

    Raises:
        LocalProtocolError: `account` is not 32 bytes long.
    """
    return _encode(HRP_TEST if test else HRP_MAIN, "an account", account)


@lru_cache(maxsize=CACHED_ADDRESSES)
def decode_address(text: str) -> tuple[bytes, bool]:
    """Return the 32-byte account that `text` names, and whether it belongs to a test network.

    Raises:
        LocalProtocolError: what is wrong with the address and where.
    """
    hrp, key = _decode(text, "an address", (HRP_MAIN, HRP_TEST))
    return key, hrp == HRP_TEST


def encode_node_id(node_id: bytes) -> str:
    """Return the text of a 32-byte `node_id`: ``svmnode1...``.

    Raises:
        LocalProtocolError: `node_id` is not 32 bytes long.
    """
    return _encode(HRP_NODE, "a node id", node_id)


def decode_node_id(text: str) -> bytes:
    """Return the 32-byte node id that `text` names.

    Raises:
        LocalProtocolError: what is wrong with the node id and where.
    """
    return _decode(text, "a node id", (HRP_NODE,))[1]
