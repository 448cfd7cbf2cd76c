"""Errors of the L3 profile."""

from __future__ import annotations

from supervm.common.errors import CommonError


class EdgeError(CommonError):
    """Root of every error that `supervm.tier_l3_edge` raises."""
