"""This node's place in the present epoch: the rules, and whether it votes under them (consensus.md 2.8, 2.11).

A node may hold a validator key and yet have no seat: the epoch's set does not list it (it joins later, or has left), or
it has lost its write-ahead log and might contradict what it signed before (amnesia). An epoch that began after the loss
cannot hold such a signature, since every signature names its epoch; the question is only which epochs began after it.
The others tell: while validators of quorum weight say, after our start, that they are in epoch e and have not executed
its sealing block, nobody can have certified that block, so nobody has ever voted in e + 1. From e + 1 on we may.
"""

from __future__ import annotations

from collections.abc import Mapping

from supervm.protocol.base.keys import SigningKey
from supervm.protocol.chain.header import ChainRules
from supervm.protocol.chain.validators import ValidatorSet

from ..errors import SuperNodeError

Standing = tuple[int, bool]
"""Epoch of a validator, and whether it has executed that epoch's sealing block."""


class WrongKeys(SuperNodeError):
    """The keys given to a node are not those of one validator."""


class Seat:
    """Rules of the present epoch and this node's index in them.

    Args:
        node_id: this node.
        key: the validator key, None for a node that only follows.
        rules: the epoch in which consensus stands.
        amnesia: the write-ahead log is lost or damaged.

    Raises:
        WrongKeys: genesis lists this node with another key, or the key for another node. Where a later set does, its
            makers erred, not whoever runs this node: it has no seat then.
    """

    def __init__(self, node_id: bytes, key: SigningKey | None, rules: ChainRules, *, amnesia: bool) -> None:
        self.node_id = node_id
        self.own_key = key
        self.amnesia = amnesia
        """Whether the write-ahead log is still lost."""
        self.votes_from: int | None = None if amnesia else 0
        """First epoch that this node may vote in; None while that is not known."""
        self.rules = rules
        self.index: int | None = None
        """Index in the epoch's set, None without a seat."""
        self.key: SigningKey | None = None
        """The key to vote with; None exactly if `index` is None."""
        if key is not None and rules.previous is None and self.place_in(rules.validators) is None:
            index = rules.validators.index_of_node.get(node_id)
            if index is not None or key.public in rules.validators.keys:
                raise WrongKeys("the validator key and node key are not those of one validator of this chain")
        self.enter(rules)

    def enter(self, rules: ChainRules) -> None:
        """Take the place that this epoch gives."""
        self.rules = rules
        self.index, self.key = None, None
        index = self.place_in(rules.validators)
        if index is not None and self.may_vote_in(rules.epoch):
            self.index, self.key = index, self.own_key

    def log_begun(self) -> None:
        """Note that a new write-ahead log stands in the place of the one that was lost."""
        self.amnesia = False

    def place_in(self, validators: ValidatorSet) -> int | None:
        """Return this node's index in a set, None if it is not listed with its own key."""
        index = validators.index_of_node.get(self.node_id)
        if index is None or self.own_key is None or validators.keys[index] != self.own_key.public:
            return None
        return index

    @property
    def why_none(self) -> str | None:
        """Why this node has no seat in the present epoch and only follows; None if it has one."""
        if self.index is not None:
            return None
        validators = self.rules.validators
        listed = validators.index_of_node.get(self.node_id)
        if self.own_key is None:
            if listed is None:
                return "it has no validator.key, and the validators of this epoch do not list its node"
            return f"its validator.key is gone: it is validator {listed} of this epoch, and cannot vote without the key"
        if listed is None:
            return "the validators of this epoch do not list its node; they may list it for a later epoch"
        if validators.keys[listed] != self.own_key.public:
            return f"it is validator {listed} of this epoch, but with another validator key than the one here"
        return (
            "its promises.log is lost or damaged, so it cannot know what it has signed; it votes again from the first "
            "epoch on that began after the loss"
        )

    def may_vote_in(self, epoch: int) -> bool:
        """Return whether no promise of ours for this epoch can be forgotten."""
        return self.votes_from is not None and self.votes_from <= epoch

    def learn(self, standings: Mapping[bytes, Standing]) -> bool:
        """Decide from what validators have said since the start when we may vote again; return whether that is new.

        Args:
            standings: the newest standing of each validator by node id, said after our start.
        """
        if self.votes_from is not None:
            return False
        rules = self.rules
        behind = [
            index
            for node_id, index in rules.validators.index_of_node.items()
            if node_id != self.node_id and standings.get(node_id, (rules.epoch, True)) <= (rules.epoch, False)
        ]
        if rules.validators.weight_of(behind) < rules.validators.quorum:
            return False
        self.votes_from = rules.epoch + 1
        return True
