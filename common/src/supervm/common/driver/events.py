"""What the driver says: who is connected, who is not, and what could not be sent."""

from __future__ import annotations

from ..contract.events import Event, Level


class PeerUp(Event, frozen=True):
    """A peer is proven and said Hello; a warning if its clock is too far from ours to be used.

    Attributes:
        peer: its node id.
        tier: 1 to 4, or 0 for a client that is no node.
        agent: what program it says it is.
        remote: where it is.
        dialled: whether this node dialled it.
        clock_offset_ms: its clock minus ours, in milliseconds.
    """

    NAME = "peer-up"

    peer: str
    tier: int
    agent: str
    remote: str
    dialled: bool
    clock_offset_ms: int
    level: Level


class PeerMoved(Event, frozen=True):
    """Traffic to a peer goes on over another connection, without loss.

    Attributes:
        peer: its node id.
        remote: where it is now.
        dialled: whether this node dialled it there.
    """

    NAME = "peer-moved"

    peer: str
    remote: str
    dialled: bool


class PeerDown(Event, frozen=True):
    """The connection to a peer ended.

    Attributes:
        peer: its node id.
        reason: why, for people.
    """

    NAME = "peer-down"

    peer: str
    reason: str


class PeerRefused(Event, frozen=True):
    """A peer broke a rule of the link, or did not fit; below the level info if nobody knows who it is.

    Attributes:
        remote: where it is.
        peer: its node id; None if it has not proven one.
        code: the word for the rule.
        reason: the same for people.
    """

    NAME = "peer-refused"

    remote: str
    peer: str | None
    code: str
    reason: str

    @property
    def level(self) -> Level:
        """Debug for strangers, who may come as often as they like."""
        return "debug" if self.peer is None else "info"


class ConnectionRefused(Event, frozen=True):
    """A connection was not let in.

    Attributes:
        remote: where it came from.
        reason: why, for people.
    """

    NAME = "connection-refused"
    LEVEL = "debug"

    remote: str
    reason: str


class ConnectionClosed(Event, frozen=True):
    """A connection ended, whether or not a peer was up over it.

    Attributes:
        remote: where its other end is.
        reason: why, for people.
    """

    NAME = "connection-closed"
    LEVEL = "debug"

    remote: str
    reason: str


class MessageNotSent(Event, frozen=True):
    """A message was not for this peer or was too large for it; an error, unless its clock is wrong.

    Attributes:
        kind: of the message.
        peer: its node id; None if it has not proven one.
        tier: of the peer, as `PeerUp.tier`.
        bytes: size of the message's frame.
    """

    NAME = "message-not-sent"

    kind: str
    peer: str | None
    tier: int
    bytes: int
    level: Level
