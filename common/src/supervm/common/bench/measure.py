"""How benchmarks measure: the thing and its limit in turn, round after round, and the median of each.

Machines get faster and slower while they run (heat, neighbours), so a figure and the limit it is held against are only
comparable when their rounds are interleaved; and only the ratio means anything elsewhere (limits.md).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec


class Row(msgspec.Struct, frozen=True):
    """One result (surface.md).

    Attributes:
        name: ``benchmark.case``.
        value: the median.
        unit: of value and limit; more is better for ``x/s``, less for ``s`` and ``MiB``.
        limit: what the machine or the library underneath does in the same run, or a bound; None if there is none.
        ratio: share of the limit that is reached, 1 is all; None without a limit.
        n: how often it was measured.
    """

    name: str
    value: float
    unit: str
    limit: float | None
    ratio: float | None
    n: int


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """How to measure.

    Attributes:
        rounds: interleaved rounds per case.
        quick: smaller sizes, for a first look.
        directory: existing folder on the disk that is to be measured.
        progress: told what is measured now.
    """

    rounds: int
    quick: bool
    directory: Path
    progress: Callable[[str], None]


def rate_row(name: str, unit: str, rates: list[float], limits: list[float] | None) -> Row:
    """Return the row of a rate (more is better) from its rounds and those of its limit, None if it has none."""
    value = statistics.median(rates)
    if limits is None:
        return Row(name, short(value), unit, None, None, len(rates))
    limit = statistics.median(limits)
    return Row(name, short(value), unit, short(limit), short(value / limit), len(rates))


def seconds_row(name: str, seconds: list[float], limits: list[float]) -> Row:
    """Return the row of a duration (less is better) from its rounds and those of its limit."""
    value, limit = statistics.median(seconds), statistics.median(limits)
    return Row(name, short(value), "s", short(limit), short(limit / value), len(seconds))


def interleaved(cases: Mapping[str, Callable[[], int]], rounds: int) -> dict[str, list[float]]:
    """Run every case once per round and return its rates in units per second.

    Args:
        cases: name -> function that does the work and returns how many units it did.
        rounds: how often; one more round before warms up and is not counted.
    """

    def timed(work: Callable[[], int]) -> Callable[[], float]:
        def rate() -> float:
            started = time.perf_counter()
            units = work()
            return units / (time.perf_counter() - started)

        return rate

    return interleaved_rates({name: timed(work) for name, work in cases.items()}, rounds)


def interleaved_rates(cases: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Do the same with cases that take their own time, because what they prepare must not count.

    Args:
        cases: name -> function that does the work and returns its rate.
        rounds: how often; one more round before warms up and is not counted.
    """
    rates: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds + 1):
        for name, work in cases.items():
            rate = work()
            if number:
                rates[name].append(rate)
    return rates


def short(value: float) -> float:
    """Return four significant digits: more would claim a precision that is not there."""
    return float(f"{value:.4g}")
