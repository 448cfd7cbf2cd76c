"""Validator sets: quorum arithmetic, refusals, and the leader permutation (consensus.md, notation and 2.6)."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.chain.validators import (
    VALIDATORS_MAX,
    Validator,
    ValidatorSet,
    canonical_members,
    leader_permutation,
)


def members(weights: list[int]) -> list[Validator]:
    return [
        Validator(1, bytes([index, 0]) * 16, bytes([index, 1]) * 16, weight, bytes([index, 2]) * 16)
        for index, weight in enumerate(weights)
    ]


@pytest.mark.parametrize(
    ("count", "quorum", "witness"),
    [(1, 1, 1), (2, 2, 1), (3, 3, 1), (4, 3, 2), (5, 4, 2), (6, 5, 2), (7, 5, 3), (10, 7, 4), (64, 43, 22)],
)
def test_quorum_and_witness_of_equal_weights(count: int, quorum: int, witness: int) -> None:
    validators = ValidatorSet(members([1] * count))
    assert (len(validators), validators.quorum, validators.witness) == (count, quorum, witness)


@given(st.lists(st.integers(1, 2**55), min_size=1, max_size=VALIDATORS_MAX))
def test_two_quorums_share_more_than_the_faulty_can_weigh(weights: list[int]) -> None:
    validators = ValidatorSet(members(weights))
    total = validators.weight_total
    faulty = -(-total // 3) - 1  # the largest weight below a third
    assert validators.quorum <= total - faulty  # the honest alone can certify
    assert 2 * validators.quorum - total > faulty  # two certificates share an honest signer
    assert validators.quorum == (Fraction(2 * total, 3)).__floor__() + 1
    assert validators.witness == faulty + 1
    assert validators.weight_of(range(len(weights))) == total == sum(weights)


def same_key(found: list[Validator]) -> list[Validator]:
    return [found[0], msgspec.structs.replace(found[1], key=found[0].key)]


def same_node(found: list[Validator]) -> list[Validator]:
    return [found[0], msgspec.structs.replace(found[1], node_id=found[0].node_id)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda found: [], "a validator set of 0 is not allowed"),
        (lambda found: found * 128, "a validator set of 256 is not allowed"),
        (same_key, "two validators share one key"),
        (same_node, "two validators share one node id"),
        (lambda found: members([1, 0]), "weights must be >= 1"),
        (lambda found: members([5, -1]), "weights must be >= 1"),
        (lambda found: members([2**62, 2**62]), "sum to less than 2\\*\\*63"),
    ],
)
def test_refusals(change: Callable[[list[Validator]], list[Validator]], reason: str) -> None:
    with pytest.raises(LocalProtocolError, match=reason):
        ValidatorSet(change(members([1, 1])))


def test_the_greatest_total_weight_is_allowed() -> None:
    assert ValidatorSet(members([2**62, 2**62 - 1])).quorum == 2 * (2**63 - 1) // 3 + 1


def test_the_hash_covers_every_field_and_the_order() -> None:
    base = members([1, 2])
    hashes = {ValidatorSet(base).hash, ValidatorSet(base[::-1]).hash, ValidatorSet(base[:1]).hash}
    for name, value in (("key", b"k" * 32), ("node_id", b"n" * 32), ("weight", 9), ("payout", b"p" * 32)):
        hashes.add(ValidatorSet([base[0], msgspec.structs.replace(base[1], **{name: value})]).hash)
    assert len(hashes) == 7


def test_nodes_are_found_by_their_id() -> None:
    validators = ValidatorSet(members([1, 1, 1]))
    assert [validators.index_of_node[member.node_id] for member in validators.members] == [0, 1, 2]


@given(st.integers(1, VALIDATORS_MAX), st.binary(min_size=32, max_size=32))
def test_the_schedule_is_a_permutation_and_follows_from_the_seed(count: int, seed: bytes) -> None:
    order = leader_permutation(count, seed)
    assert sorted(order) == list(range(count))
    assert order == leader_permutation(count, seed)


def test_every_order_of_four_occurs_about_equally_often() -> None:
    drawn = [leader_permutation(4, number.to_bytes(32, "big")) for number in range(2_400)]
    counts = [drawn.count(order) for order in set(drawn)]
    assert len(counts) == 24
    assert min(counts) > 60
    assert max(counts) < 150


@given(st.permutations(range(6)))
def test_a_wished_set_is_one_set_in_whatever_order_it_is_listed(order: list[int]) -> None:
    present = ValidatorSet(members([1] * 4)[::-1])
    wished = members([1, 1, 1, 1, 2, 3])
    assert canonical_members([wished[place] for place in order], present) == tuple(wished)
    same = [present.members[place] for place in order if place < 4]
    assert canonical_members(same, present) == present.members
