"""What becomes of a container that another phone hands over: promises to bring, and proofs of own payments.

The order matters. Signatures, network and bounds of all transactions are checked first, and a container that has a
wrong one leaves no trace. Then what is proved is taken, of own accounts as if an edge had brought it - that is how a
payer without network sees its payment proved - and of others to judge their promises by. The promises come last.

What this phone cannot check is not called wrong: a checkpoint of validators that it does not know yet, one that is
dated ahead of its clock, or anything while nothing is believed here. It is noted, and such a promise is unproved.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from supervm.common.parts.light_memory import LightMemory
from supervm.protocol.base.codec import encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.chain.votes import Verify
from supervm.protocol.light.client import ProvedBalance
from supervm.protocol.money.execution import STATUS_EXECUTED
from supervm.protocol.money.transaction import SignedTransaction

from ..errors import HandoverError
from ..sync.sync import Sync
from ..sync.uplink import Uplink
from ..wallet.payments import Payment
from ..wallet.queue import PaymentQueue
from .carrier import Carrier
from .checks import CLOCKS_MS, check_senders, cover, read_transactions
from .container import Container, ProvedLeaf, read_container
from .kept import KeptProof
from .promises import Promise, Promises

PAYER_MAX: Final = 256
"""Open promises of one payer."""
UNPROVED_MAX: Final = 64
"""Open promises of payers of whom nothing is proved here."""
EXCUSED: Final = frozenset({"unknown-set", "expired-set", "wrong-set", "future", "stale", "fork", "expired"})
"""What a container's proofs may be without being wrong: not to be believed here, or not now."""


