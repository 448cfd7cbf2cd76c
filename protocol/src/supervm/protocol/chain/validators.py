"""The validator set: who votes, with which weight, and who leads which view.

Weights are positive integers; W is their sum, at most f < W/3 may be faulty and a quorum is q = floor(2W/3) + 1
(consensus.md, notation). A signer is named by its index; the key always comes from the set, never from a message.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec

from ..base.codec import Agreed, Key, Positive, encode
from ..base.errors import LocalProtocolError
from ..base.hashing import hash_schedule, hash_validators

VALIDATORS_MAX = 255


class Validator(Agreed, tag="validator", frozen=True):
    """One voting member.

    Attributes:
        version: layout, 1.
        key: its vote key, another one for each member.
        node_id: the L1 node that runs it, by its node key; another one for each member.
        weight: what its vote counts, at least 1.
        payout: account that it is to be paid to; execution does not read it: the L1 part of fees goes to a pool.
    """

    version: Literal[1]
    key: Key
    node_id: Key
    weight: Positive
    payout: Key


class ValidatorList(Agreed, tag="valset", frozen=True):
    """The agreed bytes of a validator set; `hash_validators` over them names the set in checkpoint headers.

    Attributes:
        version: layout, 1.
        members: in index order; the order is part of the set.
    """

    version: Literal[1]
    members: Annotated[tuple[Validator, ...], msgspec.Meta(min_length=1, max_length=VALIDATORS_MAX)]


class ValidatorSet:
    """An epoch's validators with everything derived from them, computed once.

    Args:
        members: in index order; keys and node ids must be distinct.

    Raises:
        LocalProtocolError: empty, too many, a duplicate key or node, or a total weight of 2**63 or more.
    """

    def __init__(self, members: Iterable[Validator]) -> None:
        self.members = tuple(members)
        count = len(self.members)
        if not 1 <= count <= VALIDATORS_MAX:
            raise LocalProtocolError(f"a validator set of {count} is not allowed: 1 to {VALIDATORS_MAX}")
        self.keys = tuple(member.key for member in self.members)
        self.weights = tuple(member.weight for member in self.members)
        self.node_ids = tuple(member.node_id for member in self.members)
        for name, values in (("key", self.keys), ("node id", self.node_ids)):
            if len(dict.fromkeys(values)) != count:
                raise LocalProtocolError(f"two validators share one {name}; each must have its own")
        self.weight_total = sum(self.weights)
        if min(self.weights) < 1 or self.weight_total >= 2**63:
            raise LocalProtocolError("validator weights must be >= 1 and sum to less than 2**63")
        self.quorum = 2 * self.weight_total // 3 + 1
        """Weight that a certificate needs."""
        self.witness = self.weight_total - self.quorum + 1
        """Smallest weight that must contain an honest validator (f + 1 of equal weights)."""
        self.hash = hash_validators(encode(ValidatorList(1, self.members)))
        self.index_of_node = {node_id: index for index, node_id in enumerate(self.node_ids)}

    def __len__(self) -> int:
        return len(self.members)

    def __eq__(self, other: object) -> bool:
        """Return whether it is the same set: what is remembered of a set holds for every copy of it."""
        return self is other or (isinstance(other, ValidatorSet) and self.hash == other.hash)

    def __hash__(self) -> int:
        return hash(self.hash)

    def weight_of(self, indices: Iterable[int]) -> int:
        """Return the summed weight of distinct, valid `indices`."""
        return sum(map(self.weights.__getitem__, indices))


def canonical_members(members: Iterable[Validator], present: ValidatorSet) -> tuple[Validator, ...]:
    """Return a wished set in the one order that everybody who wishes for it agrees on.

    A set's order is its members' indices, so it is part of what an approval signs; two operators who list the same
    validators in another order would approve two sets. Members stand by node id - except that the validators of the
    present epoch, wished for again, keep the order they have: nothing changes.
    """
    ordered = tuple(sorted(members, key=lambda member: member.node_id))
    if ordered == tuple(sorted(present.members, key=lambda member: member.node_id)):
        return present.members
    return ordered


def leader_permutation(count: int, seed: bytes) -> tuple[int, ...]:
    """Fisher-Yates shuffle of 0..count-1 from the BLAKE2b stream of `seed` (consensus.md 2.6).

    Each step draws 32 bytes and takes them modulo the number of places left; with 2**256 values the bias is nil.
    """
    order = list(range(count))
    for place in range(count - 1, 0, -1):
        draw = int.from_bytes(hash_schedule(seed + place.to_bytes(8, "big")), "big") % (place + 1)
        order[place], order[draw] = order[draw], order[place]
    return tuple(order)
