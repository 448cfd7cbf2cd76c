"""Transactions of several assets at a validator: who gets a bit, what frees it, and what is told of it.

The validator is a whole one: alone in its set, it proposes, makes final and executes what its miner brings.
"""

from __future__ import annotations

import random

import pytest
from chain_tools import GENESIS_TIME_MS, TestChain, make_test_chain
from snapshot_tools import Offering, Step

from supervm.common.parts.events import PeerFault, SnapshotAdopted
from supervm.common.parts.snapshot import taking
from supervm.common.storage.memory import MemoryStore
from supervm.common.testing.hand import HandDriver
from supervm.protocol.base.codec import decode, encode
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.chain.batch import Batch
from supervm.protocol.chain.batch_certificate import bitmap_bits, make_batch_certificate
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint
from supervm.protocol.chain.genesis import genesis_asset_id
from supervm.protocol.light.client import LightClient, anchor_of
from supervm.protocol.money.execution import execute_block
from supervm.protocol.money.fees import split_fee
from supervm.protocol.money.transaction import SignedTransaction
from supervm.protocol.state.leaves import (
    NATIVE,
    Asset,
    account_leaf_id,
    asset_leaf_id,
    holding_leaf_id,
)
from supervm.protocol.wire.chain import (
    BatchCertificateMessage,
    BatchMessage,
    BatchVoteMessage,
    GetSnapshot,
    SnapshotChunk,
)
from supervm.protocol.wire.link import Heartbeat
from supervm.protocol.wire.payments import GetLeaves, GetValidatorChanges, LeafProofs
from supervm.tier_l1_super.batches.slots import Slots
from supervm.tier_l1_super.events import Conflict, Solvency
from supervm.tier_l1_super.messages import Info
from supervm.tier_l1_super.node import ValidatorNode
from supervm.tier_l1_super.tables import TABLES

GOLD, SALT = genesis_asset_id("gold"), genesis_asset_id("salt")
HELD = {"gold": {"alice": 10, "carol": 10}, "salt": {"alice": 100, "bob": 100}}
A, B = b"a" * 32, b"b" * 32


def assets_chain(validators: int = 1) -> TestChain:
    """Alice and bob have the native asset and others; carol has gold alone, and no account leaf."""
    return make_test_chain(validators, {"alice": 1_000, "bob": 1_000}, assets=HELD)


class Validator(HandDriver[ValidatorNode]):
    """A validator, with a miner that brings it batches."""

    def __init__(self, chain: TestChain, index: int = 0) -> None:
        self.chain, self.index, self.miner = chain, index, chain.miner_keys[0].public
        store = MemoryStore(TABLES, with_log=True)
        super().__init__(self._make(store), store, now_us=(GENESIS_TIME_MS + 1_000) * 1_000)
        self.up(self.miner, 2)

    def _make(self, store: MemoryStore) -> ValidatorNode:
        return ValidatorNode(
            chain=self.chain.chain,
            node_id=self.chain.node_keys[self.index].public,
            key=self.chain.validator_keys[self.index],
            reader=store,
            targets=(),
            rng=random.Random(1),
        )

    def again(self) -> None:
        """Lose power, start, and have the miner come back."""
        self.restart(self._make)
        self.up(self.miner, 2)

    def bits(self, batch: Batch) -> str:
        """Offer a batch; return one digit for each of its transactions."""
        self.take(BatchVoteMessage)
        self.receive(self.miner, BatchMessage(encode(batch)))
        (message,) = self.take(BatchVoteMessage)
        self.vote = message.vote
        bits = bitmap_bits(message.vote.bitmap, message.vote.count)
        return "".join(str(bits >> place & 1) for place in range(message.vote.count))

    def offer(self, *transactions: SignedTransaction) -> str:
        """Offer transactions in one batch; return their bits."""
        self.batch = self.chain.batch(transactions)
        return self.bits(self.batch)

    def execute(self) -> None:
        """Certify what was offered last, and let time pass until it is executed."""
        vote = self.vote
        certificate = make_batch_certificate(self.batch.header, {vote.signer: (vote.bitmap, vote.signature)})
        self.receive(self.miner, BatchCertificateMessage(encode(certificate)))
        height = self.core.height
        while not (self.core.height > height and self.core.executor.queued == 0):
            self.wait(100_000)

    def has(self, name: str, asset: bytes = NATIVE) -> int:
        """Return what somebody has of an asset."""
        return self.core.ledger.state.balance(self.chain.account(name), asset)


