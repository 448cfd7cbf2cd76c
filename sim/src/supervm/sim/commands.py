"""What the simulator offers to ``supervm``; nothing heavy is imported here."""

from __future__ import annotations

from supervm.common.cli.registry import Offer

COMMANDS = (Offer("sim", "Simulate whole networks: the shipped code under virtual time.", "supervm.sim.cli:sim"),)

BENCHMARKS = (
    Offer("sim", "The exact engine: bare, with the shipped cores, on two cores.", "supervm.sim.bench.benchmark:run"),
)
