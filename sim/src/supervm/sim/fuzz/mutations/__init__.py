"""The mutation gate: each rule of the design has a switch here that breaks it; fuzzing must notice (simulation.md 3).

A switch replaces a function of the shipped classes, inside the process that fuzzes and nowhere else; nothing in the
shipped code knows of it. `Mutation.knobs` turns the same knobs that the swarm draws anyway - which classes of faults
are on, which adversaries may appear - so that a rule that only one adversary tests is not left to luck. `FOUND` says
where each was noticed last, which is only where `gate` begins to look; docs/simulator.md has the whole table.
"""

from __future__ import annotations

from . import batches, blocks, consensus, epochs, execution, handovers, idle, light, manners, phones, records, relays
from .found import FOUND
from .switch import MUTATIONS, Mutation, mutated

__all__ = [
    "FOUND",
    "MUTATIONS",
    "Mutation",
    "batches",
    "blocks",
    "consensus",
    "epochs",
    "execution",
    "handovers",
    "idle",
    "light",
    "manners",
    "mutated",
    "phones",
    "records",
    "relays",
]
