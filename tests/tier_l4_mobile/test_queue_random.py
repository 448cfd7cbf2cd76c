"""Random lives of a queue: no slot is released twice, no payment happens twice, none is without cover (T16, N1)."""

from __future__ import annotations

from itertools import pairwise

from chain_tools import GENESIS_TIME_MS, test_key
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from mobile_tools import Network, make_queue

from supervm.common.parts.fee_policy import FeePolicy
from supervm.common.storage.memory import MemoryStore
from supervm.protocol.chain.checkpoint import CheckpointHeader
from supervm.protocol.chain.genesis import genesis_asset_id
from supervm.protocol.light.client import ProvedAccount
from supervm.protocol.money.execution import STATUS_EXECUTED
from supervm.protocol.money.kinds import ISSUE, TRANSFER
from supervm.protocol.money.transaction import sign_transfer
from supervm.protocol.money.transfer import Transfer
from supervm.protocol.state.leaves import NATIVE
from supervm.protocol.wire.payments import LEVEL_R0, LEVEL_R3, LEVEL_REFUSED
from supervm.tier_l4_mobile.errors import PaymentError
from supervm.tier_l4_mobile.tables import TABLES
from supervm.tier_l4_mobile.wallet.payments import CANCELLED, CLOSED, EXPIRED, LIVE, R4
from supervm.tier_l4_mobile.wallet.terms import UNKNOWN_TERMS, Terms

ALICE, BOB = test_key("alice").public, test_key("bob").public
GOLD, SILVER, NOTHING = genesis_asset_id("gold"), genesis_asset_id("silver"), b"\x01" * 32
ASSETS = (NATIVE, GOLD, SILVER, NOTHING)
EDGES = (
    UNKNOWN_TERMS,
    Terms(b"\xa1" * 32, FeePolicy({NATIVE: 1, GOLD: 1, SILVER: 1})),
    Terms(b"\xa2" * 32, FeePolicy({NATIVE: 1})),
    Terms(b"", FeePolicy({NATIVE: 2, GOLD: 1})),
)


