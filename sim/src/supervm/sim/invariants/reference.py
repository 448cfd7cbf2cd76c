"""A second opinion on execution: consensus.md 3.5 and economics.md 1, written again from the text, and short.

It executes the finalized chain from genesis, in plain integers, and keeps every leaf's history. What shipped nodes
write to disk is held against it, so a mistake that all of them make together is seen as well. The value of a leaf is an
`Account`, an amount (0 where there is no holding) or an `Asset` (None before it is issued).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from supervm.protocol.chain.batch_certificate import BatchCertificate, batch_vote_statement
from supervm.protocol.chain.block import Block
from supervm.protocol.money.transaction import SignedTransaction
from supervm.protocol.money.transfer import Transfer
from supervm.protocol.state.account import EMPTY_ACCOUNT, FLAG_FAILED, POOLS, Account
from supervm.protocol.state.leaves import (
    ACCOUNT,
    HOLDING,
    NATIVE,
    Asset,
    account_leaf_id,
    asset_leaf_id,
    holding_leaf_id,
)

from .facts import Facts, SeenBatch

WHOLE_BPS = 10_000

Value = Account | Asset | int | None
"""What a leaf says."""


def nothing_of(leaf_id: bytes) -> Value:
    """Return what a leaf says that is not there."""
    return EMPTY_ACCOUNT if leaf_id[0] == ACCOUNT else 0 if leaf_id[0] == HOLDING else None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one block does.

    Attributes:
        changes: leaf id -> what it says after the block.
        executed: ids in order; those that failed for want of money are in `failed` as well.
        failed: ids.
        fees: what was paid, of all assets together.
    """

    changes: dict[bytes, Value]
    executed: tuple[bytes, ...]
    failed: tuple[bytes, ...]
    fees: int


@dataclass(slots=True)
class _Block:
    """One block while it is executed."""

    reference: Reference
    changes: dict[bytes, Value] = field(default_factory=dict)
    earned: dict[tuple[bytes, bytes], int] = field(default_factory=dict)
    executed: list[bytes] = field(default_factory=list)
    failed: list[bytes] = field(default_factory=list)
    fees: int = 0

    def account(self, account: bytes) -> Account:
        state = self._value(account_leaf_id(account))
        assert isinstance(state, Account)
        return state

    def _value(self, leaf_id: bytes) -> Value:
        if leaf_id in self.changes:
            return self.changes[leaf_id]
        return self.reference.values.get(leaf_id, nothing_of(leaf_id))

    def balance(self, account: bytes, asset: bytes) -> int:
        if asset == NATIVE:
            return self.account(account).balance
        amount = self._value(holding_leaf_id(account, asset))
        assert isinstance(amount, int)
        return amount

    def pay(self, account: bytes, asset: bytes, amount: int) -> None:
        """Add an amount, which may be negative."""
        after = self.balance(account, asset) + amount
        if asset == NATIVE:
            self.changes[account_leaf_id(account)] = self.account(account)._replace(balance=after)
        else:
            self.changes[holding_leaf_id(account, asset)] = after


