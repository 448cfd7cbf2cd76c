"""What the engine keeps: hosts, connections between them, and messages under way. Plain state, no decisions."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from supervm.common.contract.core import Core, Input, Publish, Reply
from supervm.protocol.wire.fields import Message
from supervm.protocol.wire.messages import AnyMessage
from supervm.protocol.wire.subject import STANDARD, Wire

from .choices import Stream
from .clock import HostClock
from .cuts import Cause
from .disk import VirtualDisk
from .geography import Place

FRAME_OVERHEAD_BYTES = 60
"""Added to a frame on the wire: link record and tag (20) and one TCP/IPv4 header (40)."""


DELIVER, LATE, INPUT, TICK, WRITTEN, WAKE, EFFECTS, SHARE, CALL = range(9)
"""First field of a queue item, a flat tuple: (DELIVER or LATE, lane, parcel), (INPUT, host, life, input),
(TICK, host, life, deadline), (WRITTEN or WAKE, host, life), (EFFECTS, host, life, effects), (SHARE, generation),
(CALL, function). The first two are the lowest, because the world's loop asks for them first, at once."""


class Parcel:
    """One message on its way: encoded once for all its receivers, and decoded once, by the first that gets it.

    Attributes:
        message: what the sender's core said.
        frame: its bytes.
        size_bytes: on the wire.
        digest: of the frame.
        droppable: whether it may be lost when too much waits.
        read: what receivers read; None: nobody has done so yet (`decoded`).
    """

    __slots__ = ("_decode", "digest", "droppable", "frame", "message", "read", "size_bytes")

    def __init__(self, message: Message, frame: bytes, wire: Wire) -> None:
        self.message = message
        self.frame = frame
        self.size_bytes = len(frame) + FRAME_OVERHEAD_BYTES
        self.digest = blake2b(frame, digest_size=16).digest()
        self.droppable = type(message) in wire.droppable
        self._decode = wire.decode  # the sender's, since a lane carries only what both its ends know
        self.read: AnyMessage | None = None

    def decoded(self) -> AnyMessage:
        """Read the frame; messages are frozen, so all receivers may have the same object.

        Raises:
            RemoteProtocolError: no receiver can read it.
        """
        self.read = self._decode(self.frame)
        return self.read


class Lane:
    """One direction of a connection, and the end at which it begins.

    Attributes:
        src: host that sends here.
        dst: host that receives.
        open: the sender's end is up: its core may send, and takes what comes the other way.
        back: the other direction.
        base_us: one-way delay without jitter.
        spread_us: 90th percentile of the delay minus its median.
        loss_ppm: messages lost, in a million.
        draw_losses: draws how many times in a row a message is lost.
        extra_us: more delay, by the rules of the path.
        duplicate_ppm: messages that come twice (datagram paths only).
        reorder_ppm: messages that are overtaken (datagram paths only).
        datagram: lost messages stay lost and order is not kept.
        up_bps: the sender's rate, 0: no limit.
        down_bps: the receiver's rate.
        last_us: when the newest message arrives; later ones do not come before it.
        cut: nothing passes here now.
        held: messages that wait for a path that is cut, or was a moment ago; None: nothing has to wait.
        caught: how many of them, the first ones, were on their way when it was cut.
        resume_us: when what is held goes on at the earliest.
        afterwards: called once what was held has gone on.
        bulk: messages that wait for their share of the bandwidth, the first being sent.
        left: of the first of `bulk`, what is not sent yet, in bytes times 10**6.
        rate: its present share in bytes per second.
        queued_bytes: bytes in `held` and `bulk`.
        kinds: kinds of message that may travel here.
        frame_bytes_max: longest frame here.
        name: for choices and reports.
        held_until_us: the receiver's core hears nothing from here before this time of the world.
        waiting: messages that have arrived and wait for that; None if none does.
        waiting_bytes: their bytes.
        on_hold: the receiver's core hears nothing from here before it has heard everything of an older connection.
        before: the sender's end of a connection that this one takes the place of; None: there is none, or it is over.
        after: the sender's end of the connection that takes the place of this one.
        parted: the receiver has said that nothing more comes from it over this connection.
        offset_ms: the receiver's clock minus the sender's when the connection was made.
        address: what the sender dialled; None if it was dialled.
    """

    __slots__ = (
        "address",
        "after",
        "afterwards",
        "back",
        "base_us",
        "before",
        "bulk",
        "caught",
        "cut",
        "datagram",
        "down_bps",
        "draw_losses",
        "dst",
        "duplicate_ppm",
        "extra_us",
        "frame_bytes_max",
        "held",
        "held_until_us",
        "kinds",
        "last_us",
        "left",
        "link",
        "loss_ppm",
        "name",
        "offset_ms",
        "on_hold",
        "open",
        "parted",
        "queued_bytes",
        "rate",
        "reorder_ppm",
        "resume_us",
        "spread_us",
        "src",
        "up_bps",
        "waiting",
        "waiting_bytes",
    )

    back: Lane
    draw_losses: Callable[[Stream], int]

    def __init__(self, src: Host, dst: Host, link: Link) -> None:
        self.src = src
        self.dst = dst
        self.link = link
        self.open = False
        self.base_us = 0
        self.spread_us = 0
        self.loss_ppm = 0
        self.extra_us = 0
        self.duplicate_ppm = 0
        self.reorder_ppm = 0
        self.datagram = False
        self.up_bps = src.place.access.up_bps
        self.down_bps = dst.place.access.down_bps
        self.last_us = 0
        self.cut = False
        self.held: list[Parcel] | None = None
        self.caught = 0
        self.resume_us = 0
        self.afterwards: Callable[[], None] | None = None
        self.bulk: deque[Parcel] = deque()
        self.left = 0
        self.rate = 0
        self.queued_bytes = 0
        self.kinds: frozenset[type[Message]] = frozenset()
        self.frame_bytes_max = 0
        self.name = f"{src.name}>{dst.name}"
        self.held_until_us = 0
        self.waiting: deque[Parcel] | None = None
        self.waiting_bytes = 0
        self.on_hold = self.parted = False
        self.before: Lane | None = None
        self.after: Lane | None = None
        self.offset_ms = 0
        self.address: str | None = None


