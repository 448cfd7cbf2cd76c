"""Certificates as a matter of fact: a quorum has signed, whether or not anybody has put it together (S1-S4, S8, S14).

Every genuine signature is counted per statement. As soon as the signers of one weigh a quorum its certificate exists,
and the rules about certificates are judged at that moment.
"""

from __future__ import annotations

from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.chain.spans import Span
from supervm.protocol.chain.votes import VoteKind

from .facts import Facts


class Finality:
    """Counts signatures and judges the certificates that they make.

    Args:
        facts: shared knowledge.
    """

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._signers: dict[tuple[VoteKind, int, int, bytes], list[int]] = {}
        self._weights: dict[tuple[VoteKind, int, int, bytes], int] = {}
        self.certified: dict[tuple[VoteKind, int, int], bytes] = {}
        """(kind, epoch, number) -> digest of the first certificate that exists."""
        self.spans: dict[tuple[int, Span], None] = {}
        """Certified spans by epoch."""
        self._span_signers: dict[tuple[int, Span], dict[int, None]] = {}
        self._unplaced: dict[bytes, None] = {}
        self._epoch_parents: dict[int, bytes] = {}
        self.final_views: list[tuple[int, int]] = []
        """(epoch, view) in which a block became final by signatures of that view, in the order that happened."""

    def vote(self, kind: VoteKind, epoch: int, number: int, digest: bytes, signer: int) -> None:
        """Count a genuine signature, once per statement and signer."""
        members = self._facts.epochs.members.get(epoch)
        if members is None:
            return
        key = (kind, epoch, number, digest)
        signers = self._signers.setdefault(key, [])
        if signer in signers:
            return
        signers.append(signer)
        before = self._weights.get(key, 0)
        weight = self._weights[key] = before + members.weights[signer]
        if before < members.quorum <= weight:
            self._exists(kind, epoch, number, digest)

    def span(self, epoch: int, span: Span, signer: int) -> None:
        """Count a genuine signature of a span, once per signer."""
        members = self._facts.epochs.members.get(epoch)
        if members is None or (epoch, span) in self.spans:
            return
        signers = self._span_signers.setdefault((epoch, span), {})
        signers[signer] = None
        if members.weight_of(list(signers)) >= members.quorum:
            del self._span_signers[epoch, span]
            self.spans[epoch, span] = None
            for kind, at, view in self.certified:
                if kind is VoteKind.FINALIZE and at == epoch and span.first <= view <= span.last:
                    self._facts.book.note("S3", f"view {view} is finalized, and nullified in a span")

    def signers(self, kind: VoteKind, epoch: int, number: int, digest: bytes) -> tuple[int, ...]:
        """Return who has signed a statement, ascending."""
        return tuple(sorted(self._signers.get((kind, epoch, number, digest), ())))

    def _exists(self, kind: VoteKind, epoch: int, number: int, digest: bytes) -> None:
        note = self._facts.book.note
        first = self.certified.setdefault((kind, epoch, number), digest)
        if kind is VoteKind.CHECKPOINT:
            if first != digest:
                note("S8", f"two checkpoints of height {number} are certified")
            else:
                self._time_certified(number, digest)
            return
        if first != digest:
            rule = "S4" if kind is VoteKind.NOTARIZE else "S1"
            note(rule, f"view {number}: a quorum signed {kind.name} for {first.hex()[:16]} and {digest.hex()[:16]}")
        if kind is VoteKind.FINALIZE:
            self.final_views.append((epoch, number))
            notarized = self.certified.get((VoteKind.NOTARIZE, epoch, number))
            if notarized is not None and notarized != digest:
                note("S4", f"view {number}: another block is notarized than finalized")
            self._unplaced[digest] = None
        rival = {VoteKind.FINALIZE: VoteKind.NULLIFY, VoteKind.NULLIFY: VoteKind.FINALIZE}.get(kind)
        if rival is not None and (rival, epoch, number) in self.certified:
            note("S3", f"view {number} is finalized and nullified")
        if kind is VoteKind.FINALIZE and any(
            at == epoch and span.first <= number <= span.last for at, span in self.spans
        ):
            note("S3", f"view {number} is finalized, and nullified in a span")
        self.place()

    def _time_certified(self, height: int, digest: bytes) -> None:
        raw = self._facts.headers.get(height)
        if raw is not None:
            header = self._facts.checkpoint_header(raw)
            if header.hash == digest:
                self._facts.certified_ts_ms = max(self._facts.certified_ts_ms, header.ts_ms)

    def header_known(self, height: int) -> None:
        """An honest node has computed the header of this height."""
        epoch = self._facts.checkpoint_header(self._facts.headers[height]).epoch
        digest = self.certified.get((VoteKind.CHECKPOINT, epoch, height))
        if digest is not None:
            self._time_certified(height, digest)

    def place(self) -> None:
        """Give finalized blocks their heights, as far as the blocks are known."""
        for digest in list(self._unplaced):
            if self._place(digest):
                del self._unplaced[digest]

    def _place(self, digest: bytes) -> bool:
        facts = self._facts
        path: list[tuple[int, bytes]] = []
        while digest != ZERO_HASH:
            if digest == facts.final.get(0):
                height = 0
            else:
                block = facts.blocks.get(digest)
                if block is None:
                    return False
                height = block.header.height
                parent = facts.blocks.get(block.header.parent_hash)
                if (
                    parent is not None
                    and parent.header.epoch == block.header.epoch
                    and facts.epochs.is_sealed(parent.header)
                ):
                    digest = block.header.parent_hash  # it only proves the sealing block, and is no part of the chain
                    continue
            known = facts.final.get(height)
            if known is not None:
                if known != digest:
                    facts.book.note(
                        "S1", f"height {height}: {known.hex()[:16]} and {digest.hex()[:16]} are both finalized"
                    )
                    return True
                break
            path.append((height, digest))
            digest = facts.blocks[digest].header.parent_hash
        for height, name in path:
            facts.final[height] = name
            self._epoch_of(name)
        facts.follow()
        return True

    def _epoch_of(self, digest: bytes) -> None:
        header = self._facts.blocks[digest].header
        parent = self._facts.blocks.get(header.parent_hash)
        before = 0 if parent is None else parent.header.epoch
        if header.epoch != before:
            first = self._epoch_parents.setdefault(header.epoch, header.parent_hash)
            if first != header.parent_hash:
                self._facts.book.note("S14", f"epoch {header.epoch} starts from two blocks")

    def committed(self, name: str, height: int, digest: bytes) -> None:
        """An honest node holds this block as final: it must be the one, and follow the one before."""
        facts = self._facts
        known = facts.final.setdefault(height, digest)
        if known != digest:
            facts.book.note("S1", f"{name} holds {digest.hex()[:16]} at height {height}, final is {known.hex()[:16]}")
        before = facts.final.get(height - 1)
        block = facts.blocks.get(digest)
        if before is not None and block is not None and block.header.parent_hash != before:
            facts.book.note("S2", f"{name}: block {height} does not follow the finalized block {height - 1}")
        if block is not None:
            self._epoch_of(digest)
        facts.follow()