def shares(fee: int, shares_bps: Sequence[int]) -> list[int]:
    """Split a fee: floors first, the grains left to the largest remainders, ties to the lower tier."""
    parts = [fee * share // WHOLE_BPS for share in shares_bps]
    order = sorted(range(4), key=lambda tier: (-(fee * shares_bps[tier] % WHOLE_BPS), tier))
    for tier in order[: fee - sum(parts)]:
        parts[tier] += 1
    return parts


def certified_positions(reference: BatchCertificate, facts: Facts) -> list[int]:
    """Return the positions of the transactions that voters of quorum weight support."""
    members = facts.epochs.members[reference.header.epoch]
    weights = [0] * reference.header.count
    for group in reference.votes:
        bits = int.from_bytes(group.bitmap, "little")
        weight = members.weight_of(index for index, _ in group.signatures)
        for position in range(reference.header.count):
            if bits >> position & 1:
                weights[position] += weight
    return [position for position, weight in enumerate(weights) if weight >= members.quorum]


def _genuine(reference: BatchCertificate, facts: Facts) -> bool:
    """Return whether distinct validators of quorum weight gave exactly these bitmaps."""
    header = reference.header
    signers: list[int] = []
    for group in reference.votes:
        message = batch_vote_statement(facts.chain_id, header.epoch, header.digest, header.count, group.bitmap)
        for index, signature in group.signatures:
            if not facts.signed(index, header.epoch, message, signature):
                return False
            signers.append(index)
    members = facts.epochs.members[header.epoch]
    return len(dict.fromkeys(signers)) == len(signers) and members.weight_of(signers) >= members.quorum


class Reference:
    """The state of the finalized chain, by the text.

    Args:
        facts: shared knowledge.
    """

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        chain = facts.chain
        first = chain.first_state()
        self.values: dict[bytes, Value] = {account_leaf_id(key): state for key, state in first.accounts.items()}
        for account, held in first.holdings.items():
            self.values.update({holding_leaf_id(account, asset): amount for asset, amount in held.items()})
        self.values.update({asset_leaf_id(asset): made for asset, made in first.assets.items()})
        self.supply = sum(state.balance for state in first.accounts.values())
        self._payouts = {miner.node_id: miner.payout for miner in chain.genesis.miners}
        self.height = 0
        self.outcomes: dict[int, Outcome] = {}
        """Height -> what its block did."""
        self.executed_at: dict[bytes, int] = {}
        """Transaction -> height at which it took its slot."""
        self.failed: dict[bytes, None] = {}
        self._history: dict[bytes, tuple[list[int], list[Value]]] = {
            leaf_id: ([0], [value]) for leaf_id, value in self.values.items()
        }

    def value_at(self, leaf_id: bytes, height: int) -> Value:
        """Return what a leaf says after the block of this height, which is not above `height`."""
        heights, values = self._history.get(leaf_id, ([], []))
        place = bisect_right(heights, height)
        return values[place - 1] if place else nothing_of(leaf_id)

    def account_at(self, account: bytes, height: int) -> Account:
        """Return an account's state after the block of this height, which is not above `height`."""
        state = self.value_at(account_leaf_id(account), height)
        assert isinstance(state, Account)
        return state

    def balance_at(self, account: bytes, asset: bytes, height: int) -> int:
        """Return what an account has of an asset after the block of this height."""
        if asset == NATIVE:
            return self.account_at(account, height).balance
        amount = self.value_at(holding_leaf_id(account, asset), height)
        assert isinstance(amount, int)
        return amount

    def advance(self) -> bool:
        """Execute the next finalized block if it and its batches are known; return whether that was so."""
        facts = self._facts
        digest = facts.final.get(self.height + 1)
        block = None if digest is None else facts.blocks.get(digest)
        if block is None:
            return False
        batches = [facts.batches.get(ref.digest) for ref in block.body.refs]
        if any(batch is None for batch in batches):
            return False
        facts.follow()
        if any(ref.header.epoch != block.header.epoch for ref in block.body.refs):
            facts.book.note("N4", f"block {self.height + 1} refers to a batch of another epoch")
        for ref in block.body.refs:
            if not _genuine(ref, facts):
                facts.book.note("N4", f"block {self.height + 1} refers to a batch that no quorum voted for")
        for item in block.body.evidence:
            if facts.honest_index(item.accused, block.header.epoch):
                facts.book.note("A1", f"block {self.height + 1} accuses validator {item.accused}, which is honest")
        outcome = self._execute(block, [batch for batch in batches if batch is not None])
        self.height += 1
        self.outcomes[self.height] = outcome
        for leaf_id, value in outcome.changes.items():
            self.values[leaf_id] = value
            heights, values = self._history.setdefault(leaf_id, ([], []))
            heights.append(self.height)
            values.append(value)
        return True

    def _execute(self, block: Block, batches: Sequence[SeenBatch]) -> Outcome:
        facts, note = self._facts, self._facts.book.note
        done = _Block(self)
        leader = facts.epochs.members[block.header.epoch].node_ids[block.header.proposer]
        for ref, batch in zip(block.body.refs, batches, strict=True):
            before = len(done.executed)
            for position in certified_positions(ref, facts):
                transaction = batch.transactions[position]
                body, sender = transaction.body, done.account(transaction.body.sender)
                if body.seq != sender.next_seq or body.prev != sender.head or block.header.ts_ms > body.valid_until_ms:
                    continue
                if transaction.id in self.executed_at:
                    note("S12", f"transaction {transaction.id.hex()[:16]} is executed twice")
                self.executed_at[transaction.id] = block.header.height
                self._one(done, batch.miner, transaction, sender)
                if transaction.id in self.failed:
                    note("S13", f"transaction {transaction.id.hex()[:16]} at height {block.header.height} lacks money")
            if len(done.executed) == before and facts.is_honest(facts.world.hosts[leader]):
                note("3.9.6", f"block {block.header.height} has a certificate of which nothing executes")
        for account, asset in sorted(done.earned):
            done.pay(account, asset, done.earned[account, asset])
        return Outcome(done.changes, tuple(done.executed), tuple(done.failed), done.fees)

    def _one(self, done: _Block, miner: bytes, transaction: SignedTransaction, sender: Account) -> None:
        body = transaction.body
        done.executed.append(transaction.id)
        slot = sender._replace(next_seq=body.seq + 1, head=transaction.id)
        needed = {body.fee_asset: body.fee}
        if isinstance(body, Transfer):
            needed[body.asset] = needed.get(body.asset, 0) + body.amount
        if any(done.balance(body.sender, asset) < amount for asset, amount in needed.items()):
            done.failed.append(transaction.id)
            self.failed[transaction.id] = None
            done.changes[account_leaf_id(body.sender)] = slot._replace(flags=sender.flags | FLAG_FAILED)
            return
        done.changes[account_leaf_id(body.sender)] = slot
        done.pay(body.sender, body.fee_asset, -body.fee)
        if isinstance(body, Transfer):
            done.pay(body.sender, body.asset, -body.amount)
            done.pay(body.to, body.asset, body.amount)
        else:
            done.changes[asset_leaf_id(transaction.id)] = Asset(body.sender, body.supply)
            done.pay(body.sender, transaction.id, body.supply)
        done.fees += body.fee
        earners = (
            POOLS["l1"],
            self._payouts.get(miner, POOLS["treasury"]),
            body.via or POOLS["l3"],
            POOLS["l4"],
        )
        parts = shares(body.fee, self._facts.chain.parameters.fee_shares_bps)
        for account, part in zip(earners, parts, strict=True):
            if part:
                key = (account, body.fee_asset)
                done.earned[key] = done.earned.get(key, 0) + part
