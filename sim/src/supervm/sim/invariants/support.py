"""What an honest batch vote supports: a second opinion on consensus.md 3.2 and 3.9, in both directions.

Theory of operation. Of every validator the watcher keeps the transactions that it has promised in the present epoch,
and nothing else. Which of them are alive follows from the executed state: the one that fills the sender's next slot on
its head and is not past its validity at executed time, the one behind it, and so on. A bit of 1 must be for such a
transaction or for one that may extend the chain; a bit of 0 must not be for one that may, because then a sender who did
nothing wrong waits for a slot that nobody holds. Both are judged in the step of the vote, and only if that step
executed nothing, so that the state is the one that the vote looked at.
"""

from __future__ import annotations

from supervm.common.contract.core import Send
from supervm.protocol.chain.batch_certificate import BatchVote, bitmap_bits
from supervm.protocol.money.transaction import SignedTransaction
from supervm.protocol.money.transfer import Transfer
from supervm.protocol.state.account import EMPTY_ACCOUNT, POOL_ACCOUNTS, Account
from supervm.protocol.state.leaves import write_asset
from supervm.protocol.state.state import State
from supervm.protocol.wire.chain import BatchVoteMessage
from supervm.tier_l1_super.consensus.simplex.promises import BatchPromise, decode_promise
from supervm.tier_l1_super.node import ValidatorNode

from ..exact import Host, Stepped
from .facts import Facts

Slot = tuple[bytes, int, bytes]
"""(sender, sequence number, predecessor)."""


class _Held:
    """What one validator has promised in one epoch, as far as its present life knows."""

    def __init__(self, epoch: int, height: int) -> None:
        self.epoch = epoch
        self.height = height
        self.slots: dict[Slot, list[SignedTransaction]] = {}
        self.ids: dict[bytes, None] = {}

    def add(self, transaction: SignedTransaction) -> None:
        if transaction.id not in self.ids:
            body = transaction.body
            self.ids[transaction.id] = None
            self.slots.setdefault((body.sender, body.seq, body.prev), []).append(transaction)

    def chain(self, sender: bytes, account: Account, ts_ms: int) -> list[SignedTransaction]:
        """Return the promises that are alive, in slot order."""
        found: list[SignedTransaction] = []
        slot: Slot | None = (sender, account.next_seq, account.head)
        while slot is not None:
            alive = [item for item in self.slots.get(slot, ()) if item.body.valid_until_ms >= ts_ms]
            slot = None
            if alive:
                found.append(alive[-1])
                slot = (sender, alive[-1].body.seq + 1, alive[-1].id)
        return found


class SupportWatch:
    """Watches the bits of batch votes.

    Args:
        facts: shared knowledge.
    """

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._held: dict[str, _Held] = {}

    def started(self, host: Host) -> None:
        """Begin with what is on the disk."""
        core = host.core
        self._held.pop(host.name, None)
        if not isinstance(core, ValidatorNode):
            return
        held = self._of(host.name, core)
        for payload in () if host.disk.log_lost else host.disk.log():
            promise = decode_promise(payload)
            if isinstance(promise, BatchPromise) and promise.epoch == held.epoch:
                self._add(held, promise.digest, bitmap_bits(promise.bitmap, promise.count))

    def _of(self, name: str, core: ValidatorNode) -> _Held:
        held = self._held.get(name)
        if held is None or held.epoch != core.seat.rules.epoch:
            held = self._held[name] = _Held(core.seat.rules.epoch, core.ledger.height)
        return held

    def _add(self, held: _Held, digest: bytes, bits: int) -> None:
        batch = self._facts.batches.get(digest)
        for position, transaction in enumerate(() if batch is None else batch.transactions):
            if bits >> position & 1:
                held.add(transaction)

    def stepped(self, event: Stepped) -> None:
        """Look at the batch votes of a step of an honest validator."""
        core = event.host.core
        if not isinstance(core, ValidatorNode):
            return
        before = self._held.get(event.host.name)
        quiet = before is not None and (before.epoch, before.height) == (core.seat.rules.epoch, core.ledger.height)
        held = self._of(event.host.name, core)
        held.height = core.ledger.height
        for effect in event.effects:
            if type(effect) is Send and type(effect.message) is BatchVoteMessage:
                vote = effect.message.vote
                if vote.epoch != held.epoch:
                    continue
                if quiet:
                    self._judge(event.host.name, core, held, vote)
                self._add(held, vote.digest, bitmap_bits(vote.bitmap, vote.count))

    def _judge(self, name: str, core: ValidatorNode, held: _Held, vote: BatchVote) -> None:
        batch = self._facts.batches.get(vote.digest)
        if batch is None:
            return
        bits = bitmap_bits(vote.bitmap, vote.count)
        ts_ms = core.ledger.block_header.ts_ms
        for position, transaction in enumerate(batch.transactions):
            supported = bool(bits >> position & 1)
            if supported and transaction.id in held.ids:
                continue  # a promise is repeated
            account = core.ledger.state.accounts.get(transaction.body.sender, EMPTY_ACCOUNT)
            reason = self._reason(held, transaction, account, core.ledger.state, ts_ms)
            where = f"transaction {transaction.id.hex()[:16]} (sequence number {transaction.body.seq})"
            if supported and reason:
                self._facts.book.note("3.2", f"{name} supports {where}: {reason}")
            elif not supported and not reason:
                self._facts.book.note("3.2", f"{name} does not support {where}, which may follow what it holds")
            if supported:
                held.add(transaction)

    def _reason(self, held: _Held, transaction: SignedTransaction, account: Account, state: State, ts_ms: int) -> str:
        """Return why a transaction gets no bit, empty if it gets one."""
        parameters, body = self._facts.chain.parameters, transaction.body
        chain = held.chain(body.sender, account, ts_ms)
        place = body.seq - account.next_seq
        if not 0 <= place < parameters.window:
            return "its sequence number is used, or beyond the window"
        if place < len(chain):
            return "" if chain[place].id == transaction.id else "its slot is promised to another one"
        if place > len(chain) or body.prev != (chain[-1].id if chain else account.head):
            return "it does not follow what is executed and promised"
        left_ms = body.valid_until_ms - ts_ms
        if not parameters.validity_ms_min <= left_ms <= parameters.validity_ms_max:
            return f"it is valid for {left_ms} ms more"
        if (isinstance(body, Transfer) and body.to in POOL_ACCOUNTS) or body.sender in POOL_ACCOUNTS:
            return "it is of or for a pool"
        promised: dict[bytes, int] = {}
        for item in (*chain, transaction):
            promised[item.body.fee_asset] = promised.get(item.body.fee_asset, 0) + item.body.fee
            if isinstance(item.body, Transfer):
                promised[item.body.asset] = promised.get(item.body.asset, 0) + item.body.amount
        for asset, debits in promised.items():
            balance = state.balance(body.sender, asset)
            if debits > balance:
                return f"{debits} of {write_asset(asset)[:16]} are promised of {balance}"
        return ""
