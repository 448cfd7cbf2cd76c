"""A hand-stepped world: shipped cores, virtual time, perfect links and disks that take a while.

This is the second driver of the one contract (`supervm.common.core`), and the base of the exact engine: it moves
messages, time and durability for any number of cores in one process and decides nothing. Every frame goes through the
real codec, so what a core sends is what its peer would read. Time is integer microseconds; events of the same
microsecond run in the order they were scheduled, so the same seed gives the same trace, byte for byte.

What is modelled: propagation delay per pair, loss of connection, the delay of a write, a crash that loses everything
not yet durable, restart from what is. What is not, yet: bandwidth, loss and reordering of single messages, torn or slow
disks, clocks that disagree, adversaries (simulation.md 2 lists them all).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never

import msgspec

from supervm.common.core import (
    Command,
    Core,
    Dial,
    DialFailed,
    Durable,
    Effect,
    Halt,
    HangUp,
    Input,
    PeerDown,
    PeerUp,
    Persist,
    Publish,
    Received,
    Reply,
    Send,
    Started,
    Tick,
    Work,
    WorkDone,
)
from supervm.common.records import TableSpec
from supervm.common.storage.memory import MemoryStore
from supervm.protocol.hashing import hasher
from supervm.protocol.keys import verify
from supervm.protocol.wire.frames import decode_message, encode_message
from supervm.protocol.wire.messages import Message

from .errors import SimulationError

LINK_US = 1_000
"""Default one-way delay."""
WRITE_US = 300
"""Default time until a write is durable."""
WORK_US_PER_SIGNATURE = 38
"""Time that one signature check takes (limits.md 1.1)."""

_hash_trace = hasher(b"svm.trace")

Verify = Callable[[bytes, bytes, bytes], bool]


@dataclass
class Host:
    """One machine: a core while it runs, and a disk that outlives it."""

    node_id: bytes
    tier: int
    address: str
    build: Callable[[MemoryStore], Core]
    disk: MemoryStore
    core: Core | None = None
    life: int = 0
    halted: str | None = None
    durable: int = 0
    waiting: list[tuple[int, Effect]] = field(default_factory=list)
    tick_at_us: int | None = None
    lanes: dict[bytes, int] = field(default_factory=dict)
    replies: dict[int, Reply] = field(default_factory=dict)
    events: list[tuple[int, Publish]] = field(default_factory=list)


class World:
    """Hosts, links between them, and the queue of what happens next.

    Args:
        start_us: virtual time at which the world begins.
        verify: signature verification, which may be memoised.
        keep_events: whether published events are kept for the caller to look at.
    """

    def __init__(self, *, start_us: int, verify: Verify = verify, keep_events: bool = True) -> None:
        self.now_us = start_us
        self._verify = verify
        self._keep_events = keep_events
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._sequence = 0
        self._hosts: dict[bytes, Host] = {}
        self._by_address: dict[str, Host] = {}
        self._links: dict[tuple[bytes, bytes], int] = {}  # both directions of a connection -> its number
        self._link_count = 0
        self._cut: dict[tuple[bytes, bytes], None] = {}
        self._delays_us: dict[tuple[bytes, bytes], int] = {}
        self._trace = b""
        self._next_command = 1
        self.delivered = 0
        """Messages delivered so far."""

    # --- building -----------------------------------------------------------------------------------------------------

    def add(
        self,
        *,
        node_id: bytes,
        tier: int,
        address: str,
        tables: Sequence[TableSpec],
        build: Callable[[MemoryStore], Core],
    ) -> Host:
        """Add a host that is switched off; `build` makes its core from its disk at each start."""
        host = Host(node_id, tier, address, build, MemoryStore(tables))
        self._hosts[node_id] = host
        self._by_address[address] = host
        return host

    def start(self, node_id: bytes) -> None:
        """Switch a host on."""
        host = self._hosts[node_id]
        if host.core is not None:
            raise SimulationError(f"{host.address} runs already")
        host.life += 1
        host.durable = 0
        host.core = host.build(host.disk)
        self._step(host, Started())

    def crash(self, node_id: bytes) -> None:
        """Switch a host off at once: what is not durable is lost, its peers notice a delay later."""
        host = self._hosts[node_id]
        host.core = None
        host.life += 1
        host.waiting.clear()
        host.tick_at_us = None
        host.disk.crash()  # also makes what is durable the log that the next start reads
        for here, there in [pair for pair in self._links if pair[0] == node_id]:
            self._close(here, there, "connection reset")

    def cut(self, one: bytes, other: bytes) -> None:
        """Break the path between two hosts until `mend`."""
        self._cut[one, other] = self._cut[other, one] = None
        if (one, other) in self._links:
            self._close(one, other, "connection reset")
            self._down(self._hosts[one], other, "connection reset")

    def mend(self, one: bytes, other: bytes) -> None:
        """Let two hosts reach each other again."""
        self._cut.pop((one, other), None)
        self._cut.pop((other, one), None)

    def set_delay(self, one: bytes, other: bytes, delay_us: int) -> None:
        """Set the one-way delay between two hosts."""
        self._delays_us[one, other] = self._delays_us[other, one] = delay_us

    def command(self, node_id: bytes, request: msgspec.Struct) -> int:
        """Give a host's core a request; the reply appears in its `replies` under the returned token."""
        token = self._next_command
        self._next_command += 1
        self._step(self._hosts[node_id], Command(token, request))
        return token

    def call(self, node_id: bytes, request: msgspec.Struct, *, within_us: int = 10_000_000) -> Any:
        """Give a request and run the world until the answer is there; return its value.

        Raises:
            SimulationError: refused, or no answer in time.
        """
        token = self.command(node_id, request)
        host = self._hosts[node_id]
        self.run(within_us, until=lambda: token in host.replies)
        reply = host.replies.pop(token, None)
        if reply is None:
            raise SimulationError(f"{host.address} did not answer {request!r} within {within_us} us")
        if reply.error is not None:
            raise SimulationError(reply.error)
        return reply.value

    def inject(self, sender: bytes, receiver: bytes, message: Message) -> None:
        """Deliver a message as if `sender` had sent it, now: what a hostile program with its key could do."""
        peer = self._hosts[receiver]
        if (sender, receiver) not in self._links:
            raise SimulationError(f"{peer.address} is not connected to that sender")
        self._step(peer, Received(sender, decode_message(encode_message(message))))

    # --- running ------------------------------------------------------------------------------------------------------

    @property
    def digest(self) -> bytes:
        """Rolling hash of every delivery so far: equal for equal seeds."""
        return self._trace

    def run(self, span_us: int, *, until: Callable[[], bool] | None = None) -> bool:
        """Run for `span_us` of virtual time or until the condition holds; return whether it does."""
        end_us = self.now_us + span_us
        while True:
            if until is not None and until():
                return True
            if not self._queue or self._queue[0][0] > end_us:
                self.now_us = end_us
                return until is not None and until()
            self.now_us, _, action = heapq.heappop(self._queue)
            action()

    def _at(self, when_us: int, action: Callable[[], None]) -> None:
        self._sequence += 1
        heapq.heappush(self._queue, (when_us, self._sequence, action))

    def _delay(self, one: bytes, other: bytes) -> int:
        return self._delays_us.get((one, other), LINK_US)

    # --- one step of one core -----------------------------------------------------------------------------------------

    def _step(self, host: Host, event: Input) -> None:
        if host.core is None:
            return
        for effect in host.core.step(self.now_us, event):
            self._carry_out(host, effect)
            if host.core is None:
                return
        self._arm(host)

    def _arm(self, host: Host) -> None:
        deadline = host.core.deadline_us if host.core is not None else None
        if deadline is None:
            host.tick_at_us = None
            return
        deadline = max(deadline, self.now_us)
        if host.tick_at_us is None or deadline < host.tick_at_us:
            host.tick_at_us = deadline
            life = host.life

            def tick() -> None:
                if host.life != life or host.tick_at_us != deadline:
                    return
                host.tick_at_us = None
                wanted = host.core.deadline_us if host.core is not None else None
                if wanted is not None and wanted <= self.now_us:
                    self._step(host, Tick())
                else:
                    self._arm(host)

            self._at(deadline, tick)

    def _carry_out(self, host: Host, effect: Effect) -> None:
        match effect:
            case Persist(token, records):
                life = host.life

                def written() -> None:
                    if host.life != life:
                        return
                    host.disk.commit(records)
                    host.durable = token
                    self._release(host)
                    self._step(host, Durable(token))

                self._at(self.now_us + WRITE_US, written)
            case Send() | Reply():
                if effect.after > host.durable:
                    host.waiting.append((effect.after, effect))
                else:
                    self._emit(host, effect)
            case Work(token, lane, job):
                life = host.life
                result = [self._verify(*item) for item in job.items]

                def done() -> None:
                    if host.life == life:
                        self._step(host, WorkDone(token, result))

                finished_us = max(self.now_us + WORK_US_PER_SIGNATURE * len(result), host.lanes.get(lane, 0))
                host.lanes[lane] = finished_us
                self._at(finished_us, done)
            case Dial(address, expected):
                self._dial(host, address, expected)
            case HangUp(peer, code, reason):
                if (host.node_id, peer) in self._links:
                    self._close(host.node_id, peer, f"{code}: {reason}")
                    self._down(host, peer, f"{code}: {reason}")
            case Publish():
                if self._keep_events:
                    host.events.append((self.now_us, effect))
            case Halt(reason):
                host.halted = reason
                self.crash(host.node_id)
            case _:
                assert_never(effect)

    def _release(self, host: Host) -> None:
        ready = [effect for after, effect in host.waiting if after <= host.durable]
        host.waiting = [(after, effect) for after, effect in host.waiting if after > host.durable]
        for effect in ready:
            self._emit(host, effect)

    def _emit(self, host: Host, effect: Effect) -> None:
        if isinstance(effect, Reply):
            host.replies[effect.token] = effect
            return
        if not isinstance(effect, Send):
            raise SimulationError(f"{type(effect).__name__} cannot wait for a write")
        link = self._links.get((host.node_id, effect.peer))
        if link is None:
            return
        frame = encode_message(effect.message)
        peer = self._hosts[effect.peer]

        def deliver() -> None:
            if self._links.get((host.node_id, peer.node_id)) != link:
                return
            self.delivered += 1
            self._trace = _hash_trace(self._trace + host.node_id + peer.node_id + frame)
            self._step(peer, Received(host.node_id, decode_message(frame)))

        self._at(self.now_us + self._delay(host.node_id, peer.node_id), deliver)

    # --- connections --------------------------------------------------------------------------------------------------

    def _dial(self, host: Host, address: str, expected: bytes | None) -> None:
        peer = self._by_address.get(address)
        life = host.life
        delay_us = self._delay(host.node_id, peer.node_id) if peer is not None else LINK_US

        def arrive() -> None:
            if host.life != life:
                return
            if (
                peer is None
                or peer.core is None
                or (host.node_id, peer.node_id) in self._cut
                or (expected is not None and expected != peer.node_id)
            ):
                self._step(host, DialFailed(address, "connection refused"))
                return
            if (host.node_id, peer.node_id) in self._links:
                self._step(host, DialFailed(address, "connected already"))
                return
            self._link_count += 1
            self._links[host.node_id, peer.node_id] = self._links[peer.node_id, host.node_id] = self._link_count
            self._step(peer, PeerUp(host.node_id, host.tier, (), 0, None))
            self._step(host, PeerUp(peer.node_id, peer.tier, (), 0, address))

        self._at(self.now_us + 3 * delay_us, arrive)

    def _close(self, here: bytes, there: bytes, reason: str) -> None:
        self._links.pop((here, there), None)
        if self._links.pop((there, here), None) is None:
            return
        peer = self._hosts[there]
        life = peer.life

        def noticed() -> None:
            if peer.life == life:
                self._down(peer, here, reason)

        self._at(self.now_us + self._delay(here, there), noticed)

    def _down(self, host: Host, peer: bytes, reason: str) -> None:
        if (host.node_id, peer) not in self._links:
            self._step(host, PeerDown(peer, reason))
