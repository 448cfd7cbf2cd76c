"""Small statistics over integers: nearest-rank quantiles and their spread over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean, stdev
from typing import Any, Final

QUANTILES: Final = {"p50": 50, "p90": 90, "p99": 99}

_T95: Final = (
    12.706,
    4.303,
    3.182,
    2.776,
    2.571,
    2.447,
    2.365,
    2.306,
    2.262,
    2.228,
    2.201,
    2.179,
    2.160,
    2.145,
    2.131,
    2.120,
    2.110,
    2.101,
    2.093,
    2.086,
    2.080,
    2.074,
    2.069,
    2.064,
    2.060,
    2.056,
    2.052,
    2.048,
    2.045,
)
"""Student's t for a two-sided 95 % interval at 1, 2, ... degrees of freedom."""


def quantile(ordered: Sequence[int], percent: int) -> int | None:
    """Return the nearest-rank quantile of an ascending sequence; None of an empty one."""
    if not ordered:
        return None
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, rank - 1)]


def spread_ms(values_us: Iterable[int]) -> dict[str, Any]:
    """Return ``{"n", "p50", "p90", "p99", "max"}`` of times in us, shown in ms."""
    ordered = sorted(values_us)
    row: dict[str, Any] = {"n": len(ordered)}
    for name, percent in QUANTILES.items():
        value = quantile(ordered, percent)
        row[name] = None if value is None else value / 1000
    row["max"] = ordered[-1] / 1000 if ordered else None
    return row


def over_seeds(values: Sequence[float | None]) -> dict[str, Any] | None:
    """Return mean, least, most and the half width of the mean's 95 % confidence interval; None if none is known."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    half = None
    if len(known) > 1:
        factor = _T95[len(known) - 2] if len(known) - 2 < len(_T95) else 1.96
        half = factor * stdev(known) / len(known) ** 0.5
    return {"mean": fmean(known), "min": min(known), "max": max(known), "ci95": half, "n": len(known)}
