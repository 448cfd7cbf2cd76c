"""The safety phase: faults and payments at random times, every one of them a choice (simulation.md 3).

Theory of operation. At every tick each class of faults that is on asks `Choices.fault` about each subject that it could
hit. What comes back is an integer that says everything about the fault - how long, which boundary, which peer - so that
a minimiser can delete it or make it smaller. Payments are asked for in the same way: they are not faults, but a shorter
failure has fewer of them.

Time that a fault needs to end is planned when it begins; `heal` ends all of them at once. Each fault is a cause of its
own, so faults that overlap add up and none ends another (`exact.power`, `exact.cuts`, `exact.disk`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from supervm.protocol.state.leaves import NATIVE_NAME
from supervm.tier_l1_super.messages import Approve
from supervm.tier_l1_super.node import ValidatorNode
from supervm.tier_l2_miner.node import MinerNode
from supervm.tier_l4_mobile.messages import PayMany, PaymentRow

from ..exact import BOUNDARIES, GRANT, Choices, Deployment, Host, HostStopped, Rules, Stream
from ..exact.disk import Snapshot
from ..invariants import Monitor
from .classes import CLASSES, SPANS, STEP_MS
from .config import Config
from .noise import Noise
from .owners import Owners
from .sets import Sets

KEEP_PAYMENTS = 60
"""Payments of one run."""


class Chaos:
    """Faults and payments of one run.

    Args:
        config: which, and how often.
        choices: decides.
        deployment: the network, started.
        monitor: is told of disks that lie.
        faulty: hosts that are faulty from the beginning.
    """

    def __init__(
        self, config: Config, choices: Choices, deployment: Deployment, monitor: Monitor, *, faulty: Iterable[str]
    ) -> None:
        self._config, self._choices = config, choices
        self._deployment, self._monitor = deployment, monitor
        self._world = deployment.world
        self.sets = Sets(deployment, faulty)
        """Which validators are asked for, and who of them is lost."""
        self._end_us = self._world.now_us + config.chaos_ms * 1_000
        self._over = False
        self._clocks_us: dict[str, int] = {}
        self._asked: list[tuple[Host, int, tuple[str, ...]]] = []
        self._rows = 0
        self._batches: dict[str, int] = {}
        self._backups: dict[str, object] = {}
        self._tables: dict[str, Snapshot] = {}
        self._blank = {host.name: host.disk.snapshot() for host in self._world.hosts.values() if host.tier == 1}
        self.hosts = list(self._world.hosts.values())
        self._causes = 0
        self._rotten: dict[str, None] = {}  # hosts that stay off once they stop: their database is what they computed
        self._world.observe(self._stopped)
        self.owners = Owners(config, choices, deployment, monitor)
        """What phones are asked beside payments."""
        self.asked_twice = 0
        """Times that an owner asked again."""
        on = config.classes
        self._ask_all: list[Callable[[], None]] = [
            getattr(self, f"_{name.replace('-', '_')}")
            for name, class_ in CLASSES.items()
            if class_.about and name in on
        ]
        self.noise = Noise(deployment, monitor) if "noise" in on else None
        if "loss" in on:
            self._world.network.set_rules(Rules(loss_ppm=config.loss_ppm))
        if "busy" in on:
            self._busy()

    # --- time ---------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin: the first tick comes at once."""
        self._tick()

    def _tick(self) -> None:
        if self._over or self._world.now_us >= self._end_us:
            return
        for ask in self._ask_all:
            ask()
        self._pay()
        self.owners.ask()
        self._world.at(self._world.now_us + self._config.tick_ms * 1_000, self._tick)

    def _later(self, span_ms: int, action: Callable[[], object]) -> None:
        def act() -> None:
            if not self._over:
                action()

        self._world.at(self._world.now_us + span_ms * 1_000, act)

    def _fault(self, kind: str, subject: str) -> int:
        """Return a value of a class that is 0 unless the fault happens."""
        class_, nodes = CLASSES[kind], len(self.hosts)
        draw, ppm = class_.draw, self._config.rate_ppm // class_.rare
        assert draw is not None, "a class that ticks ask for has values"
        return self._choices.fault(
            kind, subject, self._world.now_us, lambda stream: draw(stream, nodes) if stream.chance_ppm(ppm) else 0
        )

    def _cause(self) -> tuple[str, int]:
        """Return a cause that no other fault has."""
        self._causes += 1
        return "chaos", self._causes

    # --- machines -----------------------------------------------------------------------------------------------------

    def _off_on(self, host: Host, span_ms: int, *, power: bool = False) -> None:
        cause = self._cause()
        self._world.hold_off(host.node_id, cause, power=power)
        self._later(span_ms, partial(self._world.let_on, host.node_id, cause))

    def _crash(self) -> None:
        for host in self.hosts:
            value = self._fault("crash", host.name)
            if value and host.core is not None:
                self._off_on(host, value * STEP_MS, power=value % 4 == 0)

    def _trap(self) -> None:
        for host in self.hosts:
            value = self._fault("trap", host.name)
            if value and host.core is not None:
                nth, boundary = divmod(value - 1, len(BOUNDARIES))
                self._world.crash_at(
                    host.node_id, BOUNDARIES[boundary], nth + 1, restart_after_us=(STEP_MS + 100 * nth) * 1_000
                )

    def _power(self) -> None:
        value = self._fault("power", "validators")
        if value:
            for number, host in enumerate(self.hosts):
                if host.tier == 1:
                    self._off_on(host, (value + number % 3) * STEP_MS)

    # --- paths --------------------------------------------------------------------------------------------------------

    def _other(self, host: Host, value: int) -> tuple[Host, int]:
        """Return whom a value is about beside `host`, and for how long (ms)."""
        span, other = divmod(value - 1, len(self.hosts))
        peer = self.hosts[other]
        if peer is host:
            peer = self.hosts[(other + 1) % len(self.hosts)]
        return peer, (span + 1) * STEP_MS

    def _divide(self, *sides: list[bytes], span_ms: int, one_way: bool = False, reset: bool = False) -> None:
        cause = self._cause()
        self._world.cut(*sides, cause=cause, one_way=one_way, reset=reset)
        self._later(span_ms, partial(self._world.mend, cause))

    def _cut(self) -> None:
        for host in self.hosts:
            value = self._fault("cut", host.name)
            if value:
                peer, span_ms = self._other(host, value)
                self._divide([host.node_id], [peer.node_id], span_ms=span_ms, reset=value % 2 == 0)

    def _one_way(self) -> None:
        for host in self.hosts:
            value = self._fault("one-way", host.name)
            if value:
                peer, span_ms = self._other(host, value)
                self._divide([host.node_id], [peer.node_id], span_ms=span_ms, one_way=True)

    def _partition(self) -> None:
        value = self._fault("partition", "all")
        if value:
            sides: list[list[bytes]] = [[], []]
            for place, host in enumerate(self.hosts):
                sides[value >> place & 1].append(host.node_id)
            span = self._choices.fault(
                "partition-span", "all", self._world.now_us, lambda stream: stream.between(1, stream.pick(SPANS))
            )
            self._divide(*sides, span_ms=max(1, span) * STEP_MS)

    def _slow(self) -> None:
        for host in self.hosts:
            value = self._fault("slow", host.name)
            if value:
                peer, span_ms = self._other(host, value)
                self._world.set_delay(host.node_id, peer.node_id, span_ms * 300)

    def _noise(self) -> None:
        for host in self.hosts:
            value = self._fault("noise", host.name)
            if value and self.noise is not None:
                self.noise.outburst(host, value)

    # --- clocks and disks ---------------------------------------------------------------------------------------------

    def _clock(self) -> None:
        for host in self.hosts:
            value = self._fault("clock", host.name)
            if value:
                delta_us = (value // 2) * 1_000 * (1 if value % 2 else -1)
                self._clocks_us[host.name] = self._clocks_us.get(host.name, 0) + delta_us
                self._world.step_clock(host.node_id, delta_us)

    def _disk_slow(self) -> None:
        for host in self.hosts:
            value = self._fault("disk-slow", host.name)
            if value:
                cause = self._cause()
                host.disk.slow(1 + value, cause)
                self._later(40 * STEP_MS, partial(host.disk.slow, 1, cause))

    def _disk_full(self) -> None:
        for host in self.hosts:
            value = self._fault("disk-full", host.name)
            if value:
                cause = self._cause()
                host.disk.fill(cause)
                self._later(value * STEP_MS, partial(self._world.free_disk, host.node_id, cause))

    def _may_lose(self, host: Host) -> bool:
        """Return whether a validator's vote may be lost; if so it counts as lost from now on."""
        if host.tier != 1 or host.name in self._monitor.facts.faulty or host.disk.log_lost:
            return False
        return self.sets.lose(host.name)

    def _set_change(self) -> None:
        """The operators agree on other validators, or take it back; whoever is on hears of it."""
        value = self._fault("set-change", "operators")
        if value:
            wish = b"" if value % 8 == 0 else self.sets.draw(Stream(value))
            for host in self.hosts:
                if host.tier == 1 and host.core is not None and host.name not in self._monitor.facts.faulty:
                    self._world.command(host.node_id, Approve(validators=wish))

    def _amnesia(self) -> None:
        for host in self.hosts:
            if host.tier != 1:
                continue
            value = self._fault("amnesia", host.name)
            if value and self._may_lose(host):
                self._off_on(host, value * STEP_MS)
                if value % 3 == 0:
                    host.disk.restore(self._blank[host.name])  # the database is gone as well
                host.disk.lose_log()

    def _stopped(self, event: object) -> None:
        if type(event) is HostStopped and event.host.name in self._rotten:
            self._world.at(self._world.now_us, partial(self._world.hold_off, event.host.node_id, "rot"))

    def _rot(self) -> None:
        """One account in the memory of a validator or a miner has a grain more, or the medium lost that it had one."""
        for host in self.hosts:
            if host.tier > 2:
                continue
            value = self._fault("rot", host.name)
            core = host.core
            if not value or host.name in self._monitor.facts.faulty or not isinstance(core, ValidatorNode | MinerNode):
                continue
            if host.tier == 1 and not self._may_lose(host):
                continue
            others = [name for name in self._deployment.names(2) if name not in self._monitor.facts.faulty]
            if host.tier == 2 and len(others) < 2:
                continue
            self._monitor.mark_faulty(host.name, "its memory lied")
            self._rotten[host.name] = None
            accounts = (core.ledger if isinstance(core, ValidatorNode) else core.replica.ledger).state.accounts
            name = sorted(accounts)[value % len(accounts)]
            accounts[name] = accounts[name]._replace(balance=accounts[name].balance + 1)

    def _damage(self) -> None:
        """A disk that lies: the newest records are gone, or an old backup is put in its place, and nothing shows it."""
        for host in self.hosts:
            if host.tier != 1:
                continue
            value = self._fault("damage", host.name)
            if not value:
                continue
            if host.name not in self._backups:
                self._backups[host.name] = host.disk.snapshot()
            elif self._may_lose(host):
                self._monitor.mark_faulty(host.name, "its disk lied")
                self._off_on(host, value * STEP_MS)
                if value % 2:
                    host.disk.lose_suffix(value)
                else:
                    host.disk.restore(self._backups[host.name])  # type: ignore[arg-type]

    def _database_only(self) -> None:
        """The database-restorer: an old database comes back beside today's log, again and again; it stays honest."""
        for host in self.hosts:
            if host.tier != 1:
                continue
            value = self._fault("database-only", host.name)
            if not value:
                continue
            if host.name not in self._tables or value % 6 == 0:
                self._tables[host.name] = host.disk.snapshot()
            elif self._may_lose(host):
                self._off_on(host, value * STEP_MS)
                host.disk.restore_tables(self._tables[host.name])

    def _busy(self) -> None:
        """Every disk is slow from the beginning."""
        for host in self.hosts:
            host.disk.slow(3)

    # --- payments -----------------------------------------------------------------------------------------------------

    def _pay(self) -> None:
        config = self._config
        for phone in range(config.l4):
            host = self._deployment.host(f"l4-{phone}")
            value = self._choices.fault(
                "pay",
                host.name,
                self._world.now_us,
                lambda stream: stream.between(1, 5) if stream.chance_ppm(config.pay_ppm) else 0,
            )
            if value and host.core is not None and host.name not in self._monitor.facts.faulty:
                self._rows_of(host, phone, value)

    def _rows_of(self, host: Host, phone: int, count: int) -> None:
        number = self._batches[host.name] = self._batches.get(host.name, -1) + 1
        stream = self._choices.stream(f"rows/{host.name}/{self._world.now_us}")
        rows = []
        for row in range(count):
            if self._rows >= KEEP_PAYMENTS:
                break
            self._rows += 1
            asset = fee_asset = NATIVE_NAME
            if self._config.assets:
                asset, fee_asset = (stream.pick(self._deployment.asset_names) for _ in range(2))
            rows.append(
                PaymentRow(
                    to=self._deployment.address(stream.below(self._config.l4), stream.below(self._config.accounts)),
                    amount=stream.pick((GRANT // 3, GRANT)) if stream.chance_ppm(60_000) else stream.between(1, 1_000),
                    fee=stream.between(1, 60),
                    source=self._deployment.address(phone, stream.below(self._config.accounts)),
                    key=f"f{number}.{row}",
                    validity_ms=self._config.validity_ms or stream.pick((2_500, 5_000, 12_000, 25_000, 40_000)),
                    asset=asset,
                    fee_asset=fee_asset,
                )
            )
        if not rows:
            return
        self._ask(host, rows)
        if stream.chance_ppm(200_000):  # the owner did not see the answer, and asks again under the same names
            self.asked_twice += 1
            self._later(stream.between(1, 600), partial(self._ask, host, rows))

    def _ask(self, host: Host, rows: Sequence[PaymentRow]) -> None:
        if host.core is not None:
            token = self._world.command(host.node_id, PayMany(rows=tuple(rows)))
            self._asked.append((host, token, tuple(row.key for row in rows)))

    def acknowledge(self) -> None:
        """Note which payments their phones have acknowledged, for the monitor."""
        for host, token, keys in self._asked:
            reply = host.replies.get(token)
            if reply is not None and reply.error is None:
                for key in keys:
                    self._monitor.wallets.acknowledged[host.name, key] = None

    # --- the end ------------------------------------------------------------------------------------------------------

    def heal(self, core: Sequence[str]) -> None:
        """End every fault; switch the hosts of `core` on and all others off."""
        self._over = True
        world = self._world
        world.heal()
        world.network.set_rules(Rules())
        wanted = dict.fromkeys(core)
        for host in self.hosts:
            host.disk.mend()
            host.traps.clear()
            for other in self.hosts:
                if other is not host:
                    world.network.set_delay(host, other, None)
            delta_us = self._clocks_us.pop(host.name, 0)
            if delta_us:
                world.step_clock(host.node_id, -delta_us)
            if host.name not in wanted:
                world.hold_off(host.node_id, "calm")
            elif host.core is None and host.name not in self._rotten:
                world.start(host.node_id)
        self.acknowledge()
