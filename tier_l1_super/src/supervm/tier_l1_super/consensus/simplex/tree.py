"""Blocks above the last committed one, by hash (consensus.md 2.5 and 2.8).

A block is committed when a descendant's finalization proves it; its own finalization is never required (pitfall P6).
Certificates may arrive before the blocks they name, so a path can have a hole: then the tree says which block is
missing and the commit happens when it has come.
"""

from __future__ import annotations

from dataclasses import dataclass

from supervm.protocol.chain.block import Block
from supervm.protocol.chain.header import BlockHeader
from supervm.protocol.chain.votes import Certificate


@dataclass(frozen=True, slots=True)
class Missing:
    """The block that keeps a path from being complete, and the certificate that its child carries for it."""

    view: int
    hash: bytes
    certificate: Certificate | None


class BlockTree:
    """The last committed header and the blocks that may come after it.

    Args:
        committed: header of the last committed block, or of the epoch's root.
        view: its view as the epoch counts: 0 for the root.
    """

    def __init__(self, committed: BlockHeader, view: int) -> None:
        self.committed = committed
        self.committed_hash = committed.hash
        self.committed_view = view
        self._blocks: dict[bytes, Block] = {}

    def add(self, block_hash: bytes, block: Block) -> None:
        """Keep a block whose header, justification and body have been matched with `block_hash`."""
        self._blocks[block_hash] = block

    def discard(self, block_hash: bytes) -> None:
        """Forget a block that nothing builds on."""
        self._blocks.pop(block_hash, None)

    def get(self, block_hash: bytes) -> Block | None:
        """Return a block that is not committed yet, or None."""
        return self._blocks.get(block_hash)

    def header(self, block_hash: bytes) -> BlockHeader | None:
        """Return the header of a kept block or of the last committed one."""
        if block_hash == self.committed_hash:
            return self.committed
        block = self._blocks.get(block_hash)
        return None if block is None else block.header

    def path(self, view: int, block_hash: bytes) -> tuple[Block, ...] | Missing | None:
        """Return the blocks from the first after the committed one up to `block_hash`, oldest first.

        Returns None if that block does not descend from the committed one, or heights are not consecutive.
        """
        newest_first: list[Block] = []
        while block_hash != self.committed_hash:
            if view <= self.committed_view:
                return None
            block = self._blocks.get(block_hash)
            if block is None:
                proof = newest_first[-1].just.parent if newest_first else ()
                return Missing(view, block_hash, proof[0] if proof else None)
            newest_first.append(block)
            view, block_hash = block.header.parent_view, block.header.parent_hash
            if view >= block.header.view:
                return None
        newest_first.reverse()
        first = self.committed.height + 1
        if any(block.header.height != first + place for place, block in enumerate(newest_first)):
            return None
        return tuple(newest_first)

    def commit(self, header: BlockHeader) -> None:
        """Make `header` the committed one and forget blocks of its view and below."""
        self.committed = header
        self.committed_hash = header.hash
        self.committed_view = header.view
        self._blocks = {key: block for key, block in self._blocks.items() if block.header.view > header.view}
