"""One run: chaos, then a calm time for a random quorum, then judgement (simulation.md 3).

Theory of operation. The network is composed as its seed says and everything is switched on. In the safety phase faults
happen and the monitor watches; nothing needs to get anywhere. In the liveness phase all faults end, a random core - a
quorum of honest validators, at least one honest node of every other tier, all honest phones - is on and the rest is
frozen; now every payment must get its fate and everybody must reach the tip. A run ends at its first violation.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Mapping
from time import process_time
from typing import Any
from unittest.mock import patch

import msgspec

from supervm.protocol.chain.genesis import Parameters
from supervm.tier_l1_super.consensus import host as validator
from supervm.tier_l4_mobile.node import MobileNode
from supervm.tier_l4_mobile.wallet.payments import AWAITING, EXPIRED, FATES

from ..exact import Choice, Choices, Deployment, DiskProfile, Late, LateTwins, lan
from ..invariants import Monitor, Violation
from .cast import cast
from .chaos import Chaos
from .config import CARRIED_MS_MIN, EPOCH_MS, Config, draw_config
from .reached import ReachedWatch

START_S = 2
"""Seconds in which links come up before faults begin."""
CATCH_UP_S = 8
"""Seconds that somebody may need to reach the tip once more at the end."""
RENEW_S = 90
"""Seconds in which a fresh payment must be proved in a calm network."""
CALM_S_MIN = 6
"""Shortest calm time."""


class Outcome(msgspec.Struct, frozen=True):
    """What a run came to.

    Attributes:
        seed: of the run.
        violations: broken rules, first first; empty: none.
        digest: of the trace, as hexadecimal.
        reached: sometimes-assertions and how often.
        choices: everything that was decided.
        config: what the run was like.
        cpu_s, simulated_s, events: what it took.
        trace: where a core failed, if one did.
    """

    seed: int
    violations: tuple[Violation, ...]
    digest: str
    reached: dict[str, int]
    choices: tuple[Choice, ...]
    config: Config
    cpu_s: float
    simulated_s: float
    events: int
    trace: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing was broken."""
        return not self.violations


