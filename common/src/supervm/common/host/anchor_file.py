"""The anchor that a light client is given to start from (consensus.md 5): its file, and its text for QR codes.

A file holds the encoded anchor, or the same as text: `ANCHOR_PREFIX` and base64 without padding. With 13 validators the
text has about 2,400 characters, which one QR code still carries; above 15 or so it goes as a file.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Final

from supervm.protocol.base.codec import decode, encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.chain.genesis import Chain
from supervm.protocol.light.client import Anchor, LightClient

from ..errors import InputError
from ..parts.light_memory import ANCHOR_BYTES_MAX

ANCHOR_PREFIX: Final = "svm-anchor:"
"""How an anchor as text begins."""
TEXT_BYTES_MAX: Final = len(ANCHOR_PREFIX) + -(-ANCHOR_BYTES_MAX * 4 // 3) + 1_024
"""Longest text of an anchor, with line breaks that a message has put into it."""


def anchor_text(anchor: Anchor) -> str:
    """Return the anchor as text."""
    return ANCHOR_PREFIX + base64.urlsafe_b64encode(encode(anchor)).decode().rstrip("=")


def load_anchor(path: Path, chain: Chain) -> Anchor:
    """Read the file of an anchor of this network, as `supervm l4 export-anchor` writes it.

    Raises:
        InputError: it cannot be read, is no anchor, or another network's.
    """
    try:
        with path.open("rb") as file:
            data = file.read(TEXT_BYTES_MAX + 1)
    except OSError as error:
        raise InputError(f"{path}: the anchor cannot be read: {error.strerror}") from error
    return read_anchor(data, chain, str(path))


def read_anchor(data: bytes, chain: Chain, name: str) -> Anchor:
    """Read an anchor of this network, encoded or as text; `name` stands in the error.

    Raises:
        InputError: it is no anchor, or another network's.
    """
    try:
        anchor = decode(Anchor, anchor_bytes(data), bytes_max=ANCHOR_BYTES_MAX)
        LightClient(anchor, chain.verify)  # its validators must be those its header names
    except RemoteProtocolError as error:
        raise InputError(f"{name}: this is no anchor: {error.reason}") from error
    if anchor.header.chain_id != chain.chain_id:
        raise InputError(f"{name}: the anchor is another network's than the genesis file")
    return anchor


def anchor_bytes(data: bytes) -> bytes:
    """Return the encoded anchor of what may be its text; what is no such text stays as it is."""
    bare = data.removeprefix(b"\xef\xbb\xbf").strip()
    prefix = ANCHOR_PREFIX.encode()
    if bare[: len(prefix)].lower() != prefix or len(bare) > TEXT_BYTES_MAX:
        return data
    body = b"".join(bare[len(prefix) :].split())
    try:
        return base64.b64decode(body + b"=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        return b""
