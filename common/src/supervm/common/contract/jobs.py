"""Jobs: computations that a core asks for and does not do itself, because they take long.

A job is a list of items and a pure function over any part of that list. So whoever runs jobs may cut a long one into
pieces, put pieces of several into one, and run them in another process: `run` must be a function that another process
can import, its items and results must be picklable, and it knows nothing of a node. A core that has a job of its own
kind declares it here or in its own package; drivers need not know it.

A kind that says `IS_LOCAL` stays in the node's own process, in a thread: its items are secrets that no other process
shall have, or it asks the machine for something - a file, a keystore - through an object that only lives here. All
others are pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec

from supervm.protocol.base.keys import verify_many


class Job(msgspec.Struct, frozen=True):
    """Base of every job.

    Attributes:
        items: what there is to do; no items are done at once.
        ITEM_COST_US: what one item costs a core of the machine that limits.md was measured on, in microseconds: that
            much virtual time passes in the simulator.
        IS_ORDERED: whether results of one lane come in the order in which its jobs were asked for; else each comes
            when it is done.
        IS_LOCAL: whether it is done in a thread of this process, and nowhere else.
    """

    ITEM_COST_US: ClassVar[int] = 0
    IS_ORDERED: ClassVar[bool] = True
    IS_LOCAL: ClassVar[bool] = False

    items: Sequence[Any]

    @property
    def cost_us(self) -> int:
        """What the job costs in all."""
        return self.ITEM_COST_US * len(self.items)

    @staticmethod
    def run(items: Sequence[Any]) -> list[Any]:
        """Return the results of some items, in their order."""
        raise NotImplementedError

    @staticmethod
    def item_bytes(item: Any) -> int:
        """Return about how many bytes an item takes on its way to another process."""
        raise NotImplementedError


class VerifySignatures(Job, frozen=True):
    """Check ed25519 signatures: whether each ``(public, message, signature)`` is valid (limits.md rule 1, 1.1)."""

    ITEM_COST_US: ClassVar[int] = 38

    items: Sequence[tuple[bytes, bytes, bytes]]

    @staticmethod
    def run(items: Sequence[tuple[bytes, bytes, bytes]]) -> list[bool]:
        """Return whether each signature is valid."""
        return verify_many(items)

    @staticmethod
    def item_bytes(item: tuple[bytes, bytes, bytes]) -> int:
        """Return the size of key, message, signature and their packing."""
        return len(item[1]) + 110
