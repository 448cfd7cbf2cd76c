"""Where hosts are: regions, the delay between them, and how the tiers are connected (simulation.md 4).

Tables hold round-trip times, as they are measured and published; `one_way_us` is the one place where they are halved.
Times between regions: AWS inter-region measurements published by cloudping.co, as of 2025-07, symmetrised. Access:
L1 data-centre figures of IBM Cloud (0.09 ms round trip in a zone, about 2 ms between zones); L2 EIP-7870's class of
an attesting full node; L3 Ookla's fixed-line median of January 2025; L4 Ookla's mobile medians of 2020-2024.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..errors import SimulationError

REGIONS: Final = (
    "us-east-1",
    "us-west-1",
    "sa-east-1",
    "eu-central-1",
    "af-south-1",
    "ap-south-1",
    "ap-northeast-1",
    "ap-southeast-2",
)
"""The eight regions of the default geography, in the order of the tables."""

CITIES: Final[dict[str, tuple[int, int]]] = {
    "us-east-1": (3904, -7749),
    "us-west-1": (3777, -12242),
    "sa-east-1": (-2355, -4663),
    "eu-central-1": (5011, 868),
    "af-south-1": (-3392, 1842),
    "ap-south-1": (1908, 7288),
    "ap-northeast-1": (3568, 13969),
    "ap-southeast-2": (-3387, 15121),
}
"""Latitude and longitude of each region in hundredths of a degree, for maps."""

RTT_MS_P50: Final = (
    (6, 64, 115, 93, 227, 191, 150, 200),
    (64, 3, 175, 153, 287, 232, 108, 139),
    (115, 175, 3, 205, 338, 301, 259, 312),
    (93, 153, 205, 4, 155, 129, 227, 251),
    (227, 287, 338, 155, 4, 273, 357, 409),
    (191, 232, 301, 129, 273, 3, 134, 155),
    (150, 108, 259, 227, 357, 134, 3, 106),
    (200, 139, 312, 251, 409, 155, 106, 4),
)
"""Median round-trip time between regions in ms."""

RTT_MS_P90: Final = (
    (9, 74, 119, 97, 232, 202, 156, 204),
    (74, 5, 178, 157, 292, 239, 111, 142),
    (119, 178, 6, 207, 343, 306, 264, 315),
    (97, 157, 207, 6, 160, 133, 231, 255),
    (232, 292, 343, 160, 12, 302, 391, 415),
    (202, 239, 306, 133, 302, 5, 145, 158),
    (156, 111, 264, 231, 391, 145, 6, 115),
    (204, 142, 315, 255, 415, 158, 115, 6),
)
"""90th percentile of the round-trip time between regions in ms."""


def one_way_us(rtt_us: int) -> int:
    """Return the one-way delay of a round-trip time: the only place where one is halved."""
    return rtt_us // 2


@dataclass(frozen=True, slots=True)
class Access:
    """How a host is connected to its region.

    Attributes:
        up_bps: bits per second that it can send; 0: no limit.
        down_bps: bits per second that it can receive; 0: no limit.
        last_mile_us: one-way delay between the host and its region.
        loss_ppm: messages lost on the last mile, in a million.
    """

    up_bps: int = 0
    down_bps: int = 0
    last_mile_us: int = 0
    loss_ppm: int = 0


ACCESS: Final[dict[int, Access]] = {
    1: Access(1_000_000_000, 1_000_000_000, 500),
    2: Access(50_000_000, 100_000_000, 3_000),
    3: Access(53_000_000, 98_000_000, 4_500),
    4: Access(11_000_000, 62_000_000, 17_500, 10_000),
}
"""Default access of each tier (simulation.md 4)."""

NO_LIMITS: Final = Access()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a host is: a region, by its number in the geography, and its access."""

    region: int = 0
    access: Access = NO_LIMITS


class Geography:
    """Delays between regions.

    Args:
        rtt_us_p50: median round-trip times, a square symmetric table in us.
        rtt_us_p90: 90th percentiles; not below the medians.

    Raises:
        SimulationError: the tables do not fit each other.
    """

    def __init__(self, rtt_us_p50: Sequence[Sequence[int]], rtt_us_p90: Sequence[Sequence[int]]) -> None:
        count = len(rtt_us_p50)
        if len(rtt_us_p90) != count or any(len(row) != count for row in (*rtt_us_p50, *rtt_us_p90)):
            raise SimulationError(f"the two tables of round-trip times must both be {count} by {count}")
        for a in range(count):
            for b in range(count):
                median, high = rtt_us_p50[a][b], rtt_us_p90[a][b]
                if not 0 <= median <= high or median != rtt_us_p50[b][a] or high != rtt_us_p90[b][a]:
                    raise SimulationError(
                        f"round-trip times between regions {a} and {b} are {median} and {high} us; they must be "
                        "symmetric, and the 90th percentile not below the median"
                    )
        self.size = count
        """Number of regions."""
        self._delay_us = [[one_way_us(rtt) for rtt in row] for row in rtt_us_p50]
        self._high_us = [[one_way_us(rtt) for rtt in row] for row in rtt_us_p90]

    def delay_us(self, one: int, other: int) -> int:
        """Return the median one-way delay between two regions."""
        return self._delay_us[one][other]

    def spread_us(self, one: int, other: int) -> int:
        """Return by how much the 90th percentile of the one-way delay is above its median."""
        return self._high_us[one][other] - self._delay_us[one][other]


def lan(delay_us: int = 1_000) -> Geography:
    """Return one region in which every host is `delay_us` from every other, without jitter."""
    return Geography([[2 * delay_us]], [[2 * delay_us]])


def _table(milliseconds: Sequence[Sequence[int]]) -> list[list[int]]:
    return [[value * 1_000 for value in row] for row in milliseconds]


WORLD: Final = Geography(_table(RTT_MS_P50), _table(RTT_MS_P90))
"""The eight regions."""
