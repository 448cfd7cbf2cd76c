"""Carrying out the ``[[fault]]`` entries of a scenario on the exact engine, and the timeline of what was done.

Faults may overlap: what holds at a moment is worked out anew from the list of faults that are active, so that the end
of one does not mend another. Every draw comes from streams of `Choices` named after the fault's place in the file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .draws import exponential
from .exact import CITIES, Deployment, Rules, Stream
from .scenario.keys import FAULTS
from .scenario.model import Fault, Scenario
from .scenario.naming import select

STOPS_BLOCKS = ("partition", "crash", "stop", "disk-full", "link", "clock")
"""Kinds after whose end the time to the next block is measured."""


@dataclass(frozen=True, slots=True)
class Episode:
    """One entry of the timeline, in us of the run; `end_us` is None for what lasts or is a moment."""

    kind: str
    at_us: int
    end_us: int | None
    nodes: int
    text: str


def _shown(fault: Fault, key: str) -> str:
    is_time = FAULTS[fault.kind][key].kind == "seconds"
    return f"{key} {fault.number(key) / 1_000_000:g}" if is_time else f"{key} {fault.options[key]}"


class FaultPlayer:
    """Schedules every fault of a scenario.

    Args:
        scenario: whose faults.
        deployment: the network, started.
        region_of: name -> region; empty in a LAN.
        names: tier -> names.
        zero_us: virtual time at which the run begins.
    """

    def __init__(
        self, scenario: Scenario, deployment: Deployment, region_of: dict[str, str], names: dict[int, list[str]],
        zero_us: int,
    ) -> None:
        self._world = deployment.world
        self._id_of = deployment.id_of
        self._host = deployment.host
        self._region_of = region_of
        self._all = [name for tier in sorted(names) for name in names[tier]]
        self._zero_us = zero_us
        self._end_us = zero_us + scenario.duration_us
        self._cuts: dict[int, tuple[list[str], str]] = {}
        self._links: dict[int, tuple[list[str], Rules]] = {}
        self.episodes: list[Episode] = []
        for number, fault in enumerate(scenario.faults, 1):
            draws = deployment.world.choices.stream(f"scenario/fault/{number}")
            who = select(fault.who, names, region_of, draws)
            self._schedule(number, fault, who, draws)

    def _schedule(self, number: int, fault: Fault, who: list[str], draws: Stream) -> None:
        text = ", ".join(fault.who)
        known = FAULTS[fault.kind]
        extra = ", ".join(_shown(fault, key) for key, value in fault.options.items() if value != known[key].default)
        moment = "down_s" in known and "up_s" not in known
        end_us = fault.end_us if not moment else fault.at_us + fault.number("down_s")
        self.episodes.append(Episode(fault.kind, fault.at_us, end_us, len(who), f"{text} ({extra})" if extra else text))
        begin, end = getattr(self, f"_{fault.kind.replace('-', '_')}")(number, fault, who, draws)
        self._at(fault.at_us, begin)
        if end is not None and fault.end_us is not None:
            self._at(fault.end_us, end)

    def _at(self, at_us: int, action: Callable[[], None]) -> None:
        self._world.at(self._zero_us + at_us, action)

    # --- machines -----------------------------------------------------------------------------------------------------

    def _off(self, names: Sequence[str], how: Callable[[bytes], Any]) -> None:
        for name in names:
            if self._host(name).core is not None:
                how(self._id_of(name))

    def _on(self, names: Sequence[str]) -> None:
        for name in names:
            if self._host(name).core is None:
                self._world.start(self._id_of(name))

    def _crash(self, _number: int, _fault: Fault, who: list[str], _draws: Stream) -> Any:
        return (lambda: self._off(who, self._world.crash)), (lambda: self._on(who))

    def _stop(self, _number: int, _fault: Fault, who: list[str], _draws: Stream) -> Any:
        return (lambda: self._off(who, self._world.stop)), (lambda: self._on(who))

    def _crash_point(self, _number: int, fault: Fault, who: list[str], _draws: Stream) -> Any:
        down_us, boundary, nth = fault.number("down_s"), fault.word("boundary"), fault.number("nth")

        def begin() -> None:
            for name in who:
                self._world.crash_at(self._id_of(name), boundary, nth=nth, restart_after_us=down_us or None)

        return begin, None

    def _churn(self, _number: int, fault: Fault, who: list[str], draws: Stream) -> Any:
        until_us = self._zero_us + fault.end_us if fault.end_us is not None else self._end_us

        def leave(name: str) -> None:
            if self._world.now_us < until_us:
                self._off([name], self._world.crash)
                factor = self._night_permille(fault, name)
                down_us = exponential(draws, fault.number("down_s") * factor // 1000)
                self._world.at(self._world.now_us + down_us, lambda: arrive(name))

        def arrive(name: str) -> None:
            self._on([name])
            up_us = exponential(draws, fault.number("up_s"))
            self._world.at(self._world.now_us + up_us, lambda: leave(name))

        def begin() -> None:
            for name in who:
                first_us = exponential(draws, fault.number("up_s"))
                self._world.at(self._world.now_us + first_us, lambda name=name: leave(name))  # type: ignore[misc]

        return begin, (lambda: self._on(who))

    def _night_permille(self, fault: Fault, name: str) -> int:
        """How many times longer (in 1/1000) a node stays off now: 1 at noon, `night_factor` at midnight, linear."""
        day_us = fault.number("day_s")
        if not day_us:
            return 1000
        longitude = CITIES[self._region_of[name]][1] if name in self._region_of else 0
        local_us = (self._world.now_us - self._zero_us + day_us * longitude // 36_000) % day_us  # 0: midnight
        dark_permille = abs(2000 * local_us // day_us - 1000)
        return 1000 + (fault.number("night_factor") - 1) * dark_permille

    # --- network ------------------------------------------------------------------------------------------------------

    def _partition(self, number: int, fault: Fault, who: list[str], _draws: Stream) -> Any:
        flap_us, direction = fault.number("flap_s"), fault.word("direction")
        over = False

        def set_cut(active: bool) -> None:
            if active:
                self._cuts[number] = (who, direction)
            else:
                self._cuts.pop(number, None)
            self._apply_cuts()

        def flap(active: bool) -> None:
            if not over:
                set_cut(active)
                if flap_us:
                    self._world.at(self._world.now_us + flap_us, lambda: flap(not active))

        def end() -> None:
            nonlocal over
            over = True
            set_cut(False)

        return (lambda: flap(True)), end

    def _apply_cuts(self) -> None:
        world = self._world
        world.heal()
        sides: dict[tuple[int, ...], list[bytes]] = {}
        both = [dict.fromkeys(who) for who, direction in self._cuts.values() if direction == "both"]
        if both:
            for name in self._all:  # who is on the same side of every cut is one group
                side = tuple(number for number, inside in enumerate(both) if name in inside)
                sides.setdefault(side, []).append(self._id_of(name))
            world.partition(*sides.values())
        for who, direction in self._cuts.values():
            if direction == "both":
                continue
            inside = dict.fromkeys(who)
            for one in map(self._id_of, who):
                for other in (self._id_of(name) for name in self._all if name not in inside):
                    if direction == "out":
                        world.cut_one_way(one, other)
                    else:
                        world.cut_one_way(other, one)

    def _link(self, number: int, fault: Fault, who: list[str], _draws: Stream) -> Any:
        rules = Rules(loss_ppm=fault.number("loss_ppm"), extra_us=fault.number("extra_ms") * 1000)

        def change(active: bool) -> None:
            if active:
                self._links[number] = (who, rules)
            else:
                self._links.pop(number, None)
            for name in who:
                worst = Rules()
                for names, one in self._links.values():
                    if name in names:
                        worst = Rules(
                            loss_ppm=max(worst.loss_ppm, one.loss_ppm), extra_us=max(worst.extra_us, one.extra_us)
                        )
                self._world.network.set_rules(worst, src=self._host(name))
                self._world.network.set_rules(worst, dst=self._host(name))

        return (lambda: change(True)), (lambda: change(False))

    # --- disks and clocks ---------------------------------------------------------------------------------------------

    def _disk_slow(self, _number: int, fault: Fault, who: list[str], _draws: Stream) -> Any:
        def set_factor(factor: int) -> None:
            for name in who:
                self._host(name).disk.slow(factor)

        return (lambda: set_factor(fault.number("factor"))), (lambda: set_factor(1))

    def _disk_full(self, _number: int, _fault: Fault, who: list[str], _draws: Stream) -> Any:
        def begin() -> None:
            for name in who:
                self._host(name).disk.fill()

        def end() -> None:
            for name in who:
                self._host(name).disk.free()
            self._on(who)

        return begin, end

    def _damage(self, fault: Fault, who: list[str], how: Callable[[Any], Any]) -> Any:
        def begin() -> None:
            self._off(who, self._world.crash)
            for name in who:
                how(self._host(name).disk)
            down_us = fault.number("down_s")
            if down_us:
                self._world.at(self._world.now_us + down_us, lambda: self._on(who))

        return begin, None

    def _amnesia(self, _number: int, fault: Fault, who: list[str], _draws: Stream) -> Any:
        return self._damage(fault, who, lambda disk: disk.lose_log())

    def _bit_flip(self, _number: int, fault: Fault, who: list[str], _draws: Stream) -> Any:
        return self._damage(fault, who, lambda disk: disk.flip_bit(fault.number("record")))

    def _lost_suffix(self, _number: int, fault: Fault, who: list[str], _draws: Stream) -> Any:
        return self._damage(fault, who, lambda disk: disk.lose_suffix(fault.number("records")))

    def _old_backup(self, _number: int, fault: Fault, who: list[str], _draws: Stream) -> Any:
        backups: dict[int, Any] = {}

        def save() -> None:
            for name in who:
                backups[id(self._host(name).disk)] = self._host(name).disk.snapshot()

        self._at(max(0, fault.at_us - fault.number("age_s")), save)
        return self._damage(fault, who, lambda disk: disk.restore(backups[id(disk)]))

    def _database_only(self, _number: int, fault: Fault, who: list[str], _draws: Stream) -> Any:
        backups: dict[int, Any] = {}

        def save() -> None:
            for name in who:
                backups[id(self._host(name).disk)] = self._host(name).disk.snapshot()

        self._at(max(0, fault.at_us - fault.number("age_s")), save)
        return self._damage(fault, who, lambda disk: disk.restore_tables(backups[id(disk)]))

    def _database_and_log(self, _number: int, fault: Fault, who: list[str], _draws: Stream) -> Any:
        return self._damage(fault, who, lambda disk: disk.lose_all())

    def _clock(self, _number: int, fault: Fault, who: list[str], _draws: Stream) -> Any:
        def step(direction: int) -> None:
            for name in who:
                self._world.step_clock(self._id_of(name), direction * fault.number("step_ms") * 1000)

        return (lambda: step(1)), (lambda: step(-1))
