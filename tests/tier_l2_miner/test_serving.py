"""Rules of intake and serving: what clients are told, what they can verify, and what garbage achieves."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from supervm.common.contract.core import Tick
from supervm.common.parts.events import ForkEvidence
from supervm.common.testing.hand import BrokenContract
from supervm.protocol.base.codec import decode, encode
from supervm.protocol.base.keys import verify
from supervm.protocol.light.client import Anchor, LightClient, anchor_of
from supervm.protocol.light.forks import checkpoint_fork
from supervm.protocol.money.transaction import transaction_id
from supervm.protocol.state.leaves import HOLDING, account_leaf_id, asset_leaf_id, holding_leaf_id, parse_leaf_id
from supervm.protocol.wire.chain import BatchCertificateMessage, BatchMessage, BlocksMessage, CheckpointMessage
from supervm.protocol.wire.directions import REQUESTS
from supervm.protocol.wire.fields import FORWARD_MAX
from supervm.protocol.wire.messages import AnyMessage
from supervm.protocol.wire.payments import (
    LEVEL_R3,
    LEVEL_REFUSED,
    FeeTerms,
    ForkMessage,
    GetLeaves,
    GetReceipt,
    LeafProofs,
    ReceiptAnswer,
    Status,
    Submit,
    Subscribe,
    Unsubscribe,
)
from supervm.tier_l2_miner.mempool.intake import BAD_SIGNATURE, WRONG_CHAIN
from supervm.tier_l2_miner.mempool.mempool import BUSY, CONFLICT
from supervm.tier_l2_miner.messages import Info, NewestAnchor
from supervm.tier_l2_miner.replica import serving

CLIENT = b"c" * 32
"""Another edge: nobody else is a miner's client."""


def execute(bench, *transactions):
    """Have transactions executed through another miner, and the miner catch up."""
    batch = bench.net.rival_batch(transactions)
    bench.net.block(bench.net.certify_batch(batch))
    bench.catch_up(checkpoint=False)
    bench.receive(bench.source, BatchMessage(encode(batch)))
    bench.receive(bench.source, CheckpointMessage(encode(bench.net.checkpoints[-1])))


class Phone:
    def __init__(self, bench):
        self.bench = bench
        self.light = LightClient(anchor_of(bench.net.chain), verify)

    def read(self, peer=CLIENT):
        """Verify every proof sent to `peer`: (height, account or (account, asset), amount or None) in order."""
        out = []
        for message in self.bench.take(LeafProofs, peer):
            header = self.light.accept_checkpoint(message.checkpoint, 10**9)
            if not message.proofs:
                out.append((header.height, None, None))
            for leaf_id, proof in message.proofs:
                kind, account, asset = parse_leaf_id(leaf_id)
                if kind == HOLDING:
                    amount = self.light.prove_holding(header, account, asset, proof)
                    out.append((header.height, (account, asset), amount or None))
                else:
                    proved = self.light.prove_account(header, account, proof)
                    out.append((header.height, account, proved.account.balance if proved.exists else None))
        return out


@pytest.fixture
def phone(bench):
    bench.up(CLIENT, 3)
    return Phone(bench)


def test_accounts_are_proved_under_the_newest_certified_checkpoint(bench, phone, kit):
    known, unknown = bench.net.wallets[0].public, b"u" * 32
    bench.receive(CLIENT, GetLeaves((account_leaf_id(known), account_leaf_id(unknown))))
    assert phone.read() == [(1, known, kit.FUNDS), (1, unknown, None)]
    bench.receive(CLIENT, GetLeaves(()))
    assert phone.read() == [(1, None, None)]


def test_nothing_is_served_above_what_is_certified(bench, phone, kit):
    account = bench.net.wallets[5].public
    batch = bench.net.rival_batch([bench.net.pay(0, 0)])
    bench.net.block(bench.net.certify_batch(batch))
    bench.catch_up(checkpoint=False)
    bench.receive(bench.source, BatchMessage(encode(batch)))
    assert bench.core.replica.ledger.height == 2
    bench.receive(CLIENT, GetLeaves((account_leaf_id(account),)))
    assert phone.read() == [(1, account, kit.FUNDS)]


