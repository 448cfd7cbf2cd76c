"""Byzantine miners, edges and phones (consensus.md 6, architecture.md 3)."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from supervm.common.contract.core import Effect, Input, PeerUp, Received, Send
from supervm.protocol.base.codec import decode, encode
from supervm.protocol.base.hashing import ZERO_HASH, hash_transaction
from supervm.protocol.chain.batch import Batch, batch_header, miner_statement
from supervm.protocol.money.transaction import sign_transfer, transaction_id
from supervm.protocol.wire.chain import BatchCertificateMessage, BatchMessage, CheckpointMessage
from supervm.protocol.wire.payments import (
    LEVEL_R0,
    LEVEL_R3,
    GetLeaves,
    GetReceipt,
    LeafProofs,
    ReceiptAnswer,
    Status,
    StatusItem,
    Submit,
    Subscribe,
)

from .actor import Actor, named
from .adversaries_l1 import damaged

replace = msgspec.structs.replace
VALIDITY_MS = 20_000
"""For how long a double-spender's transactions are valid."""


class BatchForger(Actor):
    """Tampers with the batches that it makes."""

    def say(self, send: Send) -> Iterable[Effect]:
        """Give own batches to `batch`."""
        if not isinstance(send.message, BatchMessage) or self.number_of(send.peer) is None:
            return (send,)
        return self.batch(send, decode(Batch, send.message.batch, bytes_max=8 << 20))

    def batch(self, send: Send, batch: Batch) -> Iterable[Effect]:
        """Return what is sent instead of a batch."""
        return (send,)

    def signed(self, batch: Batch, transactions: tuple[bytes, ...]) -> BatchMessage:
        """Return a batch like `batch` with other transactions."""
        header = batch_header(self.chain.chain_id, batch.header.epoch, self.context.key.public, transactions)
        signature = self.context.key.sign(miner_statement(header.digest))
        return BatchMessage(encode(Batch(2, header, signature, transactions)))


@named("batch-withholder", 2)
class BatchWithholder(BatchForger):
    """Shows each batch to a bare quorum of validators, and never gives a body to those who miss it."""

    def batch(self, send: Send, batch: Batch) -> Iterable[Effect]:
        """Send to the first quorum only."""
        count = len(self.rules.validators)
        if (self.number_of(send.peer) or 0) < count - (count - 1) // 3:
            return (send,)
        self.acted += 1
        return ()


@named("bad-signature-miner", 2)
class BadSignatureMiner(BatchForger):
    """Puts transactions into its batches whose senders never signed them."""

    def batch(self, send: Send, batch: Batch) -> Iterable[Effect]:
        """Break the last transaction's signature."""
        self.acted += 1
        last = batch.transactions[-1]
        return (Send(send.peer, self.signed(batch, (*batch.transactions[:-1], last[:-1] + bytes([last[-1] ^ 1])))),)


@named("conflicting-batches-miner", 2)
class ConflictingBatches(BatchForger):
    """Puts the same transactions into two batches, in another order and twice, and shows both to everybody."""

    def batch(self, send: Send, batch: Batch) -> Iterable[Effect]:
        """Add a second batch."""
        self.acted += 1
        again = tuple(reversed(batch.transactions)) + batch.transactions[:1]
        return (send, Send(send.peer, self.signed(batch, again)))


@named("certificate-withholder", 2)
class CertificateWithholder(Actor):
    """Shows each batch certificate to one validator only."""

    def say(self, send: Send) -> Iterable[Effect]:
        """Send to validator 0."""
        index = self.number_of(send.peer)
        if isinstance(send.message, BatchCertificateMessage) and index is not None and index != 0:
            self.acted += 1
            return ()
        return (send,)


@named("censoring-miner", 2)
class CensoringMiner(Actor):
    """Takes every transaction and makes no batch of any."""

    def hear(self, event: Input) -> Input | None:
        """Swallow submissions."""
        if isinstance(event, Received) and isinstance(event.message, Submit):
            self.acted += 1
            return None
        return event


class Claimer(Actor):
    """Says that every transaction has reached a level as soon as it is submitted."""

    level = LEVEL_R3

    def more(self, event: Input) -> Iterable[Effect]:
        """Claim."""
        if not isinstance(event, Received) or not isinstance(event.message, Submit):
            return ()
        self.acted += 1
        items = tuple(StatusItem(transaction_id(raw), self.level, "") for raw in event.message.transactions)
        return (Send(event.peer, Status(items)),)


@named("lying-miner", 2)
class LyingMiner(Claimer):
    """Tells edges that everything is in a block at once, and gives them forged proofs."""

    def say(self, send: Send) -> Iterable[Effect]:
        """Damage proofs for edges."""
        if isinstance(send.message, LeafProofs) and self.number_of(send.peer) is None:
            self.acted += 1
            return (Send(send.peer, forged(send.message), send.after),)
        return (send,)


@named("stale-miner", 2)
class StaleMiner(Actor):
    """Serves edges the first checkpoint and proofs that it ever gave them."""

    _first: dict[bytes, LeafProofs] | None = None

    def say(self, send: Send) -> Iterable[Effect]:
        """Replay."""
        message = send.message
        if self.number_of(send.peer) is not None or not isinstance(message, LeafProofs | CheckpointMessage):
            return (send,)
        if self._first is None:
            self._first = {}
        if isinstance(message, LeafProofs):
            first = self._first.setdefault(send.peer, message)
            if first is not message:
                self.acted += 1
            return (Send(send.peer, first, send.after),)
        self.acted += 1
        return ()


