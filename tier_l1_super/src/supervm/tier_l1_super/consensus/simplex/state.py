"""What a node holds of one epoch's consensus, and the questions about it that change nothing (consensus.md 2.5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.genesis import Parameters
from supervm.protocol.chain.header import BlockHeader, ChainRules, Justification
from supervm.protocol.chain.votes import Certificate

from .effects import (
    Blame,
    Effect,
)
from .pacing import RETRY_US, Timers
from .promises import (
    ConsensusPromise,
    FinalizePromise,
    HeldCertificate,
    NotarizePromise,
    NullifyPromise,
    Promise,
    SpanPromise,
    encode_promise,
    epoch_of,
    view_of,
)
from .rounds import NOTARIZE, NULLIFY, Round, new_round
from .skips import Skips
from .tree import BlockTree


class Signer(Protocol):
    """What a validator key can do; `supervm.protocol.base.keys.SigningKey` is one."""

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature of `message`."""


@dataclass(frozen=True, slots=True)
class LastFinal:
    """View, block and certificate of the newest finalization; there is no certificate for genesis."""

    view: int
    hash: bytes
    certificate: Certificate | None


class State:
    """What one node holds of one epoch's consensus.

    Args:
        rules: the epoch.
        index: this validator's index, or None for an observer, which follows but never votes.
        key: its vote key; None exactly if `index` is None.
        parameters: time-outs and pauses.
        finalized: header of the last durably committed block (at first that of the epoch's root) and its finalization,
            which is None exactly for the root. The sealing block may come with the finalization of a descendant.
        promises: the consensus records recovered from the write-ahead log, in any order; other records and other
            epochs are passed over.
        blocks: further blocks that are stored but not committed, in any order; they must have been checked.
        shuns: whether a validator has been hung up on for what it did, so that nothing of it is heard; None: never.
        is_busy: whether something is under way that further blocks finish; None: always.

    Raises:
        LocalProtocolError: arguments that contradict each other.
    """

    def __init__(
        self,
        *,
        rules: ChainRules,
        index: int | None,
        key: Signer | None,
        parameters: Parameters,
        finalized: tuple[BlockHeader, Certificate | None],
        promises: Sequence[Promise] = (),
        blocks: Sequence[Block] = (),
        shuns: Callable[[int], bool] | None = None,
        is_busy: Callable[[], bool] | None = None,
    ) -> None:
        header, certificate = finalized
        if (index is None) != (key is None):
            raise LocalProtocolError("a validator has an index and a key, an observer has neither")
        if index is not None and not 0 <= index < len(rules.validators):
            raise LocalProtocolError(f"validator {index} is not one of the {len(rules.validators)} of this epoch")
        if (rules.view_of(header) == 0) != (certificate is None):
            raise LocalProtocolError("every finalized block but the epoch's root comes with its finalization")
        self.rules = rules
        self.index = index
        self._key = key
        self._parameters = parameters
        self._shuns = shuns
        self._is_busy = is_busy or _always
        self._tree = BlockTree(header, rules.view_of(header))
        self._final = (
            LastFinal(0, header.hash, None)
            if certificate is None
            else LastFinal(certificate.number, certificate.digest, certificate)
        )
        self._sealed = rules.is_sealed(header)
        self._view = 0
        self._rounds: dict[int, Round] = {}
        self._skips = Skips(rules)
        self._notarized_view = 0  # newest view with a notarization, or 0
        self._finalize_view = 0  # newest view in which this validator has signed Finalize, or 0
        self._void_records = 0  # records that a certified span has made void since the last `prune`
        self._repeats = 0
        self._timers = Timers()
        self._idle_interval_us = parameters.idle_interval_ms * 1000
        self._beat_us = 0
        self._final_at_us = 0
        self._retry_us = RETRY_US
        self._building: tuple[int, BlockHeader] | None = None
        self._wanted: dict[bytes, int] = {}
        self._told_us: dict[int, int] = {}
        self._heard_at: dict[int, tuple[int, int]] = {}  # validator -> (view, time in us) of its last sign of life
        self._token = 0
        self._now_us = 0
        self._running = False
        self._effects: list[Effect] = []
        self._records: list[ConsensusPromise] = [
            record
            for record in promises
            if isinstance(record, NotarizePromise | NullifyPromise | FinalizePromise | SpanPromise | HeldCertificate)
            and epoch_of(record) == rules.epoch
            and view_of(record) > self._final.view
        ]
        for block in blocks:
            if block.header.view > self._tree.committed_view:
                self._tree.add(block.hash, block)

    # --- what others may ask ---------------------------------------------------------------------------------------

    @property
    def deadline_us(self) -> int | None:
        """When a `Tick` is wanted."""
        return self._timers.deadline_us

    @property
    def beat_us(self) -> int:
        """When a block is due although nothing waits for one: an idle interval after the last notarization."""
        return self._beat_us

    def is_waiting(self, now_us: int) -> bool:
        """Return whether a block of this view is wanted later only, so that `BlockWanted` would make a difference."""
        return self._timers.wanted_us > now_us and self._running and not self._sealed

    @property
    def view(self) -> int:
        """The current view; 0 before `Started`."""
        return self._view

    @property
    def final(self) -> LastFinal:
        """The newest finalization, whose blocks may still be on their way."""
        return self._final

    @property
    def committed(self) -> BlockHeader:
        """Header of the last block that was handed out in `Committed` or `FinalizedChain`."""
        return self._tree.committed

    @property
    def sealed(self) -> bool:
        """Whether the sealing block is committed: nothing is voted on any more, only laggards are helped."""
        return self._sealed

    def block(self, block_hash: bytes) -> Block | None:
        """Return a block above the committed one, to answer a peer's request or to walk a parent's ancestors."""
        return self._tree.get(block_hash)

    def prune(self, view: int) -> tuple[bytes, ...]:
        """Forget the records of `view` and below, and return the payloads of those that must stay on disk.

        Args:
            view: that of the last *durably* committed block, or of one whose commit is part of the same write; else a
                restart would lack what it needs. Records of this step are among those to keep.
        """
        self._records = [record for record in self._records if view_of(record) > view]
        self._void_records = 0
        return tuple(encode_promise(record) for record in self._records)

    # --- where a block may stand -----------------------------------------------------------------------------------

    def _well_placed(self, header: BlockHeader) -> bool:
        """Rule R3 (and pitfall P2): the parent is certified or final, and every view in between is nullified."""
        parent_view = header.parent_view
        if parent_view < self._final.view:
            return False
        if parent_view == self._final.view:
            if header.parent_hash != self._final.hash:
                return False
        else:
            parent = self._rounds.get(parent_view)
            if parent is None or not self._is_certified(parent, header.parent_hash):
                return False
        return self._skipped_from(header.view) <= parent_view + 1

    def _skipped_from(self, view: int) -> int:
        """Return the lowest view above the last final one from which on all views below `view` are nullified."""
        below = view - 1
        while below > self._final.view:
            span = self._skips.covering(below)
            if span is not None:
                below = span.first - 1
            elif self._is_nullified(below):
                below -= 1
            else:
                break
        return max(below, self._final.view) + 1

    def _parent_for(self, view: int) -> tuple[int, bytes] | None:
        """Return view and hash of the newest block that a proposal for `view` may extend, or None.

        A notarized block that is absent is passed over if its view is nullified too: any allowed parent will do.
        """
        lowest = self._skipped_from(view) - 1  # the newest view that must not be skipped
        for below in sorted((below for below in self._rounds if lowest <= below < view), reverse=True):
            certificate = self._rounds[below].certificates.get(NOTARIZE)
            if certificate is not None and (below == lowest or self._tree.get(certificate.digest) is not None):
                return below, certificate.digest
        return (self._final.view, self._final.hash) if lowest == self._final.view else None

    def _justify(self, view: int, parent: BlockHeader) -> Justification | None:
        """Return the proof that a block of `view` may extend `parent`, or None if it no longer may."""
        parent_view = self.rules.view_of(parent)
        if parent_view < self._final.view:
            return None
        certificate = None if parent_view == 0 else self._certificate_of(parent_view)
        skips = self._skips_between(parent_view, view)
        return Justification(1, () if certificate is None else (certificate,), tuple(skips))

    def _skips_between(self, parent_view: int, view: int) -> list[Certificate]:
        """Return the proof that all views between the two are nullified, which they are: as few certificates as can be.

        A span may reach below `parent_view`.
        """
        found = []
        below = parent_view + 1
        while below < view:
            span = self._skips.covering(below)
            if span is None:
                found.append(self._rounds[below].certificates[NULLIFY])
                below += 1
            else:
                found.append(self._skips.certificates[span])
                below = span.last + 1
        return found

    # --- small things ----------------------------------------------------------------------------------------------

    def _round(self, view: int) -> Round:
        round_ = self._rounds.get(view)
        if round_ is None:
            round_ = self._rounds[view] = new_round(view, self.rules)
        return round_

    def _certificate_of(self, view: int) -> Certificate | None:
        if view == self._final.view:
            return self._final.certificate
        round_ = self._rounds.get(view)
        return None if round_ is None else round_.certificates.get(NOTARIZE)

    def _is_certified(self, round_: Round, block_hash: bytes) -> bool:
        certificate = round_.certificates.get(NOTARIZE)
        return certificate is not None and certificate.digest == block_hash

    def _is_nullified(self, view: int) -> bool:
        round_ = self._rounds.get(view)
        return round_ is not None and NULLIFY in round_.certificates

    def _after(self, certificate: Certificate) -> int:
        """Return the promise that a message with this certificate waits for: the newest if it lists our signature."""
        return self._token if any(index == self.index for index, _ in certificate.signatures) else 0

    def _heard(self, signer: int, view: int) -> None:
        earlier, _ = self._heard_at.get(signer, (0, 0))
        self._heard_at[signer] = (max(earlier, view), self._now_us)

    def _blame(self, index: int, reason: str, code: str) -> None:
        self._emit(Blame(index, reason, 50, code))

    def _emit(self, effect: Effect) -> None:
        self._effects.append(effect)


def _always() -> bool:
    return True
