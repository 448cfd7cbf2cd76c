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


def test_who_was_asked_for_a_body_does_not_pay_for_that_another_was_quicker() -> None:
    """A retry asks another signer, and the batch's miner may come before both: then the first answer is of no use."""
    bench = Bench()
    transfers = [CHAIN.transfer("alice", CHAIN.account("bob"), payload=bytes(256)) for _ in range(360)]
    batches = [CHAIN.batch(transfers[turn:] + transfers[:turn]) for turn in range(40)]
    bench.core.executor.want([CHAIN.batch_certificate(batch, (1, 2, 3)) for batch in batches], bench.now_us)
    bench.step(c.Tick())
    questions = [(peer, digest) for peer, m in bench.sent if isinstance(m, GetBatches) for digest in m.digests]
    (asked,) = {bench.node_ids.index(peer) for peer, _ in questions}
    assert [digest for _, digest in questions] == [batch.header.digest for batch in batches]
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