# --- who gets a bit ---------------------------------------------------------------------------------------------------


def test_an_overdraft_in_one_asset_holds_up_nothing_but_what_stands_behind_it() -> None:
    """The sender's earlier transactions and everybody else's go on, also those of the very asset."""
    chain = assets_chain()
    node = Validator(chain)
    bob = chain.account("bob")
    enough = chain.transaction("alice", bob, 6, asset=GOLD)
    too_much = chain.transaction("alice", bob, 5, asset=GOLD)
    behind = chain.transaction("alice", bob, 1)
    others = chain.transaction("carol", bob, 9, asset=GOLD, fee_asset=GOLD), chain.transaction("bob", bob, 1)
    assert node.offer(others[0], enough, too_much, behind, others[1]) == "11001"
    node.execute()
    assert (node.has("alice", GOLD), node.has("carol", GOLD), node.has("bob", GOLD)) == (4, 0, 15)
    assert node.told(Solvency) == []
    assert node.offer(too_much, behind) == "00"
    income = chain.transaction("bob", chain.account("alice"), 1, asset=GOLD)
    assert node.offer(income) == "1"
    assert node.offer(too_much, behind) == "00", "it is promised, not executed"
    assert node.offer(income) == "1"
    node.execute()
    assert node.offer(too_much, behind) == "11"
    node.execute()
    assert (node.has("alice", GOLD), len(node.core.slots)) == (0, 0)


@pytest.mark.parametrize(
    ("amount", "asset", "fee", "fee_asset", "bit"),
    [
        (10, GOLD, 1_000, NATIVE, "1"),
        (11, GOLD, 1_000, NATIVE, "0"),
        (10, GOLD, 1_001, NATIVE, "0"),
        (10, GOLD, 1, GOLD, "0"),
        (9, GOLD, 1, GOLD, "1"),
        (10, GOLD, 100, SALT, "1"),
        (10, GOLD, 101, SALT, "0"),
        (1_000, NATIVE, 10, GOLD, "1"),
        (1_000, NATIVE, 1, NATIVE, "0"),
        (1, B, 1, NATIVE, "0"),
        (1, NATIVE, 1, B, "0"),
    ],
)
def test_amount_and_fee_are_each_held_against_their_own_asset(
    amount: int, asset: bytes, fee: int, fee_asset: bytes, bit: str
) -> None:
    chain = assets_chain()
    node = Validator(chain)
    transaction = chain.transaction("alice", chain.account("bob"), amount, fee, asset=asset, fee_asset=fee_asset)
    assert node.offer(transaction) == bit


def test_what_is_promised_before_is_spoken_for_in_each_asset() -> None:
    """Fees count to their asset together with amounts, and an issue costs its fee."""
    chain = assets_chain()
    node = Validator(chain)
    bob = chain.account("bob")
    lane = [
        chain.transaction("alice", bob, 900, 60, fee_asset=SALT),
        chain.issue("alice", 5, 30, fee_asset=SALT),
        chain.transaction("alice", bob, 10, 100, asset=GOLD),
    ]
    assert node.offer(*lane) == "111"
    seq, prev = chain.heads[chain.account("alice")]
    for asset, left in ((NATIVE, 0), (SALT, 10), (GOLD, 0)):
        more = chain.transaction("alice", bob, 1, left + 1, asset=SALT, fee_asset=asset, seq=seq, prev=prev)
        assert node.offer(more) == "0"
    assert node.offer(chain.transaction("alice", bob, 4, 6, asset=SALT, fee_asset=SALT)) == "1"


def test_two_transactions_of_different_assets_for_one_slot_conflict() -> None:
    """The slot is the sender's, whatever is moved: the second one gets no bit, in this batch or another."""
    chain = assets_chain()
    node = Validator(chain)
    bob = chain.account("bob")
    first = chain.transaction("alice", bob, 1, asset=GOLD, seq=0, prev=ZERO_HASH)
    rivals = [
        chain.transaction("alice", bob, 1, asset=SALT, seq=0, prev=ZERO_HASH),
        chain.transaction("alice", bob, 1, asset=GOLD, fee_asset=SALT, seq=0, prev=ZERO_HASH),
        chain.transaction("alice", bob, 1, asset=GOLD, via=bob, seq=0, prev=ZERO_HASH),
        chain.issue("alice", 7),
    ]
    assert node.offer(rivals[0], first) == "10"
    assert node.offer(first, *rivals[1:]) == "0000"
    assert [event.id for event in node.told(Conflict)] == [item.id.hex() for item in (first, first, *rivals[1:])]
    assert node.offer(rivals[0]) == "1"
    assert len(node.core.slots) == 1


