"""Ninety virtual minutes of all four tiers: what cores hold and what their starts read does not follow what was done.

`tests/long/three_days.py` is the same for three days; most bounds are reached by the end of the first of them only.
"""

from __future__ import annotations

from virtual_days import live, measure_starts

GROWTH_KIB_MAX = {1: 120, 2: 100, 3: 12, 4: 24}
"""In the last 45 minutes. A validator still fills what it remembers of 4,096 batches, 0.3 KiB each. Before miners,
edges and phones had such bounds, they grew by 486, 50 and 62 KiB."""


def test_ninety_minutes_leave_nothing_behind_in_memory() -> None:
    days, net = live(1.5, counts={1: 4, 2: 1, 3: 1, 4: 1}, restart_hours=0.4)
    assert days.statuses == {"R4": days.paid}
    assert days.paid > 400
    for tier, bound_kib in GROWTH_KIB_MAX.items():
        first, second = days.mean_bytes(tier, 0.5, 0.75), days.mean_bytes(tier, 1.25, 1.5)
        assert second - first <= 1024 * bound_kib, (tier, first, second, days.places[tier])
    assert max(days.behind[1]) < 10  # seconds until a validator is back
    starts = measure_starts(net, days.stops, (0, 0.7), (0.7, 1.5))
    assert max(starts[1].rows[1]) <= min(starts[1].rows[0]) + 24  # the history's peaks, and what the log still holds
