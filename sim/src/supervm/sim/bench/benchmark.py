"""``supervm bench sim``: the exact engine bare, with the shipped cores, and on two cores; all in one run.

The limit of the bare engine is SimPy, driven in the same way in turn with it. The limit of a network is the bare
engine at as many pending events as such a network has: a message costs at least one event.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from supervm.common.bench.measure import BenchOptions, Row, interleaved_rates, rate_row, short

from .networks import Measured, Size, measure_consensus, measure_parallel, measure_payments
from .phold import Rate, engine_rate, simpy_rate


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured.

    Attributes:
        events: events of one round of the bare engine.
        pending: pending events, a row each; networks are held against the first, large ones against the last.
        validators: of the network without payments.
        consensus_s: simulated seconds of that.
        networks: with payments, a group of rows each.
        parallel: the network of two seeds on two cores.
    """

    events: int
    pending: tuple[int, ...]
    validators: int
    consensus_s: int
    networks: tuple[Size, ...]
    parallel: Size


FULL = Plan(
    400_000,
    (1_000, 100_000),
    21,
    60,
    (Size((21, 9, 30, 240), 20), Size((21, 60, 519, 9_400), 10)),
    Size((21, 9, 30, 240), 10),
)
QUICK = Plan(100_000, (1_000, 100_000), 21, 10, (Size((21, 9, 30, 240), 4),), Size((7, 4, 8, 16), 5))
"""Of ``--quick``: without the large network."""
LARGE_FROM = 3_000
"""Nodes from which a network is held against the engine with the most pending events."""


def run(options: BenchOptions) -> list[Row]:
    """Measure everything."""
    return measure(QUICK if options.quick else FULL, options)


def measure(plan: Plan, options: BenchOptions) -> list[Row]:
    """Measure what a plan says.

    Raises:
        SimulationError: a seed's digest depends on what ran beside it.
    """
    other = simpy_rate()
    if other is None:
        options.progress("SimPy is not installed, so nothing stands beside the bare engine (pip install simpy)")
    rows: list[Row] = []
    bare: list[float] = []
    for pending in plan.pending:
        options.progress(f"the bare engine with {pending:,} pending events")
        row = _bare(pending, plan.events, other, options.rounds)
        rows.append(row)
        bare.append(row.value)
    options.progress(f"{plan.validators} validators without payments, {plan.consensus_s} simulated seconds")
    alone = measure_consensus(plan.validators, plan.consensus_s, options.progress)
    rows += _network(f"sim.consensus{plan.validators}", alone, bare[0])
    for size in plan.networks:
        options.progress(f"{size.nodes:,} nodes, {size.simulated_s} simulated seconds; they are switched on first")
        measured = measure_payments(size, options.progress)
        rows += _network(f"sim.nodes{size.nodes}", measured, bare[-1] if size.nodes >= LARGE_FROM else bare[0])
    both = measure_parallel(plan.parallel, options.progress)
    cores = min(2, os.cpu_count() or 1)
    speedup = both.one_s / both.two_s
    rows.append(Row("sim.parallel.seeds2", short(speedup), "x", float(cores), short(speedup / cores), 1))
    return rows


def _bare(pending: int, events: int, other: Rate | None, rounds: int) -> Row:
    name = f"sim.engine.pending{pending}"
    cases = {"ours": lambda: engine_rate(pending, events)}
    if other is not None:
        cases["simpy"] = lambda: other(pending, events)
    rates = interleaved_rates(cases, rounds)
    return rate_row(name, "events/s", rates["ours"], rates.get("simpy"))


def _network(name: str, measured: Measured, bare: float) -> list[Row]:
    """Return the rate, the time before it, and for each purpose the us of a message's time and its samples."""
    parts = measured.spent.per_message_us(measured.cpu_s, measured.messages)
    return [
        Row(name, short(measured.rate), "messages/s", bare, short(measured.rate / bare), 1),
        Row(f"{name}.start", short(measured.start_s), "s", None, None, 1),
        *(
            Row(f"{name}.us.{purpose}", short(us), "us/message", None, None, measured.spent.samples[purpose])
            for purpose, us in parts.items()
        ),
    ]
