"""Carrying out the ``[[fault]]`` entries of a scenario on the exact engine, and the timeline of what was done.

Faults may overlap, on one node and across kinds: each is a cause of its own (`exact.cuts`, `exact.power`,
`exact.disk`), so that the end of one never mends another, and of two that slow a disk or a link the stronger holds.
Every draw comes from streams of `Choices` named after the fault's place in the file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..draws import exponential
from ..exact import CITIES, Deployment, Rules, Stream
from ..scenario.faults import FAULTS
from ..scenario.model import Fault, Scenario
from ..scenario.naming import select


@dataclass(frozen=True, slots=True)
class Episode:
    """One entry of the timeline, in us of the run; `end_us` is None for what lasts or is a moment."""

    kind: str
    at_us: int
    end_us: int | None
    nodes: int
    text: str


def _shown(fault: Fault, key: str) -> str:
    is_time = FAULTS[fault.kind].own[key].kind == "seconds"
    return f"{key} {fault.number(key) / 1_000_000:g}" if is_time else f"{key} {fault.options[key]}"


def _cause(number: int) -> tuple[str, int]:
    return "fault", number


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
        self,
        scenario: Scenario,
        deployment: Deployment,
        region_of: dict[str, str],
        names: dict[int, list[str]],
        zero_us: int,
    ) -> None:
        self._world = deployment.world
        self._id_of = deployment.id_of
        self._host = deployment.host
        self._region_of = region_of
        self._all = [name for tier in sorted(names) for name in names[tier]]
        self._zero_us = zero_us
        self._end_us = zero_us + scenario.duration_us
        self.episodes: list[Episode] = []
        self._ends: list[tuple[int, Callable[[], None]]] = []
        for number, fault in enumerate(scenario.faults, 1):
            draws = deployment.world.choices.stream(f"scenario/fault/{number}")
            who = select(fault.who, names, region_of, draws)
            self._schedule(number, fault, who, draws)
        for end_us, end in self._ends:  # after all beginnings: what begins when another ends takes over without a gap
            self._at(end_us, end)

    def _schedule(self, number: int, fault: Fault, who: list[str], draws: Stream) -> None:
        text = ", ".join(fault.who)
        kind = FAULTS[fault.kind]
        extra = ", ".join(_shown(fault, key) for key, value in fault.options.items() if value != kind.own[key].default)
        end_us = fault.end_us if kind.lasts else fault.at_us + fault.number("down_s")
        self.episodes.append(Episode(fault.kind, fault.at_us, end_us, len(who), f"{text} ({extra})" if extra else text))
        begin, end = getattr(self, f"_{fault.kind.replace('-', '_')}")(number, fault, who, draws)
        self._at(fault.at_us, begin)
        if end is not None and fault.end_us is not None:
            self._ends.append((fault.end_us, end))

    def _at(self, at_us: int, action: Callable[[], None]) -> None:
        self._world.at(self._zero_us + at_us, action)

    # --- machines -----------------------------------------------------------------------------------------------------

    def _off(self, number: int, names: Sequence[str], *, orderly: bool = False) -> None:
        for name in names:
            self._world.hold_off(self._id_of(name), _cause(number), orderly=orderly)

    def _on(self, number: int, names: Sequence[str]) -> None:
        for name in names:
            self._world.let_on(self._id_of(name), _cause(number))

    def _crash(self, number: int, _fault: Fault, who: list[str], _draws: Stream) -> Any:
        return (lambda: self._off(number, who)), (lambda: self._on(number, who))

    def _stop(self, number: int, _fault: Fault, who: list[str], _draws: Stream) -> Any:
        return (lambda: self._off(number, who, orderly=True)), (lambda: self._on(number, who))

    def _crash_point(self, _number: int, fault: Fault, who: list[str], _draws: Stream) -> Any:
        down_us, boundary, nth = fault.number("down_s"), fault.word("boundary"), fault.number("nth")

        def begin() -> None:
            for name in who:
                self._world.crash_at(self._id_of(name), boundary, nth=nth, restart_after_us=down_us or None)

        return begin, None

    def _churn(self, number: int, fault: Fault, who: list[str], draws: Stream) -> Any:
        until_us = self._zero_us + fault.end_us if fault.end_us is not None else self._end_us

        def leave(name: str) -> None:
            if self._world.now_us < until_us:
                self._off(number, [name])
                factor = self._night_permille(fault, name)
                down_us = exponential(draws, fault.number("down_s") * factor // 1000)
                self._world.at(self._world.now_us + down_us, lambda: arrive(name))

        def arrive(name: str) -> None:
            self._on(number, [name])
            up_us = exponential(draws, fault.number("up_s"))
            self._world.at(self._world.now_us + up_us, lambda: leave(name))

        def begin() -> None:
            for name in who:
                first_us = exponential(draws, fault.number("up_s"))
                self._world.at(self._world.now_us + first_us, lambda name=name: leave(name))  # type: ignore[misc]

        return begin, (lambda: self._on(number, who))

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
        flap_us, direction, world = fault.number("flap_s"), fault.word("direction"), self._world
        inside = dict.fromkeys(who)
        sides = [[self._id_of(name) for name in who], [self._id_of(name) for name in self._all if name not in inside]]
        if direction == "in":
            sides.reverse()
        over = False

        def flap(active: bool) -> None:
            if over:
                return
            if active:
                world.cut(*sides, cause=_cause(number), one_way=direction != "both")
            else:
                world.mend(_cause(number))
            if flap_us:
                world.at(world.now_us + flap_us, lambda: flap(not active))

        def end() -> None:
            nonlocal over
            over = True
            world.mend(_cause(number))

        return (lambda: flap(True)), end

    def _link(self, number: int, fault: Fault, who: list[str], _draws: Stream) -> Any:
        rules = Rules(loss_ppm=fault.number("loss_ppm"), extra_us=fault.number("extra_ms") * 1000)
        hosts = [self._host(name) for name in who]
        impair = self._world.network.impair
        return (lambda: impair(_cause(number), hosts, rules)), (lambda: impair(_cause(number), hosts, None))

    # --- disks and clocks ---------------------------------------------------------------------------------------------

    def _disk_slow(self, number: int, fault: Fault, who: list[str], _draws: Stream) -> Any:
        def set_factor(factor: int) -> None:
            for name in who:
                self._host(name).disk.slow(factor, _cause(number))

        return (lambda: set_factor(fault.number("factor"))), (lambda: set_factor(1))

    def _disk_full(self, number: int, _fault: Fault, who: list[str], _draws: Stream) -> Any:
        def begin() -> None:
            for name in who:
                self._host(name).disk.fill(_cause(number))

        def end() -> None:
            for name in who:
                self._world.free_disk(self._id_of(name), _cause(number))

        return begin, end

    def _damage(self, number: int, fault: Fault, who: list[str], how: Callable[[Any], Any]) -> Any:
        def begin() -> None:
            self._off(number, who)
            for name in who:
                how(self._host(name).disk)
            down_us = fault.number("down_s")
            if down_us:
                self._world.at(self._world.now_us + down_us, lambda: self._on(number, who))

        return begin, None

    def _amnesia(self, number: int, fault: Fault, who: list[str], _draws: Stream) -> Any:
        return self._damage(number, fault, who, lambda disk: disk.lose_log())

    def _bit_flip(self, number: int, fault: Fault, who: list[str], _draws: Stream) -> Any:
        return self._damage(number, fault, who, lambda disk: disk.flip_bit(fault.number("record")))

    def _lost_suffix(self, number: int, fault: Fault, who: list[str], _draws: Stream) -> Any:
        return self._damage(number, fault, who, lambda disk: disk.lose_suffix(fault.number("records")))

    def _old_backup(self, number: int, fault: Fault, who: list[str], _draws: Stream) -> Any:
        backups: dict[int, Any] = {}

        def save() -> None:
            for name in who:
                backups[id(self._host(name).disk)] = self._host(name).disk.snapshot()

        self._at(max(0, fault.at_us - fault.number("age_s")), save)
        return self._damage(number, fault, who, lambda disk: disk.restore(backups[id(disk)]))

    def _database_only(self, number: int, fault: Fault, who: list[str], _draws: Stream) -> Any:
        backups: dict[int, Any] = {}

        def save() -> None:
            for name in who:
                backups[id(self._host(name).disk)] = self._host(name).disk.snapshot()

        self._at(max(0, fault.at_us - fault.number("age_s")), save)
        return self._damage(number, fault, who, lambda disk: disk.restore_tables(backups[id(disk)]))

    def _database_and_log(self, number: int, fault: Fault, who: list[str], _draws: Stream) -> Any:
        return self._damage(number, fault, who, lambda disk: disk.lose_all())

    def _clock(self, _number: int, fault: Fault, who: list[str], _draws: Stream) -> Any:
        def step(direction: int) -> None:
            for name in who:
                self._world.step_clock(self._id_of(name), direction * fault.number("step_ms") * 1000)

        return (lambda: step(1)), (lambda: step(-1))
