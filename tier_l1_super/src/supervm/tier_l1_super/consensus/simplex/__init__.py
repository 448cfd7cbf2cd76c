"""Simplex consensus of L1 as a sans-I/O state machine (consensus.md 2).

`core.Simplex` is the state machine, `effects` what goes in and comes out, `promises` what must be on disk before a
vote leaves, `rounds` the votes of one view, `tree` the blocks not yet committed, `pacing` the timers.
"""

from .core import Simplex

__all__ = ["Simplex"]
