"""Many assets: 10,000 random histories follow a naive model to the grain, and light clients prove what is in them.

The model is written from docs/spec/transactions.md alone and shares no code with execution: one flat map of amounts,
one transaction after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

import msgspec
import pytest
from chain_tools import GENESIS_TIME_MS, make_test_chain, test_key

from supervm.protocol.base.codec import INT_MAX, decode, encode
from supervm.protocol.base.errors import LocalProtocolError, RemoteProtocolError
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.base.keys import verify
from supervm.protocol.chain.batch_certificate import CertifiedBatch
from supervm.protocol.chain.genesis import genesis_asset_id
from supervm.protocol.light.client import AccountAnswer, LightClient, account_answer, anchor_of
from supervm.protocol.money.execution import BlockResult, execute_block
from supervm.protocol.money.issue import Issue
from supervm.protocol.money.transaction import Kind, SignedTransaction, transaction_id
from supervm.protocol.money.transfer import Transfer
from supervm.protocol.state.account import POOLS, Account
from supervm.protocol.state.leaves import NATIVE, Asset, account_leaf_id, asset_leaf_id, holding_leaf_id
from supervm.protocol.state.state import State, StateChange, state_of
from supervm.protocol.state.trie import QuadTrie

HISTORIES = 10_000
CHUNK = 1_000
CHAIN_ID = b"c" * 32
PEOPLE = [bytes([number]) * 32 for number in (1, 2, 3)]
EDGES = [b"", b"", b"e" * 32, PEOPLE[0]]
MINERS = [b"m" * 32, b"n" * 32, b"unknown".ljust(32)]
PAYOUTS = {MINERS[0]: b"p" * 32, MINERS[1]: PEOPLE[1]}
SHARES_BPS = (4_000, 3_000, 2_000, 1_000)
GOLD, ART = b"g" * 32, b"r" * 32
NOWHERE = b"?" * 32  # an asset that does not exist
TIME_MS = 1_000


@dataclass
class Header:
    """As much of a batch's header as execution asks for."""

    miner: bytes


@dataclass
class Model:
    """The books of the whole network, as plainly as they can be kept."""

    amounts: dict[tuple[bytes, bytes], int]
    supplies: dict[bytes, int]
    slots: dict[bytes, tuple[int, bytes, int]] = field(default_factory=dict)

    def has(self, account: bytes, asset: bytes) -> int:
        return self.amounts.get((account, asset), 0)

    def move(self, account: bytes, asset: bytes, amount: int) -> None:
        self.amounts[account, asset] = self.has(account, asset) + amount
        assert self.amounts[account, asset] >= 0

    def block(self, batches: list[CertifiedBatch], ts_ms: int) -> tuple[list[tuple[bytes, int, int]], dict[bytes, Any]]:
        """Return (id, status, fee) of each receipt, and by asset what each tier was given."""
        told: list[tuple[bytes, int, int]] = []
        income: list[tuple[bytes, bytes, int]] = []
        given: dict[bytes, list[int]] = {}
        for batch in batches:
            for place, transaction in enumerate(batch.transactions):
                body, seq_head = transaction.body, self.slots.get(transaction.body.sender, (0, bytes(32), 0))
                if not batch.certified & 1 << place:
                    continue
                if (body.seq, body.prev) != seq_head[:2] or ts_ms > body.valid_until_ms:
                    continue
                need: dict[bytes, int] = {body.fee_asset: body.fee}
                if isinstance(body, Transfer):
                    need[body.asset] = need.get(body.asset, 0) + body.amount
                fails = isinstance(body, Transfer) and body.to in POOLS.values()
                fails = fails or any(self.has(body.sender, asset) < amount for asset, amount in need.items())
                self.slots[body.sender] = (body.seq + 1, transaction.id, 1 if fails else seq_head[2])
                told.append((transaction.id, 0 if fails else 1, 0 if fails else body.fee))
                if fails:
                    continue
                for asset, amount in need.items():
                    self.move(body.sender, asset, -amount)
                if isinstance(body, Transfer):
                    self.move(body.to, body.asset, body.amount)
                else:
                    self.supplies[transaction.id] = body.supply
                    self.move(body.sender, transaction.id, body.supply)
                earners = (
                    POOLS["l1"],
                    PAYOUTS.get(batch.header.miner, POOLS["treasury"]),
                    body.via if body.via else POOLS["l3"],
                    POOLS["l4"],
                )
                parts = shared(body.fee)
                totals = given.setdefault(body.fee_asset, [0, 0, 0, 0])
                for tier in range(4):
                    totals[tier] += parts[tier]
                    income.append((earners[tier], body.fee_asset, parts[tier]))
        for earner, asset, amount in income:
            self.move(earner, asset, amount)
        return told, given


