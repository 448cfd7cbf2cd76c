"""What messages are made of: the base of all of them, and the bounds of their fields (network.md 7)."""

from __future__ import annotations

from typing import Annotated

import msgspec

Text = Annotated[str, msgspec.Meta(max_length=256)]
Word = Annotated[str, msgspec.Meta(max_length=32)]
Blob = Annotated[bytes, msgspec.Meta(max_length=1 << 20)]
"""Canonical CBOR bytes of an agreed object."""
BigBlob = Annotated[bytes, msgspec.Meta(max_length=4 << 20)]

FORWARD_MAX = 512
"""Most transactions, statuses, accounts or leaves in one message."""


class Message(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Base of every message."""
