"""The pitfalls P1 to P12 of consensus.md 2.9: what went wrong in a real implementation, played to the real core.

Each test's name begins with the number of its pitfall, and its docstring says what happened where.
"""

from __future__ import annotations

import datetime
import random
import time
from typing import Any, NoReturn

import msgspec
import pytest
import simplex_cluster as sim
from chain_tools import TestChain, make_test_chain
from simplex_solo import ADVANCE_US, LEAD_US, RULES, F, N, Solo, X, make_block, only, sent_votes

from supervm.common.contract.core import Send
from supervm.common.storage.memory import MemoryStore
from supervm.common.testing.hand import HandDriver
from supervm.protocol.base.codec import decode, encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.chain.block import Block, check_block
from supervm.protocol.chain.genesis import Parameters
from supervm.protocol.chain.header import CheckpointRef, Justification
from supervm.protocol.chain.votes import VoteKind
from supervm.protocol.wire.chain import BatchMessage, GetBlocks
from supervm.protocol.wire.consensus import CertificateMessage, GetBlock, ProposalMessage, VoteMessage
from supervm.protocol.wire.fields import Message
from supervm.protocol.wire.frames import encode_message
from supervm.tier_l1_super.consensus.simplex import effects as fx
from supervm.tier_l1_super.consensus.simplex.pacing import timeout_us
from supervm.tier_l1_super.consensus.simplex.promises import NotarizePromise, NullifyPromise, decode_promise
from supervm.tier_l1_super.consensus.simplex.resend import PROPOSAL_BYTES_PER_S
from supervm.tier_l1_super.node import ValidatorNode
from supervm.tier_l1_super.tables import TABLES

SECOND = 1_000_000
NO_CHECKPOINT = CheckpointRef(1, 0, ZERO_HASH)


def chain_of(count: int) -> list[Block]:
    """Blocks of the views 1 to `count`, each on the one before."""
    blocks: list[Block] = []
    for view in range(1, count + 1):
        blocks.append(make_block(blocks[-1].header if blocks else sim.GENESIS, view))
    return blocks


# --- P1: finalize after nullify -------------------------------------------------------------------------------------


def test_p1_no_finalize_of_a_nullified_view_after_pruning_repeats_and_a_restart() -> None:
    """ava-labs #280: pruning deleted the "timed out" flag of a live view, and a rebroadcast then signed Finalize there.

    View 2 is nullified here, view 1 becomes final and is pruned, and only then comes the notarization of view 2.
    """
    first, second = chain_of(2)
    solo = Solo()
    solo.propose(first)
    solo.certify(N, 1, first.hash)
    solo.propose(second)
    solo.wait(ADVANCE_US)
    assert solo.kinds() == ["F1", "X2"]
    finalization = sim.certificate(F, 1, first.hash, (1, 2, 3))
    assert only(solo.step(fx.CertificateReceived(1, finalization)), fx.Committed)
    kept = [decode_promise(payload) for payload in solo.core.prune(1)]
    again = Solo(promises=kept, finalized=(first.header, finalization))
    solo.wait(3 * SECOND)
    for one in (solo, again):
        one.propose(second)
        one.certify(N, 2, second.hash)
        one.wait(3 * SECOND)
        assert one.core.view > 2
        assert "F2" not in one.kinds()
        assert not [vote for vote in sent_votes(one.all) if vote.kind is F and vote.number == 2]


# --- P2: the gap below a proposal -----------------------------------------------------------------------------------


def test_p2_a_gap_without_nullifications_is_never_voted_for() -> None:
    """ava-labs #281: a block was voted for although views between its parent's and its own were not nullified."""
    solo = Solo()
    bare = make_block(sim.GENESIS, 3, just=Justification(1, (), ()))
    solo.certify(X, 2)
    assert solo.core.view == 3
    assert not only(solo.propose(bare), fx.AskVerify)
    assert only(solo.certify(X, 1), fx.AskVerify), "pending until the nullification comes from elsewhere"
    other = Solo()
    other.certify(X, 2)
    assert only(other.propose(make_block(sim.GENESIS, 3)), fx.AskVerify), "the justification alone suffices"