# --- what is executed -------------------------------------------------------------------------------------------------


def test_an_issue_and_transfers_of_the_new_asset_in_later_blocks() -> None:
    """What is not executed yet cannot be sent; then all of it can, by the issuer and on from there."""
    chain = assets_chain()
    node = Validator(chain)
    issue = chain.issue("bob", 50, 2)
    first = chain.transaction("bob", chain.account("dave"), 30, asset=issue.id, fee_asset=issue.id)
    assert node.offer(issue, first) == "10"
    node.execute()
    assert node.core.ledger.state.assets[issue.id] == Asset(chain.account("bob"), 50)
    assert node.offer(first) == "1"
    node.execute()
    assert (node.has("bob", issue.id), node.has("dave", issue.id)) == (19, 30)
    # dave has no account leaf until he sends, and pays in what he has
    assert chain.account("dave") not in node.core.ledger.state.accounts
    onward = [
        chain.transaction("dave", chain.account("erin"), 9, asset=issue.id, fee_asset=issue.id),
        chain.transaction("dave", chain.account("erin"), 19, asset=issue.id, fee_asset=issue.id),
        chain.transaction("dave", chain.account("erin"), 1, asset=issue.id, fee_asset=issue.id),
    ]
    assert node.offer(*onward) == "110"
    node.execute()
    assert (node.has("dave", issue.id), node.has("erin", issue.id)) == (0, 28)
    assert (node.told(Solvency), len(node.core.slots), node.core.slots.anchored) == ([], 0, {})
    assert node.core.ledger.state.supply_problem(chain.chain.supply) is None


def test_slots_of_a_sender_without_an_account_leaf_are_free_after_execution() -> None:
    """Carol has gold alone; what she sent is executed, so the next of her chain has its place."""
    chain = assets_chain()
    node = Validator(chain)
    for _ in range(3):
        one, two = (
            chain.transaction("carol", chain.account("bob"), 1, asset=GOLD, fee_asset=GOLD),
            chain.transaction("carol", chain.account("bob"), 2, asset=GOLD, fee_asset=GOLD),
        )
        bits = node.offer(one, two)
        assert bits == ("11" if node.has("carol", GOLD) >= 5 else "00")
        assert len(node.core.slots) == bits.count("1")
        if bits == "11":
            node.execute()
        assert (len(node.core.slots), node.core.slots.anchored) == (0, {})


def test_a_restart_takes_back_promises_of_every_asset() -> None:
    chain = assets_chain()
    node = Validator(chain)
    bob = chain.account("bob")
    lane = [chain.transaction("alice", bob, 6, asset=GOLD, fee_asset=SALT), chain.issue("alice", 9, 50, fee_asset=SALT)]
    assert node.offer(*lane) == "11"
    node.again()
    assert len(node.core.slots) == 2
    seq, prev = chain.heads[chain.account("alice")]
    refused = (
        {"amount": 5, "asset": GOLD},
        {"amount": 50, "asset": SALT},
        {"amount": 1, "fee": 50, "fee_asset": SALT},
    )
    for changes in refused:
        assert node.offer(chain.transaction("alice", bob, seq=seq, prev=prev, **changes)) == "0"  # type: ignore[arg-type]
    assert node.offer(chain.transaction("alice", bob, 4, 49, asset=GOLD, fee_asset=SALT)) == "1"


# --- what is told -----------------------------------------------------------------------------------------------------


def test_info_says_fees_by_asset_and_tier() -> None:
    """In the form that L2 has, too; the native asset is there before anything was paid. `via` has L3's part."""
    chain = assets_chain()
    node = Validator(chain)
    assert node.call(Info())["fees"] == {"svm": {"l1": 0, "l2": 0, "l3": 0, "l4": 0}}
    edge = chain.account("edge-payout")
    assert node.offer(chain.transaction("alice", chain.account("bob"), 1, 40, fee_asset=SALT, via=edge)) == "1"
    node.execute()
    tiers = dict(zip(("l1", "l2", "l3", "l4"), split_fee(40), strict=True))
    said = node.call(Info())
    assert said["fees"] == {"svm": {"l1": 0, "l2": 0, "l3": 0, "l4": 0}, SALT.hex(): tiers}
    assert said["supply"] == 2_000
    assert node.has("edge-payout", SALT) == tiers["l3"]
    node.again()
    assert node.call(Info())["fees"] == said["fees"]


