"""Receipts: a client's question is put to a miner, and the answer is passed on to all who asked."""

from __future__ import annotations

from supervm.common.contract.core import Outbox, PeerDown, PeerUp
from supervm.common.parts.manners import Manners
from supervm.common.parts.part import Part
from supervm.protocol.wire.payments import GetReceipt, ReceiptAnswer

from ..budgets import RECEIPT
from ..options import RECEIPT_OPTIONS
from ..relay.routes import Routes
from .proofs import Proofs
from .questions import Questions


class Receipts(Part):
    """Questions for receipts; whoever asked verifies the answer, as it is theirs to believe.

    Args:
        outbox: where messages go.
        manners: how many receipts a peer may ask for.
        routes: the miners.
        proofs: knows the miner that is asked first.
    """

    takes = frozenset({GetReceipt, ReceiptAnswer})
    sends = frozenset({GetReceipt, ReceiptAnswer})
    options = RECEIPT_OPTIONS

    def __init__(self, outbox: Outbox, manners: Manners, routes: Routes, proofs: Proofs) -> None:
        self._outbox = outbox
        self._manners = manners
        self._routes = routes
        self._proofs = proofs
        self._questions = Questions(routes, self._ask)

    @property
    def deadline_us(self) -> int | None:
        """When `tick` has something to do."""
        return self._questions.deadline_us

    def receive(self, now_us: int, peer: bytes, message: GetReceipt | ReceiptAnswer) -> None:
        """Put a client's question, or pass a miner's answer on."""
        match message:
            case ReceiptAnswer(transaction_id):
                self._routes.check_miner(peer, message)
                for asker in self._questions.answered(transaction_id):
                    self._outbox.send(asker, message)
            case GetReceipt(transaction_id):
                self._routes.check_client(peer, message)
                if self._manners.take(now_us, peer, "receipts", 1, each=RECEIPT) and not self._questions.ask(
                    now_us, peer, transaction_id, first=self._proofs.source.miner
                ):
                    self._outbox.send(peer, ReceiptAnswer(transaction_id, b""))

    def peer_up(self, now_us: int, event: PeerUp) -> None:
        """Put what nobody was there to be asked for to a miner that comes."""
        if self._routes.is_miner(event.peer, event.tier):
            self._questions.reassign(now_us, None)

    def peer_down(self, now_us: int, event: PeerDown) -> None:
        """Put the questions of a miner that went to another one at once."""
        if self._routes.is_named(event.peer):
            self._questions.reassign(now_us, event.peer)

    def tick(self, now_us: int) -> None:
        """Put questions again, and give up those that nobody answers."""
        for transaction_id, askers in self._questions.tick(now_us):
            for peer in askers:
                self._outbox.send(peer, ReceiptAnswer(transaction_id, b""))

    def settle(self, now_us: int) -> None:
        """Send this step's questions."""
        self._questions.flush()

    def _ask(self, miner: bytes, transaction_ids: list[bytes]) -> None:
        for transaction_id in transaction_ids:
            self._outbox.send(miner, GetReceipt(transaction_id))
