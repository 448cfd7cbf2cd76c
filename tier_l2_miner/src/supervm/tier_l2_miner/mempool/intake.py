"""From `Submit` to mempool: form, repetition, share, fee and signature (architecture.md 3, network.md 7).

Cheap checks come first; a fee that is not taken is among them, and every edge is told on connecting which are.
Signatures are checked in chunks outside the core, one lane per peer, so that the transactions of one sender that came
over one link reach the mempool in the order they were sent.

A transaction under verification is told apart by its *bytes*: its id does not cover the signature, so by id a copy
with a bad signature could push the honest one out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from supervm.common.contract.core import Outbox, PeerUp
from supervm.common.parts.costs import TRANSACTION
from supervm.common.parts.manners import Manners
from supervm.common.parts.part import Part
from supervm.common.parts.peering import Peering
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.chain.genesis import Chain
from supervm.protocol.money.transaction import SignedTransaction, parse_transaction, signature_items, transaction_id
from supervm.protocol.wire.payments import LEVEL_REFUSED, FeeTerms, Submit

from ..options import INTAKE_OPTIONS, MinerOptions
from ..replica.serving import EDGE_TIER
from .lines import StatusLines
from .mempool import BUSY, Mempool

VERIFY_CHUNK = 256
"""Signatures per piece of work (limits.md, Rules 1)."""
BAD_SIGNATURE = "bad signature"
WRONG_CHAIN = "signed for another chain"
_NAMED = {"wrong-chain": WRONG_CHAIN, "unknown-kind": ""}
"""Faults of form that a wallet or edge of another network or release makes in good faith: it is told, by this reason or
by the fault's own."""
BAD_SIGNATURE_PENALTY = 20
"""For a chunk of transactions with any bad signature: an honest L3 or phone checks before it submits."""


@dataclass(frozen=True, slots=True)
class _Job:
    peer: bytes
    transactions: Sequence[SignedTransaction]


class Intake(Part):
    """What peers submit, until the mempool has it.

    Args:
        chain: the network.
        mempool: where verified transactions go.
        options: bounds.
        outbox: where work goes.
        lines: where refusals go.
        peering: who is there.
        manners: how many transactions a peer may submit, and what bad ones cost it.
    """

    takes = frozenset({Submit})
    sends = frozenset({FeeTerms})
    options = INTAKE_OPTIONS

    def __init__(
        self,
        chain: Chain,
        mempool: Mempool,
        options: MinerOptions,
        outbox: Outbox,
        lines: StatusLines,
        peering: Peering,
        manners: Manners,
    ) -> None:
        self._chain_id = chain.chain_id
        self._mempool = mempool
        self._unverified_max = options.unverified_max
        self._outbox, self._lines = outbox, lines
        self._peering, self._manners = peering, manners
        self._jobs: dict[int, _Job] = {}
        self._verifying: dict[bytes, tuple[bytes, ...]] = {}  # raw bytes -> peers that sent them meanwhile

    def peer_up(self, now_us: int, event: PeerUp) -> None:
        """Tell an edge which fees are taken; they stay as they are for as long as the node runs."""
        if event.tier == EDGE_TIER:
            self._outbox.send(event.peer, self._mempool.fees.terms())

    def receive(self, now_us: int, peer: bytes, message: Submit) -> None:
        """Take transactions: answer what is decided already, hand the rest to verification.

        While this node does not know the state well enough to judge, all are refused as busy.

        Raises:
            RemoteProtocolError: some were malformed, of an unknown kind or for another chain; the others were taken.
        """
        raws = message.transactions
        room = max(0, self._unverified_max - len(self._verifying))
        granted = 0
        if self._mempool.is_ready:
            granted = self._manners.take(now_us, peer, "transactions", min(room, len(raws)), each=TRANSACTION)
        for raw in raws[granted:]:
            self._lines.tell((peer,), transaction_id(raw), LEVEL_REFUSED, BUSY)
        problem: RemoteProtocolError | None = None
        fresh: list[SignedTransaction] = []
        for raw in raws[:granted]:
            waiting = self._verifying.get(raw)
            if waiting is not None:
                if peer not in waiting:
                    self._verifying[raw] = (*waiting, peer)
                continue
            try:
                transaction = parse_transaction(raw, self._chain_id)
            except RemoteProtocolError as error:
                problem = error
                if error.code in _NAMED:
                    reason = _NAMED[error.code] or error.reason
                    self._lines.tell((peer,), transaction_id(raw), LEVEL_REFUSED, reason)
                continue
            if not self._mempool.join(transaction.id, peer) and not self._mempool.decided(transaction, (peer,)):
                self._verifying[raw] = (peer,)
                fresh.append(transaction)
        for start in range(0, len(fresh), VERIFY_CHUNK):
            chunk = fresh[start : start + VERIFY_CHUNK]
            token = self._outbox.verify(peer, signature_items(chunk))
            self._jobs[token] = _Job(peer, chunk)
        if problem is not None:
            raise problem

    def work_done(self, now_us: int, token: int, result: Any) -> bool:
        """Put verified transactions into the mempool; blame the peer if it sent a bad signature."""
        job = self._jobs.pop(token, None)
        if job is None:
            return False
        is_bad = False
        for transaction, good in zip(job.transactions, result, strict=True):
            peers = self._verifying.pop(transaction.raw)
            if not good:
                is_bad = True
                self._lines.tell(peers, transaction.id, LEVEL_REFUSED, BAD_SIGNATURE)
                continue
            if transaction.id not in self._mempool:
                self._mempool.add(now_us, transaction, peers)
                continue
            for peer in peers:
                self._mempool.join(transaction.id, peer)
        if is_bad and job.peer in self._peering.up:
            self._manners.blame(
                now_us,
                job.peer,
                RemoteProtocolError(
                    "a submitted transaction's signature is invalid",
                    penalty=BAD_SIGNATURE_PENALTY,
                    code="bad-signature",
                ),
            )
        return True

    def info(self, now_us: int) -> Mapping[str, Any]:
        """Return how many transactions are in verification."""
        return {"unverified": len(self._verifying)}
