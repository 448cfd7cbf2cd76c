"""What tests/vectors/ranges.json holds: runs of leaves of two small states, with their positions, as text."""

from __future__ import annotations

from typing import Any

from supervm.protocol.base.codec import encode
from supervm.protocol.state.trie import QuadTrie
from supervm.protocol.state.trie_proof import hash_account_key
from supervm.protocol.state.trie_range import FIRST_KEY, prove_range, verify_range


def range_vectors() -> list[dict[str, Any]]:
    """Return the whole content of ranges.json."""
    made = []
    for count in (0, 1, 20):
        trie = QuadTrie({number.to_bytes(32, "big"): b"value %d" % number for number in range(count)})
        keys = [hash_account_key(address) for address, _ in trie.items()]
        past = [(int.from_bytes(key, "big") + 1).to_bytes(32, "big") for key in keys]
        for first_key in (FIRST_KEY, *keys[7:8], *past[7:8], b"\xff" * 32):
            proof = prove_range(trie.snapshot(), first_key, leaves_max=5)
            following = verify_range(trie.root, first_key, proof)
            made.append(
                {
                    "accounts": count,
                    "root": trie.root.hex(),
                    "first_key": first_key.hex(),
                    "cbor": encode(proof).hex(),
                    "leaves": len(proof.leaves),
                    "next_key": None if following is None else following.hex(),
                }
            )
    return made
