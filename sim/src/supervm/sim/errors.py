"""Errors of the simulator."""

from __future__ import annotations

from supervm.common.errors import CommonError


class SimulationError(CommonError):
    """Root of every error that `supervm.sim` raises."""