def test_a_miner_is_given_the_leaves_that_it_names_and_no_others() -> None:
    """Present or absent, of each kind, each once, under a certified checkpoint."""
    chain = assets_chain()
    node = Validator(chain)
    issue = chain.issue("bob", 50, 2)
    node.offer(issue)
    node.execute()
    alice, bob, carol = map(chain.account, ("alice", "bob", "carol"))
    asked = (
        account_leaf_id(bob),
        holding_leaf_id(bob, issue.id),
        asset_leaf_id(issue.id),
        account_leaf_id(carol),
        holding_leaf_id(alice, issue.id),
        asset_leaf_id(B),
    )
    node.take(LeafProofs)
    node.receive(node.miner, GetLeaves((*asked, *asked)))
    (answer,) = node.take(LeafProofs)
    assert tuple(leaf_id for leaf_id, _ in answer.proofs) == asked
    header = decode(CertifiedCheckpoint, answer.checkpoint).header
    client = LightClient(anchor_of(chain.chain), chain.chain.verify, trusting_period_ms=None)
    proofs = [proof for _, proof in answer.proofs]
    assert client.prove_account(header, bob, proofs[0]).account.balance == 998
    assert client.prove_holding(header, bob, issue.id, proofs[1]) == 50
    assert client.prove_asset(header, issue.id, proofs[2]) == Asset(bob, 50)
    assert not client.prove_account(header, carol, proofs[3]).exists
    assert client.prove_holding(header, alice, issue.id, proofs[4]) == 0
    assert client.prove_asset(header, B, proofs[5]) is None


@pytest.mark.parametrize("leaf_id", [b"\x04" + A, b"\x00" + A, b"\x02" + A, b"\x01" + A + B, b"\x03" + A + b"x"])
def test_who_asks_for_what_is_no_leaf_is_blamed_and_told_nothing(leaf_id: bytes) -> None:
    node = Validator(assets_chain())
    node.wait(2_000_000)
    node.take(LeafProofs)
    node.receive(node.miner, GetLeaves((account_leaf_id(A), leaf_id)))
    assert node.take(LeafProofs) == []
    assert [event.code for event in node.told(PeerFault)] == ["bad-leaf"]


# --- snapshots --------------------------------------------------------------------------------------------------------


def _steps(chain: TestChain) -> tuple[SignedTransaction, list[Step]]:
    """Three blocks that make, move and use up assets, and end the epoch; and the issue among them."""
    issue = chain.issue("bob", 70)
    dave = chain.account("dave")
    blocks = [
        [issue, chain.transaction("carol", dave, 2, asset=GOLD, fee_asset=GOLD)],
        [
            chain.transaction("bob", dave, 30, asset=issue.id),
            chain.transaction("carol", chain.account("alice"), 6, asset=GOLD, fee_asset=GOLD),
        ],
        [chain.transaction("alice", dave, 5)],
    ]
    steps: list[Step] = []
    parent = chain.genesis_header
    for transactions in blocks:
        batch = chain.batch(transactions)
        closes = (0, 1, 2) if transactions is blocks[-1] else ()
        block = chain.block(parent, refs=[chain.batch_certificate(batch)], closes=closes)
        steps.append((block, [chain.certified(batch)], transactions))
        parent = block.header
    return issue, steps