def test_a_subscription_is_answered_at_once_and_pushed_when_a_certified_block_touches_it(bench, phone, kit):
    payee, other = bench.net.wallets[5].public, bench.net.wallets[2].public
    bench.receive(CLIENT, Subscribe((payee, other)))
    assert phone.read() == [(1, payee, kit.FUNDS), (1, other, kit.FUNDS)]
    execute(bench, bench.net.pay(0, 0, amount=7))
    bench.wait(200_000)
    assert phone.read() == [(2, payee, kit.FUNDS + 7)]
    bench.receive(CLIENT, Unsubscribe((payee,)))
    execute(bench, bench.net.pay(2, 0, amount=7))
    bench.wait(200_000)
    assert phone.read() == [(3, other, kit.FUNDS - 17)]
    bench.down(CLIENT)
    assert bench.core.serving._subscribers == {}


def test_an_edge_gets_the_newest_checkpoint_every_two_seconds_unasked(bench):
    phone = Phone(bench)
    bench.up(CLIENT, 4)  # nothing of it may travel to one that is no edge
    bench.wait(2_000_000)
    assert phone.read(bench.net.edge) == [(1, None, None)]
    bench.wait(2_000_000)
    assert phone.read(bench.net.edge) == []
    bench.net.block()
    bench.catch_up()
    bench.wait(0)
    assert phone.read(bench.net.edge) == [(2, None, None)]
    bench.net.block()
    bench.catch_up()
    bench.wait(1_999_999)
    assert phone.read(bench.net.edge) == []
    bench.wait(1)
    assert phone.read(bench.net.edge) == [(3, None, None)]


def test_a_subscription_tells_what_an_account_holds_and_every_holding_that_comes_or_goes(bench, phone, kit):
    """Nobody names the asset: income in one that was never held before is told, and a holding that is spent is, too."""
    net = bench.net
    rich, poor = net.wallets[1].public, net.wallets[3].public
    bench.receive(CLIENT, Subscribe((rich, poor)))
    assert phone.read() == [(1, rich, kit.FUNDS), (1, (rich, net.gold), kit.GOLD), (1, poor, kit.FUNDS)]
    execute(bench, net.pay(1, 0, to=poor, amount=kit.GOLD, asset=net.gold, fee=10))
    bench.wait(200_000)
    # what was spent is gone, and proved absent; the account of the payee itself was not touched
    told = {rich: kit.FUNDS - 10, (poor, net.gold): kit.GOLD, (rich, net.gold): None}
    assert {leaf: (height, amount) for height, leaf, amount in phone.read()} == {
        leaf: (2, amount) for leaf, amount in told.items()
    }
    bench.receive(CLIENT, Unsubscribe((rich, poor)))
    bench.receive(CLIENT, Subscribe((rich, poor)))
    assert phone.read() == [(2, rich, kit.FUNDS - 10), (2, poor, kit.FUNDS), (2, (poor, net.gold), kit.GOLD)]


def test_what_a_block_touched_before_the_subscription_is_told_when_it_is_certified(bench, phone, kit):
    payee = bench.net.wallets[3].public
    batch = bench.net.rival_batch([bench.net.pay(0, 0, to=payee, amount=5, asset=bench.net.gold)])
    bench.net.block(bench.net.certify_batch(batch))
    bench.catch_up(checkpoint=False)
    bench.receive(bench.source, BatchMessage(encode(batch)))
    bench.receive(CLIENT, Subscribe((payee,)))
    assert phone.read() == [(1, payee, kit.FUNDS), (1, (payee, bench.net.gold), None)]
    bench.receive(bench.source, CheckpointMessage(encode(bench.net.checkpoints[-1])))
    bench.wait(200_000)
    assert phone.read() == [(2, (payee, bench.net.gold), 5)]


