"""What a payment and a block cost, from what was seen at several rates: pure arithmetic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from ..procfs import Memory, Usage

DAY_S = 86_400
Sum = TypeVar("Sum", Usage, Memory)


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen while payments came at one rate.

    Attributes:
        payments: how many.
        elapsed_s: in which time.
        cpu_s: tier -> seconds of CPU of all its processes.
        load_cpu_s: seconds of CPU of the load.
        blocks: how many blocks the chain grew by.
    """

    payments: int
    elapsed_s: float
    cpu_s: Mapping[int, float]
    load_cpu_s: float
    blocks: int

    @property
    def nodes_cpu_s(self) -> float:
        """Seconds of CPU of all nodes."""
        return sum(self.cpu_s.values())

    def us_per_payment(self, cpu_s: float) -> float:
        """Return microseconds of CPU for one payment."""
        return cpu_s / self.payments * 1e6


def by_tier(nodes: Mapping[str, float], tiers: Mapping[str, int]) -> dict[int, float]:
    """Return the sums of a figure of every node, by its tier."""
    found: dict[int, float] = {}
    for name, value in nodes.items():
        found[tiers[name]] = found.get(tiers[name], 0.0) + value
    return found


def total(items: Iterable[Sum], zero: Sum) -> Sum:
    """Return the sum of usages or memories."""
    return sum(items, zero)


def block_cost_s(idle: Seen, slow: Seen, fast: Seen) -> float | None:
    """Return the seconds of CPU of a block over all nodes, however many payments are in it.

    What a network spends beyond an idle one it spends on blocks and on payments:
    ``cpu = blocks * block_cost + payments * payment_cost``, each per second and less what the idle run had of it. Two
    rates give two equations: at the slow one nearly all is for blocks, at the fast one nearly all is for payments.

    Args:
        idle: without payments.
        slow: at few payments per second.
        fast: at many.

    Returns:
        The cost; None where the two equations say the same, or what they say is no cost.
    """
    (cpu_1, blocks_1, payments_1), (cpu_2, blocks_2, payments_2) = (
        (
            each.nodes_cpu_s / each.elapsed_s - idle.nodes_cpu_s / idle.elapsed_s,
            each.blocks / each.elapsed_s - idle.blocks / idle.elapsed_s,
            each.payments / each.elapsed_s,
        )
        for each in (slow, fast)
    )
    determinant = blocks_1 * payments_2 - blocks_2 * payments_1
    if abs(determinant) < 1e-9:
        return None
    cost = (cpu_1 * payments_2 - cpu_2 * payments_1) / determinant
    return cost if cost > 0 else None


def per_day(amount: float, elapsed_s: float) -> float:
    """Return what an amount in some seconds makes in a day."""
    return amount / elapsed_s * DAY_S