class QueueLife(RuleBasedStateMachine):
    """One account, a chain that executes some of what was released, another device now and then, and crashes.

    The account has several assets, and every asset's proof comes when it likes, also long after the account's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.network = Network(alice=10_000, assets={"gold": {"alice": 6_000}, "silver": {"alice": 5, "bob": 50}})
        self.now_ms = GENESIS_TIME_MS + 1_000
        self.store = MemoryStore(TABLES, with_log=False)
        self.queue = make_queue(self.network, self.store)
        self.out: dict[bytes, bytes] = {}  # transaction id -> bytes of what has left the phone
        self.slots: dict[tuple[int, bytes], list[bytes]] = {}
        self.validity: dict[bytes, int] = {}
        self.acknowledged: dict[int, str] = {}
        self.keys: dict[str, int] = {}
        self.executed: dict[bytes, None] = {}
        self.old: list[ProvedAccount] = []
        self.writes = 0
        self.old_holdings: list[tuple[bytes, int, CheckpointHeader]] = []

    def write(self) -> None:
        self.store.stage(self.queue.take_records())

    def durable(self) -> None:
        """Make everything durable; only now may released bytes leave, and answers be given."""
        self.write()
        self.writes += 1
        self.queue.wrote(self.writes)
        self.store.flush()
        self.queue.durable(0, self.writes)
        assert all(payment.place != CLOSED for payment in self.queue.payments.values())
        for payment in self.queue.every():
            self.acknowledged[payment.number] = payment.key
            if payment.key:
                self.keys[payment.key] = payment.number
            if payment.released and payment.id not in self.out:
                slot = (payment.seq, payment.prev)
                for earlier in self.slots.setdefault(slot, []):
                    assert self.validity[earlier] < self.network.ledger.header.ts_ms
                    assert earlier not in self.executed
                self.slots[slot].append(payment.id)
                self.out[payment.id] = payment.raw
                self.validity[payment.id] = payment.valid_until_ms

    @initialize(is_proved=st.sampled_from([True, True, True, False]))
    def begin(self, is_proved: bool) -> None:
        if is_proved:
            self.whole_proof()

    @rule(
        amounts=st.lists(st.integers(1, 2_500), min_size=1, max_size=5),
        validity_ms=st.sampled_from([500, 10**8, 10**8]),
        key=st.integers(0, 30),
        kind=st.sampled_from([TRANSFER, TRANSFER, TRANSFER, ISSUE]),
        asset=st.sampled_from([NATIVE, GOLD, *ASSETS]),
        fee_asset=st.sampled_from([NATIVE, NATIVE, GOLD, SILVER]),
    )
    def pay(self, amounts: list[int], validity_ms: int, key: int, kind: int, asset: bytes, fee_asset: bytes) -> None:
        for place, amount in enumerate(amounts):
            self.pay_one(amount, validity_ms, key + place if key else 0, kind, asset, fee_asset)

    def pay_one(self, amount: int, validity_ms: int, key: int, kind: int, asset: bytes, fee_asset: bytes) -> None:
        name = f"row:{key}" if key else ""
        try:
            payment = self.queue.add(
                self.now_ms * 1000,
                ALICE,
                BOB,
                amount=amount,
                fee=1,
                valid_until_ms=self.now_ms + validity_ms,
                key=name,
                kind=kind,
                asset=NATIVE if kind == ISSUE else asset,
                fee_asset=fee_asset,
            )
        except PaymentError:
            return
        assert self.keys.get(name, payment.number) == payment.number

    @rule(place=st.integers(0, 50))
    def cancel(self, place: int) -> None:
        payments = list(self.queue.every())
        if place < len(payments):
            try:
                self.queue.cancel(payments[place])
            except PaymentError:
                assert payments[place].released or payments[place].place != LIVE

    @rule(skip=st.sets(st.integers(0, 20)), foreign=st.sampled_from([None, None, NATIVE, GOLD]), whole=st.booleans())
    def a_while_online(self, skip: set[int], foreign: bytes | None, whole: bool) -> None:
        """What is ready leaves, a block takes some of it, and the phone hears of that."""
        self.release(1_000)
        self.durable()
        self.block(skip, 600, foreign, income=False)
        if whole:
            self.whole_proof()
        else:
            self.proof(old=False)

    @rule(count=st.integers(1, 4))
    def release(self, count: int) -> None:
        terms = self.queue.terms
        for payment in self.queue.release(count, self.now_ms):
            assert not terms.refusal(payment.fee_asset, payment.fee)
            assert payment.via == terms.payout or terms.fees is None
        for payment in self.queue.take_declined():
            assert terms.refusal(payment.fee_asset, payment.fee)
            assert not payment.released
        self.write()

    @rule(terms=st.sampled_from(EDGES))
    def another_edge(self, terms: Terms) -> None:
        self.queue.terms = terms
        self.queue.pending[ALICE] = None

    @rule()
    def disk_answers(self) -> None:
        self.durable()

    @rule()
    def crash(self) -> None:
        self.store.crash()
        terms = self.queue.terms
        self.queue = make_queue(self.network, self.store)
        self.queue.terms = terms
        for number, key in self.acknowledged.items():
            known = self.queue.get(number)
            assert known is not None
            assert known.key == key
            assert not key or self.queue.by_key(key) == known

    @rule(level=st.sampled_from([LEVEL_R0, LEVEL_R3, LEVEL_REFUSED]), place=st.integers(0, 50))
    def edge_claims(self, level: int, place: int) -> None:
        ids = list(self.out)
        if place < len(ids):
            self.queue.claim(ids[place], level, "because", self.now_ms * 1000)

    @rule(
        skip=st.sets(st.integers(0, 20)),
        wait_ms=st.sampled_from([1, 600, 4_000]),
        foreign=st.sampled_from([None, None, NATIVE, GOLD]),
        income=st.booleans(),
    )
    def block(self, skip: set[int], wait_ms: int, foreign: bytes | None, income: bool) -> None:
        self.now_ms += wait_ms
        chosen = [raw for place, raw in enumerate(self.out.values()) if place not in skip]
        if income and self.network.ledger.state.balance(BOB, SILVER):
            chosen.append(self.network.tools.transaction("bob", ALICE, 3, 1, asset=SILVER, fee_asset=SILVER).raw)
        if foreign is not None and not skip:
            state = self.network.ledger.state.accounts[ALICE]
            spend = self.network.ledger.state.balance(ALICE, foreign) // 2
            if state.balance > 1 and spend > 1:
                chosen.append(
                    sign_transfer(
                        test_key("alice"),
                        chain_id=self.network.chain.chain_id,
                        seq=state.next_seq,
                        prev=state.head,
                        to=BOB,
                        amount=spend - 1,
                        fee=1,
                        valid_until_ms=self.now_ms + 10**6,
                        asset=foreign,
                        fee_asset=foreign,
                        payload=b"other device",
                    ).raw
                )
        self.network.seal(chosen, ts_ms=self.now_ms)
        for identity in self.out:
            proof = self.network.ledger.prove_receipt(identity, self.network.checkpoint)
            if proof is not None:
                receipt = self.network.client.check_receipt(proof, identity, self.now_ms)
                assert receipt.status == STATUS_EXECUTED
                self.executed[identity] = None

    @rule(old=st.booleans())
    def proof(self, old: bool) -> None:
        if old and self.old:
            self.queue.prove(ALICE, self.old[0], self.now_ms * 1000)
            return
        proved = self.network.proved(ALICE)
        self.old.append(proved)
        self.queue.prove(ALICE, proved, self.now_ms * 1000)
        for identity in list(self.queue.awaiting):
            if identity in self.executed:
                self.queue.receipt(identity, executed=True, now_us=self.now_ms * 1000)
        self.write()

    @rule(asset=st.sampled_from(ASSETS[1:]), old=st.integers(0, 4))
    def holding_proof(self, asset: bytes, old: int) -> None:
        if 0 < old <= len(self.old_holdings):
            asset, amount, header = self.old_holdings[-old]
        else:
            amount, header = self.network.proved_holding(ALICE, asset)
            self.old_holdings.append((asset, amount, header))
        self.queue.prove_holding(ALICE, asset, amount, header)
        self.write()

    @rule()
    def whole_proof(self) -> None:
        """What an edge pushes: the account, and in the same message what it holds."""
        self.proof(old=False)
        for asset in list(self.network.ledger.state.holdings.get(ALICE, ())):
            self.holding_proof(asset, old=0)

    @rule()
    def asked_proofs(self) -> None:
        """What the phone asks for is proved, present or absent."""
        for _, asset in list(self.queue.holdings.unproved):
            self.holding_proof(asset, old=0)

    @invariant()
    def live_slots_are_consecutive(self) -> None:
        lane = self.queue.lanes[ALICE]
        chain = [*lane.sent, *lane.held]
        for one, two in pairwise(chain):
            assert (two.seq, two.prev) == (one.seq + 1, one.id)
        assert all(payment.released for payment in lane.sent)
        assert not any(payment.released for payment in (*lane.held, *lane.unsigned))
        assert all(payment.raw for payment in chain)
        assert not any(payment.raw or payment.id for payment in lane.unsigned)

    @invariant()
    def what_is_signed_is_what_was_asked_for(self) -> None:
        lane = self.queue.lanes[ALICE]
        for payment in (*lane.sent, *lane.held):
            signed = self.network.parse(payment.raw)
            body = signed.body
            assert (signed.id, body.seq, body.prev) == (payment.id, payment.seq, payment.prev)
            assert (body.fee, body.fee_asset, body.via) == (payment.fee, payment.fee_asset, payment.via)
            assert signed.debits == payment.debits
            if isinstance(body, Transfer):
                assert (body.to, body.asset, body.amount) == (payment.to, payment.asset, payment.amount)
            else:
                assert (payment.kind, body.supply) == (ISSUE, payment.amount)

    @invariant()
    def every_asset_covers_what_is_on_its_way(self) -> None:
        lane = self.queue.lanes[ALICE]
        totals: dict[bytes, int] = {}
        for payment in lane.all:
            for asset, debit in payment.debits:
                totals[asset] = totals.get(asset, 0) + debit
        assert lane.debits == totals
        for asset in totals:
            if lane.balance(asset) is None:
                assert not any(asset in dict(payment.debits) for payment in (*lane.sent, *lane.held) if asset)
                assert not asset or lane.proved is None or (ALICE, asset) in self.queue.holdings.unproved
            elif not lane.unsigned and self.is_in_step(asset):
                assert totals[asset] + self.spent(asset) <= (lane.balance(asset) or 0)

    def is_in_step(self, asset: bytes) -> bool:
        """Whether the proof of an asset is not newer than the account's: it may lack what the lane still counts."""
        lane = self.queue.lanes[ALICE]
        holding = lane.holdings.get(asset)
        return lane.proved is not None and (holding is None or holding.height <= lane.proved.height)

    def spent(self, asset: bytes) -> int:
        holding = self.queue.lanes[ALICE].holdings.get(asset)
        return 0 if holding is None else holding.spent

    @invariant()
    def no_more_is_called_available_than_there_is(self) -> None:
        lane, state = self.queue.lanes[ALICE], self.network.ledger.state
        if lane.proved is not None and lane.proved.next_seq == state.accounts[ALICE].next_seq:
            for asset in lane.holdings:
                assert (lane.balance(asset) or 0) - self.spent(asset) <= state.balance(ALICE, asset)

    @invariant()
    def nothing_that_may_still_execute_lacks_cover(self) -> None:
        """On the chain as it is, all that was released and may come next has its money, asset by asset."""
        state = self.network.ledger.state
        account = state.accounts[ALICE]
        slot, spent = (account.next_seq, account.head), dict[bytes, int]()
        out = {}
        for raw in self.out.values():
            signed = self.network.parse(raw)
            if signed.body.valid_until_ms >= self.network.ledger.header.ts_ms:
                out[signed.body.seq, signed.body.prev] = signed
        while (signed := out.get(slot)) is not None:
            for asset, debit in signed.debits:
                spent[asset] = spent.get(asset, 0) + debit
                assert spent[asset] <= state.balance(ALICE, asset)
            slot = signed.body.seq + 1, signed.id

    @invariant()
    def fates_are_true(self) -> None:
        for payment in self.queue.every():
            if payment.status == R4:
                assert payment.id in self.executed
            elif payment.status in (EXPIRED, CANCELLED):
                assert payment.id not in self.executed


QueueLife.TestCase.settings = settings(
    max_examples=80, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)
TestQueueLife = QueueLife.TestCase