def test_when_another_state_takes_the_place_of_this_one_what_is_subscribed_is_told_anew(bench, phone, kit):
    rich = bench.net.wallets[1].public
    bench.receive(CLIENT, Subscribe((rich,)))
    phone.read()
    bench.core.replica._is_swapped = True  # as after the write of a snapshot
    bench.step(Tick())
    bench.wait(200_000)
    assert phone.read() == [(1, rich, kit.FUNDS), (1, (rich, bench.net.gold), kit.GOLD)]


def test_holdings_are_proved_present_or_absent_and_what_is_no_leaf_is_a_fault(bench, phone, kit):
    rich, poor, gold = bench.net.wallets[0].public, bench.net.wallets[3].public, bench.net.gold
    bench.receive(CLIENT, GetLeaves((holding_leaf_id(rich, gold), holding_leaf_id(poor, gold))))
    assert phone.read() == [(1, (rich, gold), kit.GOLD), (1, (poor, gold), None)]
    bench.receive(CLIENT, GetLeaves((asset_leaf_id(gold), asset_leaf_id(bytes(32)))))
    (answer,) = bench.take(LeafProofs, CLIENT)
    header = phone.light.accept_checkpoint(answer.checkpoint, 10**9)
    proved = [phone.light.prove_asset(header, leaf_id[1:], proof) for leaf_id, proof in answer.proofs]
    assert proved == [(rich, 2 * kit.GOLD), None]
    bench.receive(CLIENT, GetLeaves((b"\x04" + bytes(32),)))
    assert (phone.read(), bench.events[-1].code) == ([], "bad-leaf")


def test_every_edge_is_told_which_fees_are_taken(net, kit):
    """At once, also on a connection that takes the place of another, and nobody but edges."""
    bench = kit.Bench(net, fees=f"{net.gold.hex()}:5,svm:1000")
    for _ in range(2):
        bench.up(net.edge, 3)
        assert bench.take(FeeTerms) == [FeeTerms(b"", ((b"", 1_000), (net.gold, 5)))]
    bench.up(CLIENT, 4)
    bench.up(net.node_ids[0], 1)
    assert bench.take(FeeTerms) == []


@pytest.mark.parametrize("fee_asset", [b"", b"?" * 32], ids=["too low", "another asset"])
def test_a_fee_that_is_not_taken_is_refused_before_its_signature_is_looked_at(net, kit, fee_asset):
    bench = kit.Bench(net, fees=f"{net.gold.hex()}:5,svm:1000")
    bench.start()
    bench.work_at_once = False
    transaction = net.pay(0, 0, fee=999, fee_asset=fee_asset)
    bench.receive(net.edge, Submit((transaction.raw,)))
    ((item,),) = [message.items for message in bench.take(Status, net.edge)]
    assert (item.transaction_id, item.level) == (transaction.id, LEVEL_REFUSED)
    assert item.reason == f"fee-not-taken: takes at least 1000 of svm or 5 of {net.gold.hex()}"
    assert list(bench.works) == []
    for taken in (net.pay(0, 0, fee=1_000), net.pay(1, 0, fee=5, fee_asset=net.gold)):
        bench.receive(net.edge, Submit((taken.raw,)))
    assert len(bench.works) == 2


def test_what_was_executed_is_r3_though_its_fee_is_not_taken_here(net, kit):
    bench = kit.Bench(net, fees="svm:1000")
    bench.start()
    transaction = net.pay(0, 0, fee=1)
    execute(bench, transaction)
    bench.receive(net.edge, Submit((transaction.raw,)))
    assert [i.level for m in bench.take(Status, net.edge) for i in m.items] == [LEVEL_R3]


def test_a_kind_of_transaction_that_is_not_known_here_is_refused_by_name(bench):
    raw = bench.net.pay(0, 0).raw
    bench.receive(bench.net.edge, Submit((raw[:1] + b"\x09" + raw[2:],)))
    ((item,),) = [message.items for message in bench.take(Status, bench.net.edge)]
    assert item.level == LEVEL_REFUSED
    assert item.reason.startswith("a transaction of kind 9, which is reserved for objects, is not known here")


