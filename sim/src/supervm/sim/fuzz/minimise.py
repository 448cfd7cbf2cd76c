"""Making a failure small: delta debugging over everything that was decided (simulation.md 3).

Theory of operation. A run is its configuration and its list of choices. A candidate is the same run with choices
deleted, made smaller, or on a smaller network; it is kept if it still breaks the same rule. First whole kinds of
choices are tried (all losses at once), then ever smaller parts of what is left (ddmin), then smaller values, fewer
nodes and less time; and again from the beginning as long as anything became smaller. Choices are named by kind, subject
and number, so deleting one never turns another into something else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from time import monotonic

import msgspec

from ..errors import SimulationError
from ..exact import Choice
from .case import Case, case_of
from .config import Config
from .mutations import mutated
from .run import Outcome, run_seed

RUNS_MAX = 2_000


class Minimiser:
    """Shrinks one case.

    Args:
        case: fails.
        seconds: how long it may take.
        runs_max: how many candidates it may play.
        progress: told after each step forward, in words.

    Raises:
        SimulationError: the case broke nothing.
    """

    def __init__(
        self,
        case: Case,
        *,
        seconds: float = 60.0,
        runs_max: int = RUNS_MAX,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        if case.violation is None:
            raise SimulationError("a run that broke nothing cannot be made smaller")
        self._case = case
        self._rule = case.violation.name
        self._config = case.config
        self._choices: tuple[Choice, ...] = case.choices
        self._deadline_s = monotonic() + seconds
        self._runs_max = runs_max
        self._progress = progress
        self._best: Outcome | None = None
        self.runs = 0
        """Candidates played."""

    def shrink(self) -> Case:
        """Return the smallest failing case that was found."""
        with mutated(self._case.mutation):
            if not self._try(self._config, self._choices):
                return self._case  # it does not repeat: the caller sees that in its digest
            while self._round():
                pass
        best = self._best
        return self._case if best is None else case_of(best, self._case.mutation, self._case.choices_before)

    def _round(self) -> bool:
        """Try everything once; return whether it became smaller."""
        before = self._size()
        for kind in sorted({choice.kind for choice in self._choices}):
            self._try(self._config, [choice for choice in self._choices if choice.kind != kind])
        self._ddmin()
        for config in self._smaller_configs():
            self._try(config, self._choices)
        self._values()
        return self._size() < before and not self._is_over()

    def _size(self) -> tuple[int, int, int]:
        config = self._config
        nodes = config.l1 + config.l2 + config.l3 + config.l4
        return len(self._choices), nodes, sum(choice.value for choice in self._choices) + config.chaos_ms

    def _is_over(self) -> bool:
        return monotonic() > self._deadline_s or self.runs >= self._runs_max

    def _try(self, config: Config, choices: Sequence[Choice]) -> bool:
        """Play a candidate; keep it if it breaks the same rule."""
        if self._is_over():
            return False
        self.runs += 1
        outcome = run_seed(self._case.seed, config=config, replay=choices)
        if not outcome.violations or outcome.violations[0].name != self._rule:
            return False
        self._config, self._choices, self._best = config, outcome.choices, outcome
        if self._progress is not None:
            self._progress(f"{len(self._choices)} choices after {self.runs} runs")
        return True

    def _ddmin(self) -> None:
        parts = 2
        while len(self._choices) > 1 and not self._is_over():
            size = -(-len(self._choices) // parts)
            for start in range(0, len(self._choices), size):
                rest = self._choices[:start] + self._choices[start + size :]
                if self._try(self._config, rest):
                    parts = max(2, parts - 1)
                    break
            else:
                if size == 1:
                    break
                parts = min(len(self._choices), 2 * parts)
        if len(self._choices) == 1:
            self._try(self._config, ())

    def _values(self) -> None:
        for place in range(len(self._choices)):
            if place >= len(self._choices):
                return
            for value in (1, self._choices[place].value // 4, self._choices[place].value // 2):
                if place < len(self._choices) and 0 < value < self._choices[place].value:
                    smaller = list(self._choices)
                    smaller[place] = msgspec.structs.replace(smaller[place], value=value)
                    if self._try(self._config, smaller):
                        break

    def _smaller_configs(self) -> Iterator[Config]:
        for name, least in (("l4", 1), ("l3", 1), ("l2", 1), ("accounts", 1), ("l1", 4)):
            while getattr(self._config, name) > least:
                before = self._config
                yield msgspec.structs.replace(before, **{name: getattr(before, name) - 1}, **_weights(before, name))
                if self._config is before:
                    break
        for change in ({"spread": False}, {"listen_us": 0}, {"write_jitter_us": 0}, {"weights": ()}):
            if any(getattr(self._config, name) != value for name, value in change.items()):
                yield msgspec.structs.replace(self._config, **change)
        while self._config.chaos_ms > 1_000:
            before = self._config
            yield msgspec.structs.replace(before, chaos_ms=max(1_000, before.chaos_ms // 2))
            if self._config is before:
                break


def _weights(config: Config, name: str) -> dict[str, tuple[int, ...]]:
    return {"weights": config.weights[:-1]} if name == "l1" and config.weights else {}
