"""``supervm bench start``: how long a validator takes to start, and how large it is, against accounts and age.

Each is a folder of its own (`aged_node`) and a real process, ``supervm l1 run``, from its beginning until it says that
it is ready. CPU and wall time have the interpreter and its imports in them, which the row with the fewest accounts
shows nearly alone. Memory is the peak until then. There is no limit to hold it against but the aims of the project.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from ..errors import CommonError
from .aged_node import make_node
from .measure import BenchOptions, Row, short
from .procfs import check_proc, folder_bytes, memory_peak_of, usage_of

ACCOUNTS = (1_000, 10_000, 100_000, 1_000_000)
ACCOUNTS_QUICK = (1_000, 10_000)
AGES = (0, 1_000, 24_000)
"""Blocks behind genesis: an idle chain makes 24,000 in three days, one that is paid in all the time in two hours."""
AGES_QUICK = (0, 1_000)
AGED_ACCOUNTS = 1_000
ROUNDS_MAX = 3
STOP_S = 30.0
_MIB, _MB = 1 << 20, 10**6


@dataclass(frozen=True, slots=True)
class Start:
    """One start: seconds of CPU and of real time until ready, and bytes of memory at most until then."""

    cpu_s: float
    wall_s: float
    peak_bytes: int


def run(options: BenchOptions) -> list[Row]:
    """Measure starts at most three times each; the first start of a folder is not counted."""
    check_proc()
    rounds = min(options.rounds, ROUNDS_MAX)
    rows = []
    for accounts in ACCOUNTS_QUICK if options.quick else ACCOUNTS:
        options.progress(f"{accounts} accounts")
        rows += _rows(options, f"start.accounts{accounts}", rounds, accounts=accounts, blocks=0)
    for blocks in AGES_QUICK if options.quick else AGES:
        options.progress(f"{blocks} blocks")
        rows += _rows(options, f"start.age{blocks}", rounds, accounts=AGED_ACCOUNTS, blocks=blocks)
    return rows


def _rows(options: BenchOptions, name: str, rounds: int, *, accounts: int, blocks: int) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="supervm-bench-", dir=options.directory) as folder:
        config = make_node(Path(folder), accounts=accounts, blocks=blocks)
        disk = folder_bytes(Path(folder))
        starts = [start_once(config) for _ in range(rounds + 1)][1:]
    rows = [
        ("cpu", statistics.median(start.cpu_s for start in starts), "s"),
        ("wall", statistics.median(start.wall_s for start in starts), "s"),
        ("peak", statistics.median(start.peak_bytes for start in starts) / _MIB, "MiB"),
    ]
    if blocks:
        rows.append(("disk", disk / _MB, "MB"))
    return [Row(f"{name}.{what}", short(value), unit, None, None, rounds) for what, value, unit in rows]


def start_once(config: Path) -> Start:
    """Start a validator, look at it when it is ready, and stop it.

    Raises:
        CommonError: it ends before it is ready.
    """
    with config.with_name("node.out").open("wb") as errors:
        began_s = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "supervm.common.cli", "l1", "run", "--config", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        try:
            line = process.stdout.readline() if process.stdout is not None else b""
            wall_s = time.perf_counter() - began_s
            if not line or json.loads(line).get("event") != "ready":
                said = config.with_name("node.out").read_text(errors="replace")
                raise CommonError(f"the validator did not start: {said[-300:] or line!r}")
            return Start(usage_of(process.pid).cpu_s, wall_s, memory_peak_of(process.pid))
        finally:
            process.terminate()
            try:
                process.communicate(timeout=STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
