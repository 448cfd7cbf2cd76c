"""What honest validators say to each other is not held against them, however often it is said."""

from __future__ import annotations

import random

from chain_tools import make_test_chain

from supervm.common.contract import core as c
from supervm.common.storage.memory import MemoryStore
from supervm.common.testing.hand import HandDriver
from supervm.protocol.base.codec import encode
from supervm.protocol.wire.chain import BatchMessage, GetBatches
from supervm.protocol.wire.consensus import CertificateMessage
from supervm.protocol.wire.fields import Message
from supervm.tier_l1_super.node import ValidatorNode
from supervm.tier_l1_super.tables import TABLES

CHAIN = make_test_chain(4)


class Bench(HandDriver[ValidatorNode]):
    """Validator 0, connected to the three others."""

    def __init__(self) -> None:
        self.node_ids = [key.public for key in CHAIN.node_keys]
        store = MemoryStore(TABLES)
        node = ValidatorNode(
            chain=CHAIN.chain,
            node_id=self.node_ids[0],
            key=CHAIN.validator_keys[0],
            reader=store,
            targets=(),
            rng=random.Random(1),
        )
        super().__init__(node, store, now_us=CHAIN.chain.genesis.time_ms * 1000)
        for node_id in self.node_ids[1:]:
            self.up(node_id, 1)

    def get(self, node: int, message: Message) -> None:
        self.receive(self.node_ids[node], message)

    def asked(self) -> dict[int, list[bytes]]:
        """Node -> bodies that it was asked for, in order."""
        found: dict[int, list[bytes]] = {}
        for peer, message in self.sent:
            if isinstance(message, GetBatches):
                found.setdefault(self.node_ids.index(peer), []).extend(message.digests)
        return found

    def held(self) -> list[bytes]:
        return [hold.peer for hold in self.holds]


def test_who_repeats_what_is_known_in_a_standstill_is_not_held() -> None:
    """A repeat holds up to 4,096 signatures a second (`simplex.resend`), of each validator of a large set."""
    bench = Bench()
    known = CHAIN.nullification(1)
    message = CertificateMessage((known,) * (4_096 // len(known.signatures) // 6))
    for _ in range(30):
        for _ in range(6):
            bench.get(1, message)
        bench.now_us += 1_000_000
    assert bench.core.consensus.simplex.view >= 2
    assert bench.held() == []


def test_who_replays_without_end_is_held_all_the_same() -> None:
    bench = Bench()
    message = CertificateMessage((CHAIN.nullification(1),) * 255)
    for _ in range(300):
        bench.get(1, message)
    assert {bench.node_ids[1]} == {*bench.held()}


def test_a_body_that_does_not_come_is_asked_of_another_signer_whatever_else_was_asked_meanwhile() -> None:
    bench = Bench()
    transactions = [CHAIN.transaction("alice", CHAIN.account("bob"), payload=bytes(16)) for _ in range(3)]
    digests = []
    for transaction in transactions:
        batch = CHAIN.batch([transaction])
        bench.core.executor.want([CHAIN.batch_certificate(batch, (1, 2, 3))], bench.now_us)
        digests.append(batch.header.digest)
        bench.now_us += 1
    bench.step(c.Tick())
    for _ in range(2):
        bench.now_us += 1_000_000
        bench.step(c.Tick())
    assert {node: sorted(asked) for node, asked in bench.asked().items()} == {
        node: sorted(digests) for node in (1, 2, 3)
    }


def test_who_was_asked_for_a_body_does_not_pay_for_that_another_was_quicker() -> None:
    """A retry asks another signer, and the batch's miner may come before both: then the first answer is of no use."""
    bench = Bench()
    transactions = [CHAIN.transaction("alice", CHAIN.account("bob"), payload=bytes(256)) for _ in range(360)]
    batches = [CHAIN.batch(transactions[turn:] + transactions[:turn]) for turn in range(40)]
    bench.core.executor.want([CHAIN.batch_certificate(batch, (1, 2, 3)) for batch in batches], bench.now_us)
    bench.step(c.Tick())
    (asked,) = bench.asked()
    assert bench.asked()[asked] == [batch.header.digest for batch in batches]
    other = next(node for node in (1, 2, 3) if node != asked)
    for batch in batches:
        bench.get(other, BatchMessage(encode(batch)))
    assert bench.held() == []
    for batch in batches:
        bench.get(asked, BatchMessage(encode(batch)))
    assert bench.held() == []
    for batch in batches:
        bench.get(asked, BatchMessage(encode(batch)))
    assert {*bench.held()} == {bench.node_ids[asked]}, "an answer is given once"
