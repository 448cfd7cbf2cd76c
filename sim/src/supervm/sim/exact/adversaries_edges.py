"""Edges and miners that lie about money: forged receipts, refusals of good transactions, other people's proofs."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from supervm.common.contract.core import Effect, Input, Received, Send
from supervm.protocol.base.codec import decode, encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.chain.batch import Batch
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint
from supervm.protocol.chain.validators import Validator, ValidatorList, ValidatorSet
from supervm.protocol.light.client import ReceiptProof, ValidatorChange
from supervm.protocol.money.execution import STATUS_EXECUTED, Receipt
from supervm.protocol.money.transaction import transaction_id
from supervm.protocol.state.mmr import MMRProof
from supervm.protocol.state.receipts import RECEIPTS, merkle_root, path_sides
from supervm.protocol.wire.chain import BatchMessage
from supervm.protocol.wire.payments import (
    LEVEL_EXPIRED,
    LEVEL_REFUSED,
    GetReceipt,
    LeafProofs,
    ReceiptAnswer,
    Status,
    StatusItem,
    Submit,
    ValidatorChanges,
)

from .actor import Actor

replace = msgspec.structs.replace


class ReceiptForger(Actor):
    """Proves to phones that every payment they wait for was executed, by one kind of forgery or another receipt."""

    _kind: int | None = None

    _checkpoint: CertifiedCheckpoint | None = None
    _genuine: bytes = b""

    def hear(self, event: Input) -> Input | None:
        """Note the newest checkpoint and a genuine receipt."""
        if isinstance(event, Received):
            if isinstance(event.message, LeafProofs):
                self._checkpoint = _checkpoint_of(event.message) or self._checkpoint
            elif isinstance(event.message, ReceiptAnswer) and event.message.proof:
                self._genuine = event.message.proof
        return event

    def say(self, send: Send) -> Iterable[Effect]:
        """Say nothing true about receipts."""
        return () if isinstance(send.message, ReceiptAnswer) else (send,)

    def more(self, event: Input) -> Iterable[Effect]:
        """Answer each question for a receipt, and each submission, at once and always in the same way.

        The first bad receipt that a phone looks at ends the connection.
        """
        if not isinstance(event, Received):
            return ()
        if isinstance(event.message, GetReceipt):
            names = [event.message.transaction_id]
        elif isinstance(event.message, Submit):
            names = [transaction_id(raw) for raw in event.message.transactions]
        else:
            return ()
        return [Send(event.peer, ReceiptAnswer(name, proof)) for name in names if (proof := self._proof(name))]

    def _proof(self, name: bytes) -> bytes:
        """Return the forgery for a transaction, empty if there is nothing yet to make it of."""
        if self._checkpoint is None:
            return b""
        if self._kind is None:
            self._kind = self.context.stream.below(3 if self._genuine else 2)
        proof = (
            self._unplaced(name, self._checkpoint),
            self._without_history(name, self._checkpoint),
            self._genuine,
        )[self._kind]
        self.acted += bool(proof)
        return proof

    def _unplaced(self, name: bytes, checkpoint: CertifiedCheckpoint) -> bytes:
        """A receipt that is in no tree, of a block that exists."""
        return encode(ReceiptProof(1, _executed(name), path_sides(0, 1), (), checkpoint.header, (), checkpoint))

    def _without_history(self, name: bytes, checkpoint: CertifiedCheckpoint) -> bytes:
        """A receipt that is in the tree of a block that does not exist."""
        receipt = _executed(name)
        header = replace(
            checkpoint.header,
            height=max(0, checkpoint.header.height - 2),
            ts_ms=checkpoint.header.ts_ms - 1,
            receipts_root=merkle_root([encode(receipt)], RECEIPTS),
        )
        history = MMRProof(1, checkpoint.header.height, header.height, (ZERO_HASH,))
        return encode(ReceiptProof(1, receipt, path_sides(0, 1), (), header, (history,), checkpoint))


class HistoryForger(ReceiptForger):
    """Proves to phones that every payment they wait for was executed, in a block that does not exist."""

    _kind = 1


class ReceiptSwapper(ReceiptForger):
    """Proves to phones that every payment they wait for was executed, with the receipt of another one."""

    every_us = 400_000
    _kind = 2
    _name: bytes | None = None

    def hear(self, event: Input) -> Input | None:
        """Note a transaction that may be executed, too."""
        if isinstance(event, Received) and isinstance(event.message, Submit) and self._name is None:
            self._name = transaction_id(event.message.transactions[0])
        return super().hear(event)

    def now_and_then(self) -> Iterable[Effect]:
        """Ask the miners for its receipt until there is one."""
        if self._name is None or self._genuine:
            return ()
        return [Send(peer, GetReceipt(self._name)) for peer, tier in self.up.items() if tier == 2]


def _checkpoint_of(message: LeafProofs) -> CertifiedCheckpoint | None:
    """Return the checkpoint of a message; None if it holds none, as others lie, too."""
    try:
        return decode(CertifiedCheckpoint, message.checkpoint, bytes_max=1 << 20)
    except RemoteProtocolError:
        return None


def _executed(name: bytes) -> Receipt:
    return Receipt(1, name, STATUS_EXECUTED, 1, 1, 0)


class RefusingEdge(Actor):
    """Says of good transactions at once that they are refused or have expired; every other one it forwards."""

    def hear(self, event: Input) -> Input | None:
        """Keep half of what is submitted."""
        if isinstance(event, Received) and isinstance(event.message, Submit):
            raws = tuple(raw for raw in event.message.transactions if transaction_id(raw)[0] % 2)
            return Received(event.peer, Submit(raws)) if raws else None
        return event

    def say(self, send: Send) -> Iterable[Effect]:
        """Tell no other news."""
        return () if isinstance(send.message, Status) else (send,)

    def more(self, event: Input) -> Iterable[Effect]:
        """Refuse."""
        if not isinstance(event, Received) or not isinstance(event.message, Submit):
            return ()
        self.acted += 1
        names = [transaction_id(raw) for raw in event.message.transactions]
        levels = (LEVEL_REFUSED, LEVEL_REFUSED, LEVEL_EXPIRED)
        return (
            Send(
                event.peer,
                Status(tuple(StatusItem(name, levels[name[1] % 3], "it is not good enough") for name in names)),
            ),
        )


class SwappingEdge(Actor):
    """Answers for one account with the genuine proof of another."""

    _last: tuple[bytes, bytes, bytes] | None = None  # checkpoint, account, proof

    def say(self, send: Send) -> Iterable[Effect]:
        """Swap proofs of one message; one that stands alone gets that of an earlier message under its checkpoint."""
        message = send.message
        if not isinstance(message, LeafProofs) or not message.proofs:
            return (send,)
        if len(message.proofs) == 1:
            ((account, proof),) = message.proofs
            last, self._last = self._last, (message.checkpoint, account, proof)
            if last is None or last[1] == account:
                return (send,)
            self.acted += 1
            return (Send(send.peer, LeafProofs(last[0], ((account, last[2]),)), send.after),)
        self.acted += 1
        proofs = [proof for _, proof in message.proofs]
        swapped = tuple(
            (account, proof) for (account, _), proof in zip(message.proofs, proofs[1:] + proofs[:1], strict=True)
        )
        return (Send(send.peer, LeafProofs(message.checkpoint, swapped), send.after),)


class ChangeForger(Actor):
    """Tells phones that the validators have handed over to itself alone."""

    every_us = 900_000
    _checkpoint: CertifiedCheckpoint | None = None

    def hear(self, event: Input) -> Input | None:
        """Note the newest checkpoint."""
        if isinstance(event, Received) and isinstance(event.message, LeafProofs):
            self._checkpoint = _checkpoint_of(event.message) or self._checkpoint
        return event

    def now_and_then(self) -> Iterable[Effect]:
        """Send the change, signed by those who have signed the checkpoint that it pretends to be."""
        if self._checkpoint is None:
            return ()
        key = self.context.key.public
        own = ValidatorList(1, (Validator(1, key, key, 1, key),))
        true = self._checkpoint.header
        header = replace(  # right behind a true one, so that nothing but the signatures speaks against it
            true,
            height=true.height + 1,
            ts_ms=true.ts_ms + 1,
            prev_hash=true.hash,
            next_validators_hash=ValidatorSet(own.members).hash,
        )
        change = ValidatorChange(1, CertifiedCheckpoint(1, header, self._checkpoint.signatures), own)
        self.acted += 1
        phones = [peer for peer, tier in self.up.items() if tier == 4]
        return [Send(peer, ValidatorChanges((encode(change),))) for peer in phones]


class TwoFacedMiner(Actor):
    """Gives each batch to half of the validators with transactions that are not those its header names."""

    def say(self, send: Send) -> Iterable[Effect]:
        """Change what odd validators get."""
        index = self.number_of(send.peer)
        if not isinstance(send.message, BatchMessage) or index is None or index % 2 == 0:
            return (send,)
        batch = decode(Batch, send.message.batch, bytes_max=8 << 20)
        self.acted += 1
        transactions = (
            (*batch.transactions[1:], batch.transactions[0]) if len(batch.transactions) > 1 else self._other(batch)
        )
        return (Send(send.peer, BatchMessage(encode(replace(batch, transactions=transactions))), send.after),)

    def _other(self, batch: Batch) -> tuple[bytes, ...]:
        """Return another transaction of the same length that was once in a batch of this miner, if there is one."""
        known = self._known.setdefault(len(batch.transactions[0]), batch.transactions[0])
        return (known,)

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._known: dict[int, bytes] = {}


class BackwardEdge(Actor):
    """Answers for every account with the first proof of it that it ever had."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._first: dict[bytes, tuple[bytes, bytes]] = {}

    def say(self, send: Send) -> Iterable[Effect]:
        """Go back, account by account."""
        message = send.message
        if not isinstance(message, LeafProofs):
            return (send,)
        sends = []
        for account, proof in message.proofs:
            checkpoint, first = self._first.setdefault(account, (message.checkpoint, proof))
            self.acted += checkpoint != message.checkpoint
            sends.append(Send(send.peer, LeafProofs(checkpoint, ((account, first),)), send.after))
        return sends
