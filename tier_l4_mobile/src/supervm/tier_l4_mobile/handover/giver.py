"""Containers that this phone makes: own payments that another one is to bring, and proofs of those that it brought.

What is shown in a picture or written into a file has left the phone (consensus.md 3.8, T16). So an own payment that
goes into a container is released like one that goes to an edge: the row that says so is durable before its owner gets
the container, and it cannot be cancelled any more. It stays the owner's: this phone submits it, too, as soon as it
meets an edge, and whoever comes first brings it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from supervm.protocol.base.codec import decode
from supervm.protocol.light.client import ReceiptProof, fewest_changes
from supervm.protocol.money.transaction import SignedTransaction, parse_transaction

from ..errors import HandoverError
from ..sync.courier import Courier
from ..sync.trust import Trust
from ..wallet.payments import Payment
from ..wallet.queue import PaymentQueue
from .container import CHANGES_MAX, PROOFS_MAX, TRANSACTIONS_MAX, Container, write_container
from .handed import Handed
from .kept import KeptProof, KeptProofs
from .promises import PROVED, Promise, Promises


@dataclass(frozen=True, slots=True)
class Given:
    """A container that was made, and what is in it."""

    container: bytes
    payments: list[Payment]
    promises: list[Promise]


class Giver:
    """Makes containers.

    Args:
        chain_id: the network.
        queue: releases own payments.
        courier: submits them, too.
        trust: while nothing is believed nothing is released.
        promises: payments of others.
        handed: remembers which own payments went.
    """

    def __init__(
        self, chain_id: bytes, queue: PaymentQueue, courier: Courier, trust: Trust, promises: Promises, handed: Handed
    ) -> None:
        self._chain_id = chain_id
        self._queue = queue
        self._courier = courier
        self._trust = trust
        self._promises = promises
        self._kept: KeptProofs = promises.kept
        self._handed = handed

    def give(self, now_us: int, ids: Iterable[str]) -> Given:
        """Make a container of payments by their ids, and release those of this phone.

        Raises:
            HandoverError: there is no such payment, or they are too many.
            PaymentError: one of them may not leave; nothing is released then.
        """
        doubt = self._trust.doubt(now_us)
        if doubt:
            raise HandoverError(f"nothing can be handed over: {doubt}")
        longest: dict[bytes, list[Payment]] = {}  # own account -> its payments up to the last one that is named
        promises: dict[bytes, Promise] = {}
        for text in dict.fromkeys(ids):
            payment = self._queue.find(text)
            if payment is None:
                promise = self._find(text)
                promises[promise.transaction.id] = promise
                continue
            chain = self._queue.chain_to(payment, now_us // 1000)
            if len(chain) > len(longest.get(payment.account, ())):
                longest[payment.account] = chain
        chains = list(longest.values())
        given = self._make(chains, list(promises.values()))
        for chain in chains:
            self._queue.hand_over(chain)
            for payment in chain:
                self._courier.take(payment)
                self._handed.remember(payment.number, now_us)
        return given

    def _find(self, text: str) -> Promise:
        try:
            promise = self._promises.get(bytes.fromhex(text))
        except ValueError:
            promise = None
        if promise is None:
            raise HandoverError(f"no payment {text!a:.80} is known here, neither of this phone nor handed over to it")
        if not promise.is_open and promise.status != PROVED:
            raise HandoverError(f"the payment {text} is {promise.status}: {promise.reason}")
        return promise

    def _make(self, chains: list[list[Payment]], promises: list[Promise]) -> Given:
        own = [parse_transaction(payment.raw, self._chain_id) for chain in chains for payment in chain]
        carried = sorted((promise for promise in promises if promise.is_open), key=lambda promise: promise.slot)
        transactions = [*own, *(promise.transaction for promise in carried)]
        receipts = [promise for promise in promises if promise.status == PROVED]
        for what, count in (("payments", len(transactions)), ("proofs", len(receipts))):
            if count > TRANSACTIONS_MAX:
                raise HandoverError(
                    f"the hand-over would have {count} {what}, with those that come before the ones that were named; "
                    f"at most {TRANSACTIONS_MAX} are allowed"
                )
        leaves = self._leaves([*transactions, *(promise.transaction for promise in receipts)])
        changes = fewest_changes(self._trust.client.changes)
        container = Container(
            1,
            self._chain_id,
            changes if len(changes) <= CHANGES_MAX else (),
            tuple(kept.leaf() for kept in leaves),
            tuple(transaction.raw for transaction in transactions),
            tuple(decode(ReceiptProof, promise.receipt) for promise in receipts),
        )
        return Given(write_container(container), [payment for chain in chains for payment in chain], promises)

    def _leaves(self, transactions: Iterable[SignedTransaction]) -> list[KeptProof]:
        """Return what is proved of the accounts that these spend of, in the assets that they spend."""
        wanted: dict[tuple[bytes, bytes], None] = {}
        for transaction in transactions:
            wanted[transaction.body.sender, b""] = None
            wanted.update(((transaction.body.sender, asset), None) for asset, _ in transaction.debits)
        found = [kept for key in wanted if (kept := self._kept.get(*key)) is not None and self._is_news(kept)]
        if len(found) > PROOFS_MAX:
            raise HandoverError(
                f"the hand-over is about {len(found)} balances; at most {PROOFS_MAX} are allowed - hand over the "
                "payments of fewer accounts at once"
            )
        return found

    def _is_news(self, kept: KeptProof) -> bool:
        """Return whether a proof says what was proved last; after a crash, an own one may be a little older."""
        lane = self._queue.lanes.get(kept.account)
        if lane is None or lane.proved is None or kept.asset:
            return True
        return (kept.next_seq, kept.head) == (lane.proved.next_seq, lane.proved.head)
