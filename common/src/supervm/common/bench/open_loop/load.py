"""The load: connections to an edge that send payments when these are due, whatever has come of those before.

Theory of operation. One task walks along the schedule and sends what is due; nothing that the network answers makes it
wait. It looks at most every `TICK_S`, so a payment leaves up to that much after it was due, and that counts as latency,
as does everything else that keeps it: latency is the time of the proof minus the time on the schedule. What the edge
refuses for want of room, or says nothing of, is sent again after a while, as a phone does, and its latency goes on.

A step that has to be in time ends early when it is lost: when so many payments are open that the last of them cannot
be in time, or more than a hundredth of all have come late. Behind every step the network is given time to finish what
it has, so that steps do not disturb each other.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf

import trio

from supervm.protocol.base.keys import SigningKey
from supervm.protocol.chain.genesis import Chain
from supervm.protocol.wire.payments import LEVEL_EXPIRED, LEVEL_REFUSED

from ...contract.core import Reply
from ...driver import Driver, Identity
from ...errors import CommonError
from ...link.connection import LocalNode
from ...parts.shell import wire_of
from ...storage.memory import MemoryStore
from .accounts import Owners, Payment
from .client import LoadClient, Send
from .schedule import Schedule, percentile

TICK_S = 0.005
"""Shortest time between two looks at the schedule."""
REPEAT_S = 1.0
"""Time between two looks at what has to be sent again."""
REFUSED_AGAIN_S = 1.0
SILENT_AGAIN_S = 3.0
"""What was refused, and what nothing was said of, is sent again after this."""
OPEN_MIN, OPEN_FACTOR = 64, 2
"""A step is lost once as many payments are open as its rate sends in twice the time that they have."""
READY_S = 120.0
DRAIN_S = 90.0


@dataclass(slots=True)
class StepResult:
    """What one step has shown.

    Attributes:
        schedule: what was asked.
        sent: payments that left; less than the schedule's if the step was given up.
        latencies_s: of payments that are through, ascending, from when each was due.
        unproved: payments that were not through when the time to finish was over.
        elapsed_s: from the first payment's time until the last one was through.
    """

    schedule: Schedule
    sent: int = 0
    latencies_s: list[float] = field(default_factory=list)
    unproved: int = 0
    elapsed_s: float = 0.0

    def latency_s(self, per_cent: float) -> float:
        """Return a percentile of the latencies.

        Raises:
            CommonError: not one payment is through.
        """
        if not self.latencies_s:
            raise CommonError(f"of {self.sent} payments at {self.schedule.rate:g}/s not one was proved")
        return percentile(self.latencies_s, per_cent)

    def holds(self, p99_s: float) -> bool:
        """Return whether every payment left and is through, all but a hundredth of them within that time."""
        whole = self.sent == self.schedule.count and not self.unproved and bool(self.latencies_s)
        return whole and self.latency_s(99) < p99_s


class Load:
    """All connections of the load to one edge.

    Args:
        chain: the network.
        edge: node id and address of the edge.
        owners: the accounts; those of client k use connection k.
        clients: how many connections.
    """

    def __init__(self, chain: Chain, edge: tuple[bytes, str], owners: Owners, clients: int) -> None:
        self._chain, self._owners = chain, owners
        self._through: list[Payment] = []
        self._open = self._late = 0
        self._late_s = inf
        self._changed = trio.Event()
        self._cores = []
        self._drivers = []
        known = {member.node_id: 1 for member in chain.validators.members}
        known |= {miner.node_id: 2 for miner in chain.genesis.miners}
        for number in range(clients):
            key = SigningKey(os.urandom(32))
            core = LoadClient(
                chain,
                key,
                edge=edge,
                owners=owners.of_client(number),
                clock_s=time.perf_counter,
                on_proved=self._proved,
            )
            core.payer.ready = self._notify
            self._cores.append(core)
            self._drivers.append(
                Driver(
                    core,
                    store=MemoryStore(()),
                    identity=Identity(key, os.urandom(32), chain.chain_id),
                    local=LocalNode(4, (), "supervm bench", known, wire_of(core)),
                    threaded_commits=False,
                )
            )

    async def start(self, nursery: trio.Nursery) -> None:
        """Connect, and wait until every account is proved.

        Raises:
            CommonError: that takes too long.
        """
        for driver in self._drivers:
            await nursery.start(driver.run)
        with trio.move_on_after(READY_S):
            while any(core.payer.missing or core.payer.terms is None for core in self._cores):
                await self._change()
            return
        missing = sum(len(core.payer.missing) for core in self._cores)
        raise CommonError(f"after {READY_S:g} s {missing} accounts of the load are not proved by the edge")

    async def stop(self) -> None:
        """End all connections."""
        for driver in self._drivers:
            await driver.stop()

    @property
    def refusals(self) -> dict[str, int]:
        """Refusals since the start, by their reason."""
        found: dict[str, int] = {}
        for core in self._cores:
            for reason, count in core.payer.refusals.items():
                found[reason] = found.get(reason, 0) + count
        return found

    async def step(
        self, schedule: Schedule, *, p99_s: float | None = None, started: Callable[[], None] | None = None
    ) -> StepResult:
        """Send the payments of a schedule, and wait until they are through.

        Args:
            schedule: when.
            p99_s: end the step once not all but a hundredth of the payments can be through within that time.
            started: called when the payments are signed and the first is due.
        """
        payments = self._sign(schedule.count)
        self._through, self._late = [], 0
        self._late_s = inf if p99_s is None else p99_s
        open_max = inf if p99_s is None else max(OPEN_MIN, schedule.rate * p99_s * OPEN_FACTOR)
        late_max = schedule.count / 100
        if started is not None:
            started()
        begun_s = time.perf_counter()
        result = StepResult(schedule)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._repeat)
            while result.sent < len(payments) and self._open <= open_max and self._late <= late_max:
                due = schedule.due_by(time.perf_counter() - begun_s)
                for place in range(result.sent, due):
                    payments[place].due_s = begun_s + schedule.due_s(place)
                self._send(payments[result.sent : due])
                result.sent = due
                wait_s = begun_s + schedule.due_s(due) - time.perf_counter()
                await trio.sleep(max(TICK_S, wait_s))
            with trio.move_on_after(DRAIN_S):
                while self._open:
                    await self._change()
            nursery.cancel_scope.cancel()
        result.elapsed_s = time.perf_counter() - begun_s
        self._owners.unsend(payments[result.sent :])
        result.unproved = self._open
        result.latencies_s = sorted(payment.proved_s - payment.due_s for payment in self._through)
        return result

    def _sign(self, count: int) -> list[Payment]:
        terms = self._cores[0].payer.terms
        via = b"" if terms is None else terms.payout
        return self._owners.sign(count, chain_id=self._chain.chain_id, via=via, now_ms=time.time_ns() // 1_000_000)

    def _send(self, payments: Sequence[Payment]) -> None:
        by_client: dict[int, list[Payment]] = {}
        for payment in payments:
            payment.owner.open.append(payment)
            by_client.setdefault(payment.owner.client, []).append(payment)
        self._open += len(payments)
        self._give(by_client)

    def _give(self, by_client: dict[int, list[Payment]]) -> None:
        for number, part in by_client.items():
            self._drivers[number].command(Send(part), _ignore)

    async def _repeat(self) -> None:
        """Send again what was refused or is lost, in the order of each account."""
        while True:
            await trio.sleep(REPEAT_S)
            now_s = time.perf_counter()
            by_client: dict[int, list[Payment]] = {}
            for owner in self._owners.all:
                for payment in owner.open:
                    refused = payment.level in (LEVEL_REFUSED, LEVEL_EXPIRED)
                    silent = payment.level < 0 and now_s - payment.sent_s > SILENT_AGAIN_S
                    if silent or (refused and now_s - payment.sent_s > REFUSED_AGAIN_S):
                        by_client.setdefault(owner.client, []).append(payment)
            self._give(by_client)

    def _proved(self, payments: list[Payment]) -> None:
        self._through += payments
        self._late += sum(payment.proved_s - payment.due_s > self._late_s for payment in payments)
        self._open -= len(payments)
        if not self._open:
            self._notify()

    def _notify(self) -> None:
        self._changed.set()

    async def _change(self) -> None:
        self._changed = trio.Event()
        await self._changed.wait()


def _ignore(_reply: Reply) -> None:
    """The load's own core always answers."""
