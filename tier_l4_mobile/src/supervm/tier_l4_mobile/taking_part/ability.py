"""Which mode suits a phone: the table of network.md 5, as a function.

A value that swings around a limit must not switch the mode each time. So every limit that moves has two sides: the one
where a mode begins, and one some way off where it ends. What is not known speaks against doing more, never for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from supervm.common.contract.core import Sensed
from supervm.common.parts.participation import ACTIVE, PASSIVE, STANDARD

GB: Final = 10**9
MEMORY_PASSIVE_BYTES: Final = 1 * GB
"""With less a phone does nothing for others."""
MEMORY_ACTIVE_BYTES: Final = 4 * GB
"""Only with more it is active."""
BATTERY_PASSIVE_PERCENT, BATTERY_NOT_PASSIVE_PERCENT = 20, 25
"""Passive below the first, until the second."""
BATTERY_ACTIVE_PERCENT, BATTERY_NOT_ACTIVE_PERCENT = 50, 40
"""Active above the first, until below the second; of no account while it charges."""
ASKED_ACTIVE, ASKED_NOT_ACTIVE = 100, 50
"""Active with more questions than the first, until there are fewer than the second."""
HITS_ACTIVE_PERCENT, HITS_NOT_ACTIVE_PERCENT = 50, 40
"""Active with a greater share of questions to which something was known, until it is less than the second."""
ANSWERS_AT_FIRST: Final = 20
"""Questions that a standard phone answers before the share of hits says whether it should."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What others wanted lately.

    Attributes:
        asked: questions for records.
        found: those to which something was known.
    """

    asked: int = 0
    found: int = 0

    @property
    def hits_percent(self) -> int:
        """The share of questions to which something was known; 0 if there was none."""
        return 100 * self.found // self.asked if self.asked else 0

    @property
    def pays(self) -> bool:
        """Whether a standard phone answers: what it knows is what others want, or nobody can tell yet."""
        return self.asked < ANSWERS_AT_FIRST or 2 * self.found > self.asked


def suited(facts: Sensed, demand: Demand, present: str) -> str:
    """Return the mode that suits a phone.

    Args:
        facts: the machine; of a machine without a battery its charge is not known, and it is no reason for anything.
        demand: what others wanted lately.
        present: the mode that it is in, for which the farther limits hold.
    """
    if _is_poor(facts, was_passive=present == PASSIVE):
        return PASSIVE
    was_active = present == ACTIVE
    return ACTIVE if _is_rich(facts, was_active) and _is_sought(demand, was_active) else STANDARD


def _is_poor(facts: Sensed, was_passive: bool) -> bool:
    """Return whether it has too little of something for doing anything for others."""
    memory_bytes, battery_percent = facts.memory_bytes, facts.battery_percent
    empty_percent = BATTERY_NOT_PASSIVE_PERCENT if was_passive else BATTERY_PASSIVE_PERCENT
    return (
        (memory_bytes is not None and memory_bytes < MEMORY_PASSIVE_BYTES)
        or (battery_percent is not None and battery_percent < empty_percent)
        or bool(facts.metered)
    )


def _is_rich(facts: Sensed, was_active: bool) -> bool:
    """Return whether it has enough of everything for carrying for others."""
    memory_bytes, battery_percent = facts.memory_bytes, facts.battery_percent
    charge_percent_min = BATTERY_NOT_ACTIVE_PERCENT if was_active else BATTERY_ACTIVE_PERCENT + 1
    is_fed = is_powered(facts) or (battery_percent is not None and battery_percent >= charge_percent_min)
    return memory_bytes is not None and memory_bytes > MEMORY_ACTIVE_BYTES and is_fed and facts.metered is False


def _is_sought(demand: Demand, was_active: bool) -> bool:
    """Return whether others want enough of it."""
    asked_min = ASKED_NOT_ACTIVE if was_active else ASKED_ACTIVE + 1
    hits_percent_min = HITS_NOT_ACTIVE_PERCENT if was_active else HITS_ACTIVE_PERCENT + 1
    return demand.asked >= asked_min and demand.hits_percent >= hits_percent_min


def is_powered(facts: Sensed) -> bool:
    """Return whether it takes nothing from a battery, as far as is known."""
    return bool(facts.charging)
