"""The cost curves: which rows of ``supervm bench --json`` lie on which line.

A row's name carries what it was measured at: ``start.accounts1000.cpu``, ``network.cpu.at100``,
``history.prove.of10000``. Rows at shares of the rate (``at80pct``) lie at that share of ``network.rate``. What was not
measured is left out, so any part of the document can be drawn.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from .curves import Panel, Point, Series, figure

Rows = Mapping[str, float]
"""Name of a row -> its value."""
_MILLION = 1e6


def points_of(rows: Rows, pattern: str, of: Callable[[float], float] = lambda value: value) -> list[Point]:
    """Return (number in the name, `of` the value) of rows whose whole name matches, ascending.

    Args:
        rows: all of them.
        pattern: a regular expression with one group, the number.
        of: what is made of a value.
    """
    found = ((re.fullmatch(pattern, name), value) for name, value in rows.items())
    return sorted((float(match[1]), of(value)) for match, value in found if match)


def _load(rows: Rows, what: str) -> list[Point]:
    """Return latencies against payments per second."""
    rate = rows.get("network.rate", 0.0)
    shares = points_of(rows, rf"network\.{what}\.at([0-9]+)pct")
    return sorted(
        [*points_of(rows, rf"network\.{what}\.at([0-9]+)"), *((rate * share / 100, value) for share, value in shares)]
    )


def _us(rate: float) -> float:
    return _MILLION / rate


FIGURES: Mapping[str, Callable[[Rows, Rows], list[Panel]]] = {
    "bench-accounts.svg": lambda rows, limits: [
        Panel(
            "Start of a validator, seconds",
            "accounts",
            [
                Series("CPU", points_of(rows, r"start\.accounts([0-9]+)\.cpu")),
                Series("wall", points_of(rows, r"start\.accounts([0-9]+)\.wall")),
            ],
        ),
        Panel(
            "Start of a validator, MiB at the peak",
            "accounts",
            [Series("resident", points_of(rows, r"start\.accounts([0-9]+)\.peak"))],
        ),
        Panel(
            "Update of the state tree, us per account",
            "accounts (1,000 of them change)",
            [
                Series("tree", points_of(rows, r"trie\.update1000\.of([0-9]+)", _us)),
                Series("bare hashing", points_of(limits, r"trie\.update1000\.of([0-9]+)", _us)),
            ],
            y_log=False,
        ),
    ],
    "bench-age.svg": lambda rows, _: [
        Panel(
            "Start of a validator, seconds of CPU",
            "blocks behind genesis",
            [Series("CPU", points_of(rows, r"start\.age([0-9]+)\.cpu"))],
            x_log=False,
            y_log=False,
        ),
        Panel(
            "Start of a validator, MiB and MB",
            "blocks behind genesis",
            [
                Series("memory, peak", points_of(rows, r"start\.age([0-9]+)\.peak")),
                Series("disk", points_of(rows, r"start\.age([0-9]+)\.disk")),
            ],
            x_log=False,
            y_log=False,
        ),
    ],
    "bench-load.svg": lambda rows, _: [
        Panel(
            "Latency to the proof, ms",
            "payments/s",
            [Series("p50", _load(rows, "latency_p50")), Series("p99", _load(rows, "latency_p99"))],
        ),
        Panel(
            "CPU per payment, us",
            "payments/s",
            [
                Series("all nodes", points_of(rows, r"network\.cpu\.at([0-9]+)")),
                Series("4 L1", points_of(rows, r"network\.cpu\.at([0-9]+)\.l1")),
                Series("the load", points_of(rows, r"network\.cpu\.at([0-9]+)\.load")),
            ],
        ),
    ],
    "bench-history.svg": lambda rows, limits: [
        Panel(
            "Proof of a header, us",
            "headers",
            [
                Series("proof", points_of(rows, r"history\.prove\.of([0-9]+)", _us)),
                Series("bare reads", points_of(limits, r"history\.prove\.of([0-9]+)", _us)),
            ],
            y_log=False,
        ),
        Panel(
            "Bytes on disk per header",
            "headers",
            [Series("history", points_of(rows, r"history\.disk\.of([0-9]+)"))],
            y_log=False,
        ),
    ],
}
"""File name -> its panels, from values and limits by name of the row."""


def write_plots(document: Iterable[Mapping[str, Any]], folder: Path) -> list[Path]:
    """Write the figures for which there are rows; return their paths.

    Args:
        document: rows as ``--json`` prints them.
        folder: where; it is made if it is not there.
    """
    listed = list(document)
    values = {row["name"]: float(row["value"]) for row in listed}
    limits = {row["name"]: float(row["limit"]) for row in listed if row["limit"] is not None}
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, panels in FIGURES.items():
        drawn = figure(panels(values, limits))
        if drawn:
            (folder / name).write_text(drawn, encoding="utf-8")
            written.append(folder / name)
    return written