def test_p2_a_block_without_proof_of_the_gap_is_invalid() -> None:
    """ava-labs #281: also whoever holds the nullifications refuses a block that does not carry them."""
    partial = Justification(1, (), (sim.certificate(X, 2, ZERO_HASH, (1, 2, 3)),))
    with pytest.raises(RemoteProtocolError, match="the nullification of view 1 is missing") as caught:
        check_block(make_block(sim.GENESIS, 3, just=partial), sim.GENESIS, RULES)
    assert caught.value.code == "bad-justification"


def test_p2_a_leader_never_builds_over_a_gap() -> None:
    """ava-labs #281, the leader's side: without the nullification of a view below there is no parent to build on."""
    solo = Solo()
    solo.certify(X, 1)
    assert not only(solo.certify(X, 3), fx.AskBuild)
    assert solo.core.view == 4
    assert only(solo.certify(X, 2), fx.AskBuild) == [fx.AskBuild(4, sim.GENESIS.hash, sim.GENESIS)]


# --- P3: split certificates -----------------------------------------------------------------------------------------


class Split:
    """Five honest nodes of seven validators; two Byzantine ones sign what the test needs and then fall silent.

    Nodes 0 and 1 hold the notarization of view 1 and the nullification of view 2, the other three the reverse. No vote
    of these views arrives anywhere, so only certificates and justifications can heal the split.
    """

    def __init__(self, *, proposals_pass: bool) -> None:
        self.cluster = sim.Cluster(7, absent=[5, 6])
        self.cluster.drop = self.drop
        self.certificates_pass = False
        self.proposals_pass = proposals_pass
        self.held: list[dict[tuple[VoteKind, int], None]] = [{} for _ in range(5)]

    def is_unwelcome(self, target: int, kind: VoteKind, view: int) -> bool:
        return view in (1, 2) and kind is (X if (target < 2) == (view == 1) else N)

    def drop(self, source: int, target: int, message: Message) -> bool:
        if isinstance(message, VoteMessage):
            return any(one.number <= 2 for one in message.votes)
        if isinstance(message, CertificateMessage):  # a node that comes to hold one passes it on
            self.held[source].update(((one.kind, one.number), None) for one in message.certificates)
            return not self.certificates_pass and any(
                self.is_unwelcome(target, one.kind, one.number) for one in message.certificates
            )
        if isinstance(message, ProposalMessage):
            view = self.cluster.decode(message.block).header.view
            return (view == 2 and target < 2) or (view > 2 and not self.proposals_pass)
        return False

    def split(self, view: int) -> None:
        """Run until all have voted for the view's block, as far as they saw it, and then given the view up."""
        assert self.cluster.run(
            SECOND, lambda: all((X, view, ZERO_HASH) in node.durable_promises for node in self.cluster.nodes)
        )
        voted = [
            (node.index, digest)
            for node in self.cluster.nodes
            for kind, number, digest in node.durable_promises
            if kind is N and number == view
        ]
        (block_hash,) = {digest for _, digest in voted}
        signers = sorted({5, 6, *(index for index, _ in voted)})
        assert len(signers) >= self.cluster.rules.validators.quorum
        notarization = sim.certificate(N, view, block_hash, signers)
        nullification = sim.certificate(X, view, ZERO_HASH, range(5))
        for node in self.cluster.nodes:
            lacks_nullification = self.is_unwelcome(node.index, X, view)
            node.receive(5, CertificateMessage((notarization if lacks_nullification else nullification,)))

    def has_all(self, index: int) -> bool:
        return all((kind, view) in self.held[index] for kind in (N, X) for view in (1, 2))


@pytest.mark.parametrize("by", ["certificates", "justifications"])
def test_p3_a_certificate_split_heals(by: str) -> None:
    """Commonware #2149: half held notarization(v), half nullification(v), the reverse a view later; it stood still.

    It heals by the repeated certificates alone, and by the certificates in new proposals alone.
    """
    split = Split(proposals_pass=by == "justifications")
    cluster = split.cluster
    split.split(1)
    split.split(2)
    cluster.run(1)
    assert split.held == [dict.fromkeys([(N, 1), (X, 2)])] * 2 + [dict.fromkeys([(X, 1), (N, 2)])] * 3
    if by == "certificates":
        split.certificates_pass = True
        assert cluster.run(3 * SECOND, lambda: all(split.has_all(index) for index in range(5)))
        split.proposals_pass = True
    assert cluster.run(30 * SECOND, lambda: min(cluster.heights()) >= 5)


