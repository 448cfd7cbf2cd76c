"""Rules of batches and certificates: when one is cut, when it closes, what is repeated and what goes back."""

from __future__ import annotations

import pytest

from supervm.common.parts.events import PeerFault
from supervm.protocol.base.codec import decode
from supervm.protocol.base.keys import verify
from supervm.protocol.chain.batch_certificate import (
    BatchCertificate,
    BatchVote,
    certified_bits,
    check_batch_certificate,
)
from supervm.protocol.wire.chain import BatchCertificateMessage, BatchMessage, BatchVoteMessage, GetBatches
from supervm.protocol.wire.payments import LEVEL_R1, LEVEL_R3, Status, Submit


@pytest.fixture
def bench(net, kit):
    """A miner whose first waiting transaction waits 50 ms, and whose batches need no time between them."""
    made = kit.Bench(net, batch_wait_us=50_000, batch_interval_us=0)
    made.start()
    made.sent.clear()
    return made


def submit(bench, *transactions, peer=None):
    bench.receive(peer or bench.net.edge, Submit(tuple(t.raw for t in transactions)))


def vote(bench, batch, bits, signer):
    header = batch.header
    bench.receive(
        bench.net.node_ids[signer], BatchVoteMessage(bench.net.vote(header.digest, header.count, bits, signer))
    )


def certificates(bench):
    found = [
        decode(BatchCertificate, m.certificate) for m in bench.take(BatchCertificateMessage, bench.net.node_ids[0])
    ]
    bench.take(BatchCertificateMessage)
    for certificate in found:
        check_batch_certificate(certificate, bench.net.id, bench.net.chain.validators, verify)
    return found


def levels(bench, peer=None):
    return [(i.transaction_id, i.level) for m in bench.take(Status, peer or bench.net.edge) for i in m.items]


def test_a_batch_waits_fifty_ms_for_company_and_goes_to_every_validator(bench):
    first, second = bench.net.pay(0, 0), bench.net.pay(1, 0)
    submit(bench, first)
    bench.wait(49_999)
    submit(bench, second)
    assert bench.batches() == []
    bench.wait(1)
    assert sorted(p for p in bench.peers_sent(BatchMessage)) == sorted(bench.net.node_ids)
    (batch,) = bench.batches()
    assert batch.transactions == (first.raw, second.raw)


def test_a_lone_payment_goes_at_once_and_a_stream_of_them_in_batches(net, kit):
    bench = kit.Bench(net)
    bench.start()
    bench.take(BatchMessage)
    made = []
    *stream, last = net.chain_of(0, 13)
    for transaction in stream:  # one each 50 ms
        submit(bench, transaction)
        bench.wait(50_000)
        made.append(sum(len(batch.transactions) for batch in bench.batches()))
    assert made == [1, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0]
    bench.wait(250_000)
    assert [len(batch.transactions) for batch in bench.batches()] == [3]
    bench.wait(400_000)
    bench.batches()  # the first is repeated by now
    submit(bench, last)
    bench.wait(19_999)
    assert bench.batches() == []
    bench.wait(1)
    assert [len(batch.transactions) for batch in bench.batches()] == [1]


def test_a_full_batch_does_not_wait(net, kit):
    bench = kit.Bench(net, batch_transactions_max=3, batch_wait_us=50_000, batch_interval_us=0)
    bench.start()
    bench.take(BatchMessage)
    submit(bench, *net.chain_of(0, 7))
    assert [len(b.transactions) for b in bench.batches()] == [3, 3]
    bench.wait(50_000)
    assert [len(b.transactions) for b in bench.batches()] == [1]


@pytest.fixture
def open_batch(bench):
    """An open batch of two transactions of different senders."""
    submit(bench, bench.net.pay(0, 0, fee=9), bench.net.pay(1, 0, fee=8))
    bench.wait(50_000)
    (batch,) = bench.batches()
    return batch


def test_it_closes_at_once_when_every_transaction_has_quorum(bench, open_batch):
    vote(bench, open_batch, 0b11, 0)
    vote(bench, open_batch, 0b11, 1)
    assert certificates(bench) == []
    vote(bench, open_batch, 0b11, 2)
    (certificate,) = certificates(bench)
    assert certified_bits(certificate, bench.net.chain.validators) == 0b11
    assert [level for _, level in levels(bench)] == [LEVEL_R1, LEVEL_R1]


def test_it_closes_fifty_ms_after_quorum_weight(bench, open_batch):
    for signer, bits in enumerate((0b11, 0b11, 0b01)):
        vote(bench, open_batch, bits, signer)
    bench.wait(49_999)
    assert certificates(bench) == []
    bench.wait(1)
    (certificate,) = certificates(bench)
    assert certified_bits(certificate, bench.net.chain.validators) == 0b01
    assert len(levels(bench)) == 1


def test_it_closes_at_once_when_all_have_voted(bench, open_batch):
    for signer, bits in enumerate((0b11, 0b01, 0b01, 0b10)):
        vote(bench, open_batch, bits, signer)
    (certificate,) = certificates(bench)
    assert certified_bits(certificate, bench.net.chain.validators) == 0b01


def test_a_fourth_vote_within_the_fifty_ms_certifies_more(bench, open_batch):
    for signer, bits in enumerate((0b11, 0b11, 0b01)):
        vote(bench, open_batch, bits, signer)
    bench.wait(10_000)
    vote(bench, open_batch, 0b10, 3)
    (certificate,) = certificates(bench)
    assert certified_bits(certificate, bench.net.chain.validators) == 0b11


