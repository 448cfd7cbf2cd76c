"""A small network for edge tests: real genesis, tree, certificates and transactions, and an edge in a test's hands."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from supervm.common.contract.core import Effect, Input, Work
from supervm.common.storage.memory import MemoryStore
from supervm.common.testing.hand import HandDriver
from supervm.protocol.base.codec import encode
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.base.keys import SigningKey, verify
from supervm.protocol.chain.allocations import Allocation
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint, CheckpointHeader
from supervm.protocol.chain.genesis import Chain, Miner, genesis_asset_id, make_genesis
from supervm.protocol.chain.validators import Validator
from supervm.protocol.chain.votes import VoteKind, statement
from supervm.protocol.money.transaction import SignedTransaction, sign_transfer
from supervm.protocol.state.account import Account, encode_account
from supervm.protocol.state.leaves import NATIVE, account_leaf_id, encode_holding, holding_leaf_id
from supervm.protocol.state.trie import QuadTrie
from supervm.protocol.wire.payments import LeafProofs, Status
from supervm.tier_l3_edge.node import EdgeNode
from supervm.tier_l3_edge.options import EdgeOptions
from supervm.tier_l3_edge.tables import TABLES

START_US = 1_700_000_000_000_000
GOLD = genesis_asset_id("gold")
"""The first sender has 500 of it."""


def key_of(name: str) -> SigningKey:
    return SigningKey(name.encode().ljust(32, b"."))


PAYOUT = key_of("payout").public


@dataclass
class World:
    """The chain as validators and miners see it."""

    start_us: int = START_US
    validators: list[SigningKey] = field(default_factory=lambda: [key_of(f"v{i}") for i in range(4)])
    miners: list[bytes] = field(default_factory=lambda: [key_of("m0").public, key_of("m1").public])
    phone: bytes = field(default_factory=lambda: key_of("phone").public)
    edge: SigningKey = field(default_factory=lambda: key_of("edge"))

    def __post_init__(self) -> None:
        self.senders = [key_of(f"s{i}") for i in range(4)]
        self.payee = key_of("payee").public
        genesis, allocations = make_genesis(
            name="edge test",
            time_ms=self.start_us // 1000 - 60_000,
            validators=tuple(
                Validator(1, key.public, key_of(f"n{i}").public, 1, key_of(f"p{i}").public)
                for i, key in enumerate(self.validators)
            ),
            miners=tuple(Miner(1, node_id, key_of("mp").public) for node_id in self.miners),
            allocations=[
                *(Allocation(key.public, 10_000) for key in self.senders),
                Allocation(self.senders[0].public, 500, GOLD),
            ],
            assets=[("gold", key_of("issuer").public)],
        )
        self.chain = Chain(genesis, verify, lambda: allocations)
        self.headers = {0: self.chain.anchor}
        self.trie = QuadTrie(dict(self.chain.first_state().leaves()))

    def transaction(self, sender: int = 0, seq: int = 0, prev: bytes = ZERO_HASH, **changes: Any) -> SignedTransaction:
        return sign_transfer(
            self.senders[sender],
            chain_id=self.chain.chain_id,
            seq=seq,
            prev=prev,
            to=self.payee,
            amount=changes.get("amount", 10),
            fee=changes.get("fee", 1),
            valid_until_ms=changes.get("valid_until_ms", self.start_us // 1000 + 10**8),
            asset=changes.get("asset", NATIVE),
            fee_asset=changes.get("fee_asset", NATIVE),
            via=changes.get("via", b""),
        )

    def chain_of(self, count: int, sender: int = 0) -> list[SignedTransaction]:
        transactions: list[SignedTransaction] = []
        for seq in range(count):
            transactions.append(self.transaction(sender, seq, transactions[-1].id if transactions else ZERO_HASH))
        return transactions

    def set_account(self, account: bytes, state: Account) -> None:
        self.trie.update({account_leaf_id(account): encode_account(state)})

    def set_holding(self, account: bytes, asset: bytes, amount: int) -> bytes:
        """Return the leaf's id."""
        leaf_id = holding_leaf_id(account, asset)
        self.trie.update({leaf_id: encode_holding(amount)})
        return leaf_id

    def checkpoint(self, height: int, at_us: int, signers: int = 3) -> bytes:
        before = self.headers.get(height - 1)
        header = CheckpointHeader(
            1,
            self.chain.chain_id,
            0,
            height,
            bytes([height % 256]) * 32,
            ZERO_HASH if before is None else before.hash,
            at_us // 1000,
            self.trie.root,
            ZERO_HASH,
            ZERO_HASH,
            self.chain.validators.hash,
            ZERO_HASH,
            self.chain.supply,
        )
        self.headers[height] = header
        message = statement(self.chain.chain_id, VoteKind.CHECKPOINT, 0, height, header.hash)
        signatures = tuple((index, self.validators[index].sign(message)) for index in range(signers))
        return encode(CertifiedCheckpoint(1, header, signatures))

    def proofs(self, height: int, at_us: int, *keys: bytes) -> LeafProofs:
        """Return what a miner sends: `keys` are accounts, whose own leaves are meant, or ids of leaves."""
        leaf_ids = [account_leaf_id(key) if len(key) == 32 else key for key in keys]
        pairs = tuple((leaf_id, encode(self.trie.prove(leaf_id))) for leaf_id in leaf_ids)
        return LeafProofs(self.checkpoint(height, at_us), pairs)


class Driver(HandDriver[EdgeNode]):
    """An edge in a test's hands."""

    def __init__(
        self,
        world: World,
        store: MemoryStore | None = None,
        options: EdgeOptions | None = None,
        payout: bytes | None = PAYOUT,
    ) -> None:
        self.world = world
        store = store or MemoryStore(TABLES)
        node = EdgeNode(
            chain=world.chain,
            key=world.edge,
            payout=payout,
            reader=store,
            targets=(),
            rng=random.Random(7),
            verify=verify,
            options=options,
        )
        super().__init__(node, store, now_us=world.start_us)

    def carry_out(self, effect: Effect, follow: deque[Input]) -> None:
        assert not isinstance(effect, Work) or len(effect.job.items) <= 64
        super().carry_out(effect, follow)

    def statuses(self, peer: bytes) -> list[tuple[bytes, int, str]]:
        return [
            (item.transaction_id, item.level, item.reason)
            for message in self.take(Status, peer)
            for item in message.items
        ]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def make(world: World) -> Callable[..., Driver]:
    def build(
        store: MemoryStore | None = None,
        options: EdgeOptions | None = None,
        miners: int = 2,
        payout: bytes | None = PAYOUT,
    ) -> Driver:
        driver = Driver(world, store, options, payout)
        for miner in world.miners[:miners]:
            driver.up(miner, 2)
        driver.up(world.phone, 4)
        driver.sent.clear()
        return driver

    return build
