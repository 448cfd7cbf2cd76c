"""Objects that end in their signer's signature, and the digest that it covers.

Theory of operation. The last field of such an object is an ed25519 signature of 64 bytes. Its canonical bytes without
that field, and with the array's head lowered by one, are what is hashed in a domain of its own kind; the signature is
over those 32 bytes. So one byte string is kept, passed on and checked, and nothing is encoded a second time.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ..base.codec import encode
from ..base.hashing import hasher
from ..base.keys import SIGNATURE_BYTES

_SIGNATURE_ITEM_BYTES: Final = 2 + SIGNATURE_BYTES  # of a CBOR head for 64 bytes

hash_node_record = hasher(b"svm.noderecord")
"""What the signature of a `NodeRecord` covers."""
hash_bundle = hasher(b"svm.bundle")
"""A bundle's id, which its sender signs."""
hash_relay_receipt = hasher(b"svm.relayed")
"""What the signature of a `RelayReceipt` covers."""


def unsigned_part(data: bytes) -> bytes:
    """Return the canonical bytes of an object without its last field, the signature.

    Args:
        data: the canonical bytes of an object of fewer than 24 items, the last one a signature.
    """
    return bytes((data[0] - 1,)) + data[1:-_SIGNATURE_ITEM_BYTES]


def unsigned_bytes(value: msgspec.Struct) -> bytes:
    """Return the same for an object whose signature may be anything of the right length."""
    return unsigned_part(encode(value))
