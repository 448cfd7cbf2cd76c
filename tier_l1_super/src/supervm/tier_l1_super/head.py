"""Where this node's chain stands: one record that every part reads, and whose every field has one writer.

The write that a message has to wait for is here, too: whatever shows a finalization, a checkpoint or a proof may rest
on a promise of this validator, and leaves only when the newest write that holds one is durable.
"""

from __future__ import annotations


class Head:
    """The head of one node's chain.

    Attributes:
        tip: height of the last finalized block. `Consensus` moves it on, `Swap` sets it.
        floor: the lowest height whose block is kept here. `Pruning` moves it on.
        is_closing: whether this node has closed the epoch, and so votes on no batch of it (consensus.md 3.7).
            `EpochEnd` decides.
        written: token of the newest write that what is final or certified rests on.
    """

    __slots__ = ("_floor", "_is_closing", "_tip", "_written")

    def __init__(self) -> None:
        self._tip = 0
        self._floor = 1
        self._is_closing = False
        self._written = 0

    @property
    def tip(self) -> int:
        """Height of the last finalized block."""
        return self._tip

    @property
    def floor(self) -> int:
        """The lowest height whose block is kept, 1 or more."""
        return self._floor

    @property
    def is_closing(self) -> bool:
        """Whether this node has closed the epoch."""
        return self._is_closing

    @property
    def written(self) -> int:
        """Token of the write that whatever shows a finalization, a checkpoint or a proof waits for; 0: none."""
        return self._written

    def finalized(self, height: int, written: int) -> None:
        """Blocks up to a height are final, and this write holds them."""
        self._tip = height
        self._written = written

    def found(self, height: int) -> None:
        """Blocks up to a height are final on disk: at a start, or when a snapshot has taken the place of the state."""
        self._tip = height

    def prune(self, floor: int) -> None:
        """Below this height blocks are not kept."""
        self._floor = floor

    def certified(self, written: int) -> None:
        """A checkpoint is certified, and this write holds it."""
        self._written = written

    def close(self, is_closing: bool) -> None:
        """The epoch is closed here, or a new one begins."""
        self._is_closing = is_closing