class Run:
    """One run, ready to be played.

    Args:
        seed: root of every draw.
        config: None: what the seed draws.
        replay: choices to play instead of drawing them.
        knobs: see `config.draw_config`.
    """

    def __init__(
        self,
        seed: int,
        *,
        config: Config | None = None,
        replay: Iterable[Choice] | None = None,
        knobs: Mapping[str, Any] | None = None,
    ) -> None:
        self.seed = seed
        self.config = config = config or draw_config(seed, knobs)
        self.choices = Choices(seed, replay=replay)
        cast_ = cast(config, self.choices)
        same_wallet: tuple[tuple[int, int], ...] = ()
        if "same-wallet" in config.classes and config.l4 > 1:
            value = self.choices.fault("same-wallet", "l4-1", 0, lambda stream: 1)
            same_wallet = ((0, 1),) if value else ()
        late = {name: Late(after_us) for name, after_us in cast_.late_twins.items()}
        self.deployment = Deployment(
            l1=config.l1 + config.candidates,
            members=config.l1,
            l2=config.l2,
            l3=config.l3,
            l4=config.l4,
            accounts=config.accounts,
            assets=config.assets,
            seed=seed,
            parameters=Parameters(
                2,
                test_network=True,
                view_timeout_ms=config.view_timeout_ms,
                view_timeout_ms_max=config.view_timeout_ms_max,
                block_interval_ms=config.block_interval_ms,
                idle_interval_ms=config.idle_interval_ms,
                validity_ms_min=config.validity_ms_min,
                epoch_ms=config.epoch_ms,
                window=config.window,
            ),
            weights=config.weights or None,
            regions="spread" if config.spread else None,
            geography=None if config.spread else lan(config.delay_us),
            choices=self.choices,
            actors=cast_.actors,
            twins=cast_.twins,
            late_twins=late,
            same_wallet=same_wallet,
            listen_us=config.listen_us,
            disk=DiskProfile(config.write_us, 0, config.write_jitter_us),
            keep_events=False,
        )
        self.world = self.deployment.world
        self.monitor = Monitor(self.deployment)
        if config.epoch_ms < EPOCH_MS:
            # closing, sealing and certifying take a few views, and the calm time may begin in the middle of a bad one
            slack_ms = 12 * config.view_timeout_ms_max + config.idle_interval_ms + 30_000
            self.monitor.liveness.epoch_ms_max = config.epoch_ms + slack_ms
        self.reached = ReachedWatch(self.deployment, self.monitor)
        self.chaos = Chaos(config, self.choices, self.deployment, self.monitor, faulty=self.deployment.tampered)
        self._began_us = self.world.now_us

    def play(self) -> Outcome:
        """Play to the end; return what it came to."""
        began_s = process_time()
        trace = ""
        try:
            with patch.object(validator, "COMPACT_EVERY", self.config.compact_every):  # so that short runs compact, too
                self._play()
        except Exception as error:  # whatever a core raises is a finding, not the end of the campaign
            trace = traceback.format_exc()
            self.monitor.book.now_us = self.world.now_us
            self.monitor.book.note("CRASH", f"{type(error).__name__}: {error}"[:500])
        return Outcome(
            self.seed,
            tuple(self.monitor.violations),
            self.world.digest.hex(),
            self.reached.finish(),
            tuple(self.choices.recorded),
            self.config,
            process_time() - began_s,
            (self.world.now_us - self._began_us) / 1e6,
            self.world.events,
            trace,
        )

    def _play(self) -> None:
        for host in self.chaos.hosts:
            self.world.start(host.node_id)
        if not self._run(START_S * 1_000):
            return
        self.chaos.begin()
        for _ in range(-(-self.config.chaos_ms // 1_000)):
            if not self._run(min(1_000, self.config.chaos_ms)):
                return
        if self.config.classes == ("late-twin",):
            self._late_twins()
        core = self.core()
        self.chaos.heal(core)
        self.monitor.calm(core)
        settled = False
        for second in range(self.config.calm_s):
            if not self._run(1_000):
                return
            settled = second >= CALM_S_MIN and self._settled() and self.monitor.liveness.caught_up()
            if settled:
                break
        self._run(1_500)
        for _ in range(CATCH_UP_S):
            # somebody may just have fallen behind again, at the end of an epoch for instance, and is on its way
            if not settled or self.monitor.liveness.caught_up() or not self._run(1_000):
                break
        if self.chaos.asked_twice:
            self.reached.note("payment-asked-twice")
        if self.chaos.noise is not None and self.chaos.noise.said:
            self.reached.note("noise-heard")
        if settled and not self.monitor.broken:
            self._demand_carried()
            self._renew()
        if not self.monitor.broken:
            self.monitor.finish()
            if not self.config.classes and self.config.epoch_ms == EPOCH_MS:
                self.reached.note("failure-free")
                self.monitor.liveness.failure_free(self._delay_us())

    def _demand_carried(self) -> None:
        """Where all payments are valid far into the calm time, demand that none of them has expired (3.9.5)."""
        for name in self.deployment.names(4) if self.config.validity_ms >= CARRIED_MS_MIN else ():
            core = self.deployment.host(name).core
            if not isinstance(core, MobileNode) or name in self.monitor.facts.faulty:
                continue
            lost = [item.number for item in core.queue.every() if item.status == EXPIRED and item.released]
            if lost:
                self.monitor.book.note("3.9.5", f"{name}: payments {lost} have expired, nobody carried them")

    def _renew(self) -> None:
        """Demand that slots which were lost or have expired can be filled again (L10)."""
        asked = self.chaos.owners.renew()
        if asked:
            self.reached.note("slot-filled-again")
        for _ in range(RENEW_S):
            if not asked or self.chaos.owners.renewed() or not self._run(1_000):
                break
        for name, reason in self.chaos.owners.unfilled():
            self.monitor.book.note("L10", f"{name}: a fresh payment is {reason} after {RENEW_S} s")

    def _late_twins(self) -> None:
        """Without any other fault a second instance must find the first one while it listens (2.2)."""
        for name in self.deployment.late_twins:
            core = self.deployment.host(name).core
            if isinstance(core, LateTwins) and core.late_votes:
                self.monitor.book.note("2.2", f"{name}: a second instance of its key votes {core.late_votes} times")

    def _delay_us(self) -> int:
        network, hosts = self.world.network, self.chaos.hosts
        longest = max(network.delay_us(one, other) for one in hosts for other in hosts if one is not other)
        return longest + self.config.write_us + self.config.write_jitter_us

    def _run(self, span_ms: int) -> bool:
        """Run the world; return False if something is broken."""
        if self.monitor.broken:
            return False
        if self.world.run(span_ms * 1_000, until=self._is_broken):
            return False
        self.monitor.sample()
        return not self.monitor.broken

    def _is_broken(self) -> bool:
        return bool(self.monitor.book.violations)

    # --- the calm time ------------------------------------------------------------------------------------------------

    def core(self) -> list[str]:
        """Choose who is on in the calm time."""
        if not self.config.classes:
            return sorted(host.name for host in self.chaos.hosts)
        stream = self.choices.stream("core")
        deployment, faulty = self.deployment, self.monitor.facts.faulty
        good = [
            name
            for name in deployment.names(1)
            if name not in faulty
            and not deployment.host(name).disk.log_lost
            and not deployment.host(name).disk.tables_old
        ]
        lost = [name for name in deployment.names(1) if name not in good]
        stream.shuffle(good)
        chosen: list[str] = []
        for name in good:
            if not self.chaos.sets.quorate(chosen) or stream.chance_ppm(400_000):
                chosen.append(name)
        if len(chosen) < len(good):
            self.reached.note("quorum-core-bare")
        if self.config.stay and lost:
            chosen += lost
            self.reached.note("faulty-kept-on")
        for tier in (2, 3, 4):
            names = [name for name in deployment.names(tier) if name not in faulty]
            stream.shuffle(names)
            keep = len(names) if tier == 4 else stream.between(1, len(names))
            chosen += names[:keep]
            if tier == 2 and self.config.stay_miners:
                chosen += [name for name in deployment.names(tier) if name in faulty]
        return sorted(chosen)

    def _settled(self) -> bool:
        executed = self.monitor.reference.executed_at
        for name in self.deployment.names(4):
            core = self.deployment.host(name).core
            if not isinstance(core, MobileNode):
                continue
            for payment in core.queue.payments.values():
                if payment.status in FATES:
                    continue
                if payment.place == AWAITING:
                    self.reached.counts.setdefault("receipt-awaited", 1)
                    if payment.id not in executed:
                        continue
                return False
        return True


def run_seed(
    seed: int,
    *,
    config: Config | None = None,
    replay: Iterable[Choice] | None = None,
    knobs: Mapping[str, Any] | None = None,
) -> Outcome:
    """Play one seed; nothing outside the arguments matters."""
    return Run(seed, config=config, replay=replay, knobs=knobs).play()
