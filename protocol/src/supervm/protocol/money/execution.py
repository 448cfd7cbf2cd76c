"""The state transition: what executing a finalized block does to the state (consensus.md 3.5, 3.9.2).

Pure function of the finalized chain. A certified transaction is executable iff its slot is the sender's next
(`seq == next_seq` and `prev == head`) and the block's time has not passed its validity; otherwise it is skipped
without effect. One transaction in several batches is therefore one payment, and its fee goes to the first that
executes. An under-run of a balance is impossible while at most f validators are faulty; should it happen, the
transaction fails deterministically: it consumes its slot, takes nothing, and the result says so for the alarm.

Every asset has books of its own: what leaves the sender, the split of the fee and the check of the sums are per asset,
and nothing converts one into another. Fees are split per transaction and credited to their earners after the block's
last one, in ascending order of account and asset. The L3 part goes to the account that the sender named (`via`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, Protocol

import msgspec

from ..base.codec import Agreed, Hash, Uint, Uint8, encode
from ..base.errors import LocalProtocolError
from ..base.limits import BATCH_TRANSACTIONS_MAX, REFS_MAX
from ..state.account import EMPTY_ACCOUNT, FLAG_FAILED, POOL_ACCOUNTS, POOLS, Account
from ..state.leaves import NATIVE, Asset
from ..state.receipts import RECEIPTS, merkle_root
from ..state.state import State, StateChange
from .fees import split_fee
from .transaction import SignedTransaction
from .transfer import Transfer

STATUS_FAILED, STATUS_EXECUTED = 0, 1
RECEIPTS_MAX = REFS_MAX * BATCH_TRANSACTIONS_MAX
"""Most receipts of one block."""


class Receipt(Agreed, tag="receipt", frozen=True):
    """What became of one transaction.

    Attributes:
        version: layout, 1.
        transaction_id: the transaction's.
        status: `STATUS_EXECUTED` or `STATUS_FAILED`.
        fee: what was taken of its fee asset; 0 if the transaction failed.
        next_seq: of the sender, after this transaction.
        position: place of the receipt among its block's, from 0: its leaf in the receipts tree.
    """

    version: Literal[1]
    transaction_id: Hash
    status: Uint8
    fee: Uint
    next_seq: Uint
    position: Uint


class Payee(Protocol):
    """Who is paid for the transactions of a batch, besides validators and edges: its header, seen from here."""

    @property
    def miner(self) -> bytes:
        """Node id of the miner."""


class ExecutableBatch(Protocol):
    """A certified batch, as far as executing it goes."""

    @property
    def header(self) -> Payee:
        """Who is paid."""

    @property
    def transactions(self) -> Sequence[SignedTransaction]:
        """In the order of execution."""

    @property
    def certified(self) -> int:
        """Bit j is 1 if transaction j is certified; the others are skipped."""


FeesByTier = tuple[int, int, int, int]
"""What the tiers L1 to L4 were given of one asset."""


@dataclass(frozen=True, slots=True)
class BlockResult:
    """Outcome of a block.

    Attributes:
        change: what it does to the state.
        receipts: in the order of execution.
        fees: asset -> what the tiers were given; assets in which a fee was taken, ascending.
        failed: ids of the transactions that failed.
    """

    change: StateChange
    receipts: tuple[Receipt, ...]
    fees: Mapping[bytes, FeesByTier]
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
    state: State,
    batches: Sequence[ExecutableBatch],
    *,
    ts_ms: int,
    payout_of_miner: Mapping[bytes, bytes],
    fee_shares_bps: Sequence[int],
) -> BlockResult:
    """Execute the batches of one finalized block over `state`, which is not changed.

    Args:
        state: before the block.
        batches: the block's references in order.
        ts_ms: the block's time.
        payout_of_miner: registered miners; an unknown miner's part goes to the treasury.
        fee_shares_bps: how a fee is split over the four tiers.

    Raises:
        LocalProtocolError: the block would create or destroy money - a bug here, and the node must stop (C2).
    """
    books = _Books(state)
    for batch in batches:
        miner = payout_of_miner.get(batch.header.miner, POOLS["treasury"])
        certified = batch.certified
        for index, transaction in enumerate(batch.transactions):
            if certified >> index & 1:
                sender = books.account(transaction.body.sender)
                if can_execute(transaction, sender, ts_ms):
                    books.execute(transaction, sender, miner, fee_shares_bps)
    return books.close()


@dataclass(slots=True)
class _Books:
    """What a block has changed so far."""

    state: State
    accounts: dict[bytes, Account] = field(default_factory=dict)
    holdings: dict[tuple[bytes, bytes], int] = field(default_factory=dict)
    assets: dict[bytes, Asset] = field(default_factory=dict)
    receipts: list[Receipt] = field(default_factory=list)
    failed: list[bytes] = field(default_factory=list)
    earned: dict[tuple[bytes, bytes], int] = field(default_factory=dict)  # (account, asset) -> share of fees
    fees: dict[bytes, list[int]] = field(default_factory=dict)
    collected: dict[bytes, int] = field(default_factory=dict)

    def account(self, key: bytes) -> Account:
        """Return an account as it is by now."""
        account = self.accounts.get(key)
        return account if account is not None else self.state.accounts.get(key, EMPTY_ACCOUNT)

    def _balance(self, account: bytes, asset: bytes) -> int:
        if not asset:
            return self.account(account).balance
        amount = self.holdings.get((account, asset))
        return amount if amount is not None else self.state.balance(account, asset)

    def _add(self, account: bytes, asset: bytes, amount: int) -> None:
        if asset:
            self.holdings[account, asset] = self._balance(account, asset) + amount
        else:
            before = self.account(account)
            self.accounts[account] = before._replace(balance=before.balance + amount)

    def execute(
        self, transaction: SignedTransaction, sender: Account, miner: bytes, fee_shares_bps: Sequence[int]
    ) -> None:
        """Execute what fills the sender's next slot."""
        body, identity = transaction.body, transaction.id
        next_seq, debits = sender.next_seq + 1, transaction.debits
        payable = not isinstance(body, Transfer) or body.to not in POOL_ACCOUNTS
        if not payable or any(self._balance(body.sender, asset) < amount for asset, amount in debits):
            self.accounts[body.sender] = Account(sender.balance, next_seq, identity, sender.flags | FLAG_FAILED)
            self.receipts.append(Receipt(1, identity, STATUS_FAILED, 0, next_seq, len(self.receipts)))
            self.failed.append(identity)
            return
        self.accounts[body.sender] = Account(sender.balance, next_seq, identity, sender.flags)
        for asset, amount in debits:
            self._add(body.sender, asset, -amount)
        if isinstance(body, Transfer):
            self._add(body.to, body.asset, body.amount)
        else:
            self.assets[identity] = Asset(body.sender, body.supply)
            self._add(body.sender, identity, body.supply)
        earners = (POOLS["l1"], miner, body.via or POOLS["l3"], POOLS["l4"])
        self._take_fee(body.fee_asset, body.fee, earners, fee_shares_bps)
        self.receipts.append(Receipt(1, identity, STATUS_EXECUTED, body.fee, next_seq, len(self.receipts)))

    def _take_fee(self, asset: bytes, fee: int, earners: Sequence[bytes], fee_shares_bps: Sequence[int]) -> None:
        self.collected[asset] = self.collected.get(asset, 0) + fee
        totals = self.fees.setdefault(asset, [0, 0, 0, 0])
        for tier, (earner, part) in enumerate(zip(earners, split_fee(fee, fee_shares_bps), strict=True)):
            totals[tier] += part
            if part:
                key = (earner, asset)
                self.earned[key] = self.earned.get(key, 0) + part

    def close(self) -> BlockResult:
        """Credit the fees and check that every asset's sum is what it was, or what was issued."""
        for earner, asset in sorted(self.earned):
            self._add(earner, asset, self.earned[earner, asset])
        self._check_sums()
        change = StateChange(
            dict(sorted(self.accounts.items())), dict(sorted(self.holdings.items())), dict(sorted(self.assets.items()))
        )
        fees = {asset: (one, two, three, four) for asset, (one, two, three, four) in sorted(self.fees.items())}
        return BlockResult(change, tuple(self.receipts), fees, tuple(self.failed))

    def _check_sums(self) -> None:
        before = self.state
        deltas = {asset: -made.supply for asset, made in self.assets.items()}
        deltas[NATIVE] = sum(
            account.balance - before.accounts.get(key, EMPTY_ACCOUNT).balance for key, account in self.accounts.items()
        )
        for (account, asset), amount in self.holdings.items():
            deltas[asset] = deltas.get(asset, 0) + amount - before.balance(account, asset)
        for asset, delta in sorted(deltas.items()):
            if delta != 0:
                name = asset.hex()[:16] or "svm"
                raise LocalProtocolError(f"the block changes the supply of {name} by {delta}; only 0 is allowed")
        for asset, collected in self.collected.items():
            if sum(self.fees[asset]) != collected:
                raise LocalProtocolError(f"fees of {collected} were split into {sum(self.fees[asset])}; bug")


class BlockReceipts(Agreed, tag="receipts", frozen=True):
    """All receipts of one block, as a node stores them.

    Attributes:
        version: layout, 1.
        receipts: in order of execution, so that each stands at its `position`.
    """

    version: Literal[1]
    receipts: Annotated[tuple[Receipt, ...], msgspec.Meta(max_length=RECEIPTS_MAX)]