# --- P4: what a restart must take up again --------------------------------------------------------------------------


def test_p4_the_timers_run_again_after_a_restart() -> None:
    """ava-labs #328: after a restart the timer that repeats an own Nullify was not armed, so nobody heard of it."""
    solo = Solo(promises=[NullifyPromise(1, 0, 1)])
    assert [vote.kind for vote in sent_votes(solo.all)] == [X], "own votes are sent again at once"
    for _ in range(5):
        assert X in [vote.kind for vote in sent_votes(solo.wait(SECOND))], "and with every repeat"


def test_p4_a_view_that_was_not_given_up_before_the_restart_still_ends() -> None:
    """ava-labs #328: the view's own time-outs must be armed again as well."""
    block = make_block(sim.GENESIS, 1)
    solo = Solo(promises=[NotarizePromise(1, 0, 1, block.hash, (block,))])
    solo.wait(ADVANCE_US)
    assert solo.kinds() == ["X1"]


def test_p4_after_a_restart_the_view_is_that_of_the_certificates_and_own_votes_count() -> None:
    """ava-labs #328: the state was rebuilt from the last record of the log, not by view. Here the log is shuffled."""
    solo = Solo()
    solo.certify(X, 1)
    solo.certify(X, 2)
    solo.wait(10 * SECOND)
    assert solo.kinds() == ["X3"]
    for seed in range(5):
        records = solo.promises()
        random.Random(seed).shuffle(records)
        again = Solo(promises=records)
        assert again.core.view == 3
        again.votes(X, 1, 2, view=3)
        assert again.core.view == 4, "our own vote from before the crash is the third"


