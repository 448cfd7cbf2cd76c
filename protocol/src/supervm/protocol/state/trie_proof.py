"""Proofs that a leaf has a value under a state root, or that it has none.

Theory of operation (consensus.md 4, "Quad trie"). The state is a radix-4 Merkle trie. A
leaf's key is the hash of its id (`leaves`); reading the key two bits at a time, most significant first, gives
a path of up to 128 digits 0..3. A node has four children, one per digit; a missing child is 32 zero bytes;
a subtree that holds one leaf is that leaf, at whatever depth that makes it unique. Hence each
key's path from the root ends, after `depth` nodes, in exactly one of three things:

* the key's own leaf: an inclusion proof, which carries the value;
* nothing: an absence proof with no leaf;
* another leaf, whose key starts with the same digits: an absence proof that carries its
  key and value hash.

Above the end, the proof lists per level what stands beside the path. `masks` has one byte per level from
the root down: bit d (value ``1 << d``) says that child d is there. The path's own bit is always 0 and so
are bits 4..7. `siblings` is those children's hashes, 32 bytes each, from the root down and by digit within
a level.

One proof per tree and leaf id. Domains keep leaf, node and nothing apart, so the end and all siblings are
fixed by the root. What could still be written in two ways is refused: a zero hash listed as present, an own
bit or a high bit in a mask, hashes left over or missing, both a value and a leaf, a last node with no other
child (one leaf alone is no node, nor is nothing), another leaf that is the very one
or leaves the path.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from ..base.codec import Agreed, decode
from ..base.errors import RemoteProtocolError
from ..base.hashing import HASH_BYTES, ZERO_HASH, hasher
from .leaves import hash_leaf_id

VALUE_DOMAIN = b"q4value"
LEAF_DOMAIN = b"q4leaf"
NODE_DOMAIN = b"q4node"

hash_value = hasher(VALUE_DOMAIN)
"""What a leaf commits to: the hash of the leaf's value bytes."""
hash_leaf = hasher(LEAF_DOMAIN)
"""A leaf, over key and value hash (64 bytes)."""
hash_node = hasher(NODE_DOMAIN)
"""A node, over its four children's hashes (128 bytes)."""

DEPTH_MAX = 128
"""Most levels a path can have: 256 key bits, two per level."""
VALUE_BYTES_MAX = 2_048
"""Longest value of a leaf, so that every leaf can be proved within `PROOF_BYTES_MAX`."""
PROOF_BYTES_MAX = 16_384
"""Longest encoded proof: 128 levels with three siblings each, the masks, the longest value and CBOR heads."""

_OWN_SHIFTS = (6, 4, 2, 0)


class TrieProof(Agreed, tag="proof", frozen=True):
    """Where the path of one leaf id ends under one root, and everything beside that path.

    Attributes:
        version: layout of this proof, 1.
        value: the leaf's value bytes for inclusion; empty for absence.
        other_key: trie key of the other leaf that the path ends in; empty unless it ends in one.
        other_value_hash: value hash of that leaf; empty unless there is one.
        masks: one byte per level from the root down; bit d: child d beside the path is listed.
        siblings: the listed children's hashes, 32 bytes each, from the root down and by digit.
    """

    version: Literal[1]
    value: Annotated[bytes, msgspec.Meta(max_length=VALUE_BYTES_MAX)]
    other_key: Annotated[bytes, msgspec.Meta(max_length=HASH_BYTES)]
    other_value_hash: Annotated[bytes, msgspec.Meta(max_length=HASH_BYTES)]
    masks: Annotated[bytes, msgspec.Meta(max_length=DEPTH_MAX)]
    siblings: Annotated[bytes, msgspec.Meta(max_length=DEPTH_MAX * 3 * HASH_BYTES)]


def digit_at(key: bytes, depth: int) -> int:
    """Return the digit 0..3 that `key` takes at `depth` (0..127), most significant two bits first."""
    return key[depth >> 2] >> _OWN_SHIFTS[depth & 3] & 3


def common_digits(first: bytes, second: bytes) -> int:
    """Return how many leading digits two 32-byte keys share (0..128)."""
    return 256 - (int.from_bytes(first, "big") ^ int.from_bytes(second, "big")).bit_length() >> 1


