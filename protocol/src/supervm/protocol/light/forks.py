"""Forks: two certified checkpoints that no one chain contains, as evidence that anybody can check offline.

A quorum signs a checkpoint after it has executed a finalized block, so while fewer than a third of the weight lies any
two certified checkpoints of a network are of one chain (consensus.md 5, S8). `contradiction` says, from two headers
alone, what makes that impossible. It is a pure function of what was signed, so whoever has seen the two certificates
comes to the same verdict: validators of at least one set have lied, more than the rules bear.

Theory of operation. Along one chain heights, epochs and times only grow, every epoch ends with exactly one sealing
header, the next one begins right after it with the validators that this one names, and a header names its predecessor.
Each of these is a relation between a lower and a higher header that carries over: if it holds between neighbours it
holds between any two. Whoever keeps certified headers by height must therefore look only at the neighbours of a new
one (`Remembered`).

At one height of one epoch the double signers can be named: each of them has signed two checkpoint votes of that height,
fault E3 of consensus.md 2.10. Across heights or sets only the sets can be named.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from typing import Literal

from ..base.codec import Agreed
from ..base.errors import RemoteProtocolError
from ..base.hashing import ZERO_HASH
from ..chain.checkpoint import CertifiedCheckpoint, CheckpointHeader, check_certified_checkpoint
from ..chain.validators import ValidatorSet
from ..chain.votes import Verify

FORK_BYTES_MAX = 1 << 16
"""Longest encoded fork: two headers with 255 signatures each take about 36 kB."""
REMEMBERED_MAX = 64
"""Certified checkpoints that a light client remembers besides the changes of validators."""


class CheckpointFork(Agreed, tag="ckptfork", frozen=True):
    """Two certified checkpoints that contradict each other.

    Attributes:
        version: layout, 1.
        first: the lower one; at one height the one of lower hash.
        second: the other one.
    """

    version: Literal[1]
    first: CertifiedCheckpoint
    second: CertifiedCheckpoint

    @property
    def height(self) -> int:
        """The lower of the two heights: from there on nothing can be believed."""
        return self.first.header.height

    @property
    def epoch(self) -> int:
        """The epoch of the second header."""
        return self.second.header.epoch

    @property
    def reason(self) -> str:
        """What makes it a fork, as one sentence without a full stop; empty if it is none."""
        return contradiction(self.first.header, self.second.header)


FORK_HEAD = b"\x84\x68ckptfork"
"""What every encoded fork begins with: array head and tag."""


def checkpoint_fork(one: CertifiedCheckpoint, other: CertifiedCheckpoint) -> CheckpointFork:
    """Put two checkpoints into their agreed order; whether they prove anything is for `check_fork` to say."""
    first, second = sorted((one, other), key=lambda item: (item.header.height, item.header.hash))
    return CheckpointFork(1, first, second)


def contradiction(one: CheckpointHeader, other: CheckpointHeader) -> str:
    """Return why no chain contains both headers, as one sentence without a full stop; empty if one may."""
    low, high = (one, other) if one.height <= other.height else (other, one)
    where = f"certified headers {low.height} and {high.height}"
    if low.height == high.height:
        return "" if low == high else f"two certified headers exist at height {low.height}"
    if high.ts_ms <= low.ts_ms:
        return f"{where}: time goes back from {low.ts_ms} to {high.ts_ms} ms"
    if high.epoch < low.epoch:
        return f"{where}: the epoch goes back from {low.epoch} to {high.epoch}"
    if high.epoch - low.epoch > high.height - low.height:
        return f"{where}: there are more epochs than blocks from {low.epoch} to {high.epoch}"
    sealed = low.next_validators_hash != ZERO_HASH
    if high.epoch == low.epoch and sealed:
        return f"{where}: epoch {low.epoch} goes on after it was sealed"
    if high.epoch == low.epoch and high.validators_hash != low.validators_hash:
        return f"{where}: epoch {low.epoch} has two sets of validators"
    if high.epoch == low.epoch + 1 and sealed and high.validators_hash != low.next_validators_hash:
        return f"{where}: epoch {high.epoch} has other validators than it was handed over to"
    if high.height == low.height + 1 and high.prev_hash != low.hash:
        return f"{where}: the second does not follow the first"
    if high.height == low.height + 1 and high.epoch != low.epoch and not sealed:
        return f"{where}: epoch {high.epoch} begins though {low.epoch} was not sealed"
    return ""


def check_fork(fork: CheckpointFork, chain_id: bytes, known: Iterable[ValidatorSet], verify: Verify) -> tuple[int, ...]:
    """Check a fork offline; return who signed both headers, by index, where one set signed one height, else nothing.

    Args:
        fork: anything that can be read as one.
        chain_id: the network.
        known: sets that are known to be, or have been, the validators of this network.
        verify: signature verification.

    Raises:
        RemoteProtocolError: it proves nothing (code ``bad-fork``), or names validators that are not `known` (code
            ``unknown-set``, no penalty).
    """
    if (fork.first.header.height, fork.first.header.hash) >= (fork.second.header.height, fork.second.header.hash):
        raise RemoteProtocolError("the two headers are not in ascending order", penalty=100, code="bad-fork")
    if not fork.reason:
        raise RemoteProtocolError("one chain may contain both headers", penalty=100, code="bad-fork")
    sets = {validators.hash: validators for validators in known}
    both = (fork.first, fork.second)
    for checkpoint in both:  # before any signature, because this costs the sender nothing
        if checkpoint.header.validators_hash not in sets:
            raise RemoteProtocolError(
                f"header {checkpoint.header.height} is signed by validators that are not known here",
                penalty=0,
                code="unknown-set",
            )
    for checkpoint in both:
        check_certified_checkpoint(checkpoint, chain_id, sets[checkpoint.header.validators_hash], verify)
    return double_signers(fork)


def double_signers(fork: CheckpointFork) -> tuple[int, ...]:
    """Return who signed both headers of a fork, ascending, if they are of one height, epoch and set; else nothing."""
    one, other = fork.first.header, fork.second.header
    if (one.height, one.epoch, one.validators_hash) != (other.height, other.epoch, other.validators_hash):
        return ()
    both = dict.fromkeys(signer for signer, _ in fork.second.signatures)
    return tuple(signer for signer, _ in fork.first.signatures if signer in both)


class Remembered:
    """Certified checkpoints by height, none of which contradict each other: the newest, and those that are kept.

    Args:
        count_max: most that are remembered besides the kept ones; the lowest goes first.
    """

    def __init__(self, count_max: int = REMEMBERED_MAX) -> None:
        self._count_max = count_max
        self._by_height: dict[int, CertifiedCheckpoint] = {}
        self._heights: list[int] = []  # ascending
        self._passing: list[int] = []  # those that may go, ascending

    def __iter__(self) -> Iterator[CertifiedCheckpoint]:
        """Go through those that may be forgotten, lowest first."""
        return (self._by_height[height] for height in self._passing)

    def get(self, height: int) -> CertifiedCheckpoint | None:
        """Return what is remembered of a height."""
        return self._by_height.get(height)

    def rival(self, header: CheckpointHeader) -> CertifiedCheckpoint | None:
        """Return a remembered checkpoint that `header` contradicts, or None."""
        place = bisect_left(self._heights, header.height)
        for height in self._heights[max(0, place - 1) : place + 2]:
            known = self._by_height[height]
            if contradiction(known.header, header):
                return known
        return None

    def add(self, checkpoint: CertifiedCheckpoint, *, keep: bool = False) -> None:
        """Remember a verified checkpoint that has no rival; with `keep` for good."""
        height = checkpoint.header.height
        if height not in self._by_height:
            insort(self._heights, height)
            self._by_height[height] = checkpoint
            if not keep:
                insort(self._passing, height)
        elif keep and height in self._passing:
            self._passing.remove(height)
        if len(self._passing) > self._count_max:
            lowest = self._passing.pop(0)
            self._heights.remove(lowest)
            del self._by_height[lowest]
