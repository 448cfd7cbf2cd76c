"""Errors of the simulator."""

from __future__ import annotations


class SimulationError(Exception):
    """Root of every error that `supervm.sim` raises."""
