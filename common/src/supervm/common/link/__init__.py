"""The encrypted, authenticated link between two nodes as pure code: bytes in, frames out, and back.

`noise` is the handshake, `identity` who the peer is, `cipher` and `records` the encrypted stream after it,
`session` one whole connection (network.md 3).
"""

from .cipher import CipherState
from .identity import STATIC_KEY_CONTEXT, StaticKeyProof, static_key_statement
from .noise import PROTOCOL_NAME, HandshakeState, public_key
from .records import (
    FRAME_BYTES_MAX,
    FRAME_BYTES_MAX_BATCH,
    RECORD_PLAINTEXT_BYTES_MAX,
    REKEY_RECORDS,
    REKEY_US,
    FrameReader,
    RecordReader,
    RecordWriter,
)
from .session import HANDSHAKE_MESSAGE_BYTES_MAX, PROLOGUE, QUEUE_BYTES_MAX, LinkSession

__all__ = [
    "FRAME_BYTES_MAX",
    "FRAME_BYTES_MAX_BATCH",
    "HANDSHAKE_MESSAGE_BYTES_MAX",
    "PROLOGUE",
    "PROTOCOL_NAME",
    "QUEUE_BYTES_MAX",
    "RECORD_PLAINTEXT_BYTES_MAX",
    "REKEY_RECORDS",
    "REKEY_US",
    "STATIC_KEY_CONTEXT",
    "CipherState",
    "FrameReader",
    "HandshakeState",
    "LinkSession",
    "RecordReader",
    "RecordWriter",
    "StaticKeyProof",
    "public_key",
    "static_key_statement",
]