@pytest.mark.parametrize("raw", [b"", b"\x00", b"\xff" * 70])
def test_garbage_at_a_busy_miner_is_refused_like_anything_else(net, kit, raw):
    bench = kit.Bench(net)
    bench.up(net.edge, 3)
    bench.receive(net.edge, Submit((raw,)))
    assert [i.reason for m in bench.take(Status, net.edge) for i in m.items] == [BUSY]


def test_an_issue_and_a_transfer_of_what_it_makes_go_through_one_after_the_other(bench, phone, kit):
    """The transfer waits until the issue is executed; another sender's transactions do not."""
    net = bench.net
    issued = net.issue(0, 0, supply=100)
    sent = net.pay(0, 1, issued.id, asset=issued.id, amount=30)
    bench.receive(net.edge, Submit((sent.raw, issued.raw, net.pay(2, 0).raw)))
    bench.wait(50_000)
    (batch,) = bench.batches()
    assert {issued.raw, net.pay(2, 0).raw} == set(batch.transactions)
    net.block(net.certify_batch(batch))
    bench.catch_up()
    bench.wait(400_000)
    (batch,) = bench.batches()
    assert batch.transactions == (sent.raw,)
    net.block(net.certify_batch(batch))
    bench.catch_up()
    payee = net.wallets[5].public
    bench.receive(CLIENT, GetLeaves((holding_leaf_id(payee, issued.id), asset_leaf_id(issued.id))))
    (answer,) = bench.take(LeafProofs, CLIENT)
    header = phone.light.accept_checkpoint(answer.checkpoint, 10**9)
    (_, held), (_, made) = answer.proofs
    assert phone.light.prove_holding(header, payee, issued.id, held) == 30
    assert phone.light.prove_asset(header, issued.id, made) == (net.wallets[0].public, 100)


def test_the_owner_is_told_the_fees_of_every_asset(bench):
    net = bench.net
    assert bench.call(Info())["fees"] == {"svm": {"l1": 0, "l2": 0, "l3": 0, "l4": 0}}
    execute(bench, net.pay(0, 0, fee=10, fee_asset=net.gold, via=net.edge), net.pay(2, 0, fee=100))
    assert bench.call(Info())["fees"] == {
        "svm": {"l1": 40, "l2": 30, "l3": 20, "l4": 10},
        net.gold.hex(): {"l1": 4, "l2": 3, "l3": 2, "l4": 1},
    }
    assert bench.core.replica.balance(net.edge, net.gold) == 2


