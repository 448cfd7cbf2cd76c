"""Who validates in which epoch, read from the finalized chain by the text of consensus.md 2.11: a second opinion.

The sums in the headers are held against what the bodies carry, so a set that nobody was entitled to is seen (N4).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.epoch import EpochRecord
from supervm.protocol.chain.genesis import Chain
from supervm.protocol.chain.header import BlockHeader, ChainRules
from supervm.protocol.chain.validators import Validator, ValidatorList

from .violation import Book


class Members:
    """A validator set as the watchers see it.

    Args:
        members: in index order.
    """

    def __init__(self, members: Iterable[Validator]) -> None:
        self.listed = tuple(members)
        self.keys = tuple(member.key for member in self.listed)
        self.weights = tuple(member.weight for member in self.listed)
        self.node_ids = tuple(member.node_id for member in self.listed)
        self.total = sum(self.weights)
        self.quorum = 2 * self.total // 3 + 1
        """Weight of a certificate: floor(2W/3) + 1."""
        self.witness = self.total - self.quorum + 1
        """Smallest weight with an honest member: f + 1."""
        self.index_of_node = {node_id: index for index, node_id in enumerate(self.node_ids)}

    def weight_of(self, indices: Iterable[int]) -> int:
        """Return the summed weight of distinct indices; those out of range weigh nothing."""
        return sum(self.weights[index] for index in indices if index < len(self.weights))

    def weight_in(self, signers: bytes) -> int:
        """Return the weight of a bit mask of indices, as headers carry it."""
        mask = int.from_bytes(signers, "little")
        return sum(weight for index, weight in enumerate(self.weights) if mask >> index & 1)


class Epochs:
    """Every epoch that the finalized chain has begun.

    Args:
        chain: the network.
        book: where violations go.
    """

    def __init__(self, chain: Chain, book: Book) -> None:
        self._chain, self._book = chain, book
        self.members: dict[int, Members] = {0: Members(chain.genesis.validators)}
        """Number -> who votes in it."""
        self.newest = 0
        """The newest epoch that has begun."""
        self._records = {0: chain.first_epoch}
        self._rules: dict[int, ChainRules] = {0: chain.rules}
        self._height = 0
        self._closers = 0
        self._ready = 0
        self._proposed: Members | None = None

    def rules_of(self, epoch: int) -> ChainRules | None:
        """Return the rules of an epoch that has begun, None for any other."""
        if epoch not in self._rules and epoch in self._records:
            self._rules[epoch] = self._chain.rules_of(self._records[epoch])
        return self._rules.get(epoch)

    def root_height(self, epoch: int) -> int:
        """Return the height of the block that an epoch starts from."""
        return self._records[epoch].root.height

    def is_sealed(self, header: BlockHeader) -> bool:
        """Return whether EpochCloses of quorum weight are in a block's chain."""
        members = self.members.get(header.epoch)
        return members is not None and members.weight_in(header.progress.closers) >= members.quorum

    def advance(self, final: Mapping[int, bytes], blocks: Mapping[bytes, Block]) -> None:
        """Follow the finalized chain as far as it is known."""
        while (digest := final.get(self._height + 1)) is not None and (block := blocks.get(digest)) is not None:
            self._height += 1
            self._take(block)

    def _take(self, block: Block) -> None:
        header, body, members = block.header, block.body, self.members[self.newest]
        if header.epoch != self.newest:
            self._book.note("S14", f"block {header.height} is of epoch {header.epoch}, the chain is in {self.newest}")
            return
        for change in body.set_changes:
            if self._proposed is not None:
                self._book.note("N4", f"block {header.height} proposes a second set in one epoch")
            if members.weight_of(dict.fromkeys(index for index, _ in change.signatures)) < members.quorum:
                self._book.note("N4", f"block {header.height} carries a set change that no quorum signed")
            self._proposed = Members(change.validators.members)
        for index, _ in body.closes:
            self._closers |= 1 << index
        for index, _ in body.ready:
            self._ready |= 1 << index
        progress = header.progress
        if (int.from_bytes(progress.closers, "little"), int.from_bytes(progress.ready, "little")) != (
            self._closers,
            self._ready,
        ) or (progress.next_validators_hash == ZERO_HASH) != (self._proposed is None):
            self._book.note("N4", f"block {header.height}: its header sums up other controls than its chain carries")
        if members.weight_in(progress.closers) >= members.quorum:
            self._next(header, members)

    def _next(self, root: BlockHeader, members: Members) -> None:
        following, proposed = members, self._proposed
        if proposed is not None and proposed.weight_in(root.progress.ready) >= proposed.quorum:
            following = proposed
        self.newest += 1
        self.members[self.newest] = following
        self._records[self.newest] = EpochRecord(
            1, self.newest, root, ValidatorList(1, following.listed), (ValidatorList(1, members.listed),)
        )
        self._closers, self._ready, self._proposed = 0, 0, None