def test_a_snapshot_brings_leaves_of_every_kind_and_votes_go_on_from_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A validator that was far behind stands at the epoch's root; its parts look at the new state, not at the old."""
    monkeypatch.setattr(taking, "SNAPSHOT_LAG", 1)
    chain = assets_chain(4)
    issue, steps = _steps(chain)
    source = Offering(chain, steps)
    node = Validator(chain, 3)
    peer = chain.node_keys[0].public
    node.up(peer, 1)
    dave = chain.account("dave")
    assert node.bits(chain.batch([chain.transaction("dave", A, 1, asset=GOLD, fee_asset=GOLD)])) == "0"
    node.receive(peer, Heartbeat(1, 0, node.now_us // 1000, 3))
    for _ in range(10):
        for question in node.take(GetValidatorChanges, peer):
            node.receive(peer, source.changes.answer(question.after_height))
        for request in node.take(GetSnapshot, peer):
            chunk = source.answer(0, request)
            assert isinstance(chunk, SnapshotChunk)
            node.receive(peer, chunk)
    assert node.told(SnapshotAdopted) == [SnapshotAdopted(3)]
    state, other = node.core.ledger.state, source.ledger.state
    assert (state.accounts, state.holdings, state.assets) == (other.accounts, other.holdings, other.assets)
    assert (state.balance(dave, issue.id), state.balance(dave, GOLD), state.balance(dave, NATIVE)) == (30, 2, 5)
    assert chain.account("carol") not in state.holdings
    chain.heads.pop(dave)
    spends = [
        chain.transaction("dave", A, 30, 1, asset=issue.id, fee_asset=GOLD),
        chain.transaction("dave", A, 5, 1, fee_asset=GOLD),
        chain.transaction("dave", A, 1, 1, asset=issue.id, fee_asset=GOLD),
    ]
    assert node.bits(chain.batch(spends, epoch=1)) == "110"
    node.again()
    assert (len(node.core.slots), node.core.ledger.state.assets) == (2, other.assets)


# --- at random --------------------------------------------------------------------------------------------------------


class Plain:
    """What a validator has promised, and what it may, counted anew for every question."""

    def __init__(self, chain: TestChain) -> None:
        self.state = chain.chain.first_state()
        self.promised: dict[bytes, list[SignedTransaction]] = {}

    def place(self, sender: bytes) -> tuple[int, bytes]:
        account = self.state.accounts.get(sender)
        lane = self.promised.get(sender, [])
        seq = 0 if account is None else account.next_seq
        head = ZERO_HASH if account is None else account.head
        return seq + len(lane), lane[-1].id if lane else head

    def covers(self, transaction: SignedTransaction) -> bool:
        sender = transaction.body.sender
        wanted: dict[bytes, int] = {}
        for item in (*self.promised.get(sender, []), transaction):
            for asset, amount in item.debits:
                wanted[asset] = wanted.get(asset, 0) + amount
        return all(self.state.balance(sender, asset) >= wanted[asset] for asset, _ in transaction.debits)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_promised_can_be_paid(seed: int) -> None:
    """Histories of several assets: bits as a plain count gives them, no failure at execution, no unit lost."""
    rng = random.Random(seed)
    chain = assets_chain()
    plain = Plain(chain)
    slots = Slots(plain.state, chain.chain.parameters, executed_ts_ms=GENESIS_TIME_MS)
    names = ("alice", "bob", "carol", "dave")
    refused = 0
    for ts_ms in range(GENESIS_TIME_MS + 1, GENESIS_TIME_MS + 13):
        assets = [NATIVE, *plain.state.assets]
        for _ in range(12):
            name = rng.choice(names)
            sender = chain.account(name)
            seq, prev = plain.place(sender)
            asset, fee_asset = rng.choice(assets), rng.choice(assets)
            fee = rng.choice((1, 3, 1 + plain.state.balance(sender, fee_asset) // 2))
            if rng.random() < 0.15:
                chain.heads[sender] = (seq, prev)
                transaction = chain.issue(name, rng.choice((1, 40, 2**62)), fee, fee_asset=fee_asset)
            else:
                transaction = chain.transaction(
                    name,
                    chain.account(rng.choice(names)),
                    rng.choice((1, 5, 1 + plain.state.balance(sender, asset) // 2)),
                    fee,
                    asset=asset,
                    fee_asset=fee_asset,
                    via=rng.choice((b"", chain.account(rng.choice(names)))),
                    seq=seq,
                    prev=prev,
                )
            covered = plain.covers(transaction)
            assert slots.vote(transaction, A) == (None if covered else "overdraft")
            if covered:
                plain.promised.setdefault(sender, []).append(transaction)
            refused += not covered
        taken = [item for lane in plain.promised.values() for item in lane[: rng.randrange(len(lane) + 1)]]
        firsts = (plain.promised[item.body.sender][0].body for item in taken)
        before = {body.sender: (body.seq, body.prev) for body in firsts}
        result = execute_block(
            plain.state,
            [chain.certified(chain.batch(taken))] if taken else [],
            ts_ms=ts_ms,
            payout_of_miner=chain.chain.payout_of_miner,
            fee_shares_bps=chain.chain.parameters.fee_shares_bps,
        )
        assert (result.failed, len(result.receipts)) == ((), len(taken))
        plain.state.apply(result.change)
        slots.executed(result.change.accounts, before, ts_ms)
        for item in taken:
            plain.promised[item.body.sender].remove(item)
        assert len(slots) == sum(map(len, plain.promised.values()))
        assert plain.state.supply_problem(chain.chain.supply) is None
    assert refused > 10
    assert len(plain.state.assets) > 3
