"""Errors of the L1 profile; those that stop a node stand where they are found."""

from __future__ import annotations

from supervm.common.errors import CommonError


class SuperNodeError(CommonError):
    """Root of every error that `supervm.tier_l1_super` raises."""
