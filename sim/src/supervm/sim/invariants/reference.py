"""A second opinion on execution: consensus.md 3.5 and economics.md 1, written again from the text, and short.

It executes the finalized chain from genesis, in plain integers, and keeps every account's history. What shipped nodes
write to disk is held against it, so a mistake that all of them make together is seen as well.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from supervm.protocol.chain.batch_certificate import BatchCertificate, batch_vote_statement
from supervm.protocol.chain.block import Block
from supervm.protocol.money.transfer import SignedTransaction
from supervm.protocol.state.account import EMPTY_ACCOUNT, FLAG_FAILED, POOLS, Account

from .facts import Facts, SeenBatch

WHOLE_BPS = 10_000
NO_EDGE = 255


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one block does.

    Attributes:
        changes: account -> its state after the block.
        executed: ids in order; those that failed for want of money are in `failed` as well.
        failed: ids.
        fees: grain per tier.
    """

    changes: dict[bytes, Account]
    executed: tuple[bytes, ...]
    failed: tuple[bytes, ...]
    fees: tuple[int, int, int, int]


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
        self.accounts: dict[bytes, Account] = {
            item.account: Account(item.amount, 0, bytes(32), 0) for item in chain.genesis.allocations
        }
        self.supply = sum(item.amount for item in chain.genesis.allocations)
        self._payouts = {miner.node_id: miner.payout for miner in chain.genesis.miners}
        self.height = 0
        self.outcomes: dict[int, Outcome] = {}
        """Height -> what its block did."""
        self.executed_at: dict[bytes, int] = {}
        """Transaction -> height at which it took its slot."""
        self.failed: dict[bytes, None] = {}
        self._history: dict[bytes, tuple[list[int], list[Account]]] = {
            account: ([0], [state]) for account, state in self.accounts.items()
        }

    def account_at(self, account: bytes, height: int) -> Account:
        """Return an account's state after the block of this height, which is not above `height`."""
        heights, states = self._history.get(account, ([], []))
        place = bisect_right(heights, height)
        return states[place - 1] if place else EMPTY_ACCOUNT

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
        for account, state in outcome.changes.items():
            self.accounts[account] = state
            heights, states = self._history.setdefault(account, ([], []))
            heights.append(self.height)
            states.append(state)
        return True

    def _execute(self, block: Block, batches: Sequence[SeenBatch]) -> Outcome:
        facts, note = self._facts, self._facts.book.note
        changes: dict[bytes, Account] = {}
        earned: dict[bytes, int] = {}
        executed: list[bytes] = []
        failed: list[bytes] = []
        totals = [0, 0, 0, 0]

        def read(account: bytes) -> Account:
            return changes.get(account) or self.accounts.get(account, EMPTY_ACCOUNT)

        leader = facts.epochs.members[block.header.epoch].node_ids[block.header.proposer]
        for ref, batch in zip(block.body.refs, batches, strict=True):
            before = len(executed)
            for position in certified_positions(ref, facts):
                transaction = batch.transactions[position]
                body, sender = transaction.body, read(transaction.body.sender)
                if body.seq != sender.next_seq or body.prev != sender.head or block.header.ts_ms > body.valid_until_ms:
                    continue
                if transaction.id in self.executed_at:
                    note("S12", f"transaction {transaction.id.hex()[:16]} is executed twice")
                self.executed_at[transaction.id] = block.header.height
                executed.append(transaction.id)
                debit = body.amount + body.fee
                if sender.balance < debit:
                    failed.append(transaction.id)
                    self.failed[transaction.id] = None
                    changes[body.sender] = Account(
                        sender.balance, body.seq + 1, transaction.id, sender.flags | FLAG_FAILED
                    )
                    note("S13", f"transaction {transaction.id.hex()[:16]} at height {block.header.height} lacks money")
                    continue
                changes[body.sender] = Account(sender.balance - debit, body.seq + 1, transaction.id, sender.flags)
                receiver = read(body.to)
                changes[body.to] = receiver._replace(balance=receiver.balance + body.amount)
                self._earn(batch, position, transaction, earned, totals)
            if len(executed) == before and facts.is_honest(facts.world.hosts[leader]):
                note("3.9.6", f"block {block.header.height} has a certificate of which nothing executes")
        for account in sorted(earned):
            state = read(account)
            changes[account] = state._replace(balance=state.balance + earned[account])
        return Outcome(changes, tuple(executed), tuple(failed), (totals[0], totals[1], totals[2], totals[3]))

    def _earn(
        self,
        batch: SeenBatch,
        position: int,
        transaction: SignedTransaction,
        earned: dict[bytes, int],
        totals: list[int],
    ) -> None:
        edge = batch.edge_of[position]
        earners = (
            POOLS["l1"],
            self._payouts.get(batch.miner, POOLS["treasury"]),
            POOLS["l3"] if edge == NO_EDGE else batch.edges[edge],
            POOLS["l4"],
        )
        parts = shares(transaction.body.fee, self._facts.chain.parameters.fee_shares_bps)
        for tier, (account, part) in enumerate(zip(earners, parts, strict=True)):
            totals[tier] += part
            if part:
                earned[account] = earned.get(account, 0) + part
