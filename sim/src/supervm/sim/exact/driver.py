"""The driver of the cores: takes items off the world's queue, steps a core, carries its effects out.

It decides nothing that a protocol depends on (`common.contract.core`). A core is stepped by the queue only, never from
inside another step. A message is encoded once for all receivers of one broadcast. With a `Cpu`, a host takes one input
at a time and is busy meanwhile; what it does leaves when the time is over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from struct import Struct
from typing import Any, Final

from supervm.common.contract.core import (
    Core,
    Dial,
    Effect,
    Halt,
    HangUp,
    Hold,
    Input,
    Persist,
    Publish,
    Received,
    Reply,
    Send,
    Tick,
    Work,
    WorkDone,
)
from supervm.common.contract.jobs import VerifySignatures
from supervm.common.link.connection import MOVED
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.wire.frames import encode_message
from supervm.protocol.wire.link import Goodbye

from ..errors import SimulationError
from .choices import Choices
from .crypto import RealVerify
from .events import Delivered, Sent, Stepped, Watchers
from .host import CALL, DELIVER, EFFECTS, INPUT, LATE, SHARE, TICK, WAKE, WRITTEN, Host, Lane, Parcel
from .links import Links
from .network import Network
from .power import Power
from .queue import BucketQueue
from .writes import Writes

WAITING_BYTES_MAX: Final = 16 << 20
"""Bytes that wait for a core that has its peer held, before the sender's queue is full (the driver's limits)."""

_pack: Final = Struct("<QII16s").pack


@dataclass(frozen=True, slots=True)
class Cpu:
    """How long a host needs for what it does.

    Attributes:
        step_us: for any input.
        verify_us: for each signature that a core checks while it is stepped; work it gives away has its own lanes.
    """

    step_us: int = 0
    verify_us: int = VerifySignatures.ITEM_COST_US


class Driver:
    """Carries out what cores want.

    Args:
        queue: the world's events.
        choices: where randomness comes from.
        network: the paths.
        links: the connections.
        watchers: told everything, as it happens.
        verify: the signature verification that the cores were given, too.
        cpu: None: cores take no time.
        keep_events: whether published events are kept with their host.

    Attributes:
        power: switches hosts on and off.
        delivered: messages delivered so far.
        not_sent: messages that a driver would not have sent: too long, or not for that tier.
        trace: rolling hash of every delivery so far.
    """

    def __init__(
        self,
        queue: BucketQueue[Any],
        choices: Choices,
        network: Network,
        links: Links,
        watchers: Watchers,
        *,
        verify: RealVerify,
        cpu: Cpu | None,
        keep_events: bool,
    ) -> None:
        self._queue = queue
        self._network = network
        self._links = links
        self._watchers = watchers
        self._verify = verify
        self._cpu = cpu
        self._keep_events = keep_events
        self.power = Power(queue, choices, links, watchers, self.take)
        self._writes = Writes(queue, choices, self.power, self.take, self._emit)
        self.delivered = 0
        self.not_sent = 0
        self.trace = blake2b(digest_size=32, person=b"svm.sim.trace")
        self._last: Parcel | None = None
        links.moves.release = self._release

    def handle(self, item: Any) -> None:
        """Let an item of the queue happen that is neither a delivery nor a call; the world's loop knows those."""
        kind = item[0]
        if kind == TICK:
            host = item[1]
            if host.life == item[2] and host.tick_at_us == item[3]:
                host.tick_at_us = None
                self._tick(host)
        elif kind == WRITTEN:
            if item[1].life == item[2]:
                self._writes.written(item[1])
        elif kind == INPUT:
            if item[1].life == item[2]:
                self.take(item[1], item[3])
        elif kind == SHARE:
            self._network.share(item[1])
        elif kind == EFFECTS:
            if item[1].life == item[2]:
                self._carry_out(item[1], item[3])
        elif kind == WAKE and item[1].life == item[2]:
            host = item[1]
            self._step(host, host.backlog.popleft())
            if host.backlog and host.core is not None:
                self._queue.push(max(host.busy_us, self._queue.now_us), (WAKE, host, host.life))

    def deliver(self, kind: int, lane: Lane, parcel: Parcel) -> None:
        """Give a message to its receiver, or have it wait for the line; `kind`: LATE when it has waited."""
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
        if lane.held is not None and self._network.catch(lane, parcel):
            return
        if lane.on_hold or (
            lane.held_until_us and (lane.waiting is not None or lane.held_until_us > self._queue.now_us)
        ):
            self._wait(lane, parcel)
        else:
            self._hand_over(lane, parcel)

    def _wait(self, lane: Lane, parcel: Parcel) -> None:
        """Keep a message for a core that does not want to hear its sender now; a full receiver stops the sender."""
        if lane.waiting is None:
            lane.waiting = deque()
            if not lane.on_hold:
                self._release_at(lane, lane.held_until_us)
        lane.waiting.append(parcel)
        lane.waiting_bytes += parcel.size_bytes
        if lane.waiting_bytes > WAITING_BYTES_MAX:
            self._links.give_up(lane, "slow: too many bytes wait for the peer to read")

    def _release_at(self, lane: Lane, at_us: int) -> None:
        self._queue.push(at_us, (CALL, lambda: self._release(lane)))

    def _release(self, lane: Lane) -> None:
        """Give a core what has waited, until it wants to hear no more again."""
        if lane.waiting is None or lane.on_hold:
            return
        while lane.waiting and lane.back.open:
            if lane.held_until_us > self._queue.now_us:
                self._release_at(lane, lane.held_until_us)
                return
            parcel = lane.waiting.popleft()
            lane.waiting_bytes -= parcel.size_bytes
            self._hand_over(lane, parcel)
        lane.waiting = None
        lane.waiting_bytes = lane.held_until_us = 0

    def _hand_over(self, lane: Lane, parcel: Parcel) -> None:
        dst = lane.dst
        message = parcel.read
        if message is None:
            try:
                message = parcel.decoded()
            except RemoteProtocolError as error:
                self._links.end(lane.back, f"{error.code}: {error.reason}")
                return
        if type(message) is Goodbye and message.code == MOVED:
            self._links.moves.goodbye(lane)
            return
        src, now_us = lane.src, self._queue.now_us
        self.delivered += 1
        self.trace.update(_pack(now_us, src.index, dst.index, parcel.digest))
        watching = self._watchers.delivered
        if watching:
            event = Delivered(now_us, src, dst, message, parcel.frame)
            for callback in watching:
                callback(event)
        if self._cpu is None:
            self._step(dst, Received(src.node_id, message))
        else:
            self.take(dst, Received(src.node_id, message))

    # --- one step of one core -----------------------------------------------------------------------------------------

    def take(self, host: Host, event: Input) -> None:
        """Give a core its input, or put it behind others if the host is busy."""
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
        now_us, clock, cpu = self._queue.now_us, host.clock, self._cpu
        local_us = now_us if clock is None else clock.local_us(now_us)
        before = self._verify.calls
        effects = core.step(local_us, event)
        watching = self._watchers.stepped if effects else self._watchers.idled
        if watching:
            stepped = Stepped(now_us, host, local_us, event, effects, self._verify.calls - before)
            for callback in watching:
                callback(stepped)
        if cpu is not None:
            host.busy_us = now_us + cpu.step_us + cpu.verify_us * (self._verify.calls - before)
            if effects and host.busy_us > now_us:
                self._queue.push(host.busy_us, (EFFECTS, host, host.life, effects))
                effects = []
        if effects:
            life = host.life
            self._carry_out(host, effects)
            if host.life != life:
                return
        deadline_us = core.deadline_us
        if deadline_us is None:
            host.tick_at_us = None
        elif clock is not None or host.tick_at_us is None or deadline_us < host.tick_at_us:
            self._wake_at(host, deadline_us)

    def _tick(self, host: Host) -> None:
        core = host.core
        if core is None:
            return
        wanted_us = core.deadline_us
        if wanted_us is not None and wanted_us <= host.local_us(self._queue.now_us):
            self.take(host, Tick())
        else:
            self.arm(host, core)

    def arm(self, host: Host, core: Core) -> None:
        """Set a host's timer to when its core next wants a `Tick`."""
        deadline_us = core.deadline_us
        if deadline_us is None:
            host.tick_at_us = None
        else:
            self._wake_at(host, deadline_us)

    def _wake_at(self, host: Host, local_us: int) -> None:
        """Have a core stepped with a `Tick` at a time of its own clock, unless an earlier one is planned."""
        due_us = local_us if host.clock is None else host.clock.when_us(local_us)
        due_us = max(due_us, self._queue.now_us)
        if host.tick_at_us is None or due_us < host.tick_at_us:
            host.tick_at_us = due_us
            self._queue.push(due_us, (TICK, host, host.life, due_us))

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
                    host.events.append((self._queue.now_us, effect))  # type: ignore[arg-type]
            elif kind is Persist:
                self._writes.ask(host, effect)  # type: ignore[arg-type]
            else:
                self._rare(host, effect)
            if host.life != life:
                return

    def _rare(self, host: Host, effect: Effect) -> None:
        match effect:
            case Work(token, lane, job):
                if type(job) is VerifySignatures:  # each signature is checked once for all hosts
                    result = [self._verify(*item) for item in job.items]
                else:
                    result = job.run(job.items)
                begin_us = max(self._queue.now_us, host.lanes.get(lane, 0)) if job.IS_ORDERED else self._queue.now_us
                finished_us = begin_us + job.cost_us
                if job.IS_ORDERED:
                    host.lanes[lane] = finished_us
                self._queue.push(finished_us, (INPUT, host, host.life, WorkDone(token, result)))
            case Dial(address, expected):
                self._links.dial(host, address, expected)
            case HangUp(peer, code, reason):
                link = host.links.get(peer)
                if link is not None:
                    self._links.end(link, f"{code}: {reason}")
            case Hold(peer, until_us):
                link = host.links.get(peer)
                if link is not None:
                    heard = link.before if link.back.on_hold and link.before is not None else link
                    heard.back.held_until_us = until_us if host.clock is None else host.clock.when_us(until_us)
            case Halt(reason):
                host.halted = reason
                self.power.crash(host, f"halted: {reason}")
            case _:
                raise SimulationError(f"no driver can carry out a {type(effect).__name__}")

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
            parcel = self._last = Parcel(message, encode_message(message), host.wire)
        if type(message) not in lane.kinds or len(parcel.frame) > lane.frame_bytes_max:
            self.not_sent += 1
            return
        if host.traps and self.power.trapped(host, "before-send"):
            return
        watching = self._watchers.sent
        if watching:
            event = Sent(self._queue.now_us, host, lane.dst, message, parcel.frame)
            for callback in watching:
                callback(event)
        if not self._network.carry(lane, parcel) and not parcel.droppable:
            self._links.give_up(lane, "slow: too many bytes wait for the peer to read")
        if host.traps:
            self.power.trapped(host, "after-send")
