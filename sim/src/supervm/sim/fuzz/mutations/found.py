"""Where each switch was noticed last."""

from __future__ import annotations

from typing import Final

FOUND: Final[dict[str, tuple[int, str]]] = {}
"""Switch -> (seed, rule of `supervm.sim.invariants.RULES`)."""