def test_many_accounts_are_split_over_frames(bench, phone):
    accounts = tuple(bytes([i // 256, i % 256]) * 16 for i in range(FORWARD_MAX))
    bench.receive(CLIENT, Subscribe(accounts))
    bench.receive(CLIENT, Subscribe(tuple(bytes([7, i // 256, i % 256, 9]) * 8 for i in range(FORWARD_MAX))))
    assert len(phone.read()) == 2 * FORWARD_MAX


def test_a_long_answer_to_a_subscription_comes_push_by_push(bench, phone, monkeypatch):
    """Accounts with many holdings have one that would not fit into what a connection may have waiting."""
    monkeypatch.setattr(serving, "PUSH_LEAVES_MAX", 100)
    accounts = tuple(bytes([i // 256, i % 256]) * 16 for i in range(250))
    bench.receive(CLIENT, Subscribe(accounts[:100]))
    assert len(phone.read()) == 100
    bench.receive(CLIENT, Subscribe(accounts))
    told = []
    for _ in range(4):
        told.append(len(phone.read()))
        bench.wait(200_000)
    assert sorted(told) == [0, 50, 100, 100]


def test_subscriptions_per_connection_are_bounded(net, kit):
    bench = kit.Bench(net, subscriptions_max=3)
    bench.start()
    bench.up(CLIENT, 3)
    bench.receive(CLIENT, Subscribe((bytes([0]) * 32, bytes([9]) * 32)))
    assert (len(bench.core.serving._subscribers), bench.hung_up) == (2, {})
    bench.receive(CLIENT, Subscribe((bytes([1]) * 32, bytes([10]) * 32)))
    assert (bench.core.serving._subscribers, bench.hung_up) == ({}, {CLIENT: "subscriptions"})


def test_receipts_are_proved_and_unknown_ones_answered_with_nothing(bench, phone):
    transaction = bench.net.pay(0, 0)
    execute(bench, transaction)
    execute(bench, bench.net.pay(1, 0))
    for identity in (transaction.id, b"n" * 32):
        bench.receive(CLIENT, GetReceipt(identity))
    answer, nothing = bench.take(ReceiptAnswer, CLIENT)
    assert phone.light.check_receipt(answer.proof, transaction.id, 10**9).status == 1
    assert nothing == ReceiptAnswer(b"n" * 32, b"")


def test_statuses_of_a_step_leave_in_one_message(bench):
    first, rival = bench.net.pay(0, 0), bench.net.pay(0, 0, amount=11)
    bad = bench.net.pay(1, 0).raw[:-64] + bytes(64)
    bench.receive(bench.net.edge, Submit((first.raw, rival.raw, bad)))
    (status,) = bench.take(Status, bench.net.edge)
    assert [(i.transaction_id, i.level, i.reason) for i in status.items] == [
        (rival.id, LEVEL_REFUSED, CONFLICT),
        (transaction_id(bad), LEVEL_REFUSED, BAD_SIGNATURE),
    ]
    assert len(bench.core.mempool) == 1


def test_a_copy_with_a_bad_signature_does_not_push_the_honest_one_out(bench):
    good = bench.net.pay(0, 0)
    bench.receive(bench.net.edge, Submit((good.raw[:-64] + bytes(64), good.raw)))
    assert good.id in bench.core.mempool


def test_a_transaction_for_another_chain_is_refused_by_name(bench, kit):
    other = kit.Net()
    other.id = b"c" * 32
    foreign = other.pay(0, 0)
    bench.receive(bench.net.edge, Submit((foreign.raw, bench.net.pay(0, 0).raw)))
    (status,) = bench.take(Status, bench.net.edge)
    assert [(i.transaction_id, i.reason) for i in status.items] == [(foreign.id, WRONG_CHAIN)]
    assert len(bench.core.mempool) == 1


def test_every_peer_that_submits_a_transaction_is_told(bench):
    bench.up(CLIENT, 3)
    transaction = bench.net.pay(0, 0)
    for peer in (bench.net.edge, CLIENT, CLIENT):
        bench.receive(peer, Submit((transaction.raw,)))
    execute(bench, transaction)
    assert len(bench.take(Status, bench.net.edge)) == len(bench.take(Status, CLIENT)) == 1


def test_beyond_its_rate_a_peer_is_told_busy(net, kit):
    bench = kit.Bench(net, submit_rate_edge=2)
    bench.start()
    bench.up(CLIENT, 3)
    transactions = net.chain_of(0, 6)
    bench.receive(CLIENT, Submit(tuple(t.raw for t in transactions)))
    (status,) = bench.take(Status, CLIENT)
    assert [(i.transaction_id, i.reason) for i in status.items] == [(t.id, BUSY) for t in transactions[4:]]
    bench.wait(1_000_000)
    bench.receive(CLIENT, Submit(tuple(t.raw for t in transactions[4:])))
    assert len(bench.core.mempool) == 6


def test_a_miner_that_knows_no_certified_state_yet_is_busy(net, kit):
    bench = kit.Bench(net)
    bench.up(CLIENT, 3)
    bench.receive(CLIENT, Submit((net.pay(0, 0).raw,)))
    assert bench.take(Status, CLIENT)[0].items[0].reason == BUSY


def test_repeated_faults_end_the_connection_and_time_forgives(bench, phone):
    for _ in range(4):
        bench.receive(CLIENT, Submit((b"garbage",)))
        bench.wait(2_000_000)
    assert bench.hung_up == {}
    for _ in range(6):
        bench.receive(CLIENT, Submit((b"garbage",)))
    assert list(bench.hung_up) == [CLIENT]


BLOB = st.binary(max_size=200)
WILD = st.one_of(
    st.builds(lambda raws: Submit(tuple(raws)), st.lists(BLOB, max_size=4)),
    st.builds(BatchMessage, BLOB),
    st.builds(BatchCertificateMessage, BLOB),
    st.builds(BlocksMessage, BLOB),
    st.builds(CheckpointMessage, BLOB),
    st.builds(GetReceipt, st.binary(min_size=32, max_size=32)),
    st.builds(lambda a: Unsubscribe(tuple(a)), st.lists(st.binary(min_size=32, max_size=32), max_size=3)),
    st.builds(LeafProofs, BLOB, st.just(())),
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.booleans(), WILD), max_size=8))
def test_garbage_from_anyone_changes_nothing_and_never_raises(bench, messages: list[tuple[bool, AnyMessage]]):
    before = bench.core.replica.ledger.header
    for from_validator, message in messages:
        if from_validator and type(message) in REQUESTS:
            continue  # no link carries it, so nobody could be answered
        bench.receive(bench.source if from_validator else bench.net.edge, message)
    assert bench.core.replica.ledger.header == before
    assert len(bench.core.mempool) == 0
    assert bench.halted == ""
    bench.receive(b"nobody is up" + bytes(20), GetLeaves(()))


def test_bytes_around_real_objects_are_refused_too(bench):
    finalized = encode(bench.net.block())
    checkpoint = encode(bench.net.checkpoints[-1])
    for position in range(0, len(finalized), 37):
        source = bench.source
        bench.receive(source, BlocksMessage(finalized[:position] + b"\x00" + finalized[position + 1 :]))
        bench.forgive(source)
    for position in range(0, len(checkpoint), 17):
        source = bench.source
        bench.receive(source, CheckpointMessage(checkpoint[:position] + b"\xff" + checkpoint[position + 1 :]))
        bench.forgive(source)
    assert bench.halted == ""
    bench.receive(bench.source, BlocksMessage(finalized))
    bench.receive(bench.source, CheckpointMessage(checkpoint))
    assert bench.core.replica.certified_height == 2


def test_a_fork_that_an_edge_shows_is_kept_and_passed_on_once(bench, net, kit):
    """Others' phones hear of it through their edges; what proves nothing ends the link."""
    other, third = kit.key(9, 1).public, kit.key(9, 2).public
    bench.up(other, 3)
    honest = net.checkpoints[0]
    message = ForkMessage(encode(checkpoint_fork(honest, net.certify(replace(honest.header, state_root=bytes(32))))))
    bench.receive(net.edge, message)
    assert bench.peers_sent(ForkMessage) == [other]
    assert [event.kind for event in bench.events if isinstance(event, ForkEvidence)] == ["fork"]
    bench.receive(other, message)
    assert bench.take(ForkMessage) == [message]
    again = kit.Bench(net, store=bench.store)
    again.up(third, 3)
    assert again.take(ForkMessage, third) == [message]
    bench.receive(other, ForkMessage(message.fork[:-1]))
    assert list(bench.hung_up) == [other]


def test_a_miner_gives_the_anchor_that_a_light_client_starts_from(bench, net, kit):
    value = bench.call(NewestAnchor())
    client = LightClient(decode(Anchor, bytes.fromhex(value["anchor_hex"])), verify)
    assert (client.header, value["height"]) == (net.checkpoints[-1].header, 1)
    net.block()
    assert client.accept_checkpoint(encode(net.checkpoints[-1]), 10**9) == net.checkpoints[-1].header
    fresh = kit.Bench(kit.Net())
    with pytest.raises(BrokenContract, match="nothing was certified"):
        fresh.call(NewestAnchor())
