"""Clusters of Simplex cores: latency, bad leaders, crashes, partitions, random schedules (consensus.md 2 and 6)."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
import simplex_cluster as sim

from supervm.protocol.chain.votes import VoteKind
from supervm.protocol.wire.consensus import ProposalMessage
from supervm.tier_l1_super.consensus.simplex import Simplex
from supervm.tier_l1_super.consensus.simplex.rounds import KINDS, Round, Tally

N, X, F = VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE
SECOND = 1_000_000


def grows(cluster: Any, duration_us: int, blocks: int) -> bool:
    """Run until every honest node has that many more blocks than the best has now."""
    goal = max(cluster.heights()) + blocks
    return bool(cluster.run(duration_us, lambda: min(cluster.heights()) >= goal))


def test_a_block_is_final_three_delays_after_its_proposal_and_follows_every_two() -> None:
    cluster = sim.Cluster(4)
    cluster.run(SECOND)
    times = cluster.nodes[0].commit_times
    start = min(times)
    assert start - sim.START_US <= 30_000 + 1_000  # the starts themselves are up to a millisecond apart
    assert all(0 < later - earlier <= 20_000 for earlier, later in itertools.pairwise(times))
    assert len(times) >= 45
    assert not any(kind is X for kind, _ in cluster.monitor.certified)
    assert not cluster.monitor.blames
    assert not cluster.monitor.evidence


@pytest.mark.parametrize("count", [1, 2, 4, 7])
def test_every_size_commits(count: int) -> None:
    cluster = sim.Cluster(count, build_us=5_000, disk_us=2_000)
    cluster.run(SECOND)
    assert min(cluster.heights()) > 15


def test_weights_decide_the_quorum() -> None:
    cluster = sim.Cluster(4, weights=(7, 1, 1, 1), absent=[2, 3])
    assert grows(cluster, 60 * SECOND, 5)
    assert not grows(sim.Cluster(4, weights=(7, 1, 1, 1), absent=[0]), 20 * SECOND, 1)


def test_one_silent_leader_costs_only_its_own_views() -> None:
    cluster = sim.Cluster(4)
    cluster.nodes[2].silent_leader = True
    assert grows(cluster, 20 * SECOND, 20)
    nullified = [view for kind, view in cluster.monitor.certified if kind is X]
    assert nullified
    assert all(view % 4 == 2 for view in nullified)


def test_with_one_of_four_absent_the_rest_commits_and_with_two_nothing_forks() -> None:
    assert grows(sim.Cluster(4, absent=[3]), 20 * SECOND, 20)
    stuck = sim.Cluster(4, absent=[2, 3])
    stuck.run(20 * SECOND)
    assert max(stuck.heights()) == 0


def test_a_node_that_misses_every_proposal_fetches_the_blocks_and_commits_in_order() -> None:
    cluster = sim.Cluster(4)
    cluster.drop = lambda _source, target, message: target == 3 and isinstance(message, ProposalMessage)
    cluster.run(5 * SECOND)
    assert len(cluster.nodes[3].live_chain) > 10


def test_a_node_cut_off_for_long_catches_up_by_finalized_chain() -> None:
    cluster = sim.Cluster(4)
    cluster.blocked = lambda source, target: 3 in (source, target)
    cluster.run(10 * SECOND)
    assert len(cluster.nodes[3].live_chain) == 0
    behind = min(cluster.heights()[:3])
    assert behind > 50
    cluster.blocked = lambda _source, _target: False
    assert cluster.run(10 * SECOND, lambda: len(cluster.nodes[3].live_chain) > behind + 10)


def test_a_quorumless_partition_makes_no_progress_and_heals() -> None:
    cluster = sim.Cluster(4)
    cluster.run(SECOND // 2)
    cluster.blocked = lambda source, target: (source < 2) != (target < 2)
    cluster.run(SECOND // 10)
    before = max(cluster.heights())
    cluster.run(20 * SECOND)
    assert max(cluster.heights()) == before
    cluster.blocked = lambda _source, _target: False
    assert grows(cluster, 30 * SECOND, 10)


def test_all_nodes_crash_at_any_time_and_go_on_from_what_is_durable() -> None:
    for seed in range(6):
        cluster = sim.Cluster(4, seed=seed, disk_us=4_000, jitter_us=3_000)
        cluster.run(200_000 + 7_000 * seed)
        for node in cluster.nodes:
            node.crash()
        for node in cluster.nodes[1:] if seed % 2 else cluster.nodes:
            node.start()
        if seed % 2:
            cluster.monitor.honest.pop(0)
        assert grows(cluster, 30 * SECOND, 5), seed


def test_an_equivocating_leader_is_found_out_and_forks_nothing() -> None:
    found = 0
    for seed in range(6):
        cluster = sim.Cluster(4, seed=seed, twins=[1], jitter_us=8_000, disk_us=1_000)
        assert grows(cluster, 60 * SECOND, 8), seed
        found += len(cluster.monitor.evidence)
        assert all(one.first.signer == 1 == one.second.signer for one in cluster.monitor.evidence)
    assert found > 0


@pytest.mark.parametrize("seed", range(30))
def test_random_schedules_are_safe_and_live_again_after_healing(seed: int) -> None:
    """Loss, delay, partitions, crashes and, at times, a double-running validator; the monitor watches S1 to S6."""
    dice = random.Random(1_000 + seed)
    count = dice.choice([4, 4, 7])
    twins = [dice.randrange(count)] if dice.random() < 0.4 else []
    cluster = sim.Cluster(
        count,
        seed=seed,
        twins=twins,
        jitter_us=dice.choice([1_000, 50_000, 300_000]),
        loss=dice.choice([0, 0.05, 0.3]),
        disk_us=dice.choice([0, 5_000, 30_000]),
        verify_us=dice.choice([0, 10_000]),
        build_us=dice.choice([0, 50_000]),
    )
    for _ in range(dice.randrange(4, 9)):
        side = [dice.random() < 0.5 for _ in range(count)]
        cut = dice.random() < 0.4
        cluster.blocked = lambda source, target, side=side, cut=cut: cut and side[source] != side[target]
        victims = [node for node in cluster.honest if dice.random() < dice.choice([0.2, 0.2, 1.0])]
        for node in victims:
            node.crash()
        cluster.run(dice.randrange(1, 400_000))
        for node in victims:
            node.start()
        cluster.run(dice.randrange(1, 1_500_000))
    cluster.blocked = lambda _source, _target: False
    cluster.loss, cluster.jitter_us = 0.0, 5_000
    assert grows(cluster, 60 * SECOND, 5)
    if not twins:
        assert not cluster.monitor.evidence  # A3: crashes never look like guilt
        assert not cluster.monitor.blames


def test_the_same_seed_gives_the_same_run() -> None:
    runs = []
    for _ in range(2):
        cluster = sim.Cluster(4, seed=5, jitter_us=90_000, loss=0.1, disk_us=9_000)
        cluster.run(3 * SECOND)
        runs.append((cluster.messages, cluster.number, dict(cluster.monitor.final)))
    assert runs[0] == runs[1]


class CarelessRound(Round):
    """A round that forgets R1 and R2, except that it casts no identical vote twice in a row."""

    def may(self, kind: VoteKind) -> bool:
        return kind not in self.own


class CarelessSimplex(Simplex):
    """A core with rule R2 taken out."""

    def _round(self, view: int) -> Round:
        if view not in self._rounds:
            self._rounds[view] = CarelessRound(view, {kind: Tally(self.rules) for kind in KINDS}, {}, {})
        return self._rounds[view]


class ForgetfulSimplex(Simplex):
    """A core that does not take up its promises after a restart."""

    def _recall(self, view: int, kind: VoteKind, digest: bytes) -> None:
        """Forget."""


class HastySimplex(Simplex):
    """A core whose messages do not wait for the disk."""

    def _emit(self, effect: Any) -> None:
        super()._emit(type(effect)(effect.message) if type(effect).__name__ == "Broadcast" else effect)


@pytest.mark.parametrize("mutant", [CarelessSimplex, ForgetfulSimplex, HastySimplex])
def test_the_monitor_finds_a_broken_rule(mutant: type[Simplex]) -> None:
    def trial(seed: int) -> None:
        cluster = sim.Cluster(4, seed=seed, make=mutant, jitter_us=200_000, disk_us=20_000)
        for _ in range(10):
            cluster.run(400_000)
            for node in cluster.nodes:
                node.crash()
                node.start()

    def search() -> None:
        for seed in range(10):
            trial(seed)

    with pytest.raises(sim.Violation, match=r"S[1-6]: "):
        search()
