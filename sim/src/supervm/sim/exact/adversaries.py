"""Every named actor, by the name that scenario files use (simulation.md 2, consensus.md 6)."""

from . import adversaries_epoch, adversaries_flood, adversaries_l1, adversaries_leader, adversaries_up
from .actor import ACTORS

__all__ = ["ACTORS", "adversaries_epoch", "adversaries_flood", "adversaries_l1", "adversaries_leader", "adversaries_up"]
