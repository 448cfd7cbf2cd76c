"""The receipts tree of a block against the bare hashing that it cannot do without."""

from __future__ import annotations

from supervm.protocol.state.receipts import RECEIPTS, merkle_root

from .measure import BenchOptions, Row, interleaved, rate_row

_LEAF_BYTES = 100


def run(options: BenchOptions) -> list[Row]:
    """Leaves per second into the root of a block's receipts."""
    count = 500 if options.quick else 2_000
    leaves = [number.to_bytes(8, "big") * (_LEAF_BYTES // 8) for number in range(count)]
    pair = bytes(64)
    options.progress(f"{count} receipts")

    def ours() -> int:
        merkle_root(leaves, RECEIPTS)
        return count

    def limit() -> int:
        leaf_hash, node_hash = RECEIPTS.leaf_hash, RECEIPTS.node_hash
        for leaf in leaves:
            leaf_hash(leaf)
        for _ in range(count - 1):
            node_hash(pair)
        return count

    rates = interleaved({"ours": ours, "limit": limit}, options.rounds)
    return [rate_row(f"receipts.root{count}", "receipts/s", rates["ours"], rates["limit"])]
