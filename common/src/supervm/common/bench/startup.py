"""Wall time of ``supervm --help``, against an interpreter that only starts and imports click."""

from __future__ import annotations

import subprocess
import sys
import time

from .measure import BenchOptions, Row, seconds_row

_RUNS = 20


def run(options: BenchOptions) -> list[Row]:
    """Median of 20 runs of ``supervm --help``."""
    options.progress("supervm --help")
    ours, limit = [], []
    for _ in range(5 if options.quick else _RUNS):
        ours.append(_wall_s([sys.executable, "-m", "supervm.common.cli", "--help"]))
        limit.append(_wall_s([sys.executable, "-c", "import click"]))
    return [seconds_row("help.wall", ours, limit)]


def _wall_s(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started