def test_a_later_vote_may_only_add_bits(bench, open_batch):
    vote(bench, open_batch, 0b11, 0)
    vote(bench, open_batch, 0b01, 0)
    vote(bench, open_batch, 0b01, 1)
    vote(bench, open_batch, 0b11, 1)
    vote(bench, open_batch, 0b11, 2)
    (certificate,) = certificates(bench)
    assert certified_bits(certificate, bench.net.chain.validators) == 0b11


def test_what_lacks_quorum_is_batched_again_with_growing_delay(bench, open_batch):
    for signer in range(4):
        vote(bench, open_batch, 0b01, signer)
    assert len(certificates(bench)) == 1
    bench.wait(100_000)
    (again,) = bench.batches()
    assert again.transactions == open_batch.transactions[1:]
    for signer in range(4):
        vote(bench, again, 0, signer)
    assert certificates(bench) == []
    assert again.header.digest not in bench.core.batcher.held
    bench.wait(149_999)
    assert bench.batches() == []
    bench.wait(1)
    assert len(bench.batches()) == 1


def test_a_bad_signature_is_found_at_closing_and_the_batch_stays_open(bench, open_batch):
    for signer in range(2):
        vote(bench, open_batch, 0b11, signer)
    good = bench.net.vote(open_batch.header.digest, 2, 0b11, 2)
    bad = BatchVote(1, 0, good.digest, 2, good.bitmap, 2, bytes(64))
    bench.receive(bench.net.node_ids[2], BatchVoteMessage(bad))
    assert list(bench.hung_up) == [bench.net.node_ids[2]]
    assert certificates(bench) == []
    vote(bench, open_batch, 0b11, 3)
    assert len(certificates(bench)) == 1


@pytest.mark.parametrize("change", ["signer", "epoch", "count", "bitmap", "stranger"])
def test_a_vote_that_cannot_be_for_this_batch_costs_its_sender(bench, open_batch, change):
    good = bench.net.vote(open_batch.header.digest, 2, 0b11, 0)
    fields = {"epoch": 0, "count": 2, "bitmap": good.bitmap, "signer": 0}
    fields |= {
        "signer": {"signer": 1},
        "epoch": {"epoch": 1},
        "count": {"count": 3},
        "bitmap": {"bitmap": b"\xff"},
        "stranger": {},
    }[change]
    message = BatchVoteMessage(BatchVote(1, digest=good.digest, signature=good.signature, **fields))
    peer = bench.net.edge if change == "stranger" else bench.net.node_ids[0]
    bench.receive(peer, message)
    assert [type(event) for event in bench.events if event.level == "warning"] == [PeerFault]
    assert bench.core.batcher.held[good.digest].votes == {}


def test_an_open_batch_is_repeated_only_to_those_who_have_not_voted(bench, open_batch):
    vote(bench, open_batch, 0b11, 0)
    bench.wait(1_000_000)
    assert sorted(bench.peers_sent(BatchMessage)) == sorted(bench.net.node_ids[1:])


def test_a_validator_that_comes_back_gets_what_is_open(bench, open_batch):
    bench.down(bench.net.node_ids[3])
    bench.sent.clear()
    bench.up(bench.net.node_ids[3], 1)
    assert bench.peers_sent(BatchMessage) == [bench.net.node_ids[3]]


def test_a_certificate_is_repeated_every_second_until_its_transactions_are_executed(bench, open_batch):
    for signer in range(3):
        vote(bench, open_batch, 0b11, signer)
    (certificate,) = certificates(bench)
    levels(bench)
    for _ in range(3):
        bench.wait(1_000_000)
        assert certificates(bench) == [certificate]
    bench.receive(bench.net.node_ids[1], GetBatches((open_batch.header.digest,)))
    assert bench.peers_sent(BatchMessage) == [bench.net.node_ids[1]]
    bench.net.block(certificate)
    bench.catch_up()
    assert [level for _, level in levels(bench)] == [LEVEL_R3, LEVEL_R3]
    assert (bench.core.batcher.held, len(bench.core.mempool)) == ({}, 0)
    bench.wait(3_000_000)
    assert certificates(bench) == []


def test_unexecuted_batches_hold_new_ones_back_but_not_what_has_grown_old(net, kit):
    bench = kit.Bench(net, batches_open_max=2, batch_wait_us=50_000, batch_interval_us=0)
    bench.start()
    bench.batches()
    for wallet in range(4):
        submit(bench, net.pay(wallet, 0))
        bench.wait(50_000)
    assert len(bench.batches()) == 2
    bench.wait(1_800_000)
    bench.take(BatchMessage)
    assert (len(bench.core.batcher.held), bench.core.mempool.queued) == (2, 2)
    bench.wait(200_000)
    assert (len(bench.core.batcher.held), bench.core.mempool.queued) == (3, 0)


def test_no_batch_is_made_while_no_validator_is_there(bench):
    for node_id in bench.net.node_ids:
        bench.down(node_id)
    submit(bench, bench.net.pay(0, 0))
    bench.wait(5_000_000)
    assert bench.batches() == []
    bench.up(bench.net.node_ids[0], 1)
    bench.wait(0)
    assert bench.peers_sent(BatchMessage) == [bench.net.node_ids[0]]


def test_a_command_is_answered(bench, open_batch):
    from supervm.tier_l2_miner.messages import Info

    value = bench.call(Info())
    assert (value["mempool"], value["batches_open"]) == (2, 1)
    assert value["peers"] == 5
    assert value["peers_by_tier"] == {"l1": 4, "l2": 0, "l3": 1, "l4": 0}