@dataclass(slots=True)
class Taken:
    """What came of a container.

    Attributes:
        promises: payments of others that are in it and kept here, whether they were known before or not.
        payments: own payments that its proofs moved, or that stand in it.
        notes: what could not be used, in sentences.
    """

    promises: list[Promise] = field(default_factory=list)
    payments: list[Payment] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Taker:
    """Takes containers.

    Args:
        memory: the light client.
        verify: signature verification.
        queue: own payments, and their fates.
        sync: takes what is proved of own accounts.
        uplink: where an edge is in use, changes of validators are its business.
        promises: payments of others.
        carrier: brings them.
        validity_ms_max: longest validity that the chain allows.
    """

    def __init__(
        self,
        memory: LightMemory,
        verify: Verify,
        queue: PaymentQueue,
        sync: Sync,
        uplink: Uplink,
        promises: Promises,
        carrier: Carrier,
        *,
        validity_ms_max: int,
    ) -> None:
        self._memory = memory
        self._client = memory.client
        self._verify = verify
        self._queue = queue
        self._sync = sync
        self._uplink = uplink
        self._promises = promises
        self._kept = promises.kept
        self._carrier = carrier
        self._validity_ms_max = validity_ms_max

    def take(self, now_us: int, data: bytes) -> Taken:
        """Take a container.

        Raises:
            HandoverError: it is none, of another network, or something in it is forged; what its proofs have proved
                until then stays.
        """
        container = read_container(data, self._client.chain_id)
        transactions = read_transactions(
            container,
            self._client.chain_id,
            self._verify,
            valid_until_ms_max=now_us // 1000 + self._validity_ms_max + CLOCKS_MS,
        )
        check_senders(transactions)
        taken = Taken()
        before = {payment.number: payment.status for payment in self._queue.open_payments()}
        before.update((payment.number, payment.status) for payment in self._queue.awaiting.values())
        try:
            self._proofs(now_us, container, taken)
        except HandoverError:
            self._tidy(container)
            raise
        taken.payments = [
            payment
            for number, status in before.items()
            if (payment := self._queue.get(number)) is not None and payment.status != status
        ]
        for transaction in transactions:
            self._transaction(now_us, transaction, taken)
        self._tidy(container)
        return taken

    def _tidy(self, container: Container) -> None:
        """Forget what is proved of others of whom nothing is kept."""
        payers = {promise.slot[0] for promise in self._promises}
        for account in dict.fromkeys(leaf.account for leaf in container.proofs):
            if account not in payers:
                self._kept.forget(account)

    # --- what is proved -----------------------------------------------------------------------------------------------

    def _proofs(self, now_us: int, container: Container, taken: Taken) -> None:
        if self._uplink.active is None:  # an edge brings changes itself, and a second one is asked before they count
            self._attempt(
                "its changes of validators", taken, lambda: self._memory.follower.follow_all(now_us, container.changes)
            )
        for place, leaf in enumerate(container.proofs, 1):
            self._attempt(f"proof {place} of the hand-over", taken, lambda leaf=leaf: self._leaf(now_us, leaf))
        for place, receipt in enumerate(container.receipts, 1):
            name, raw = receipt.receipt.transaction_id, encode(receipt)
            self._attempt(
                f"receipt {place} of the hand-over",
                taken,
                lambda name=name, raw=raw: self._receipt(now_us, name, raw, taken),
            )

    def _attempt(self, what: str, taken: Taken, check: object) -> None:
        assert callable(check)
        try:
            check()
        except RemoteProtocolError as error:
            if error.code not in EXCUSED:
                raise HandoverError(f"{what} does not hold: {error.reason}") from None
            taken.notes.append(f"{what} cannot be used here: {error.reason}")

    def _leaf(self, now_us: int, leaf: ProvedLeaf) -> None:
        is_own = leaf.account in self._queue.lanes
        known = self._kept.get(leaf.account, leaf.asset)
        header, now_ms = leaf.checkpoint.header, now_us // 1000
        if known is not None and known.height >= header.height:
            return
        checkpoint, proof = encode(leaf.checkpoint), encode(leaf.proof)
        if header.height >= self._client.header.height:
            self._client.accept_checkpoint(checkpoint, now_ms)
        else:
            self._client.check_checkpoint(leaf.checkpoint, now_ms)
        if leaf.asset:
            amount = self._client.prove_holding(header, leaf.account, leaf.asset, proof)
            proved = ProvedBalance(leaf.account, leaf.asset, amount, amount > 0, None, header)
        else:
            state = self._client.prove_account(header, leaf.account, proof)
            proved = ProvedBalance(leaf.account, leaf.asset, state.account.balance, state.exists, state.account, header)
        if is_own:
            self._sync.take_own(now_us, proved)
            self._kept.put(KeptProof.of(proved, checkpoint, proof))
        else:
            self._carrier.take_proof(now_us, KeptProof.of(proved, checkpoint, proof))

    def _receipt(self, now_us: int, transaction_id: bytes, proof: bytes, taken: Taken) -> None:
        if transaction_id in self._queue.awaiting:
            receipt = self._client.check_receipt(proof, transaction_id, now_us // 1000)
            self._queue.receipt(transaction_id, executed=receipt.status == STATUS_EXECUTED, now_us=now_us)
        elif self._promises.get(transaction_id) is not None:
            self._carrier.settle_promise(now_us, transaction_id, proof)
        elif self._queue.find(transaction_id.hex()) is None:
            taken.notes.append(f"it has a proof of {transaction_id.hex()}, which is no payment of this phone")

    # --- what is promised ---------------------------------------------------------------------------------------------

    def _transaction(self, now_us: int, transaction: SignedTransaction, taken: Taken) -> None:
        """Keep one payment, or note why not."""
        name = transaction.id.hex()
        own = self._queue.find(name)
        if own is not None:
            taken.payments += [own] if own not in taken.payments else []
            return
        known = self._promises.get(transaction.id)
        if known is not None:
            taken.promises.append(known)
            return
        problem = self._problem(now_us, transaction)
        if problem:
            taken.notes.append(f"payment {name} is not taken: {problem}")
            return
        promise = self._promises.take(transaction, now_us)
        self._carrier.watch(now_us, promise)
        taken.promises.append(promise)

    def _problem(self, now_us: int, transaction: SignedTransaction) -> str:
        """Say why a payment is not to be kept; empty if it is."""
        body = transaction.body
        if body.sender in self._queue.lanes:
            return "it is of an account of this wallet, signed on another device that holds the same words"
        if not self._promises.most:
            return "this phone carries its own traffic only (mode passive)"
        if body.valid_until_ms * 1000 <= now_us:
            return "its validity has passed, so it can no longer be executed"
        rival = self._promises.rival(transaction)
        if rival is not None:
            return (
                f"its payer has signed another payment for the same place, {rival.transaction.id.hex()}, which is kept "
                "here: only one of the two can be executed"
            )
        problem = self._misfit(transaction)
        if problem:
            return problem
        if len(self._promises.of_payer(body.sender)) >= PAYER_MAX:
            return f"{PAYER_MAX} open payments of its payer are kept here already; more are not"
        if not self._promises.room():
            return f"{self._promises.most} open payments of others are kept here already; more are not"
        return ""

    def _misfit(self, transaction: SignedTransaction) -> str:
        """Say why a payment promises nothing, seen from what is proved of its payer."""
        body = transaction.body
        proof = self._kept.get(body.sender, b"")
        before = self._promises.get(body.prev)
        if proof is None:
            unproved = sum(self._kept.get(item.slot[0], b"") is None for item in self._promises.open())
            if unproved >= UNPROVED_MAX:
                return f"nothing is proved of its payer, and {UNPROVED_MAX} such payments are kept here already"
            return ""
        if body.seq < proof.next_seq:
            return (
                f"its place was used by height {proof.height}: it is settled already, or dead, and promises nothing new"
            )
        if body.seq == proof.next_seq:
            if body.prev != proof.head:
                return f"another payment took the place before it, as is proved at height {proof.height}"
        elif before is None or not before.is_open:
            return f"payments before it are missing: number {proof.next_seq} comes next, this is number {body.seq}"
        if cover(self._kept, [*self._chain(transaction), transaction]) is False:
            return (
                f"what is proved at height {proof.height} does not cover it, counting the payments before it: "
                f"the account has {proof.amount} grain then"
            )
        return ""

    def _chain(self, transaction: SignedTransaction) -> list[SignedTransaction]:
        """Return the open promises that a payment comes behind, in slot order."""
        chain: list[SignedTransaction] = []
        before = self._promises.get(transaction.body.prev)
        while before is not None and before.is_open:
            chain.append(before.transaction)
            before = self._promises.get(before.transaction.body.prev)
        chain.reverse()
        return chain

    def covered(self, promise: Promise) -> bool | None:
        """Return whether what is proved of its payer covers a promise and those before it; None if too little is."""
        return cover(self._kept, [*self._chain(promise.transaction), promise.transaction]) if promise.is_open else None