def decode_trie_proof(data: bytes) -> TrieProof:
    """Read a proof from exactly `data`, at most `PROOF_BYTES_MAX` bytes in canonical form.

    Raises:
        RemoteProtocolError: code ``bad-proof``.
    """
    try:
        return decode(TrieProof, data, bytes_max=PROOF_BYTES_MAX)
    except RemoteProtocolError as error:
        raise _bad(error.reason) from error


def verify(root: bytes, leaf_id: bytes, proof: TrieProof) -> bytes | None:
    """Return the value of `leaf_id` under `root`, or None where the proof shows that it has none.

    Args:
        root: the state root of a checkpoint that the caller already trusts.
        leaf_id: the id that was asked for; never one that came with the answer.
        proof: the proof, decoded.

    Raises:
        RemoteProtocolError: code ``bad-proof``: it does not lead to `root`, or is not the canonical one.
    """
    key = hash_leaf_id(leaf_id)
    if _root_of(key, proof) != root:
        raise _bad("the proof does not lead to the state root")
    return proof.value or None


def verify_inclusion(root: bytes, leaf_id: bytes, proof: TrieProof) -> bytes:
    """Return the value that `leaf_id` has under `root`.

    Raises:
        RemoteProtocolError: code ``bad-proof``: as for `verify`, or it is a proof of absence.
    """
    value = verify(root, leaf_id, proof)
    if value is None:
        raise _bad("the proof shows that the leaf is absent where one of inclusion was asked for")
    return value


def verify_absence(root: bytes, leaf_id: bytes, proof: TrieProof) -> None:
    """Return if `leaf_id` has no value under `root`.

    Raises:
        RemoteProtocolError: code ``bad-proof``: as for `verify`, or it is a proof of inclusion.
    """
    if verify(root, leaf_id, proof) is not None:
        raise _bad("the proof shows that the leaf is present where one of absence was asked for")


def _bad(reason: str) -> RemoteProtocolError:
    return RemoteProtocolError(reason, penalty=100, code="bad-proof")


def _end_of_path(key: bytes, proof: TrieProof) -> bytes:
    """Return the hash that the path of `key` ends in, after checking that the end is said in one way."""
    value, other_key, other_value_hash = proof.value, proof.other_key, proof.other_value_hash
    if value:
        if other_key or other_value_hash:
            raise _bad("the proof has both a value and another leaf; exactly one end is allowed")
        if len(value) > VALUE_BYTES_MAX:
            raise _bad(f"the value has {len(value)} bytes; at most {VALUE_BYTES_MAX} are allowed")
        return hash_leaf(key + hash_value(value))
    if not other_key and not other_value_hash:
        return ZERO_HASH
    if len(other_key) != HASH_BYTES or len(other_value_hash) != HASH_BYTES:
        raise _bad("another leaf has a key and a value hash of 32 bytes each, or neither")
    if other_key == key:
        raise _bad("the other leaf has the very key whose absence it should show")
    if common_digits(other_key, key) < len(proof.masks):
        raise _bad("the other leaf is not on the path of the leaf id")
    return hash_leaf(other_key + other_value_hash)


def _root_of(key: bytes, proof: TrieProof) -> bytes:
    """Return the root that `proof` leads to from the end of the path of `key`, after all checks of form."""
    masks, siblings = proof.masks, proof.siblings
    depth = len(masks)
    if depth > DEPTH_MAX:
        raise _bad(f"the proof has {depth} levels; at most {DEPTH_MAX} are allowed")
    current = _end_of_path(key, proof)
    if depth and not masks[-1]:
        raise _bad("the deepest node of the proof has no other child; such a node does not exist")
    end = len(siblings)
    for level in range(depth - 1, -1, -1):
        mask, own = masks[level], digit_at(key, level)
        if mask > 15 or mask >> own & 1:
            raise _bad(f"mask {mask} at level {level} is not four bits with 0 for the path's child {own}")
        children = [ZERO_HASH] * 4
        children[own] = current
        for digit in (3, 2, 1, 0):
            if mask >> digit & 1:
                sibling = siblings[end - HASH_BYTES : end] if end >= HASH_BYTES else b""
                if len(sibling) != HASH_BYTES or sibling == ZERO_HASH:
                    raise _bad(f"child {digit} at level {level} is marked, but its hash is missing or zero")
                children[digit] = sibling
                end -= HASH_BYTES
        current = hash_node(b"".join(children))
    if end:
        raise _bad(f"the proof has {end} bytes of hashes that no mask asks for")
    return current
