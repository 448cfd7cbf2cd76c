"""Updates of the state tree at 10^3 to 10^6 accounts, against the bare hashing of the same nodes.

The limit counts what no tree of this shape can avoid: per changed account its key, value and leaf hash, and one hash
for every distinct inner node above the changed leaves.
"""

from __future__ import annotations

import gc
from hashlib import blake2b

from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.state.account import Account, encode_account
from supervm.protocol.state.leaves import account_leaf_id, hash_leaf_id
from supervm.protocol.state.trie import QuadTrie

from .measure import BenchOptions, Row, interleaved, rate_row

_BUILD_CHUNK = 50_000
_SIZES = (1_000, 10_000, 100_000, 1_000_000)
_SIZES_QUICK = (1_000, 10_000, 100_000)


def run(options: BenchOptions) -> list[Row]:
    """Accounts updated per second in batches of 1,000, and of 10,000 at the largest tree."""
    sizes = _SIZES_QUICK if options.quick else _SIZES
    trie, rows, built = QuadTrie(), [], 0
    for accounts in sizes:
        options.progress(f"growing a tree to {accounts} accounts")
        for first in range(built, accounts, _BUILD_CHUNK):
            last = min(first + _BUILD_CHUNK, accounts)
            trie.update({_leaf_id(number): _leaf(number) for number in range(first, last)})
        built = accounts
        gc.collect()
        gc.freeze()  # a million small objects that stay: the collector need not walk them in every round
        try:
            for batch in (1_000, 10_000) if accounts == sizes[-1] else (1_000,):
                options.progress(f"{batch} of {accounts}")
                rows.append(_batch(options, trie, accounts, batch))
        finally:
            gc.unfreeze()
    return rows


def _batch(options: BenchOptions, trie: QuadTrie, accounts: int, batch: int) -> Row:
    leaf_ids = [_leaf_id(number * (accounts // batch)) for number in range(batch)]
    leaf = _leaf(7)
    hashes = _node_hashes(trie, leaf_ids)
    turn = 0

    def ours() -> int:
        nonlocal turn
        turn += 1
        changed = encode_account(Account(turn, 1, ZERO_HASH, 0))
        trie.update(dict.fromkeys(leaf_ids, changed))
        return batch

    def limit() -> int:
        copy = blake2b(digest_size=32, person=b"svm.bench").copy
        node = bytes(128)
        for leaf_id in leaf_ids:
            for data in (leaf_id, leaf, node[:64]):
                state = copy()
                state.update(data)
                state.digest()
        for _ in range(hashes):
            state = copy()
            state.update(node)
            state.digest()
        return batch

    rates = interleaved({"ours": ours, "limit": limit}, options.rounds)
    return rate_row(f"trie.update{batch}.of{accounts}", "accounts/s", rates["ours"], rates["limit"])


def _node_hashes(trie: QuadTrie, leaf_ids: list[bytes]) -> int:
    """Return how many distinct inner nodes lie above the leaves of `leaf_ids`."""
    prefixes = set()
    for leaf_id in leaf_ids:
        digits = int.from_bytes(hash_leaf_id(leaf_id), "big")
        for depth in range(len(trie.prove(leaf_id).masks)):
            prefixes.add((depth, digits >> (256 - 2 * depth)))
    return len(prefixes)


def _leaf_id(number: int) -> bytes:
    return account_leaf_id(number.to_bytes(32, "big"))


def _leaf(number: int) -> bytes:
    return encode_account(Account(10**12 + number, number, ZERO_HASH, 0))