def shared(fee: int) -> list[int]:
    """Give every grain to the tier that is furthest below its exact share, ties to the lower tier."""
    parts = [fee * share // 10_000 for share in SHARES_BPS]
    while sum(parts) < fee:
        # a tier that has had a grain beyond its floor is above its share, so none gets two
        short = [fee * share - 10_000 * part for share, part in zip(SHARES_BPS, parts, strict=True)]
        parts[short.index(max(short))] += 1
    return parts


def unsigned(body: Kind) -> SignedTransaction:
    """A transaction whose signature nobody looks at: execution does not."""
    raw = encode(body)
    return SignedTransaction(body, raw, transaction_id(raw))


class History:
    """One random history: a first state, and blocks of which each is drawn when the ones before it are known."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = Random(seed)
        assets = [NATIVE, GOLD, ART]
        amounts = {(who, asset): rng.randrange(1, 200) for who in PEOPLE for asset in assets if rng.random() < 0.6}
        supplies = {asset: sum(amounts.get((who, asset), 0) for who in PEOPLE) for asset in assets}
        self.model = Model(amounts, {asset: supply for asset, supply in supplies.items() if supply or not asset})
        self.state = State()
        self.state.apply(
            StateChange(
                {who: Account(amounts[who, NATIVE], 0, ZERO_HASH, 0) for who in PEOPLE if (who, NATIVE) in amounts},
                {place: amount for place, amount in amounts.items() if place[1]},
                {asset: Asset(PEOPLE[0], supply) for asset, supply in self.model.supplies.items() if asset},
            )
        )
        self.trie = QuadTrie(dict(self.state.leaves()))
        self.seen: list[SignedTransaction] = []

    def transaction(self, heads: dict[bytes, tuple[int, bytes]]) -> SignedTransaction:
        """Draw one: mostly the sender's next, now and then a copy, another for the same slot, a gap, one too late."""
        rng = self.rng
        if self.seen and rng.random() < 0.1:
            return rng.choice(self.seen)
        sender = rng.choice(PEOPLE)
        seq, prev = heads.get(sender) or self.model.slots.get(sender, (0, ZERO_HASH, 0))[:2]
        how = rng.random()
        assets = [*self.model.supplies, NOWHERE] if rng.random() < 0.1 else list(self.model.supplies)
        head = {
            "version": 2,
            "chain_id": CHAIN_ID,
            "sender": sender,
            "seq": seq + (how < 0.04),
            "prev": prev,
            "valid_until_ms": TIME_MS - 1 if 0.04 < how < 0.08 else 9 * TIME_MS,
            "fee_asset": rng.choice(assets),
            "fee": rng.randrange(1, 12),
            "via": rng.choice(EDGES),
            "payload": rng.randbytes(2),
            "signature": bytes(64),
        }
        body: Kind
        if rng.random() < 0.15:
            body = Issue(**head, supply=rng.choice([1, 50, INT_MAX]))
        else:
            to = POOLS["l1"] if rng.random() < 0.03 else rng.choice(PEOPLE)
            amount = INT_MAX if rng.random() < 0.02 else rng.randrange(1, 90)
            body = Transfer(**head, to=to, asset=rng.choice(assets), amount=amount)
        made = unsigned(body)
        if how >= 0.12:  # below, the next one takes the same slot
            heads[sender] = (body.seq + 1, made.id)
        self.seen.append(made)
        return made

    def batches(self) -> list[CertifiedBatch]:
        rng, heads, made = self.rng, dict[bytes, tuple[int, bytes]](), []
        for _ in range(rng.randrange(1, 3)):
            transactions = [self.transaction(heads) for _ in range(rng.randrange(1, 5))]
            bits = (1 << len(transactions)) - 1
            if rng.random() < 0.2:
                bits &= rng.getrandbits(len(transactions))
            made.append(CertifiedBatch(Header(rng.choice(MINERS)), transactions, bits))  # type: ignore[arg-type]
        return made

    def step(self) -> BlockResult:
        """Draw a block and execute it; compare everything with the model."""
        batches, ts_ms = self.batches(), TIME_MS
        result = execute_block(self.state, batches, ts_ms=ts_ms, payout_of_miner=PAYOUTS, fee_shares_bps=SHARES_BPS)
        told, given = self.model.block(batches, ts_ms)
        self.state.apply(result.change)
        self.trie.update(result.change.leaves())
        assert [(item.transaction_id, item.status, item.fee) for item in result.receipts] == told
        assert [item.position for item in result.receipts] == list(range(len(told)))
        assert result.fees == {asset: tuple(parts) for asset, parts in sorted(given.items())}
        assert list(result.fees) == sorted(given)
        assert result.failed == tuple(name for name, status, _ in told if not status)
        self.compare(self.state)
        return result

    def compare(self, state: State) -> None:
        model = self.model
        assert state.totals() == {**dict.fromkeys(model.supplies, 0), **state.totals()} == model.supplies
        assert state.supply_problem(model.supplies[NATIVE]) is None
        held = {(account, NATIVE): leaf.balance for account, leaf in state.accounts.items() if leaf.balance}
        held |= {(account, asset): amount for account, of in state.holdings.items() for asset, amount in of.items()}
        assert held == {place: amount for place, amount in model.amounts.items() if amount}
        slots = {account: leaf[1:] for account, leaf in state.accounts.items() if leaf.next_seq}
        assert slots == model.slots
        assert {asset: made.supply for asset, made in state.assets.items()} == {
            asset: supply for asset, supply in model.supplies.items() if asset
        }

    def restart(self) -> None:
        """Whoever begins again from the leaves, in any order, stands in the same state under the same root."""
        leaves = list(self.state.leaves())
        assert QuadTrie(dict(leaves)).root == self.trie.root
        assert dict(self.trie.items()) == dict(leaves)
        self.rng.shuffle(leaves)
        again = state_of(leaves)
        self.compare(again)
        assert again.accounts == self.state.accounts
        self.state = again


def histories(first: int, count: int) -> Iterator[History]:
    for seed in range(first, first + count):
        history = History(seed)
        history.step()
        history.restart()
        history.step()
        history.restart()
        yield history


@pytest.mark.parametrize("first", range(0, HISTORIES, CHUNK))
def test_random_histories_conserve_every_asset_as_the_naive_model_says(first: int) -> None:
    seen = dict.fromkeys(("issued", "failed", "other fee", "three holders"), 0)
    for history in histories(first, CHUNK):
        model = history.model
        seen["issued"] += len(model.supplies) > 3
        seen["failed"] += any(flags for _, _, flags in model.slots.values())
        seen["other fee"] += any(model.has(POOLS["l1"], asset) for asset in model.supplies if asset)
        seen["three holders"] += sum(model.has(who, GOLD) > 0 for who in PEOPLE) == 3
    assert all(count > CHUNK // 20 for count in seen.values()), seen  # the histories are not trivial


def test_one_assets_want_of_money_fails_nobody_else() -> None:
    """Of three senders in one batch the one without gold fails; its own later payment in another asset goes on."""
    state = State({who: Account(100, 0, ZERO_HASH, 0) for who in PEOPLE})
    state.apply(StateChange({}, {(PEOPLE[1], GOLD): 10}, {GOLD: Asset(PEOPLE[0], 10)}))

    def pay(sender: bytes, asset: bytes, seq: int = 0, prev: bytes = ZERO_HASH) -> SignedTransaction:
        return unsigned(
            Transfer(2, CHAIN_ID, sender, seq, prev, TIME_MS, NATIVE, 1, b"", PEOPLE[2], asset, 5, b"", bytes(64))
        )

    poor = pay(PEOPLE[0], GOLD)
    block = [poor, pay(PEOPLE[1], GOLD), pay(PEOPLE[0], NATIVE, 1, poor.id), pay(PEOPLE[2], NATIVE)]
    batch = CertifiedBatch(Header(MINERS[0]), block, 0b1111)  # type: ignore[arg-type]
    result = execute_block(state, [batch], ts_ms=TIME_MS, payout_of_miner=PAYOUTS, fee_shares_bps=SHARES_BPS)
    assert [item.status for item in result.receipts] == [0, 1, 1, 1]
    assert result.failed == (poor.id,)


def test_a_fee_in_another_asset_is_split_in_that_asset() -> None:
    state = State()
    state.apply(StateChange({}, {(PEOPLE[0], GOLD): 105, (PEOPLE[0], ART): 1}, {}))
    paid = unsigned(
        Transfer(2, CHAIN_ID, PEOPLE[0], 0, ZERO_HASH, TIME_MS, GOLD, 105, b"e" * 32, PEOPLE[1], ART, 1, b"", bytes(64))
    )
    batch = CertifiedBatch(Header(MINERS[0]), [paid], 1)  # type: ignore[arg-type]
    result = execute_block(state, [batch], ts_ms=TIME_MS, payout_of_miner=PAYOUTS, fee_shares_bps=SHARES_BPS)
    assert result.fees == {GOLD: (42, 32, 21, 10)}
    assert result.change.accounts == {PEOPLE[0]: Account(0, 1, paid.id, 0)}
    assert dict(result.change.holdings) == {
        (PEOPLE[0], GOLD): 0,
        (PEOPLE[0], ART): 0,
        (PEOPLE[1], ART): 1,
        (POOLS["l1"], GOLD): 42,
        (PAYOUTS[MINERS[0]], GOLD): 32,
        (b"e" * 32, GOLD): 21,
        (POOLS["l4"], GOLD): 10,
    }
    assert [leaf for leaf, value in result.change.leaves().items() if not value] == [
        holding_leaf_id(PEOPLE[0], GOLD),
        holding_leaf_id(PEOPLE[0], ART),
    ]


def test_an_asset_is_issued_once_and_spent_in_the_same_block() -> None:
    state = State({PEOPLE[0]: Account(10, 0, ZERO_HASH, 0)})
    issued = unsigned(Issue(2, CHAIN_ID, PEOPLE[0], 0, ZERO_HASH, TIME_MS, NATIVE, 1, b"", INT_MAX, b"X", bytes(64)))
    spent = unsigned(
        Transfer(
            2, CHAIN_ID, PEOPLE[0], 1, issued.id, TIME_MS, issued.id, 7, b"", PEOPLE[1], issued.id, 5, b"", bytes(64)
        )
    )
    batch = CertifiedBatch(Header(MINERS[2]), [issued, issued, spent], 0b111)  # type: ignore[arg-type]
    result = execute_block(state, [batch], ts_ms=TIME_MS, payout_of_miner=PAYOUTS, fee_shares_bps=SHARES_BPS)
    assert [item.status for item in result.receipts] == [1, 1]
    assert result.change.assets == {issued.id: Asset(PEOPLE[0], INT_MAX)}
    state.apply(result.change)
    assert state.balance(PEOPLE[0], issued.id) == INT_MAX - 12
    assert state.supply_problem(10) is None


def test_a_state_whose_sums_are_wrong_stops_the_node() -> None:
    """Not by any transaction: execution itself must be wrong for this, so it is our own error."""

    class Thief(State):
        def balance(self, account: bytes, asset: bytes) -> int:
            self.turn = getattr(self, "turn", 0) + 1
            return super().balance(account, asset) + self.turn

    state = Thief({PEOPLE[0]: Account(100, 0, ZERO_HASH, 0)})
    paid = unsigned(
        Transfer(2, CHAIN_ID, PEOPLE[0], 0, ZERO_HASH, TIME_MS, NATIVE, 1, b"", PEOPLE[1], GOLD, 1, b"", bytes(64))
    )
    batch = CertifiedBatch(Header(MINERS[0]), [paid], 1)  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError, match="changes the supply of 67676767"):
        execute_block(state, [batch], ts_ms=TIME_MS, payout_of_miner=PAYOUTS, fee_shares_bps=SHARES_BPS)


# --- light clients --------------------------------------------------------------------------------------------------

CHAIN = make_test_chain(4, {"alice": 50, "bob": 60}, assets={"gold": {"alice": 7, "bob": 8}, "art": {"bob": 1}})
STATE = CHAIN.chain.first_state()
TRIE = QuadTrie(dict(STATE.leaves()))
HEADER = msgspec.structs.replace(
    CHAIN.chain.anchor, height=1, block_hash=b"b" * 32, prev_hash=CHAIN.chain.anchor.hash, ts_ms=GENESIS_TIME_MS + 1
)
CHECKPOINT = CHAIN.certify_checkpoint(HEADER)
NOW_MS = GENESIS_TIME_MS + 1_000
ALICE, BOB, GHOST = CHAIN.account("alice"), CHAIN.account("bob"), CHAIN.account("ghost")
TRUE_GOLD, TRUE_ART = genesis_asset_id("gold"), genesis_asset_id("art")
LEAVES = [
    *(account_leaf_id(who) for who in (ALICE, BOB, GHOST)),
    *(holding_leaf_id(who, asset) for who in (ALICE, BOB, GHOST) for asset in (TRUE_GOLD, TRUE_ART, NOWHERE)),
    *(asset_leaf_id(asset) for asset in (TRUE_GOLD, TRUE_ART, NOWHERE)),
]


def client() -> LightClient:
    return LightClient(anchor_of(CHAIN.chain), verify)


def proof_of(leaf_id: bytes) -> bytes:
    return encode(TRIE.prove(leaf_id))


def test_holdings_absences_and_assets_are_proved() -> None:
    light = client()
    for who in (ALICE, BOB, GHOST):
        proved = light.prove_account(HEADER, who, proof_of(account_leaf_id(who)))
        assert (proved.account.balance, proved.exists) == (STATE.balance(who, NATIVE), who in STATE.accounts)
        for asset in (TRUE_GOLD, TRUE_ART, NOWHERE):
            amount = light.prove_holding(HEADER, who, asset, proof_of(holding_leaf_id(who, asset)))
            assert amount == STATE.balance(who, asset)
    for asset in (TRUE_GOLD, TRUE_ART, NOWHERE):
        assert light.prove_asset(HEADER, asset, proof_of(asset_leaf_id(asset))) == STATE.assets.get(asset)
    assert light.prove_asset(HEADER, TRUE_GOLD, proof_of(asset_leaf_id(TRUE_GOLD))) == (
        test_key("issuer-gold").public,
        15,
    )


def test_a_proof_of_one_leaf_is_refused_as_that_of_any_other() -> None:
    """Another asset's, another account's, an asset's for a holding's, an absence for a presence.

    Two leaves that are both absent may have one proof, if their paths end in one place; it says the same of both.
    """
    light = client()
    for asked in LEAVES:
        for shown in LEAVES:
            if shown == asked or TRIE.get(shown) is None is TRIE.get(asked):
                continue
            proof, who, asset = proof_of(shown), asked[1:33], asked[-32:]
            prove = {
                1: partial(light.prove_account, HEADER, who),
                2: partial(light.prove_holding, HEADER, who, asset),
                3: partial(light.prove_asset, HEADER, asset),
            }[asked[0]]
            with pytest.raises(RemoteProtocolError) as caught:
                prove(proof)
            assert (caught.value.code, caught.value.penalty) == ("bad-proof", 100)


@pytest.mark.parametrize("asset", [NATIVE, bytes(31), bytes(33)])
def test_the_native_asset_has_no_leaf_to_be_proved_absent(asset: bytes) -> None:
    """A leaf id of such a length is in no tree, so anybody could prove that there is nothing."""
    light = client()
    for prove in (
        lambda: light.prove_holding(HEADER, ALICE, asset, proof_of(b"\x02" + ALICE + asset)),
        lambda: light.prove_asset(HEADER, asset, proof_of(b"\x03" + bytes(32))),
    ):
        with pytest.raises(LocalProtocolError, match=f"an id of 32 bytes, not {len(asset)}"):
            prove()


@pytest.mark.parametrize("asset", [NATIVE, TRUE_GOLD, TRUE_ART, NOWHERE])
@pytest.mark.parametrize("who", [ALICE, BOB, GHOST])
def test_an_answer_says_what_is_held_of_one_asset(who: bytes, asset: bytes) -> None:
    leaf_id = holding_leaf_id(who, asset) if asset else account_leaf_id(who)
    data = account_answer(encode(CHECKPOINT), who, asset, proof_of(leaf_id))
    found = client().check_answer(data, NOW_MS)
    assert (found.account, found.asset, found.amount) == (who, asset, STATE.balance(who, asset))
    assert found.exists == (found.amount > 0)
    assert (found.state is None) == bool(asset)
    answer = decode(AccountAnswer, data)
    others = ({"account": CHAIN.account("carol")}, {"asset": b"!" * 32}, {"asset": TRUE_GOLD[::-1]})
    for other in others if found.exists else ():
        with pytest.raises(RemoteProtocolError) as caught:
            client().check_answer(encode(msgspec.structs.replace(answer, **other)), NOW_MS)
        assert caught.value.code == "bad-proof"
    with pytest.raises(RemoteProtocolError, match="this one has 5"):
        client().check_answer(encode(msgspec.structs.replace(answer, asset=b"short")), NOW_MS)
