"""From message to frame and back: bounded, typed msgpack (network.md 7, limits.md rule 4).

`msgspec` writes the same bytes as the `msgpack` package would and checks types and bounds while it reads; a frame that
is anything but exactly one known message raises `RemoteProtocolError` and nothing else.
"""

from __future__ import annotations

import msgspec

from ..base.errors import RemoteProtocolError
from .fields import Message
from .messages import AnyMessage

FRAME_BYTES_MAX = 1 << 20
"""Longest frame on a link with an L3 or L4."""
FRAME_BYTES_MAX_CORE = (4 << 20) + (1 << 16)
"""Longest frame on links between L1 and L2: a batch of 4 MiB in its envelope."""
FRAME_BYTES_MAX_HELLO = 4096
"""Longest frame before the peer has said Hello."""
PROTOCOL_VERSION = 2
"""Highest and only version of this release."""

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[AnyMessage] = msgspec.msgpack.Decoder(AnyMessage)


def encode_message(message: Message) -> bytes:
    """Return the frame of `message`."""
    return _encoder.encode(message)


UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError, OverflowError)
"""What a decoder raises for a frame that is not exactly one message it knows."""


def unreadable(frame: bytes, error: Exception) -> RemoteProtocolError:
    """Return the error for such a frame."""
    return RemoteProtocolError(f"a frame of {len(frame)} bytes cannot be read: {error}", penalty=100)


def decode_message(frame: bytes) -> AnyMessage:
    """Read exactly one message of the kinds that every node knows.

    Raises:
        RemoteProtocolError: not msgpack, not a known message, a field out of bounds, or bytes left over.
    """
    try:
        return _decoder.decode(frame)
    except UNREADABLE as error:
        raise unreadable(frame, error) from error


def agree_on_version(version_min: int, version_max: int) -> int:
    """Return the highest version that both sides speak.

    Raises:
        RemoteProtocolError: the ranges do not meet (code ``version``).
    """
    if not version_min <= PROTOCOL_VERSION <= version_max:
        raise RemoteProtocolError(
            f"the peer speaks versions {version_min} to {version_max}; this node speaks {PROTOCOL_VERSION}",
            penalty=0,
            code="version",
        )
    return PROTOCOL_VERSION
