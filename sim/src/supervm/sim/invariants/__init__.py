"""Everything that must hold while shipped cores run, watched as it happens (consensus.md 6)."""

from __future__ import annotations

from .determinism import scan_cores
from .forensics import Verdict, accuse
from .monitor import Monitor
from .violation import RULES, Violation

__all__ = ["RULES", "Monitor", "Verdict", "Violation", "accuse", "scan_cores"]
