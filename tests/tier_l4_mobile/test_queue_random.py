"""Random lives of a queue: whatever happens, no slot is released twice and no payment happens twice (T16, N1)."""

from __future__ import annotations

from itertools import pairwise

from chain_tools import GENESIS_TIME_MS, test_key
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from mobile_tools import Network, make_queue

from supervm.common.storage.memory import MemoryStore
from supervm.protocol.light.client import ProvedAccount
from supervm.protocol.money.execution import STATUS_EXECUTED
from supervm.protocol.money.transfer import sign_transfer
from supervm.protocol.wire.payments import LEVEL_R0, LEVEL_R3, LEVEL_REFUSED
from supervm.tier_l4_mobile.errors import PaymentError
from supervm.tier_l4_mobile.tables import TABLES
from supervm.tier_l4_mobile.wallet.payments import CANCELLED, CLOSED, EXPIRED, LIVE, R4

ALICE, BOB = test_key("alice").public, test_key("bob").public


class QueueLife(RuleBasedStateMachine):
    """One account, a chain that executes some of what was released, another device now and then, and crashes."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Network(alice=10_000)
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
                state = self.network.ledger.accounts[ALICE]
                for earlier in self.slots.setdefault(slot, []):
                    assert self.validity[earlier] < self.network.ledger.header.ts_ms
                    assert state.next_seq <= payment.seq
                self.slots[slot].append(payment.id)
                self.out[payment.id] = payment.raw
                self.validity[payment.id] = payment.valid_until_ms

    @rule(amount=st.integers(1, 4_000), validity_ms=st.sampled_from([500, 3_000, 10**8]), key=st.integers(0, 30))
    def pay(self, amount: int, validity_ms: int, key: int) -> None:
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

    @rule(count=st.integers(1, 4))
    def release(self, count: int) -> None:
        self.queue.release(count, self.now_ms)
        self.write()

    @rule()
    def disk_answers(self) -> None:
        self.durable()

    @rule()
    def crash(self) -> None:
        self.store.crash()
        self.queue = make_queue(self.network, self.store)
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

    @rule(skip=st.sets(st.integers(0, 20)), wait_ms=st.sampled_from([1, 600, 4_000]), foreign=st.booleans())
    def block(self, skip: set[int], wait_ms: int, foreign: bool) -> None:
        self.now_ms += wait_ms
        chosen = [raw for place, raw in enumerate(self.out.values()) if place not in skip]
        if foreign and not skip:
            state = self.network.ledger.accounts[ALICE]
            if state.balance > 1:
                chosen.append(
                    sign_transfer(
                        test_key("alice"),
                        chain_id=self.network.chain.chain_id,
                        seq=state.next_seq,
                        prev=state.head,
                        to=BOB,
                        amount=1,
                        fee=1,
                        valid_until_ms=self.now_ms + 10**6,
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

    @invariant()
    def live_slots_are_consecutive(self) -> None:
        lane = self.queue.lanes[ALICE]
        chain = [payment for payment in [*lane.sent, *lane.held] if payment.raw]
        for one, two in pairwise(chain):
            assert (two.seq, two.prev) == (one.seq + 1, one.id)
        assert lane.debit == sum(payment.debit for payment in [*lane.sent, *lane.held])
        assert all(payment.released for payment in lane.sent)
        assert not any(payment.released for payment in lane.held)

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
