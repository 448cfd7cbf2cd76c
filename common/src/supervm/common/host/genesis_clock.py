"""Is a genesis file dated ahead of this machine's clock? Asked before a node starts, by `doctor` and by `up`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.chain.genesis import load_genesis

from ..parts.chain_clock import behind_text


def genesis_problem(path: Path, *, wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> str | None:
    """Return what a person should know if a genesis file is dated ahead of this machine's clock; None if it is not.

    A file that cannot be read is none of this function's business.
    """
    try:
        genesis = load_genesis(path.read_bytes())
    except (OSError, LocalProtocolError):
        return None
    return behind_text(
        "the genesis file", genesis.time_ms, wall_ms() * 1000, drift_ms=genesis.parameters.clock_drift_ms
    )