def test_p4_all_crash_after_nullify_is_durable_and_count_their_own_votes_again() -> None:
    """Commonware #4275: all journaled Nullify, crashed, and told it to peers but not to themselves: never 2f+1."""
    cluster = sim.Cluster(4, absent=[1], disk_us=0)  # the leader of view 1 is away
    cluster.drop = lambda _source, _target, message: isinstance(message, VoteMessage)
    assert cluster.run(5 * SECOND, lambda: all((X, 1, bytes(32)) in node.durable_promises for node in cluster.nodes))
    for node in cluster.nodes:
        node.crash()
    cluster.drop = lambda _source, _target, _message: False
    for node in cluster.nodes:
        node.start()
    assert cluster.run(3 * SECOND // 2, lambda: (X, 1) in cluster.monitor.certified)
    assert cluster.run(20 * SECOND, lambda: min(cluster.heights()) >= 5)


# --- P5: one record for one vote ------------------------------------------------------------------------------------


def test_p5_several_reasons_to_nullify_make_one_record() -> None:
    """ava-labs #486: several trigger paths each wrote their own record of the same empty vote."""
    solo = Solo()
    block = make_block(sim.GENESIS, 1)
    solo.propose(block)
    solo.verified(block, ok=False)  # the verdict
    solo.votes(X, 1, view=1)  # the leader's own wish
    solo.wait(ADVANCE_US * 3)  # both timers
    assert solo.kinds() == ["X1"]
    again = Solo(promises=solo.promises())
    again.votes(X, 1, view=1)
    again.wait(ADVANCE_US * 3)
    assert again.kinds() == [], "nor does a restart write it again"


# --- P6: indirect commits -------------------------------------------------------------------------------------------


def test_p6_a_block_is_committed_through_its_descendants_finalization() -> None:
    """ava-labs #124: a commit waited for each ancestor's own finalization, which may never come, and stood still."""
    cluster = sim.Cluster(4)
    cluster.drop = lambda _source, _target, message: (
        isinstance(message, VoteMessage) and any(one.kind is F and one.number <= 3 for one in message.votes)
    )
    cluster.run(SECOND)
    views = [block.header.view for block in cluster.nodes[0].live_chain]
    assert views[:5] == [1, 2, 3, 4, 5]
    assert not any(kind is F and view <= 3 for kind, view in cluster.monitor.certified)


# --- P7: a verdict never changes ------------------------------------------------------------------------------------


def test_p7_an_absent_parent_leaves_the_vote_pending_and_is_fetched() -> None:
    """Commonware's `certify` notes: "data missing" was answered with false, and a good block was lost for ever."""
    solo = Solo()
    parent = make_block(sim.GENESIS, 1)
    child = make_block(parent.header, 2)
    effects = solo.propose(child)  # its justification brings us to view 2
    assert solo.core.view == 2
    assert not only(effects, fx.AskVerify)
    assert only(effects, fx.FetchBlock) == [fx.FetchBlock(1, parent.hash, (1, 2, 3))]
    assert not [kind for kind in solo.kinds() if kind.startswith("X")], "pending, not refused"
    assert only(solo.propose(parent, sender=3), fx.AskVerify) == [fx.AskVerify(child, parent.header)]
    solo.verified(child)
    assert "N2" in solo.kinds()


def test_p7_a_block_from_the_future_waits_for_the_clock_and_is_not_refused() -> None:
    """Commonware's `certify` notes: a clock that is behind is data missing, too; it delays the vote and no more.

    The voter's rule is ts <= clock + 2 s. There is no lower bound: a block from long ago is voted for at once.
    """
    solo = Solo()
    drift_ms = sim.TIMES.clock_drift_ms
    assert drift_ms == 2_000
    block = make_block(sim.GENESIS, 1, ts_ms=solo.now_us // 1000 + drift_ms + 100)
    assert not only(solo.propose(block), fx.AskVerify)
    assert not only(solo.wait(99_999), fx.AskVerify)
    assert only(solo.wait(1), fx.AskVerify)
    assert solo.kinds() == []
    solo.verified(block)
    assert solo.kinds() == ["N1"]
    old = Solo(now_us=sim.START_US + 10**15)
    assert only(old.propose(block), fx.AskVerify)
    far = Solo()
    other = make_block(sim.GENESIS, 1, ts_ms=2**62)
    far.propose(other)
    far.wait(LEAD_US)
    assert far.kinds() == [], "not even a block that can never be voted for is refused; the view's own end is"
    far.certify(N, 1, other.hash)
    assert far.core.view == 2


# --- P8: validity is local to nobody --------------------------------------------------------------------------------

CHAIN = make_test_chain(4, miners=2)
BATCH = CHAIN.batch([CHAIN.transaction("alice", CHAIN.account("bob"))])
FIRST = CHAIN.block(CHAIN.genesis_header)
SECOND_BLOCK = CHAIN.block(FIRST.header, view=2, refs=[CHAIN.batch_certificate(BATCH)])
LATE = CHAIN.block(FIRST.header, view=2, ts_ms=2**62)
BACKWARDS = CHAIN.block(FIRST.header, view=2, ts_ms=FIRST.header.ts_ms)


def verdict(block: Block) -> str:
    """What `check_block` says, on copies that share nothing with what was seen before."""
    try:
        check_block(decode(Block, encode(block)), decode(Block, encode(FIRST)).header, CHAIN.rules)
    except RemoteProtocolError as error:
        return f"{error.code}: {error.reason}"
    return "valid"


def forbidden(*_: object) -> NoReturn:
    raise AssertionError("block validity asked for something local")


def test_p8_the_verdict_on_a_block_depends_on_its_chain_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Validity by local state or clock kills views: nodes disagree about a block, and no quorum forms.

    The same blocks are judged in any order, again and again, without a clock, a file or randomness within reach.
    """
    cases = [SECOND_BLOCK, LATE, BACKWARDS, msgspec.structs.replace(SECOND_BLOCK, just=FIRST.just)]
    before = [verdict(block) for block in cases]
    assert [one.partition(":")[0] for one in before] == ["valid", "valid", "bad-block", "bad-justification"]
    for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter"):
        monkeypatch.setattr(time, name, forbidden)
    monkeypatch.setattr("builtins.open", forbidden)
    monkeypatch.setattr(random, "random", forbidden)

    class NoDatetime(datetime.datetime):
        now = utcnow = today = forbidden  # type: ignore[assignment]

    monkeypatch.setattr(datetime, "datetime", NoDatetime)
    order = [0, 1, 2, 3, 3, 2, 1, 0, 2, 0, 3, 1]
    after = [verdict(cases[place]) for place in order]
    monkeypatch.undo()
    assert after == [before[place] for place in order]


class Validator(HandDriver[ValidatorNode]):
    """A whole validator node, linked to the others and the miners; its disk and its workers are slow."""

    def __init__(self, chain: TestChain, index: int, *, hours: int) -> None:
        self.chain, self.index = chain, index
        store = MemoryStore(TABLES, with_log=True)
        node = ValidatorNode(
            chain=chain.chain,
            node_id=chain.node_keys[index].public,
            key=chain.validator_keys[index],
            reader=store,
            targets=(),
            rng=random.Random(index),
        )
        now_us = (chain.chain.genesis.time_ms + hours * 3_600_000) * 1_000
        super().__init__(node, store, now_us=now_us, disk_at_once=False, work_at_once=False)
        for tier, keys in ((1, chain.node_keys), (2, chain.miner_keys)):
            for key in keys:
                if key.public != self.core.node_id:
                    self.up(key.public, tier)

    def votes_on(self, block: Block) -> list[tuple[VoteKind, bytes]]:
        """What it tells one peer about the block's view when the block comes."""
        peer = next(key.public for key in self.chain.node_keys if key.public != self.core.node_id)
        effects = self.receive(self.chain.node_keys[block.header.proposer].public, ProposalMessage(encode(block)))
        return [
            (vote.kind, vote.digest)
            for one in effects
            if isinstance(one, Send) and one.peer == peer and isinstance(one.message, VoteMessage)
            for vote in one.message.votes
            if vote.number == block.header.view and vote.kind in (N, X)
        ]


def test_p8_nodes_with_other_clocks_pools_and_databases_vote_alike() -> None:
    """Validity by local state kills views: a batch body, an execution or the right hour is lacking.

    One node is fresh and has no body of the batch, one has the body in its pool, one has the parent final in its
    database and lives a year later: each notarizes the good block and refuses the bad one.
    """
    leaders = {FIRST.header.proposer, SECOND_BLOCK.header.proposer}
    index = next(index for index in range(4) if index not in leaders)
    for block, expected in ((SECOND_BLOCK, (N, SECOND_BLOCK.hash)), (BACKWARDS, (X, ZERO_HASH))):
        fresh = Validator(CHAIN, index, hours=1)
        filled = Validator(CHAIN, index, hours=2)
        filled.receive(CHAIN.miner_keys[0].public, BatchMessage(encode(BATCH)))
        filled.work()
        later = Validator(CHAIN, index, hours=365 * 24)
        for node in (fresh, filled, later):
            node.votes_on(FIRST)
        leader = CHAIN.node_keys[FIRST.header.proposer].public
        later.receive(leader, CertificateMessage((CHAIN.finalization(FIRST.header),)))
        assert [node.votes_on(block) for node in (fresh, filled, later)] == [[expected]] * 3


# --- P9: what a standing network says -------------------------------------------------------------------------------

VALIDATORS = 64
REPEAT_BYTES_MAX = 320 << 10
"""What one validator may say to one peer in a second: the budget of a repeat (`resend`) and what frames add to it."""


class Egress:
    """Adds up what one core of 64 sends to each peer in each second."""

    def __init__(self, views: int) -> None:
        self.solo = Solo(rules=sim.make_rules(VALIDATORS))
        for view in range(1, views + 1):
            if view % VALIDATORS:
                self.solo.votes(X, view % VALIDATORS, view=view)  # its leader gives up, so we do
            self.solo.certify(X, view)
        assert self.solo.core.view == views + 1
        self.sizes: dict[tuple[Any, ...], int] = {}

    def size(self, message: Message) -> int:
        """Bytes of the message, without its frame; what is repeated word for word is encoded once."""
        if isinstance(message, ProposalMessage):
            return len(message.block)
        if isinstance(message, CertificateMessage):
            key: tuple[Any, ...] = (X, *((one.kind, one.number) for one in message.certificates))
        elif isinstance(message, VoteMessage):
            key = (N, *((one.kind, one.number) for one in message.votes))
        else:
            key = (type(message), message)
        if key not in self.sizes:
            self.sizes[key] = len(encode_message(message))
        return self.sizes[key]

    def count(self, effects: list[fx.Effect]) -> int:
        """Bytes to the peer that gets most."""
        to_all, to_one = 0, [0] * VALIDATORS
        for one in effects:
            if isinstance(one, fx.Broadcast):
                to_all += self.size(one.message)
            elif isinstance(one, fx.SendTo):
                to_one[one.index] += self.size(one.message)
            elif isinstance(one, fx.FetchBlock):
                for peer in one.from_indices:
                    to_one[peer] += self.size(GetBlock(one.view, one.hash))
            elif isinstance(one, fx.FetchFinalized):
                to_all += self.size(GetBlocks(one.from_height))
        return to_all + max(to_one)

    def stand_still(self, seconds: int) -> list[int]:
        """Bytes by second to the peer that gets most, while three peers repeat what is known already."""
        view = self.solo.core.view
        known = sim.certificate(X, view - 1, ZERO_HASH, range(1, 44))
        out = []
        for _ in range(seconds):
            effects: list[fx.Effect] = []
            for peer in (1, 2, 3):
                effects += self.solo.step(fx.CertificateReceived(peer, known))
                effects += self.solo.votes(X, peer, view=view)
            effects += self.solo.wait(SECOND)
            out.append(self.count(effects))
        return out


def test_p9_an_hour_of_standstill_costs_each_peer_a_bounded_number_of_bytes_a_second() -> None:
    """TON 4.3: at a standstill each repeated all it had ever said, ever more of it: a "death spiral" of traffic.

    64 validators, no quorum for an hour, 1,000 views without a finalization behind them; after 200 it is the same.
    """
    worst = []
    for views, seconds in ((200, 10), (1_000, 3_600)):
        by_second = Egress(views).stand_still(seconds)
        worst.append(max(by_second))
        assert min(by_second[1:]) > 0, "it does repeat"
    assert worst[1] <= REPEAT_BYTES_MAX
    assert worst[1] <= worst[0] + 4_096, "what it costs does not grow with the views behind it"


def test_p9_a_leader_that_stands_still_repeats_a_large_proposal_within_the_budget() -> None:
    """TON 4.3: here the justification of a block over 255 skipped views is what must not be said every second."""
    egress = Egress(255)  # view 256 is ours; nobody else signs spans here
    (ask,) = [one for one in only(egress.solo.all, fx.AskBuild) if one.view == egress.solo.core.view]
    effects = egress.solo.step(fx.Built(ask.view, sim.EMPTY, 5, NO_CHECKPOINT))
    (proposal,) = [one.message for one in only(effects, fx.Broadcast) if isinstance(one.message, ProposalMessage)]
    size = egress.size(proposal)
    assert size > 2 * PROPOSAL_BYTES_PER_S
    by_second = egress.stand_still(120)
    assert sum(by_second) <= 120 * (REPEAT_BYTES_MAX + PROPOSAL_BYTES_PER_S)
    assert sum(sent >= size for sent in by_second) > 10, "it does repeat"
    small = Egress(63)
    small.solo.step(fx.Built(64, sim.EMPTY, 5, NO_CHECKPOINT))
    before = len(small.solo.all)
    small.stand_still(10)
    repeated = [one for one in only(small.solo.all[before:], fx.Broadcast) if isinstance(one.message, ProposalMessage)]
    assert len(repeated) >= 9, "a proposal of the usual size is said again every second"


def test_p9_a_standing_cluster_says_the_same_in_its_last_minute_as_in_its_first() -> None:
    """TON 4.3, between real cores that hear each other: a repeat is not answered with another."""
    stuck = sim.Cluster(4, absent=[2, 3])
    sent = 0

    def measure(_source: int, _target: int, message: Message) -> bool:
        nonlocal sent
        sent += len(encode_message(message))
        return False

    stuck.drop = measure
    stuck.run(60 * SECOND)
    first = sent
    stuck.run(58 * 60 * SECOND)
    before = sent
    stuck.run(60 * SECOND)
    assert sent - before <= first + first // 30  # the first minute begins with less
    assert stuck.messages < 2 * 3 * 3_600 * 4  # nodes x peers x seconds x messages of one repeat


# --- P10: the back-off ----------------------------------------------------------------------------------------------


def test_p10_only_a_finalization_brings_the_time_outs_down() -> None:
    """TON 4.2 calls it a bug: a window of views without a skip reset the back-off although nothing became final."""
    times = Parameters(2, view_timeout_ms=400, view_timeout_ms_max=60_000)
    assert [timeout_us(times, since) // 1000 for since in (1, 3, 4, 5, 6)] == [400, 400, 600, 900, 1350]
    assert timeout_us(times, 10**9) == 60_000_000
    solo = Solo()
    solo.certify(X, 1)
    for view in range(2, 7):  # five views without a skip: d(7) is 100 * 1.5**4 all the same
        solo.certify(N, view, bytes([view]) * 32)
    assert solo.core.view == 7
    solo.wait(2 * 506_250 + 50_000 - 1)
    assert "X7" not in solo.kinds()
    solo.wait(1)
    assert "X7" in solo.kinds()
    solo.certify(F, 7, bytes([7]) * 32)
    solo.wait(LEAD_US - 1)
    assert "X8" not in solo.kinds()
    solo.wait(1)
    assert "X8" in solo.kinds(), "a finalization sets it back to the shortest"


# --- P11: the order of commits --------------------------------------------------------------------------------------


def test_p11_blocks_that_arrive_newest_first_are_committed_oldest_first() -> None:
    """asonnino/hotstuff, `commit`: its push_front and pop_back handed out ancestors newest first after a gap."""
    solo = Solo()
    chain = chain_of(5)
    effects = solo.certify(F, 5, chain[-1].hash)
    assert only(effects, fx.FetchBlock) == [fx.FetchBlock(5, chain[-1].hash, (1, 2, 3))]
    for block in reversed(chain[1:]):
        effects = solo.propose(block, sender=2)
        assert [one.hash for one in only(effects, fx.FetchBlock)] == [block.header.parent_hash]
        assert not only(effects, fx.Committed)
    (committed,) = only(solo.propose(chain[0], sender=2), fx.Committed)
    assert [block.header.height for block in committed.blocks] == [1, 2, 3, 4, 5]
    assert committed.finalization.number == 5


def test_p11_a_path_whose_heights_are_not_consecutive_is_never_committed() -> None:
    """asonnino/hotstuff, `commit`: nothing asserted that heights follow each other. Here a hole stops the node."""
    solo = Solo()
    first = make_block(sim.GENESIS, 1)
    odd = make_block(msgspec.structs.replace(first.header, height=2), 2, just=Justification(1, (), ()))
    odd_header = msgspec.structs.replace(odd.header, parent_hash=first.hash)
    signature = sim.KEYS[2].sign(sim.statement(sim.CHAIN_ID, N, 0, 2, odd_header.hash))
    odd = msgspec.structs.replace(odd, header=odd_header, signature=signature)
    assert odd.header.height == 3
    solo.propose(first)
    solo.propose(odd)
    effects = solo.certify(F, 2, odd.hash)
    assert only(effects, fx.ForkFound)
    assert not only(solo.all, fx.Committed)


# --- P12: the notarization of a view that one has nullified ---------------------------------------------------------


def test_p12_who_nullified_accepts_certifies_and_advances_on_the_notarization() -> None:
    """Commonware #2695: a node that had nullified a view did not take its notarization, and never left the view."""
    for from_votes in (True, False):
        solo = Solo()
        block, child = chain_of(2)
        solo.wait(LEAD_US)
        assert solo.kinds() == ["X1"]
        solo.propose(block)
        effects = solo.votes(N, 2, 3, digest=block.hash) if from_votes else solo.certify(N, 1, block.hash)
        assert solo.core.view == 2
        told = [
            held
            for one in only(effects, fx.Broadcast)
            if isinstance(one.message, CertificateMessage)
            for held in one.message.certificates
        ]
        assert [(held.kind, held.digest) for held in told] == [(N, block.hash)], "others hear of it from us"
        assert only(solo.propose(child), fx.AskVerify) == [fx.AskVerify(child, block.header)]
        solo.verified(child)
        assert solo.kinds() == ["X1", "N2"]
        solo.certify(N, 2, child.hash)
        (committed,) = only(solo.certify(F, 2, child.hash), fx.Committed)
        assert [one.hash for one in committed.blocks] == [block.hash, child.hash]
