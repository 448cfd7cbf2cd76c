"""What a leader puts into its block, and when it proposes it (consensus.md 2.6, 3.9.6).

Theory of operation. A leader proposes what there is at once, but a block with batches soon after another one only if it
is large: what a block costs is the same for one payment and a thousand. With nothing to put into a block it waits for
the block interval while something is under way (`work`), or else for the beat of an idle chain.

What is not time yet is looked at again at `deadline_us`, and whenever something has come: until then nothing is kept of
what was found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from msgspec.structs import replace

from supervm.protocol.base.codec import encode
from supervm.protocol.chain.batch_certificate import BatchCertificate
from supervm.protocol.chain.block import CHECKPOINT_LAG_MAX, Block
from supervm.protocol.chain.body import EMPTY_BODY, BlockBody
from supervm.protocol.chain.header import BlockHeader, CheckpointRef
from supervm.protocol.chain.validators import ValidatorSet
from supervm.protocol.chain.votes import Certificate

from ..batches.pool import Pool
from ..chain.executor import Executor
from ..ground import Ground
from .epoch_end import EpochEnd
from .simplex import Simplex
from .simplex import effects as sx
from .work import Work, has_content

SPACING_PERCENT = 30
"""Least pause after a block with batches before the next one with batches, in per cent of the block interval."""
FULL_TRANSACTIONS = 1_000
"""Transactions that are worth a block without that pause."""
LAG_BLOCKS_MAX = 64
"""Blocks that may wait for execution while this node still proposes batches, and whose bodies are kept in memory."""


class Building:
    """The blocks that one node leads.

    Args:
        ground: what every part stands on.
        pool: certificates that wait for a block.
        executor: what is executed and certified.
        epoch_end: signatures that wait for a block.
        work: what is under way.
        simplex: returns the consensus instance of the present epoch.
    """

    def __init__(
        self,
        ground: Ground,
        pool: Pool,
        executor: Executor,
        epoch_end: EpochEnd,
        work: Work,
        simplex: Callable[[], Simplex],
    ) -> None:
        self._ground, self._seat, self._ledger = ground, ground.seat, ground.ledger
        self._pool, self._executor, self._epoch_end, self._work = pool, executor, epoch_end, work
        self._simplex = simplex
        self._interval_us = ground.chain.parameters.block_interval_ms * 1000
        self._now_us = 0
        self._asked: sx.AskBuild | None = None
        self._asked_us = self._build_at_us = 0

    @property
    def deadline_us(self) -> int | None:
        """When a block that was asked for may be due; None: none was."""
        return None if self._asked is None else self._build_at_us

    def clear(self) -> None:
        """Forget what was asked: another epoch begins."""
        self._asked = None

    def ask(self, now_us: int, asked: sx.AskBuild) -> None:
        """Note that a block is asked for."""
        self._asked, self._asked_us = asked, now_us

    def is_busy(self, now_us: int) -> bool:
        """Return whether anything is under way that further blocks finish."""
        simplex = self._simplex()
        return self._work.is_busy(now_us, simplex.final.view, simplex.committed)

    def content(self, now_us: int) -> sx.Built | None:
        """Return what was asked for if it is time; None: nothing was asked, or not yet (`deadline_us`)."""
        self._now_us = now_us
        asked = self._asked
        if asked is None:
            return None
        parent = asked.parent
        rules = self._seat.rules
        ts_ms = max(self._now_us // 1000, parent.ts_ms + 1)
        if rules.is_sealed(parent):
            if self._is_early(self._asked_us + self._interval_us):
                return None
            self._asked = None
            return sx.Built(asked.view, EMPTY_BODY, ts_ms, parent.last_checkpoint)
        reference, certificates = self._newest_checkpoint(parent)
        closes, changes, ready = self._epoch_end.content(parent)
        body = BlockBody(1, (), certificates, closes, changes, ready, self._ground.accuser.content(parent))
        refs: tuple[BatchCertificate, ...] | None = ()
        if parent.height + 1 - reference.height <= CHECKPOINT_LAG_MAX:
            ancestors = self._unexecuted_ancestors(parent)
            if ancestors is not None:
                refs = self._pool.select(ancestors, ts_ms, taken_bytes=len(encode(body)))
        body = replace(body, refs=refs or ())
        if self._is_early(self._due_us(parent, body)):
            return None
        self._asked = None
        self._work.proposed(asked.view, body)
        return sx.Built(asked.view, body, ts_ms, reference)

    def _is_early(self, due_us: int) -> bool:
        """Return whether it is too early for a block that is due then; it is looked at again at that time."""
        self._build_at_us = due_us
        return self._now_us < due_us

    def _due_us(self, parent: BlockHeader, body: BlockBody) -> int:
        """Return when a block on `parent` with this body is due."""
        interval_us = self._interval_us
        if body.refs:
            is_soon = self._work.batches_view == self._seat.rules.view_of(parent)
            if is_soon and sum(ref.header.count for ref in body.refs) < FULL_TRANSACTIONS:
                return self._asked_us + interval_us * SPACING_PERCENT // 100
            return self._asked_us
        if self._epoch_end.is_urgent(parent, body):
            return self._asked_us
        if has_content(body) or self.is_busy(self._now_us):
            return self._asked_us + interval_us
        return max(self._simplex().beat_us, self._asked_us + interval_us)

    def proposed_set(self, parent: BlockHeader) -> ValidatorSet | None:
        """Return the set that the parent's chain proposes; None while the block that holds it is missing."""
        proposed = self._ledger.proposed
        if proposed is not None:
            return proposed
        waiting = self._executor.unexecuted(self._executor.queued)
        for block in (*self._pending(parent), *reversed(waiting)):
            if block.body.set_changes:
                return ValidatorSet(block.body.set_changes[0].validators.members)
        return None

    def _newest_checkpoint(self, parent: BlockHeader) -> tuple[CheckpointRef, tuple[Certificate, ...]]:
        """Return the newest certified checkpoint that a block on `parent` may name, with its certificate if it is new.

        The first block of an epoch names its root.
        """
        is_first = parent.height == self._seat.rules.root_height
        certified = self._executor.root if is_first else self._executor.tally.certified
        if certified is not None and parent.last_checkpoint.height < certified.header.height <= parent.height:
            certificate = certified.certificate()
            return CheckpointRef(1, certificate.number, certificate.digest), (certificate,)
        return parent.last_checkpoint, ()

    def _pending(self, parent: BlockHeader) -> Iterator[Block]:
        """Yield the uncommitted ancestors from `parent` down, as far as they are here."""
        digest = parent.hash
        for _ in range(parent.height - self._simplex().committed.height):
            block = self._simplex().block(digest)
            if block is None:
                return
            yield block
            digest = block.header.parent_hash

    def _unexecuted_ancestors(self, parent: BlockHeader) -> list[Sequence[BatchCertificate]] | None:
        """Return the references of every block above the executed one up to `parent`, oldest block first."""
        if self._executor.queued > LAG_BLOCKS_MAX:
            return None
        found = [block.body.refs for block in self._pending(parent)]
        if len(found) < parent.height - self._simplex().committed.height:
            return None
        found.reverse()
        return [*(block.body.refs for block in self._executor.unexecuted(LAG_BLOCKS_MAX)), *found]
