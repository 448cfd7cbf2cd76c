"""Three virtual days of a four-tier network at five payments a minute: memory and start of every tier stay as they are.

    PYTHONPATH=tests/tools python tests/long/three_days.py [--hours 72] [--out build/three_days.json]

The figures are those of `virtual_days`. What a core holds, what its disk holds, and what its start reads and takes are
held against what they were in the last quarter of the first third, when everything that has a bound has come to it.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from virtual_days import Days, Starts, live, measure_starts

GROWTH_MAX = 0.05
START_GROWTH_MAX = 0.05


def judge(days: Days, starts: dict[int, Starts], early: tuple[float, float], late: tuple[float, float]) -> list[str]:
    """Print each figure beside what is allowed; return what is too much."""
    failures = []

    def at_most(what: str, value: float, bound: float) -> None:
        holds = value <= bound
        print(f"{what:<52} {value:8.3f}  <= {bound:.2f}  {'ok' if holds else 'TOO MUCH'}")
        if not holds:
            failures.append(what)

    for tier in days.memory:
        before, after = days.mean_bytes(tier, *early), days.mean_bytes(tier, *late)
        what = f"L{tier} memory {before / 1024:.0f} KiB, then {after / 1024:.0f} KiB"
        at_most(what, after / before, 1 + GROWTH_MAX)
        found = starts[tier]
        at_most(f"L{tier} start, rows {found.rows[0]}, then {found.rows[1]}", found.ratio("rows"), 1 + START_GROWTH_MAX)
        times = (f"{sum(part) / len(part) / 1000:.2f}" for part in found.cpu_us)
        at_most(f"L{tier} start, CPU ms {', then '.join(times)}", found.ratio("cpu_us"), 1 + START_GROWTH_MAX)
    lost = days.paid - days.statuses["R4"]
    at_most(f"payments of {days.paid} that are not proved", lost, 0)
    return failures


def main() -> int:
    """Run it; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=72.0)
    parser.add_argument("--out", type=Path, default=Path("build/three_days.json"))
    chosen = parser.parse_args()
    third = chosen.hours / 3
    early, late = (0.75 * third, third), (chosen.hours - 0.25 * third, chosen.hours)
    days, net = live(
        chosen.hours,
        restart_hours=third / 4,
        warm_hours=0.75 * third,
        tell=lambda line: print(line, file=sys.stderr, flush=True),
    )
    starts = measure_starts(net, days.stops, (0, third), (chosen.hours - third, chosen.hours))
    failures = judge(days, starts, early, late)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(_document(days, starts)) + "\n")
    return 1 if failures else 0


def _document(days: Days, starts: dict[int, Starts]) -> dict[str, Any]:
    return {
        "hours": days.hours,
        "paid": days.paid,
        "statuses": days.statuses,
        "height": days.height,
        "memory": days.memory,
        "rows": days.rows,
        "catching_up_s": days.behind,
        "starts": {tier: asdict(found) for tier, found in starts.items()},
        "places": days.places,
    }


if __name__ == "__main__":
    sys.exit(main())