class Link:
    """A connection: two lanes.

    Attributes:
        forth: from the host that dialled.
        back: to it.
        up_at_us: when the answering end came up.
        cut_number: counts the cuts of its path, so that a late detection knows whether it still holds.
    """

    __slots__ = ("back", "cut_number", "forth", "number", "up_at_us")

    def __init__(self, number: int, dialler: Host, answerer: Host) -> None:
        self.number = number
        self.up_at_us = 0
        self.cut_number = 0
        self.forth = Lane(dialler, answerer, self)
        self.back = Lane(answerer, dialler, self)
        self.forth.back, self.back.back = self.back, self.forth

    def lane_of(self, host: Host) -> Lane:
        """Return the lane that begins at `host`."""
        return self.forth if self.forth.src is host else self.back


@dataclass(slots=True, eq=False)
class Trap:
    """A crash that waits for the nth time a boundary is reached, and then is the cause that holds the host off."""

    left: int
    restart_after_us: int | None


@dataclass(eq=False)
class Host:
    """One machine: a core while it runs, and a disk that outlives it.

    Attributes:
        node_id: its node id.
        index: number in the order hosts were added.
        tier: 1..4.
        address: what others dial.
        name: for people, choices and reports.
        build: makes its core from its disk, at each start.
        disk: its disk.
        place: where it is.
        clock: its clock; None: the world's time.
        core: what runs; None: it is off.
        wire: the kinds of messages that the core knows.
        life: counts starts and stops.
        halted: why it stopped by itself; None: it did not.
        replies: answers to commands by token.
        events: what it published, with the local time.
        down_for: causes that hold it off; it is switched on again when the last of them ends.
        busy_us: with a CPU model, until when it is busy.
    """

    node_id: bytes
    index: int
    tier: int
    address: str
    name: str
    build: Callable[[VirtualDisk], Core]
    disk: VirtualDisk
    place: Place
    clock: HostClock | None
    jitter: Stream
    core: Core | None = None
    wire: Wire = STANDARD
    life: int = 0
    halted: str | None = None
    replies: dict[int, Reply] = field(default_factory=dict)
    events: list[tuple[int, Publish]] = field(default_factory=list)
    down_for: dict[Cause, None] = field(default_factory=dict)
    busy_us: int = 0
    links: dict[bytes, Lane] = field(default_factory=dict)
    """Peers that are up -> the lane to them."""
    made: dict[int, Link] = field(default_factory=dict)
    """All connections, also those that are not up yet or any more at this end."""
    tick_at_us: int | None = None
    asked: int = 0
    """Writes asked for in this life."""
    durable: int = 0
    """Writes durable in this life."""
    numbers: dict[int, int] = field(default_factory=dict)
    """Token -> number of a write that is not durable yet."""
    gate: list[tuple[int, Any]] = field(default_factory=list)
    """Sends and replies that wait for a write."""
    lanes: dict[bytes, int] = field(default_factory=dict)
    """Lane of work -> when it is free."""
    traps: dict[str, list[Trap]] = field(default_factory=dict)
    """Boundary -> crashes that wait for it; they outlive the host's lives."""
    up_free_us: int = 0
    down_free_us: int = 0
    backlog: deque[Input] = field(default_factory=deque)
    """Inputs that wait for the CPU."""

    @property
    def remote(self) -> str:
        """Its IP address, as its peers see it: that of its address, if it is one."""
        host, _, _ = self.address.rpartition(":")
        if host:
            return host.strip("[]")
        return f"10.{self.index >> 16 & 255}.{self.index >> 8 & 255}.{self.index & 255}"

    def local_us(self, now_us: int) -> int:
        """Return what its clock shows at a time of the world."""
        return now_us if self.clock is None else self.clock.local_us(now_us)
