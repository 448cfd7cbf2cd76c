"""Scenario files: what they may say, how they are read, and the library that ships."""

from __future__ import annotations

from .model import Adversary, Bound, Change, Fault, Scenario, TierPlan, Topology, Workload
from .schema import library_names, load_named, load_scenario, read_scenario

__all__ = [
    "Adversary",
    "Bound",
    "Change",
    "Fault",
    "Scenario",
    "TierPlan",
    "Topology",
    "Workload",
    "library_names",
    "load_named",
    "load_scenario",
    "read_scenario",
]
