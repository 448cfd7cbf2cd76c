"""Bundles: what travels when there is no live link from its sender to its receiver (network.md 4).

A bundle says for whom it is, how long it may travel and over how many nodes, and carries a body that is sealed to the
receiver. Its id is the hash of all that, and the sender's node signs the id: who carries a bundle can neither read nor
alter nor invent one (N3). How many nodes it has passed is no part of it; that is said beside it.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from ..base.codec import Agreed, Hash, Key, Signature, Uint, Uint8, decode
from ..base.errors import RemoteProtocolError
from ..base.keys import SigningKey
from ..chain.votes import Verify
from .signed import hash_bundle, unsigned_bytes, unsigned_part

BUNDLE_BODY_BYTES_MAX: Final = 256 << 10
"""Longest sealed body."""
BUNDLE_BYTES_MAX: Final = BUNDLE_BODY_BYTES_MAX + 256
"""Longest bundle; all but the body takes at most 208 bytes."""
BUNDLE_LIFETIME_MS_MAX: Final = 72 * 3_600_000
BUNDLE_AHEAD_MS_MAX: Final = 3_600_000
"""How far ahead of our clock a bundle may have been made: who carries one may have met nobody with the right time."""
PRIORITIES: Final = 4
"""0 to 3; the higher goes first and is dropped last."""


class Bundle(Agreed, tag="bundle", frozen=True):
    """One bundle.

    Attributes:
        version: layout, 1.
        chain_id: the network.
        source: node id of the sender.
        destination: node id of the receiver.
        created_ms: Unix time in ms at which it was made.
        lifetime_ms: how long it may travel from then, at most 72 h.
        priority: 0 to 3.
        hops_max: most nodes that may carry it, the receiver counted.
        sequence: its place among what the sender sends to this receiver, which takes them in order.
        body: sealed to the receiver's box key.
        signature: by `source` over the id.
    """

    version: Literal[1]
    chain_id: Hash
    source: Key
    destination: Key
    created_ms: Uint
    lifetime_ms: Annotated[int, msgspec.Meta(ge=1, le=BUNDLE_LIFETIME_MS_MAX)]
    priority: Annotated[int, msgspec.Meta(ge=0, le=PRIORITIES - 1)]
    hops_max: Annotated[int, msgspec.Meta(ge=1, le=255)]
    sequence: Uint
    body: Annotated[bytes, msgspec.Meta(min_length=1, max_length=BUNDLE_BODY_BYTES_MAX)]
    signature: Signature

    @property
    def expires_ms(self) -> int:
        """When nobody carries it any further."""
        return self.created_ms + self.lifetime_ms


BundleId = Hash
Hops = Uint8
"""How many nodes a bundle has passed."""


def sign_bundle(key: SigningKey, bundle: Bundle) -> Bundle:
    """Return the bundle with the signature of its source; the one that it has does not matter."""
    return msgspec.structs.replace(bundle, signature=key.sign(hash_bundle(unsigned_bytes(bundle))))


def check_bundle(data: bytes, *, chain_id: bytes, now_ms: int, verify: Verify) -> tuple[bytes, Bundle]:
    """Read a bundle that anybody may have made, and check it, the signature last; return its id, too.

    Args:
        data: what came.
        chain_id: our network.
        now_ms: present time, Unix ms.
        verify: signature verification.

    Raises:
        RemoteProtocolError: ``malformed``, ``bad-bundle``, ``bad-signature``; or ``expired``, without a penalty.
    """
    bundle = decode(Bundle, data, bytes_max=BUNDLE_BYTES_MAX)
    if bundle.chain_id != chain_id:
        raise _wrong("it is of another network")
    if bundle.source == bundle.destination:
        raise _wrong("its source is its destination")
    if bundle.created_ms > now_ms + BUNDLE_AHEAD_MS_MAX:
        raise _wrong(f"it was made at {bundle.created_ms} ms, our clock says {now_ms} ms")
    if bundle.expires_ms <= now_ms:
        raise RemoteProtocolError(
            f"a bundle ended at {bundle.expires_ms} ms, our clock says {now_ms} ms", penalty=0, code="expired"
        )
    bundle_id = hash_bundle(unsigned_part(data))
    if not verify(bundle.source, bundle_id, bundle.signature):
        raise RemoteProtocolError("the signature of a bundle is wrong", penalty=50, code="bad-signature")
    return bundle_id, bundle


def _wrong(reason: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"a bundle is wrong: {reason}", penalty=20, code="bad-bundle")
