"""One connection between two nodes, without its socket: Noise link, Hello, typed messages and their limits.

Theory of operation. A connection goes ``handshake -> hello -> up -> closed``. The link (`link/session.py`) proves who
the peer is; Hello then says which versions, which tier, which features and what time it is. The initiator says Hello
first and nothing more until it is answered; the answering side says Hello when it has read and accepted the
other's. So each side knows, when it may speak freely, that the other has already lifted its frame limit: a stranger
is read 4 KiB at a time, and a 4 MiB batch right behind a Hello is no race.

What is refused, always with a reason that both sides can log: no shared version, a tier the genesis does not
give to that node, a clock more than 30 s away on a link without an L4, a frame longer than its link allows,
a kind of message that this peer may not send us. Between an L4 (or a client that is no node) and its edge a wrong clock
only narrows what travels to `DESPITE_CLOCK`; the rest is left out on both sides and counted (network.md 3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.wire.directions import ANY_LINK, DESPITE_CLOCK
from supervm.protocol.wire.fields import Message
from supervm.protocol.wire.frames import (
    FRAME_BYTES_MAX,
    FRAME_BYTES_MAX_CORE,
    FRAME_BYTES_MAX_HELLO,
    PROTOCOL_VERSION,
    agree_on_version,
    encode_message,
)
from supervm.protocol.wire.link import Goodbye, Hello
from supervm.protocol.wire.messages import AnyMessage
from supervm.protocol.wire.subject import STANDARD, Wire

from . import LinkSession

CLOCK_OFFSET_MS_MAX = 30_000
"""Clocks further apart than this are wrong (network.md 3)."""
UNAUTHENTICATED_US_MAX = 10_000_000
"""A connection that is not up by then is closed."""
GOODBYE_REASON_CHARS_MAX = 256
GOODBYE_CODE_CHARS_MAX = 32

MOVED = "moved"
"""Code of the Goodbye behind which a peer says nothing more here, because it goes on over another connection; the
connection stays until a second Goodbye."""

State = Literal["handshake", "hello", "up", "closed"]


@dataclass(frozen=True, slots=True)
class LocalNode:
    """What a node says of itself in Hello, and what it knows of others.

    Attributes:
        tier: 1..4, or 0 for a client that is no node.
        features: at most 32 words of at most 32 characters, with those of `wire`.
        agent: name and version of the software, at most 32 characters.
        known_tiers: node id -> 1 or 2 for the nodes that genesis names; they are of these tiers, and no other is an L2.
            None: any claim is believed (networks without a genesis, in tests).
        wire: the kinds of messages that it knows.
    """

    tier: int
    features: tuple[str, ...] = ()
    agent: str = "supervm"
    known_tiers: Mapping[bytes, int] | None = None
    wire: Wire = STANDARD


def frame_bytes_max(one_tier: int, other_tier: int) -> int:
    """Return the longest frame between two tiers once they are up (network.md 7)."""
    return FRAME_BYTES_MAX_CORE if {one_tier, other_tier} <= {1, 2} else FRAME_BYTES_MAX


def goodbye(code: str, reason: str) -> Goodbye:
    """Return a `Goodbye` whose texts fit its bounds."""
    return Goodbye(code[:GOODBYE_CODE_CHARS_MAX], reason[:GOODBYE_REASON_CHARS_MAX])


class Connection:
    """State and limits of one connection.

    Args:
        session: the fresh link; its frame limit is set here.
        local: our side.
        dialled: we have dialled; the initiator is the session's, and where both ends dialled it is one of them.
        opened_us: present time, microseconds of wall-clock time.
    """

    def __init__(self, session: LinkSession, local: LocalNode, *, dialled: bool, opened_us: int) -> None:
        self._session = session
        self._local = local
        self._dialled = dialled
        # Whom we begin with may answer our Hello with its own and a long frame right behind it.
        self._limit = frame_bytes_max(local.tier, 1) if session.initiator else FRAME_BYTES_MAX_HELLO
        session.set_frame_bytes_max(self._limit)
        self.state: State = "handshake"
        self.deadline_us = opened_us + UNAUTHENTICATED_US_MAX
        """When a connection that is not up yet has to be closed."""
        self.peer_hello: Hello | None = None
        """What the peer said of itself; None before."""
        self.clock_offset_ms = 0
        """The peer's clock minus ours when its Hello arrived."""
        self.parting: Goodbye | None = None
        """The peer's Goodbye, once it came."""
        self.moved = False
        """The peer goes on over another connection; of this one only a last Goodbye is left to come."""
        self.left_out = 0
        """Messages that were neither sent nor delivered because the clocks are too far apart."""
        self._accepts = ANY_LINK
        self._sends = ANY_LINK
        self._clock_wrong = False

    @property
    def dialled(self) -> bool:
        """We dialled."""
        return self._dialled

    @property
    def initiator(self) -> bool:
        """We began the handshake; exactly one of the two ends did."""
        return self._session.initiator

    @property
    def alive(self) -> bool:
        """The link can still carry frames."""
        return self._session.established

    @property
    def clock_wrong(self) -> bool:
        """The peer's clock is too far from ours; only `DESPITE_CLOCK` travels."""
        return self._clock_wrong

    @property
    def peer_id(self) -> bytes | None:
        """The peer's proven node id; None before the handshake is done."""
        return self._session.peer_id

    @property
    def peer_tier(self) -> int:
        """The tier of a peer that is up; 0 before."""
        return self.peer_hello.tier if self.peer_hello is not None else 0

    @property
    def frame_bytes_max(self) -> int:
        """Longest frame either way, for now."""
        return self._limit

    @property
    def buffered_bytes(self) -> int:
        """Bytes held of a frame whose end has not arrived."""
        return self._session.buffered_bytes

    def bytes_to_send(self, now_us: int) -> bytes:
        """Return what has to be written to the peer now, empty if nothing."""
        return self._session.bytes_to_send(now_us)

    def receive(self, data: bytes, now_us: int) -> list[AnyMessage]:
        """Take bytes, cut anywhere; return the messages they complete that are for the node, in order.

        Hello and Goodbye are the connection's own: they change `state` and are not returned.

        Args:
            data: what arrived.
            now_us: present wall-clock time in microseconds, never going back.

        Raises:
            RemoteProtocolError: the peer is refused or broke the rules. `refuse` it and close. Messages of this
                very call are lost.
        """
        frames = self._session.receive(data, now_us)
        decode = self._local.wire.decode
        if self.state == "handshake" and self._session.established:
            self.state = "hello"
            if self._session.initiator:
                self._say_hello(now_us)
        messages: list[AnyMessage] = []
        for frame in frames:
            if self.state == "closed":
                break  # what comes after a Goodbye has no meaning
            if len(frame) > self._limit:  # read under the limit from before Hello narrowed it
                raise RemoteProtocolError(
                    f"a frame of {len(frame)} bytes; at most {self._limit} are allowed on this link",
                    penalty=100,
                    code="oversized",
                )
            message = decode(frame)
            if self.state == "hello":
                self._take_first(message, now_us)
            elif type(message) in self._accepts:
                if type(message) is Goodbye:
                    self._take_goodbye(message)
                else:
                    messages.append(message)
            else:
                self._take_unwelcome(message)
        return messages

    def may_send(self, message: Message) -> bool:
        """Return whether this peer takes this kind of message from us; with a wrong clock it may not."""
        if type(message) in self._sends:
            return True
        if self._clock_wrong:
            self.left_out += 1
        return False

    def send_frame(self, frame: bytes) -> None:
        """Queue an encoded message that `may_send` allows; `bytes_to_send` seals it.

        Raises:
            LocalProtocolError: longer than `frame_bytes_max`, or the session is dead.
        """
        self._session.send_frame(frame)

    def refuse(self, code: str, reason: str) -> None:
        """Close: queue a Goodbye if the peer can still read one."""
        if self._session.established and self.state != "closed":
            self._session.send_frame(encode_message(goodbye(code, reason)))
        self.state = "closed"

    def _say_hello(self, now_us: int) -> None:
        local = self._local
        self._session.send_frame(
            encode_message(
                Hello(
                    PROTOCOL_VERSION,
                    PROTOCOL_VERSION,
                    local.tier,
                    (*local.features, *local.wire.features),
                    now_us // 1000,
                    local.agent,
                )
            )
        )

    def _take_first(self, message: AnyMessage, now_us: int) -> None:
        """The first message has to be Hello; a Goodbye instead says why there will be none."""
        if isinstance(message, Goodbye):
            self.parting = message
            self.state = "closed"
            return
        if not isinstance(message, Hello):
            raise RemoteProtocolError(
                f"the first message is {type(message).__name__}; it has to be Hello", penalty=100, code="direction"
            )
        agree_on_version(message.version_min, message.version_max)
        self._check_tier(message.tier)
        own, peer = self._local.tier, message.tier
        self.clock_offset_ms = message.clock_ms - now_us // 1000
        self._clock_wrong = abs(self.clock_offset_ms) > CLOCK_OFFSET_MS_MAX
        if not self._session.initiator:
            self._say_hello(now_us)  # also before a refusal for the clock: both sides are told the offset
        wire = self._local.wire
        strange = wire.unknown_to(message.features)
        self._accepts, self._sends = wire.accepted_kinds(peer, own) - strange, wire.accepted_kinds(own, peer) - strange
        if self._clock_wrong:
            if not {own, peer} & {0, 4}:
                raise RemoteProtocolError(
                    f"the peer's clock is {self.clock_offset_ms} ms from ours; at most {CLOCK_OFFSET_MS_MAX} ms are "
                    "allowed on this link: set the clock of one of the two machines",
                    penalty=0,
                    code="clock",
                )
            self._accepts, self._sends = self._accepts & DESPITE_CLOCK, self._sends & DESPITE_CLOCK
        self.peer_hello = message
        self.state = "up"
        self._limit = frame_bytes_max(own, peer)
        self._session.set_frame_bytes_max(self._limit)

    def _take_goodbye(self, message: Goodbye) -> None:
        if message.code == MOVED and not self.moved:
            self.moved = True
            self._accepts = frozenset({Goodbye})
        else:
            self.parting = message
            self.state = "closed"

    def _check_tier(self, tier: int) -> None:
        known = self._local.known_tiers
        if known is None or self.peer_id is None:
            return
        due = known.get(self.peer_id)
        if due is None and tier != 2:
            return  # an L1 that genesis does not name follows, or votes in a later epoch: its core knows which
        if tier != due:
            listed = f"as an L{due}" if due is not None else "neither as an L1 nor as an L2"
            raise RemoteProtocolError(
                f"the peer says it is an L{tier}; genesis names node {self.peer_id.hex()[:16]} {listed}",
                penalty=100,
                code="tier",
            )

    def _take_unwelcome(self, message: AnyMessage) -> None:
        peer = self.peer_tier
        if self._clock_wrong and type(message) in self._local.wire.accepted_kinds(peer, self._local.tier):
            self.left_out += 1  # the peer may see the offset on the other side of the limit: no fault
            return
        raise RemoteProtocolError(
            f"an L{peer} may not send {type(message).__name__} to an L{self._local.tier}", penalty=100, code="direction"
        )
