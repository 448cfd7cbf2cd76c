"""The exact engine: shipped cores under virtual time, network, disks and clocks.

Theory of operation. This is a driver in the sense of `supervm.common.core`: it carries effects out and decides
nothing that a protocol depends on. Everything that happens is an item of one queue (`queue`), and every random
decision comes from one place (`choices`), so a seed has one trace on any machine; `digest` is a rolling hash over
every delivery, its time and its bytes.

A message is encoded once for all receivers of one broadcast and decoded once, by the first that gets it: messages are
frozen, so all may look at the same object. What a core sends leaves when the write it waits for is durable (P0), by
the rules of the committer: writes asked for while one is under way share the next, none overtakes another on its way
to one peer. A core is stepped by the queue only, never from inside another step.

With a `Cpu`, a host takes one input at a time and is busy meanwhile; what it does leaves when the time is over.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from struct import Struct
from typing import Any, Final

import msgspec

from supervm.common.core import (
    Command,
    Core,
    Dial,
    Durable,
    Effect,
    Halt,
    HangUp,
    Input,
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
from supervm.protocol.errors import RemoteProtocolError
from supervm.protocol.wire.frames import decode_message, encode_message
from supervm.protocol.wire.messages import Message

from ..errors import SimulationError
from .choices import Choices, Stream
from .clock import HostClock
from .crypto import MemoVerify, RealVerify
from .disk import KEPT, LOST, TORN, DiskProfile, VirtualDisk
from .events import Delivered, Event, HostStarted, HostStopped, Persisted, Sent, Stepped
from .geography import Geography, Place, lan
from .host import CALL, DELIVER, EFFECTS, INPUT, LATE, SHARE, TICK, WAKE, WRITTEN, Host, Lane, Parcel, Trap
from .links import Links
from .network import DEAD_AFTER_US, FAIR_FROM_BYTES, Network
from .queue import BucketQueue

WORK_US_PER_SIGNATURE: Final = 38
"""Time that one signature check takes (limits.md 1.1)."""
COLLECT_EVERY: Final = 2_000_000
"""Events between collections of cyclic garbage, of which there is hardly any."""
BOUNDARIES: Final = ("before-persist", "after-persist", "after-durable", "after-told", "before-send", "after-send")
"""Where `crash_at` can set a trap: before a write is asked for, after; after it is durable and before anybody knows,
after the core was told and what waited has left; before and after a message leaves."""

_pack: Final = Struct("<QII16s").pack


@dataclass(frozen=True, slots=True)
class Cpu:
    """How long a host needs for what it does.

    Attributes:
        step_us: for any input.
        verify_us: for each signature that a core checks while it is stepped; work it gives away has its own lanes.
    """

    step_us: int = 0
    verify_us: int = WORK_US_PER_SIGNATURE


class ExactWorld:
    """Hosts, links between them, and the queue of what happens next.

    Args:
        start_us: virtual time at which the world begins.
        choices: where randomness comes from; None: seed 0.
        geography: delays between regions; None: everybody 1 ms from everybody.
        verify: the signature verification that the cores were given, too.
        keep_events: whether published events are kept for the caller to look at.
        cpu: None: cores take no time.
        dead_after_us: how long without acknowledgement until a connection counts as lost.
        fair_from_bytes: length from which a message shares bandwidth as a flow.

    Attributes:
        delivered: messages delivered so far.
        events: queue items handled so far.
        not_sent: messages that a driver would not have sent: too long, or not for that tier.
        network: the paths: rules, cuts, partitions.
        hosts: node id -> host.
    """

    def __init__(
        self, *, start_us: int, choices: Choices | None = None, geography: Geography | None = None,
        verify: RealVerify | None = None, keep_events: bool = True, cpu: Cpu | None = None,
        dead_after_us: int = DEAD_AFTER_US, fair_from_bytes: int = FAIR_FROM_BYTES,
    ) -> None:
        self.choices = choices or Choices(0)
        self.verify = verify or MemoVerify()
        self.delivered = 0
        self.events = 0
        self.not_sent = 0
        self.hosts: dict[bytes, Host] = {}
        self._by_address: dict[str, Host] = {}
        self._keep_events = keep_events
        self._cpu = cpu
        self._queue: BucketQueue[Any] = BucketQueue()
        self._queue.advance(start_us)
        self.network = Network(
            geography or lan(), self._queue, self.choices, self._gave_up, dead_after_us=dead_after_us,
            fair_from_bytes=fair_from_bytes,
        )
        self._links = Links(self._queue, self.network, self._by_address, self._tell)
        self._trace = blake2b(digest_size=32, person=b"svm.sim.trace")
        self._watchers: list[Callable[[Event], None]] = []
        self._watched = False
        self._last: Parcel | None = None
        self._next_command = 1
        self._stepping = False

    # --- building -----------------------------------------------------------------------------------------------------

    def add(
        self, *, node_id: bytes, tier: int, address: str, tables: Sequence[TableSpec],
        build: Callable[[VirtualDisk], Core], name: str | None = None, place: Place | None = None,
        clock: HostClock | None = None, disk: DiskProfile | None = None,
    ) -> Host:
        """Add a host that is switched off; `build` makes its core from its disk at each start.

        Raises:
            SimulationError: a host with this id, address or name is there already.
        """
        if node_id in self.hosts or address in self._by_address:
            raise SimulationError(f"there is a host {address}, or one with its node id, already")
        name = name or address
        host = Host(
            node_id, len(self.hosts), tier, address, name, build, VirtualDisk(tables, disk), place or Place(), clock,
            self.choices.stream(f"jitter/{name}"),
        )
        self.hosts[node_id] = host
        self._by_address[address] = host
        return host

    def host(self, node_id: bytes) -> Host:
        """Return a host.

        Raises:
            SimulationError: nobody has this id.
        """
        host = self.hosts.get(node_id)
        if host is None:
            raise SimulationError(f"no host has the node id {node_id.hex()}")
        return host

    def observe(self, callback: Callable[[Event], None]) -> None:
        """Have `callback` told everything from now on, as it happens; it must not change the world."""
        self._watchers.append(callback)
        self._watched = True

    def _tell(self, event: Event) -> None:
        for callback in self._watchers:
            callback(event)

    # --- hosts --------------------------------------------------------------------------------------------------------

    def start(self, node_id: bytes) -> None:
        """Switch a host on.

        Raises:
            SimulationError: it runs.
        """
        host = self.host(node_id)
        if host.core is not None:
            raise SimulationError(f"{host.name} runs already")
        host.life += 1
        host.halted = None
        host.asked = host.durable = 0
        if host.clock is not None:
            host.clock.new_life()
        host.core = host.build(host.disk)
        if self._watched:
            self._tell(HostStarted(self.now_us, host))
        self._take(host, Started())

    def crash(self, node_id: bytes, reason: str = "connection reset", *, power: bool = False) -> None:
        """Switch a host off at once; what is not durable is lost. A host that is off stays off.

        Args:
            node_id: the host.
            reason: for its peers and for observers.
            power: the machine lost its power, so nobody tells its peers; else its kernel closes its connections.
        """
        host = self.host(node_id)
        if host.core is not None:
            self._off(host, reason, crashed=True, power=power)

    def stop(self, node_id: bytes) -> None:
        """Switch a host off in good order: what was asked to be written is written, its peers are told."""
        host = self.host(node_id)
        if host.core is None:
            return
        disk = host.disk
        if disk.under_way:
            self._durable(host, disk.end())
        if disk.waiting:
            disk.begin(None)
            self._durable(host, disk.end())
        self._off(host, "the peer closed the connection", crashed=False, power=False)

    def _off(self, host: Host, reason: str, *, crashed: bool, power: bool) -> None:
        host.core = None
        host.life += 1
        host.tick_at_us = None
        host.numbers.clear()
        host.gate.clear()
        host.lanes.clear()
        host.backlog.clear()
        host.traps.clear()
        host.busy_us = 0
        outcome = LOST
        if crashed and host.disk.under_way:
            outcome = self.choices.fault("crash-write", host.name, self.now_us, _draw_crash)
        for token, records in host.disk.lose_power(outcome):
            if self._watched:
                self._tell(Persisted(self.now_us, host, token, records))
        self._links.host_off(host, reason, silent_us=self.network.dead_after_us if power else None)
        if self._watched:
            self._tell(HostStopped(self.now_us, host, reason, crashed))

    def crash_at(self, node_id: bytes, boundary: str, nth: int = 1, *, restart_after_us: int | None = None) -> None:
        """Crash a host the nth time from now that it reaches a boundary, one of `BOUNDARIES`.

        Args:
            node_id: the host.
            boundary: where.
            nth: from 1.
            restart_after_us: switch it on again so much later; None: it stays off.
        """
        if boundary not in BOUNDARIES:
            raise SimulationError(f"there is no boundary {boundary!r}; allowed are {', '.join(BOUNDARIES)}")
        self.host(node_id).traps[boundary] = Trap(nth, restart_after_us)

    def _trapped(self, host: Host, boundary: str) -> bool:
        trap = host.traps.get(boundary)
        if trap is None:
            return False
        trap.left -= 1
        if trap.left > 0:
            return False
        restart_us = trap.restart_after_us
        self._off(host, f"crash {boundary}", crashed=True, power=False)
        if restart_us is not None:
            self.at(self.now_us + restart_us, lambda: None if host.core is not None else self.start(host.node_id))
        return True

    def step_clock(self, node_id: bytes, delta_us: int) -> None:
        """Set a host's clock forward, or back if negative."""
        host = self.host(node_id)
        if host.clock is None:
            host.clock = HostClock(start_us=self.now_us)
        host.clock.step(self.now_us, delta_us)
        host.tick_at_us = None
        if host.core is not None:
            self._arm(host, host.core)

    # --- paths --------------------------------------------------------------------------------------------------------

    def cut(self, one: bytes, other: bytes, *, reset: bool = True) -> None:
        """Break the path between two hosts until `mend`.

        Args:
            one: a host.
            other: another one.
            reset: their connection breaks at once and dials are refused; else nothing gets through, silently.
        """
        a, b = self.host(one), self.host(other)
        self.network.cut(a, b, refused=reset)
        self.network.cut(b, a, refused=reset)
        if reset:
            for lane in (a.links.get(other), b.links.get(one)):
                if lane is not None:
                    self._links.close(lane, "connection reset")

    def mend(self, one: bytes, other: bytes) -> None:
        """Let two hosts reach each other again."""
        a, b = self.host(one), self.host(other)
        self.network.mend(a, b)
        self.network.mend(b, a)

    def cut_one_way(self, src: bytes, dst: bytes) -> None:
        """Let nothing through from `src` to `dst` until `mend`; the other way still works."""
        self.network.cut(self.host(src), self.host(dst))

    def partition(self, *groups: Sequence[bytes]) -> None:
        """Cut every path between hosts of different groups; hosts in no group still reach everybody."""
        self.network.partition(*([self.host(node_id) for node_id in group] for group in groups))

    def heal(self) -> None:
        """Mend every path."""
        self.network.heal()

    def set_delay(self, one: bytes, other: bytes, delay_us: int) -> None:
        """Set the one-way delay between two hosts, both ways."""
        a, b = self.host(one), self.host(other)
        self.network.set_delay(a, b, delay_us)
        self.network.set_delay(b, a, delay_us)

    # --- asking -------------------------------------------------------------------------------------------------------

    def command(self, node_id: bytes, request: msgspec.Struct) -> int:
        """Give a host's core a request; the reply appears in its `replies` under the returned token."""
        token = self._next_command
        self._next_command += 1
        self._take(self.host(node_id), Command(token, request))
        return token

    def call(self, node_id: bytes, request: msgspec.Struct, *, within_us: int = 10_000_000) -> Any:
        """Give a request and run the world until the answer is there; return its value.

        Raises:
            SimulationError: refused, or no answer in time.
        """
        token = self.command(node_id, request)
        host = self.host(node_id)
        self.run(within_us, until=lambda: token in host.replies)
        reply = host.replies.pop(token, None)
        if reply is None:
            raise SimulationError(f"{host.name} did not answer {request!r} within {within_us} us")
        if reply.error is not None:
            raise SimulationError(reply.error)
        return reply.value

    def inject(self, sender: bytes, receiver: bytes, message: Message) -> None:
        """Deliver a message as if `sender` had sent it, now: what a hostile program with its key could do.

        Raises:
            SimulationError: the two are not connected.
        """
        peer = self.host(receiver)
        if sender not in peer.links:
            raise SimulationError(f"{peer.name} is not connected to that sender")
        self._take(peer, Received(sender, decode_message(encode_message(message))))

    # --- running ------------------------------------------------------------------------------------------------------

    @property
    def now_us(self) -> int:
        """Present time of the world."""
        return self._queue.now_us

    @property
    def digest(self) -> bytes:
        """Rolling hash of every delivery so far: time, sender, receiver and bytes."""
        return self._trace.copy().digest()

    def at(self, time_us: int, function: Callable[[], object]) -> None:
        """Call a function at a time that is not past."""
        self._queue.push(time_us, (CALL, function))

    def run(self, span_us: int, *, until: Callable[[], bool] | None = None) -> bool:
        """Run for `span_us` of virtual time or until the condition holds; return whether it does."""
        if self._stepping:
            raise SimulationError("a world cannot be run from inside itself")
        queue = self._queue
        end_us = queue.now_us + span_us
        pop, next_us = queue.pop, queue.next_us
        self._stepping = True
        collecting = gc.isenabled()
        gc.disable()  # what a world holds, it keeps: looking through it again and again takes most of the time
        try:
            while until is None or not until():
                due_us = next_us()
                if due_us is None or due_us > end_us:
                    queue.advance(end_us)
                    return until is not None and until()
                self.events += 1
                if not self.events % COLLECT_EVERY:
                    gc.collect()
                self._handle(pop()[1])
            return True
        finally:
            self._stepping = False
            if collecting:
                gc.enable()

    def _handle(self, item: Any) -> None:
        kind = item[0]
        if kind in (DELIVER, LATE):
            self._deliver(kind, item[1], item[2])
        elif kind == TICK:
            host = item[1]
            if host.life == item[2] and host.tick_at_us == item[3]:
                host.tick_at_us = None
                self._tick(host)
        elif kind == WRITTEN:
            if item[1].life == item[2]:
                self._written(item[1])
        elif kind == INPUT:
            if item[1].life == item[2]:
                self._take(item[1], item[3])
        elif kind == CALL:
            item[1]()
        elif kind == SHARE:
            self.network.share(item[1])
        elif kind == EFFECTS:
            if item[1].life == item[2]:
                self._carry_out(item[1], item[3])
        elif kind == WAKE and item[1].life == item[2]:
            host = item[1]
            self._step(host, host.backlog.popleft())
            if host.backlog and host.core is not None:
                self._queue.push(max(host.busy_us, self.now_us), (WAKE, host, host.life))

    def _deliver(self, kind: int, lane: Lane, parcel: Parcel) -> None:
        if not lane.back.open:
            return  # the receiver's end is down
        dst = lane.dst
        rate = lane.down_bps
        if rate and kind == DELIVER:
            now_us = self._queue.now_us
            taken_us = parcel.size_bytes * 8_000_000 // rate
            if dst.down_free_us > now_us - taken_us:  # others are still coming in: it waits its turn
                dst.down_free_us += taken_us
                if dst.down_free_us > now_us:
                    lane.last_us = max(lane.last_us, dst.down_free_us)
                    self._queue.push(dst.down_free_us, (LATE, lane, parcel))
                    return
            else:
                dst.down_free_us = now_us
        try:
            message = parcel.decoded()
        except RemoteProtocolError as error:
            self._links.end(lane.back, f"{error.code}: {error.reason}")
            return
        src = lane.src
        self.delivered += 1
        self._trace.update(_pack(self._queue.now_us, src.index, dst.index, parcel.digest))
        if self._watched:
            self._tell(Delivered(self._queue.now_us, src, dst, message, parcel.frame))
        self._take(dst, Received(src.node_id, message))

    # --- one step of one core -----------------------------------------------------------------------------------------

    def _take(self, host: Host, event: Input) -> None:
        if self._cpu is not None and (host.backlog or host.busy_us > self._queue.now_us) and host.core is not None:
            host.backlog.append(event)
            if len(host.backlog) == 1:
                self._queue.push(host.busy_us, (WAKE, host, host.life))
            return
        self._step(host, event)

    def _step(self, host: Host, event: Input) -> None:
        core = host.core
        if core is None:
            return
        cpu = self._cpu
        now_us = self._queue.now_us
        local_us = now_us if host.clock is None else host.clock.local_us(now_us)
        before = self.verify.calls
        effects = core.step(local_us, event)
        if self._watched:
            self._tell(Stepped(now_us, host, local_us, event, effects))
        if cpu is not None:
            host.busy_us = now_us + cpu.step_us + cpu.verify_us * (self.verify.calls - before)
            if effects and host.busy_us > now_us:
                self._queue.push(host.busy_us, (EFFECTS, host, host.life, effects))
                effects = []
        life = host.life
        if effects:
            self._carry_out(host, effects)
        if host.life == life:
            self._arm(host, core)

    def _tick(self, host: Host) -> None:
        core = host.core
        if core is None:
            return
        wanted_us = core.deadline_us
        now_us = self._queue.now_us
        local_us = now_us if host.clock is None else host.clock.local_us(now_us)
        if wanted_us is not None and wanted_us <= local_us:
            self._take(host, Tick())
        else:
            self._arm(host, core)

    def _arm(self, host: Host, core: Core) -> None:
        deadline_us = core.deadline_us
        if deadline_us is None:
            host.tick_at_us = None
            return
        if host.clock is not None:
            deadline_us = host.clock.when_us(deadline_us)
        now_us = self._queue.now_us
        if deadline_us < now_us:
            deadline_us = now_us
        if host.tick_at_us is None or deadline_us < host.tick_at_us:
            host.tick_at_us = deadline_us
            self._queue.push(deadline_us, (TICK, host, host.life, deadline_us))

    def _carry_out(self, host: Host, effects: Sequence[Effect]) -> None:
        life = host.life
        for effect in effects:
            kind = type(effect)
            if kind is Send or kind is Reply:
                number = host.numbers.get(effect.after) if effect.after else None  # type: ignore[union-attr]
                if number is None:
                    self._emit(host, effect)
                else:
                    host.gate.append((number, effect))
            elif kind is Publish:
                if self._keep_events:
                    host.events.append((self.now_us, effect))  # type: ignore[arg-type]
            elif kind is Persist:
                self._persist(host, effect)  # type: ignore[arg-type]
            else:
                self._rare(host, effect)
            if host.life != life:
                return

    def _rare(self, host: Host, effect: Effect) -> None:
        match effect:
            case Work(token, lane, job):
                result = [self.verify(*item) for item in job.items]
                finished_us = max(self.now_us, host.lanes.get(lane, 0)) + WORK_US_PER_SIGNATURE * len(result)
                host.lanes[lane] = finished_us
                self._queue.push(finished_us, (INPUT, host, host.life, WorkDone(token, result)))
            case Dial(address, expected):
                self._links.dial(host, address, expected)
            case HangUp(peer, code, reason):
                link = host.links.get(peer)
                if link is not None:
                    self._links.end(link, f"{code}: {reason}")
            case Halt(reason):
                host.halted = reason
                self._off(host, f"halted: {reason}", crashed=True, power=False)
            case _:
                raise SimulationError(f"no driver can carry out a {type(effect).__name__}")

    # --- writes -------------------------------------------------------------------------------------------------------

    def _persist(self, host: Host, effect: Persist) -> None:
        if host.traps and self._trapped(host, "before-persist"):
            return
        host.asked += 1
        host.numbers[effect.token] = host.asked
        host.disk.waiting.append((effect.token, effect.records))
        if not host.disk.under_way:
            self._write(host)
        if host.core is not None and host.traps:
            self._trapped(host, "after-persist")

    def _write(self, host: Host) -> None:
        disk = host.disk
        if disk.full:
            host.halted = "storage-failed: no space is left on the disk"
            self._off(host, host.halted, crashed=True, power=False)
            return
        taken_us = disk.begin(self.choices.stream(f"disk/{host.name}") if disk.profile.jitter_us else None)
        self._queue.push(self.now_us + taken_us, (WRITTEN, host, host.life))

    def _written(self, host: Host) -> None:
        life = host.life
        done = host.disk.end()
        self._durable(host, done)
        if host.traps and self._trapped(host, "after-durable"):
            return
        if host.disk.waiting:
            self._write(host)
            if host.life != life:
                return
        for token, _ in done:
            host.durable = host.numbers.pop(token)
        if host.gate:
            self._release(host)
        for token, _ in done:
            if host.life != life:
                return
            self._take(host, Durable(token))
        if host.life == life and host.traps:
            self._trapped(host, "after-told")

    def _durable(self, host: Host, done: Sequence[tuple[int, Any]]) -> None:
        if self._watched:
            for token, records in done:
                self._tell(Persisted(self.now_us, host, token, records))

    def _release(self, host: Host) -> None:
        """Let go what waited for writes that are durable; to one peer nothing overtakes anything."""
        life = host.life
        ready: list[Any] = []
        kept: list[tuple[int, Any]] = []
        behind: dict[bytes, None] = {}
        for number, effect in host.gate:
            peer = effect.peer if type(effect) is Send else b""
            if number <= host.durable and peer not in behind:
                ready.append(effect)
            else:
                kept.append((number, effect))
                if peer:
                    behind[peer] = None
        host.gate = kept
        for effect in ready:
            self._emit(host, effect)
            if host.life != life:
                return

    def _emit(self, host: Host, effect: Any) -> None:
        if type(effect) is Reply:
            host.replies[effect.token] = effect
            return
        lane = host.links.get(effect.peer)
        if lane is None:
            return
        message = effect.message
        parcel = self._last
        if parcel is None or parcel.message is not message:
            parcel = self._last = Parcel(message, encode_message(message))
        if type(message) not in lane.kinds or len(parcel.frame) > lane.frame_bytes_max:
            self.not_sent += 1
            return
        if host.traps and self._trapped(host, "before-send"):
            return
        if self._watched:
            self._tell(Sent(self._queue.now_us, host, lane.dst, message, parcel.frame))
        if not self.network.carry(lane, parcel) and not parcel.droppable:
            self._gave_up(lane, "slow: too many bytes wait for the peer to read")
        if host.traps:
            self._trapped(host, "after-send")

    def _gave_up(self, lane: Lane, reason: str) -> None:
        """The transport has given a connection up: both ends notice by themselves."""
        self._links.close(lane, reason)
        self._links.close(lane.back, reason)


def _draw_crash(stream: Stream) -> int:
    """What a crash makes of the group under way: half of the time it is lost."""
    return stream.pick((LOST, LOST, TORN, KEPT))
