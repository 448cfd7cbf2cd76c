"""What the shell and the shared parts of nodes say (docs/configuration.md lists all events for owners)."""

from __future__ import annotations

from typing import Literal

from ..contract.events import Event


class Divergence(Event, frozen=True):
    """The node stops for good: what it computed or holds cannot be, or is not what the network certified."""

    NAME = "divergence"
    LEVEL = "error"

    reason: str


class PeerFault(Event, frozen=True):
    """A peer broke a rule; said at most once a second for one peer and code.

    Attributes:
        peer: its node id.
        code: the word for the rule.
        reason: what it did, for people.
        penalty: 0 to 100, how grave that was.
        times: faults of this code since the last such event, this one included.
    """

    NAME = "peer-fault"
    LEVEL = "warning"

    peer: str
    code: str
    reason: str
    penalty: int
    times: int


class Throttled(Event, frozen=True):
    """A peer has used up a budget and is not heard for a while.

    Attributes:
        peer: its node id.
        rank: what it is to this node, in lower case.
        debt: the budget that it has used up: a class of costs, or ``together``.
        for_ms: how long it is not heard, in milliseconds.
        times: how often since the last such event, this time included.
    """

    NAME = "throttled"

    peer: str
    rank: str
    debt: str
    for_ms: int
    times: int


class PolicyDecision(Event, frozen=True):
    """The owner's policy kept the node from something, or let it go on in part; once a minute for one decision.

    Attributes:
        act: what was to be done: link, keep, or write (take a payment).
        verdict: deny, read-only or queue-only.
        rule: key of ``[policy]``.
        reason: what the rule allows, for people.
        mark: eight digits that tell what it was about from other things of this run, and nothing else; maybe empty.
        times: how often since the last such event, this time included.
    """

    NAME = "policy"
    LEVEL = "warning"

    act: str
    verdict: str
    rule: str
    reason: str
    mark: str
    times: int


class Goodbye(Event, frozen=True):
    """A peer ends its link and says why.

    Attributes:
        peer: its node id.
        code: its word for it.
        reason: its reason, for people.
    """

    NAME = "goodbye"

    peer: str
    code: str
    reason: str


class NodeKeyInUse(Event, frozen=True):
    """A peer gave this node's link up for another with the same node key, again and again.

    Attributes:
        peer: its node id.
        times: how often in a row.
        reason: what the owner should look at.
    """

    NAME = "node-key-in-use"
    LEVEL = "warning"

    peer: str
    times: int
    reason: str


class ClockBehind(Event, frozen=True):
    """The chain is dated ahead of this machine's clock; said at once and then each minute.

    Attributes:
        height: of the block that shows it.
        behind_ms: how far the clock is behind that block's time, in milliseconds.
        reason: the same for people; None if nothing has shown it lately.
    """

    NAME = "clock-behind"
    LEVEL = "warning"

    height: int
    behind_ms: int
    reason: str | None


class ClockInStep(Event, frozen=True):
    """The chain is no longer dated ahead of this machine's clock.

    Attributes:
        height: of the block that shows it.
    """

    NAME = "clock-in-step"

    height: int


class ForkEvidence(Event, frozen=True, kw_only=True):
    """Two certified checkpoints contradict each other: this node found it, or was told and has checked it.

    Attributes:
        kind: tells it from evidence against one node, which has the same name.
        height: where they part.
        reason: what they contradict each other in, for people.
        evidence: the encoded `CheckpointFork`, hexadecimal, as ``supervm evidence`` reads it.
    """

    NAME = "evidence"
    LEVEL = "warning"

    kind: Literal["fork"] = "fork"
    height: int
    reason: str
    evidence: str


class NothingBelieved(Event, frozen=True):
    """From now on nothing new is believed; a newer anchor is needed.

    Attributes:
        code: ``expired`` or ``fork``.
        reason: the same for people.
    """

    NAME = "nothing-believed"
    LEVEL = "error"

    code: str
    reason: str


class BelievingAgain(Event, frozen=True):
    """The clock was set right, and trust is not too old after all."""

    NAME = "believing-again"
    LEVEL = "warning"


class StoredTrustIgnored(Event, frozen=True):
    """Something on disk does not lead on from the anchor.

    Attributes:
        reason: what, for people.
    """

    NAME = "stored-trust-ignored"
    LEVEL = "warning"

    reason: str


class Snapshot(Event, frozen=True):
    """A piece of a snapshot has come and is right.

    Attributes:
        height: of the snapshot.
        leaves: accounts in this piece.
        complete: whether it was the last one.
    """

    NAME = "snapshot"
    LEVEL = "debug"

    height: int
    leaves: int
    complete: bool


class SnapshotAdopted(Event, frozen=True):
    """A snapshot has taken the place of the state.

    Attributes:
        height: of the snapshot.
    """

    NAME = "snapshot-adopted"

    height: int
