"""The exact engine: shipped cores under virtual time, network, disks and clocks.

Theory of operation. This is a driver in the sense of `supervm.common.contract.core`: it carries effects out and decides
nothing that a protocol depends on. Everything that happens is an item of one queue (`queue`), and every random
decision comes from one place (`choices`), so a seed has one trace on any machine; `digest` is a rolling hash over
every delivery, its time and its bytes.

`ExactWorld` is what a test or a scenario holds: it adds hosts, does things to them and to the paths between them, and
lets time pass. `driver` steps the cores, `writes` keeps P0, `power` switches hosts on and off, `network` and `links`
carry what is sent.

While a world runs, pure functions of the protocol remember their answers for all nodes (`protocol.base.memory`),
unless signatures are to be checked anew as well.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from supervm.common.contract.core import Command, Core, Received
from supervm.common.contract.tables import AnyTable
from supervm.protocol.base.memory import Memory, remembering
from supervm.protocol.wire.fields import Message
from supervm.protocol.wire.frames import encode_message

from ..errors import SimulationError
from .choices import Choices
from .clock import HostClock
from .crypto import MemoVerify, RealVerify
from .cuts import BY_HAND, Cause, Cut
from .disk import DiskProfile, VirtualDisk
from .driver import Cpu, Driver
from .events import Event, Watchers
from .geography import Geography, Place, lan
from .host import CALL, LATE, Host, Lane
from .links import Links
from .network import DEAD_AFTER_US, FAIR_FROM_BYTES, Network
from .queue import BucketQueue

COLLECT_EVERY: Final = 2_000_000
"""Events between collections of cyclic garbage, of which there is hardly any."""


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
        events: queue items handled so far.
        network: the paths: rules, cuts, partitions.
        hosts: node id -> host.
    """

    def __init__(
        self,
        *,
        start_us: int,
        choices: Choices | None = None,
        geography: Geography | None = None,
        verify: RealVerify | None = None,
        keep_events: bool = True,
        cpu: Cpu | None = None,
        dead_after_us: int = DEAD_AFTER_US,
        fair_from_bytes: int = FAIR_FROM_BYTES,
    ) -> None:
        self.choices = choices or Choices(0)
        self.verify = verify or MemoVerify()
        self.events = 0
        self.hosts: dict[bytes, Host] = {}
        self._by_address: dict[str, Host] = {}
        self._queue: BucketQueue[Any] = BucketQueue()
        self._queue.advance(start_us)
        self.network = Network(
            geography or lan(),
            self._queue,
            self.choices,
            self._gave_up,
            dead_after_us=dead_after_us,
            fair_from_bytes=fair_from_bytes,
        )
        self._watchers = Watchers()
        self._links = Links(self._queue, self.network, self._by_address, self._watchers.tell)
        self._driver = Driver(
            self._queue,
            self.choices,
            self.network,
            self._links,
            self._watchers,
            verify=self.verify,
            cpu=cpu,
            keep_events=keep_events,
        )
        self._power = self._driver.power
        self._next_command = 1
        self._running = False
        self._memory = Memory(spared=self.verify.spared) if isinstance(self.verify, MemoVerify) else None

    def _gave_up(self, lane: Lane, reason: str) -> None:
        self._links.give_up(lane, reason)

    # --- building -----------------------------------------------------------------------------------------------------

    def add(
        self,
        *,
        node_id: bytes,
        tier: int,
        address: str,
        tables: Sequence[AnyTable],
        build: Callable[[VirtualDisk], Core],
        name: str | None = None,
        place: Place | None = None,
        clock: HostClock | None = None,
        disk: DiskProfile | None = None,
    ) -> Host:
        """Add a host that is switched off; `build` makes its core from its disk at each start.

        Raises:
            SimulationError: a host with this id, address or name is there already.
        """
        if node_id in self.hosts or address in self._by_address:
            raise SimulationError(f"there is a host {address}, or one with its node id, already")
        name = name or address
        host = Host(
            node_id,
            len(self.hosts),
            tier,
            address,
            name,
            build,
            VirtualDisk(tables, disk),
            place or Place(),
            clock,
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

    def observe(self, callback: Callable[[Any], None], *kinds: type[Event], idle_steps: bool = True) -> None:
        """Have `callback` told what happens from now on, as it happens; it must not change the world.

        Args:
            callback: told each event.
            kinds: of events; none: all of them.
            idle_steps: also steps after which a core wants nothing done.
        """
        self._watchers.add(callback, kinds, idle_steps=idle_steps)

    # --- hosts --------------------------------------------------------------------------------------------------------

    def start(self, node_id: bytes) -> None:
        """Switch a host on, whatever held it off: all causes are over.

        Raises:
            SimulationError: it runs.
        """
        with remembering(self._memory):
            self._power.on(self.host(node_id))

    def crash(self, node_id: bytes, reason: str = "connection reset", *, power: bool = False) -> None:
        """Switch a host off at once; what is not durable is lost. A host that is off stays off.

        Args:
            node_id: the host.
            reason: for its peers and for observers.
            power: the machine lost its power, so nobody tells its peers; else its kernel closes its connections.
        """
        self._power.crash(self.host(node_id), reason, silent_us=self.network.dead_after_us if power else None)

    def stop(self, node_id: bytes) -> None:
        """Switch a host off in good order: what was asked to be written is written, its peers are told."""
        self._power.stop(self.host(node_id))

    def hold_off(self, node_id: bytes, cause: Cause, *, orderly: bool = False, power: bool = False) -> None:
        """Switch a host off and keep it off until `let_on` has been called for every cause that holds it.

        Args:
            node_id: the host; it may be off already.
            cause: why.
            orderly: as `stop`; else as `crash`.
            power: see `crash`.
        """
        silent_us = self.network.dead_after_us if power else None
        self._power.hold(self.host(node_id), cause, orderly=orderly, silent_us=silent_us)

    def let_on(self, node_id: bytes, cause: Cause) -> None:
        """End a cause that holds a host off; it comes back when no cause is left and its disk has room."""
        with remembering(self._memory):
            self._power.let_go(self.host(node_id), cause)

    def free_disk(self, node_id: bytes, cause: Cause) -> None:
        """End a cause for which a host's disk is full; it comes back when nothing else keeps it off."""
        with remembering(self._memory):
            self._power.free_disk(self.host(node_id), cause)

    def crash_at(self, node_id: bytes, boundary: str, nth: int = 1, *, restart_after_us: int | None = None) -> None:
        """Crash a host the nth time from now that it reaches a boundary, one of `BOUNDARIES`.

        Args:
            node_id: the host.
            boundary: where.
            nth: from 1.
            restart_after_us: the crash is over so much later; None: the host stays off.
        """
        self._power.set_trap(self.host(node_id), boundary, nth, restart_after_us)

    def step_clock(self, node_id: bytes, delta_us: int) -> None:
        """Set a host's clock forward, or back if negative."""
        host = self.host(node_id)
        if host.clock is None:
            host.clock = HostClock(start_us=self.now_us)
        host.clock.step(self.now_us, delta_us)
        host.tick_at_us = None
        if host.core is not None:
            self._driver.arm(host, host.core)

    # --- paths --------------------------------------------------------------------------------------------------------

    def cut(self, *sides: Sequence[bytes], cause: Cause = BY_HAND, one_way: bool = False, reset: bool = False) -> None:
        """Cut every path between hosts of different sides until `mend`; hosts of no side still reach everybody.

        What other causes cut stays cut. What the same cause cut before is cut no more, unless it is again; that is one
        step, in which nothing gets through.

        Args:
            sides: the sides.
            cause: why.
            one_way: nothing leaves the first side, and everything else passes.
            reset: connections break at once and dials are refused; else nothing gets through, silently.
        """
        side_of = {self.host(node_id): number for number, side in enumerate(sides) for node_id in side}
        cut = Cut({host.index: side for host, side in side_of.items()}, one_way, reset)
        self.network.set_cut(cause, cut)
        if reset:
            for host in side_of:
                for lane in list(host.links.values()):
                    if cut.stops(host, lane.dst) or cut.stops(lane.dst, host):
                        self._links.give_up(lane, "connection reset")

    def mend(self, cause: Cause = BY_HAND) -> None:
        """End what a cause cuts; what another one cuts stays cut."""
        self.network.set_cut(cause, None)

    def heal(self) -> None:
        """End every cut."""
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
        self._driver.take(self.host(node_id), Command(token, request))
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

    def reaches(self, sender: bytes, receiver: bytes) -> bool:
        """Return whether the receiver has a connection to the sender, and nothing cuts the way there."""
        peer = self.host(receiver)
        return sender in peer.links and not self.network.is_cut(self.host(sender), peer)

    def inject(self, sender: bytes, receiver: bytes, message: Message) -> None:
        """Deliver a message as if `sender` had sent it, now: what a hostile program with its key could do.

        Raises:
            SimulationError: the two are not connected, or nothing gets through between them.
        """
        peer = self.host(receiver)
        if not self.reaches(sender, receiver):
            raise SimulationError(f"{peer.name} is not connected to that sender, or cut off from it")
        self._driver.take(peer, Received(sender, self.host(sender).wire.decode(encode_message(message))))

    # --- running ------------------------------------------------------------------------------------------------------

    @property
    def now_us(self) -> int:
        """Present time of the world."""
        return self._queue.now_us

    @property
    def digest(self) -> bytes:
        """Rolling hash of every delivery so far: time, sender, receiver and bytes."""
        return self._driver.trace.copy().digest()

    @property
    def delivered(self) -> int:
        """Messages delivered so far."""
        return self._driver.delivered

    @property
    def not_sent(self) -> int:
        """Messages that a driver would not have sent: too long, or not for that tier."""
        return self._driver.not_sent

    def at(self, time_us: int, function: Callable[[], object]) -> None:
        """Call a function at a time that is not past."""
        self._queue.push(time_us, (CALL, function))

    def run(self, span_us: int, *, until: Callable[[], bool] | None = None) -> bool:
        """Run for `span_us` of virtual time or until the condition holds; return whether it does."""
        if self._running:
            raise SimulationError("a world cannot be run from inside itself")
        queue = self._queue
        end_us = queue.now_us + span_us
        deliver, handle = self._driver.deliver, self._driver.handle
        self._running = True
        collecting = gc.isenabled()
        gc.disable()  # what a world holds, it keeps: looking through it again and again takes most of the time
        try:
            with remembering(self._memory):
                if until is not None and until():
                    return True
                for item in queue.due(end_us):
                    self.events = events = self.events + 1
                    if not events % COLLECT_EVERY:
                        gc.collect()
                    kind = item[0]
                    if kind <= LATE:  # DELIVER or LATE
                        deliver(kind, item[1], item[2])
                    elif kind == CALL:
                        item[1]()
                    else:
                        handle(item)
                    if until is not None and until():
                        return True
                queue.advance(end_us)
                return until is not None and until()
        finally:
            self._running = False
            if collecting:
                gc.enable()
