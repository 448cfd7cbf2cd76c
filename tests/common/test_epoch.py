"""Who validates after which block, and in which order they lead (consensus.md 2.6, 2.11; `protocol.chain.epoch`)."""

from __future__ import annotations

import pytest
from epoch_tools import EPOCH_MS, EpochChain

from supervm.protocol.base.codec import decode, encode
from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.base.keys import verify
from supervm.protocol.chain.epoch import EpochRecord, next_epoch, next_validators, rules_of
from supervm.protocol.chain.progress import NO_PROGRESS
from supervm.protocol.chain.validators import ValidatorSet, leader_permutation


def proposing(*, weights: tuple[int, ...] = (1, 1, 1, 1)) -> EpochChain:
    """A chain whose epoch 0 proposes nodes 0, 1, 2 and 4 with these weights."""
    chain = EpochChain(4)
    members = [chain.member(node, weight) for node, weight in zip((0, 1, 2, 4), weights, strict=True)]
    chain.add(change=chain.change(members))
    return chain


def nodes_of(chain: EpochChain) -> list[int]:
    return [
        next(node for node in range(12) if chain.node_id(node) == node_id)
        for node_id in chain.rules.validators.node_ids
    ]


@pytest.mark.parametrize(("ready", "moves"), [((), False), ((0, 1), False), ((0, 1, 2), True), ((0, 1, 2, 3), True)])
def test_a_change_takes_effect_if_members_of_quorum_weight_are_ready(ready: tuple[int, ...], moves: bool) -> None:
    chain = proposing()
    if ready:
        chain.add(ready=chain.ready(*ready))
    chain.end_epoch()
    assert nodes_of(chain) == ([0, 1, 2, 4] if moves else [0, 1, 2, 3])
    assert chain.proposed is None


@pytest.mark.parametrize(("ready", "moves"), [((0, 1, 2), False), ((0, 3), True), ((3,), False)])
def test_readiness_counts_by_weight_of_the_next_set(ready: tuple[int, ...], moves: bool) -> None:
    chain = proposing(weights=(5, 1, 1, 8))
    chain.add(ready=chain.ready(*ready))
    chain.end_epoch()
    assert nodes_of(chain) == ([0, 1, 2, 4] if moves else [0, 1, 2, 3])


def test_readiness_in_the_sealing_block_still_counts_and_after_it_nothing_does() -> None:
    chain = proposing()
    chain.add(ready=chain.ready(0, 1))
    chain.add(closes=[0, 1, 2], ready=chain.ready(3))
    assert nodes_of(chain) == [0, 1, 2, 4]


@pytest.mark.parametrize("members", [(5,), (4, 5, 6, 7), (0,), (0, 1, 2, 3, 4, 5, 6), (3, 2, 1, 0)])
def test_sets_may_shrink_grow_or_share_nobody(members: tuple[int, ...]) -> None:
    """Down to one validator, and over to strangers: the chain goes on and comes back."""
    chain = EpochChain(4)
    chain.end_epoch(chain.members(*members))
    assert nodes_of(chain) == list(members)
    chain.add()
    chain.end_epoch(chain.members(0, 1, 2, 3))
    chain.add()
    assert (nodes_of(chain), chain.rules.epoch, chain.head.epoch) == ([0, 1, 2, 3], 2, 2)


def test_one_validator_alone_seals_its_epochs() -> None:
    chain = EpochChain(1)
    for epoch in range(3):
        assert chain.rules.epoch == epoch
        chain.add()
        chain.end_epoch()


def test_checkpoints_name_the_next_set_on_sealing_blocks_only() -> None:
    chain = EpochChain(4)
    chain.end_epoch()
    chain.add()
    chain.end_epoch(chain.members(0, 1, 2, 4))
    chain.add()
    named = {
        header.height: header.next_validators_hash
        for header in chain.checkpoints
        if header.next_validators_hash != ZERO_HASH
    }
    assert named == {
        1: chain.rules_of[0].validators.hash,
        chain.head.height - 1: chain.rules_of[2].validators.hash,
    }
    assert [header.validators_hash for header in chain.checkpoints][-2:] == [
        chain.rules_of[1].validators.hash,
        chain.rules_of[2].validators.hash,
    ]


def test_leaders_are_drawn_anew_from_the_root() -> None:
    """The same set leads in another order in each epoch, and everybody leads once a round."""
    chain = EpochChain(7)
    orders = []
    for _ in range(4):
        rules = chain.rules
        orders.append(rules.leaders)
        seed = chain.head.hash if rules.epoch else chain.rules.chain_id
        assert rules.leaders == leader_permutation(7, seed)
        assert sorted(rules.leader(view) for view in range(1, 8)) == list(range(7))
        chain.end_epoch()
    assert len(dict.fromkeys(orders)) == 4


def test_an_epoch_closes_by_the_chains_own_time() -> None:
    chain = EpochChain(4)
    for epoch in range(2):
        rules, root_ms = chain.rules, chain.head.ts_ms
        assert rules.epoch == epoch
        assert not rules.is_closing(chain.head)
        early = chain.add(ts_ms=root_ms + EPOCH_MS - 1).header
        late = chain.add(ts_ms=root_ms + EPOCH_MS).header
        assert (rules.is_closing(early), rules.is_closing(late)) == (False, True)
        chain.end_epoch()
        assert not chain.rules.is_closing(chain.head)  # the root is closed business, however late it is


def test_the_root_is_view_0_without_progress_in_the_new_epoch_only() -> None:
    chain = EpochChain(4)
    chain.add()
    root = chain.end_epoch().header
    old, new = chain.rules_of
    assert (old.view_of(root), new.view_of(root)) == (2, 0)
    assert (old.is_sealed(root), new.is_sealed(root)) == (True, False)
    assert new.progress_of(root) == NO_PROGRESS


def test_a_record_gives_its_rules_back_and_survives_its_encoding() -> None:
    chain = proposing()
    proposed = chain.proposed
    chain.add(ready=chain.ready(0, 1, 2))
    sealing = chain.end_epoch().header
    record = next_epoch(sealing, chain.rules_of[0], proposed)
    assert decode(EpochRecord, encode(record)) == record
    rules = rules_of(record, chain.rules.chain_id, EPOCH_MS, verify)
    assert (rules.epoch, rules.root_height, rules.root_ms) == (1, sealing.height, sealing.ts_ms)
    assert rules.previous is not None
    assert (rules.validators.hash, rules.previous.hash) == (proposed.hash, chain.rules_of[0].validators.hash)
    assert rules.leaders == chain.rules.leaders


def test_another_set_than_the_header_names_is_our_own_mistake() -> None:
    chain = proposing()
    chain.add(ready=chain.ready(0, 1, 2))
    sealing = chain.block(closes=[0, 1, 2]).header
    with pytest.raises(LocalProtocolError, match="not those the sealing block's header names"):
        next_validators(sealing, chain.rules, ValidatorSet(chain.members(0, 1, 2, 5)))
