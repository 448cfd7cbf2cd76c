"""What tests/vectors/ranges.json holds: runs of leaves of two small states, with their positions, as text."""

from __future__ import annotations

from typing import Any

from supervm.protocol.base.codec import encode
from supervm.protocol.state.leaves import account_leaf_id, hash_leaf_id, holding_leaf_id
from supervm.protocol.state.trie import QuadTrie
from supervm.protocol.state.trie_range import FIRST_KEY, prove_range, verify_range


def leaf_id(number: int) -> bytes:
    """Return the id of an account's leaf, or of each third number of a holding's."""
    name = number.to_bytes(32, "big")
    return account_leaf_id(name) if number % 3 else holding_leaf_id(name, name)


def range_vectors() -> list[dict[str, Any]]:
    """Return the whole content of ranges.json."""
    made = []
    for count in (0, 1, 20):
        trie = QuadTrie({leaf_id(number): b"value %d" % number for number in range(count)})
        keys = [hash_leaf_id(name) for name, _ in trie.items()]
        past = [(int.from_bytes(key, "big") + 1).to_bytes(32, "big") for key in keys]
        for first_key in (FIRST_KEY, *keys[7:8], *past[7:8], b"\xff" * 32):
            proof = prove_range(trie.snapshot(), first_key, leaves_max=5)
            following = verify_range(trie.root, first_key, proof)
            made.append(
                {
                    "leaf_count": count,
                    "root": trie.root.hex(),
                    "first_key": first_key.hex(),
                    "cbor": encode(proof).hex(),
                    "leaves": len(proof.leaves),
                    "next_key": None if following is None else following.hex(),
                }
            )
    return made