@named("stale-edge", 3)
class StaleEdge(StaleMiner):
    """Serves phones the first checkpoint and proofs that it ever gave them."""

    def number_of(self, peer: bytes) -> int | None:
        """Treat miners as it must, everybody else as a victim."""
        return 0 if peer in self.chain.payout_of_miner else None


@named("forging-edge", 3)
class ForgingEdge(Actor):
    """Gives phones forged proofs and receipts."""

    def say(self, send: Send) -> Iterable[Effect]:
        """Damage what cannot be checked by trust alone."""
        message = send.message
        if isinstance(message, LeafProofs):
            self.acted += 1
            return (Send(send.peer, forged(message), send.after),)
        if isinstance(message, ReceiptAnswer):
            self.acted += 1
            return (Send(send.peer, ReceiptAnswer(message.transaction_id, damaged(message.proof)), send.after),)
        return (send,)


@named("black-hole-edge", 3)
class BlackHoleEdge(Claimer):
    """Says that it has taken every transaction, and forwards none."""

    level = LEVEL_R0

    def hear(self, event: Input) -> Input | None:
        """Swallow submissions."""
        if isinstance(event, Received) and isinstance(event.message, Submit):
            return None
        return event


@named("promising-edge", 3)
class PromisingEdge(Claimer):
    """Claims R3 of every transaction at once, whatever becomes of it."""


@named("double-spender", 4)
class DoubleSpender(Actor):
    """Signs two transactions for one slot, again and again, and gives each to another edge."""

    every_us = 3_000_000
    _edges: list[bytes] | None = None

    def hear(self, event: Input) -> Input | None:
        """Note edges."""
        if isinstance(event, PeerUp) and event.tier == 3:
            self._edges = [*(self._edges or []), event.peer]
        return event

    def now_and_then(self) -> Iterable[Effect]:
        """Spend the first slot of the last account twice."""
        edges = [edge for edge in self._edges or [] if edge in self.up]
        if not edges or not self.context.wallet:
            return ()
        self.acted += 1
        sends: list[Effect] = []
        for side in range(2):
            transaction = sign_transfer(
                self.context.wallet[-1],
                chain_id=self.chain.chain_id,
                seq=0,
                prev=ZERO_HASH,
                to=self.context.others[side],
                amount=1 + self.context.stream.below(1_000),
                fee=1,
                valid_until_ms=self.now_us // 1000 + VALIDITY_MS,
            )
            sends.append(Send(edges[side % len(edges)], Submit((transaction.raw,))))
        return sends


@named("flooding-phone", 4)
class FloodingPhone(Actor):
    """Floods its edges with transactions that nobody signed, and with questions."""

    every_us = 50_000

    def now_and_then(self) -> Iterable[Effect]:
        """Send rubbish of a length that an edge reads, some of it well-formed."""
        sends: list[Effect] = []
        for edge in self.edges():
            self.acted += 1
            word = self.context.stream.word().to_bytes(8, "big")
            account = word * 4
            sends += [
                Send(edge, Submit((word * 25, self._unsigned(account)))),
                Send(edge, GetLeaves((account,) * 64)),
                Send(edge, Subscribe((account,))),
                Send(edge, GetReceipt(hash_transaction(word))),
            ]
        return sends

    def _unsigned(self, to: bytes) -> bytes:
        good = sign_transfer(
            self.context.wallet[0],
            chain_id=self.chain.chain_id,
            seq=0,
            prev=ZERO_HASH,
            to=to,
            amount=1,
            fee=1,
            valid_until_ms=self.now_us // 1000 + VALIDITY_MS,
        ).raw
        return good[:-1] + bytes([good[-1] ^ 1])


@named("broken-chain-phone", 4)
class BrokenChainPhone(Actor):
    """Sends transactions with a wrong predecessor, a far sequence number, another chain, or too much money."""

    every_us = 500_000

    def now_and_then(self) -> Iterable[Effect]:
        """Send all four to every edge."""
        raws: list[bytes] = []
        for chain_id, seq, prev, amount in (
            (self.chain.chain_id, 1, hash_transaction(b"none"), 1),
            (self.chain.chain_id, 10_000, ZERO_HASH, 1),
            (bytes(32), 0, ZERO_HASH, 1),
            (self.chain.chain_id, 0, ZERO_HASH, 1 << 62),
        ):
            raw = sign_transfer(
                self.context.wallet[-1],
                chain_id=chain_id,
                seq=seq,
                prev=prev,
                to=self.context.others[0],
                amount=amount,
                fee=1,
                valid_until_ms=self.now_us // 1000 + VALIDITY_MS,
            ).raw
            raws.append(raw)
        edges = self.edges()
        self.acted += len(edges)
        return [Send(edge, Submit((raw,))) for edge in edges for raw in raws]


def forged(message: LeafProofs) -> LeafProofs:
    """Return the message with damaged proofs, or with a damaged checkpoint if it has none."""
    if message.proofs:
        return LeafProofs(message.checkpoint, tuple((key, damaged(proof)) for key, proof in message.proofs))
    return LeafProofs(damaged(message.checkpoint), ())
