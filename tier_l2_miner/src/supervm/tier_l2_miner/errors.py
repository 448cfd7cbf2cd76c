"""Errors of the L2 profile."""

from __future__ import annotations

from supervm.common.errors import CommonError


class MinerError(CommonError):
    """Root of every error that `supervm.tier_l2_miner` raises."""


class Diverged(MinerError):
    """The network certified another header than this replica computed: it must stop (decisions.md, Who does what)."""

    def __init__(self, height: int, ours: bytes, theirs: bytes) -> None:
        super().__init__(
            f"height {height}: this replica's checkpoint is {ours.hex()}, the network certified {theirs.hex()}"
        )
        self.height = height
