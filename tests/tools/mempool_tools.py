"""A miner's mempool in a test's hands, over a state that the test changes; nothing is verified, nothing is sent."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from supervm.common.parts.fee_policy import ANY_FEE, FeePolicy
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.base.keys import SigningKey
from supervm.protocol.chain.genesis import Parameters
from supervm.protocol.money.transaction import SignedTransaction, sign_issue, sign_transfer
from supervm.protocol.money.transfer import Transfer
from supervm.protocol.state.account import EMPTY_ACCOUNT, Account
from supervm.protocol.state.leaves import NATIVE
from supervm.protocol.state.state import State, StateChange
from supervm.tier_l2_miner.mempool.mempool import Mempool
from supervm.tier_l2_miner.options import MinerOptions

CHAIN_ID = bytes(range(32))
KEYS = [SigningKey(bytes([9, i]) + bytes(30)) for i in range(4)]
"""Senders that the state has accounts of."""
DAY_MS = 86_400_000


def transaction(
    who: int = 0,
    seq: int = 0,
    prev: bytes = ZERO_HASH,
    *,
    amount: int = 10,
    fee: int = 1,
    valid: int = DAY_MS,
    to: bytes = b"",
    asset: bytes = NATIVE,
    fee_asset: bytes = NATIVE,
) -> SignedTransaction:
    """Sign a transfer of `KEYS[who]`."""
    return sign_transfer(
        KEYS[who],
        chain_id=CHAIN_ID,
        seq=seq,
        prev=prev,
        to=to or bytes(32),
        amount=amount,
        fee=fee,
        valid_until_ms=valid,
        asset=asset,
        fee_asset=fee_asset,
    )


def issue(who: int = 0, seq: int = 0, prev: bytes = ZERO_HASH, *, supply: int = 100, fee: int = 1) -> SignedTransaction:
    """Sign an issue of `KEYS[who]`."""
    return sign_issue(KEYS[who], chain_id=CHAIN_ID, seq=seq, prev=prev, supply=supply, fee=fee, valid_until_ms=DAY_MS)


def chain_of(who: int, count: int, **how: Any) -> list[SignedTransaction]:
    """Sign the first `count` transfers of `KEYS[who]`, one after another."""
    out: list[SignedTransaction] = []
    prev = ZERO_HASH
    for seq in range(count):
        out.append(transaction(who, seq, prev, **how))
        prev = out[-1].id
    return out


class Pool:
    """A mempool and what it lives by.

    Attributes:
        state: what was executed; `execute` and `give` change it.
        known: ids of transactions that were executed.
        news: (transaction id, level, reason) of all that was told, in order.
        pool: the mempool.
    """

    def __init__(self, balance: int = 1_000, *, fees: FeePolicy = ANY_FEE, **options: Any) -> None:
        self.state = State({key.public: Account(balance, 0, ZERO_HASH, 0) for key in KEYS})
        self.known: set[bytes] = set()
        self.news: list[tuple[bytes, int, str]] = []
        executed = SimpleNamespace(account=self.account, balance=self.state.balance, ts_ms=0)
        self.pool = Mempool(
            executed,  # type: ignore[arg-type]
            Parameters(2),
            MinerOptions(**options),
            fees,
            lambda peers, identity, level, reason: self.news.append((identity, level, reason)),
            self.known.__contains__,
        )

    def account(self, key: bytes) -> Account:
        """Return an account; an empty one if it is not there."""
        return self.state.accounts.get(key, EMPTY_ACCOUNT)

    def add(self, *transactions: SignedTransaction, now: int = 0) -> list[bool]:
        """Add transactions; return which of them are held."""
        return [self.pool.add(now, item, (b"peer",)) for item in transactions]

    def take(self, now: int = 0, count: int = 2_000) -> list[SignedTransaction]:
        """Take what is next for a batch."""
        return [entry.transaction for entry in self.pool.take(now, count, 1 << 22)]

    def give(self, who: int, amount: int, asset: bytes = NATIVE) -> None:
        """Let `KEYS[who]` have `amount` more of an asset, without telling the mempool."""
        key = KEYS[who].public
        has = self.state.balance(key, asset) + amount
        if asset:
            self.state.apply(StateChange({}, {(key, asset): has}))
        else:
            self.state.accounts[key] = self.account(key)._replace(balance=has)

    def affords(self, item: SignedTransaction) -> bool:
        """Return whether the sender has what a transaction takes."""
        return all(self.state.balance(item.body.sender, asset) >= amount for asset, amount in item.debits)

    def execute(self, *transactions: SignedTransaction, now: int = 0, ts_ms: int = 0) -> None:
        """Execute transactions, without what they bring whoever is paid, and tell the mempool."""
        for item in transactions:
            sender = item.body.sender
            for asset, amount in item.debits:
                left = self.state.balance(sender, asset) - amount
                if asset:
                    self.state.apply(StateChange({}, {(sender, asset): left}))
                else:
                    self.state.accounts[sender] = self.account(sender)._replace(balance=left)
            if not isinstance(item.body, Transfer):
                self.state.apply(StateChange({}, {(sender, item.id): item.body.supply}))
            self.state.accounts[sender] = Account(self.account(sender).balance, item.body.seq + 1, item.id, 0)
        self.known.update(item.id for item in transactions)
        self.pool.executed(now, dict.fromkeys(item.body.sender for item in transactions), ts_ms)
