"""What the part ``trie`` of tests/vectors/trees.json holds: small states with roots and proofs, as text."""

from __future__ import annotations

from typing import Any

from range_vectors import leaf_id

from supervm.protocol.base.codec import encode
from supervm.protocol.state.leaves import asset_leaf_id
from supervm.protocol.state.trie import QuadTrie


def trie_vectors() -> list[dict[str, Any]]:
    """Return states of no leaf, one, a few and many, each with proofs of leaves that are there and that are not."""
    cases = []
    for numbers in ((), (1,), (1, 2, 3), tuple(range(40))):
        leaves = {leaf_id(number): b"value %d" % number for number in numbers}
        if len(numbers) > 2:
            leaves[asset_leaf_id(bytes(32))] = b"an asset"
        trie = QuadTrie(leaves)
        asked = [*(leaf_id(number) for number in (0, 1, 3, 39, 77)), asset_leaf_id(bytes(32))]
        cases.append(
            {
                "leaves": {name.hex(): value.hex() for name, value in sorted(leaves.items())},
                "root": trie.root.hex(),
                "proofs": {name.hex(): encode(trie.prove(name)).hex() for name in asked},
            }
        )
    return cases
