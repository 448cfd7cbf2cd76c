"""The state transition: what executing a finalized block does to the accounts (consensus.md 3.5, 3.9.2).

Pure function of the finalized chain. A certified transaction is executable iff its slot is the sender's next
(`seq == next_seq` and `prev == head`) and the block's time has not passed its validity; otherwise it is skipped
without effect. One transaction in several batches is therefore one payment, and its fee goes to the first that
executes. An under-run of the balance is impossible while at most f validators are faulty; should it happen, the
transaction fails deterministically: it consumes its slot, takes nothing, and the result says so for the alarm.

Fees are split per transaction and credited to their earners after the block's last transaction, in ascending account
order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

import msgspec

from ..base.codec import Agreed, Hash, Uint, Uint8, encode
from ..base.errors import LocalProtocolError
from ..base.limits import BATCH_TRANSACTIONS_MAX, REFS_MAX
from ..state.account import EMPTY_ACCOUNT, FLAG_FAILED, POOL_ACCOUNTS, POOLS, Account
from ..state.receipts import RECEIPTS, merkle_root
from .fees import NO_EDGE, split_fee
from .transfer import SignedTransaction

STATUS_FAILED, STATUS_EXECUTED = 0, 1
RECEIPTS_MAX = REFS_MAX * BATCH_TRANSACTIONS_MAX
"""Most receipts of one block."""


class Receipt(Agreed, tag="receipt", frozen=True):
    """What became of one transaction.

    Attributes:
        version: layout, 1.
        transaction_id: the transaction's.
        status: `STATUS_EXECUTED` or `STATUS_FAILED`.
        fee: grain of fee that was taken; 0 if the transaction failed.
        next_seq: of the sender, after this transaction.
        position: place of the receipt among its block's, from 0: its leaf in the receipts tree.
    """

    version: Literal[1]
    transaction_id: Hash
    status: Uint8
    fee: Uint
    next_seq: Uint
    position: Uint


class Payees(Protocol):
    """Who is paid for the transactions of a batch, besides the validators: its header, seen from here."""

    @property
    def miner(self) -> bytes:
        """Node id of the miner."""

    @property
    def edges(self) -> Sequence[bytes]:
        """Accounts of the edges that `edge_of` points into."""


class ExecutableBatch(Protocol):
    """A certified batch, as far as executing it goes."""

    @property
    def header(self) -> Payees:
        """Who is paid."""

    @property
    def transactions(self) -> Sequence[SignedTransaction]:
        """In the order of execution."""

    @property
    def edge_of(self) -> bytes:
        """One byte per transaction: an index in the header's `edges`, or `NO_EDGE`."""

    @property
    def certified(self) -> int:
        """Bit j is 1 if transaction j is certified; the others are skipped."""


@dataclass(frozen=True, slots=True)
class BlockResult:
    """Outcome of a block: changed accounts in ascending order, receipts in order, and the fees by tier."""

    changes: dict[bytes, Account]
    receipts: tuple[Receipt, ...]
    fees_by_tier: tuple[int, int, int, int]
    failed: tuple[bytes, ...]

    @property
    def receipts_root(self) -> bytes:
        """Root of the receipts tree; 32 zero bytes for a block without receipts."""
        return merkle_root([encode(receipt) for receipt in self.receipts], RECEIPTS)


def can_execute(transaction: SignedTransaction, account: Account, block_ts_ms: int) -> bool:
    """Return whether the transaction fills its sender's next slot in a block of this time."""
    body = transaction.body
    return body.seq == account.next_seq and body.prev == account.head and block_ts_ms <= body.valid_until_ms


def execute_block(
    accounts: Mapping[bytes, Account],
    batches: Sequence[ExecutableBatch],
    *,
    ts_ms: int,
    payout_of_miner: Mapping[bytes, bytes],
    fee_shares_bps: Sequence[int],
) -> BlockResult:
    """Execute the batches of one finalized block over `accounts`, which is not changed.

    Args:
        accounts: state before the block.
        batches: the block's references in order.
        ts_ms: the block's time.
        payout_of_miner: registered miners; an unknown miner's part goes to the treasury.
        fee_shares_bps: how a fee is split over the four tiers.

    Raises:
        LocalProtocolError: the block would create or destroy money - a bug here, and the node must stop (C2).
    """
    changes: dict[bytes, Account] = {}
    earned: dict[bytes, int] = {}
    receipts: list[Receipt] = []
    failed: list[bytes] = []
    tier_totals = [0, 0, 0, 0]
    collected = 0

    def read(key: bytes) -> Account:
        account = changes.get(key)
        return account if account is not None else accounts.get(key, EMPTY_ACCOUNT)

    for batch in batches:
        miner = payout_of_miner.get(batch.header.miner, POOLS["treasury"])
        edges, edge_of, certified = batch.header.edges, batch.edge_of, batch.certified
        for index, transaction in enumerate(batch.transactions):
            if not certified >> index & 1:
                continue
            body = transaction.body
            sender = read(body.sender)
            if not can_execute(transaction, sender, ts_ms):
                continue
            next_seq = sender.next_seq + 1
            debit = body.amount + body.fee
            if sender.balance < debit or body.to in POOL_ACCOUNTS:
                changes[body.sender] = Account(sender.balance, next_seq, transaction.id, sender.flags | FLAG_FAILED)
                receipts.append(Receipt(1, transaction.id, STATUS_FAILED, 0, next_seq, len(receipts)))
                failed.append(transaction.id)
                continue
            changes[body.sender] = Account(sender.balance - debit, next_seq, transaction.id, sender.flags)
            receiver = read(body.to)
            changes[body.to] = receiver._replace(balance=receiver.balance + body.amount)
            collected += body.fee
            edge_index = edge_of[index]
            edge = POOLS["l3"] if edge_index == NO_EDGE else edges[edge_index]
            parts = split_fee(body.fee, fee_shares_bps)
            for tier, (earner, part) in enumerate(zip((POOLS["l1"], miner, edge, POOLS["l4"]), parts, strict=True)):
                tier_totals[tier] += part
                if part:
                    earned[earner] = earned.get(earner, 0) + part
            receipts.append(Receipt(1, transaction.id, STATUS_EXECUTED, body.fee, next_seq, len(receipts)))
    for earner in sorted(earned):
        account = read(earner)
        changes[earner] = account._replace(balance=account.balance + earned[earner])
    delta = sum(account.balance - accounts.get(key, EMPTY_ACCOUNT).balance for key, account in changes.items())
    if delta != 0 or sum(tier_totals) != collected:
        raise LocalProtocolError(f"the block changes the supply by {delta} grain; only 0 is allowed")
    return BlockResult(
        dict(sorted(changes.items())),
        tuple(receipts),
        (tier_totals[0], tier_totals[1], tier_totals[2], tier_totals[3]),
        tuple(failed),
    )


class BlockReceipts(Agreed, tag="receipts", frozen=True):
    """All receipts of one block, as a node stores them.

    Attributes:
        version: layout, 1.
        receipts: in order of execution, so that each stands at its `position`.
    """

    version: Literal[1]
    receipts: Annotated[tuple[Receipt, ...], msgspec.Meta(max_length=RECEIPTS_MAX)]
