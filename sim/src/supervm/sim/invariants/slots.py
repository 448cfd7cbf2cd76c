"""Which transactions a quorum supports (S9 as in consensus.md 3.9.3)."""

from __future__ import annotations

from .facts import Facts

Slot = tuple[bytes, int, bytes]
"""(sender, sequence number, predecessor)."""


class SlotWatch:
    """Counts the bits of genuine batch votes per transaction.

    Args:
        facts: shared knowledge.
    """

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._voters: dict[tuple[int, bytes], list[int]] = {}  # (epoch, transaction) -> who supports it
        self.certified: dict[tuple[int, Slot], dict[bytes, int]] = {}
        """(epoch, slot) -> certified transaction -> its validity; what was certified in another epoch is void."""

    def vote(self, digest: bytes, epoch: int, bits: int, signer: int) -> None:
        """Count a genuine vote of `signer` on a batch."""
        batch = self._facts.batches.get(digest)
        if batch is None:
            return
        members = self._facts.epochs.members[epoch]
        for position, transaction in enumerate(batch.transactions):
            if not bits >> position & 1:
                continue
            voters = self._voters.setdefault((epoch, transaction.id), [])
            if signer in voters:
                continue
            before = members.weight_of(voters)
            voters.append(signer)
            if before < members.quorum <= before + members.weights[signer]:
                body = transaction.body
                self._exists(epoch, (body.sender, body.seq, body.prev), transaction.id, body.valid_until_ms)

    def _exists(self, epoch: int, slot: Slot, transaction_id: bytes, valid_until_ms: int) -> None:
        rivals = self.certified.setdefault((epoch, slot), {})
        rivals[transaction_id] = valid_until_ms
        now_ms = self._facts.executed_ts_ms
        live = [name for name, until_ms in rivals.items() if until_ms >= now_ms]
        if len(live) > 1:
            self._facts.book.note(
                "S9",
                f"slot {slot[1]} of {slot[0].hex()[:16]}: {len(live)} certified transactions are unexpired at chain "
                f"time {now_ms}",
            )
