"""``supervm bench burst``: a file of payments through the phones of `supervm up`, all asked for at once.

A closed run: 200 names, each row of the file queued at a phone at once, and the phones send as fast as the network
takes it. The first row is the rate between the tenth and the ninetieth per cent of proofs (R4), where batches are full
and nobody waits for a payment: it is the middle of a burst, not a rate that lasts, which `bench network` finds. The
second counts from the first request to the last proof. What is worth knowing here is what each process spends on a
payment when batches are full, the phones with their journals included.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped,unused-ignore]  # no stubs

from ..errors import CommonError
from .measure import BenchOptions, Row, short
from .verify import raw_rate_of_cores

PAYMENTS = 10_000
PAYMENTS_QUICK = 1_500
NAMES = 200
L1, L2, L3, L4 = 4, 1, 1, 2
CHECKS_PER_PAYMENT = L1 + 2
"""One at the edge that takes it, one at its miner, one at each validator."""
TIMEOUT_S = 300
SAMPLE_S = 0.2
READY = "all nodes are up"
"""What `supervm up` says when the payments begin; CPU time before that is not counted."""


def run(options: BenchOptions) -> list[Row]:
    """Measure one run of a network; the raw limit is the best of before and after it."""
    count = PAYMENTS_QUICK if options.quick else PAYMENTS
    cores = os.cpu_count() or 1
    options.progress(f"raw signature checks on {cores} cores")
    raw = raw_rate_of_cores(cores)
    options.progress(f"{count} payments through {L1 + L2 + L3 + L4} processes")
    with tempfile.TemporaryDirectory(prefix="supervm-bench-") as folder:
        document, spent = _network(Path(folder), count)
    raw = max(raw, raw_rate_of_cores(cores))
    rate, whole, latencies = _rates(document)
    limit = raw / CHECKS_PER_PAYMENT
    rows = [
        Row("burst.payments", short(rate), "payments/s", short(limit), short(rate / limit), count),
        Row("burst.payments_whole_run", short(whole), "payments/s", short(limit), short(whole / limit), count),
        Row("burst.latency_r4_median", short(latencies[len(latencies) // 2]), "ms", None, None, len(latencies)),
    ]
    for tier, processes in ((1, L1), (2, L2), (3, L3), (4, L4)):
        each = spent.get(tier, 0.0) / processes / count
        floor = 1 / (raw / cores) if tier < 4 else None  # one check per payment; a phone checks no payments
        rows.append(
            Row(
                f"burst.cpu_l{tier}",
                short(each * 1e6),
                "us/payment/process",
                None if floor is None else short(floor * 1e6),
                None if floor is None or not each else short(floor / each),
                count,
            )
        )
    return rows


def _network(folder: Path, count: int) -> tuple[dict[str, Any], dict[int, float]]:
    """Run `supervm up`; return its document and CPU seconds by tier, those of the start not counted."""
    rng = random.Random(1)  # noqa: S311 - a workload, not a key
    names = [f"name{number}" for number in range(NAMES)]
    lines = ["from,to,amount,fee"]
    for _ in range(count):
        source, to = rng.sample(names, 2)
        lines.append(f"{source},{to},{rng.randrange(1, 1_000_000)},{rng.randrange(1, 2_000)}")
    file = folder / "payments.csv"
    file.write_text("\n".join(lines) + "\n")
    output, errors = folder / "document.json", folder / "progress.txt"
    command = [
        sys.executable,
        "-m",
        "supervm.common.cli",
        "up",
        "--l1",
        str(L1),
        "--l2",
        str(L2),
        "--l3",
        str(L3),
        "--l4",
        str(L4),
        "--dir",
        str(folder / "net"),
        "--payments",
        str(file),
        "--exit-when-done",
        "--timeout",
        str(TIMEOUT_S),
        "--json",
    ]
    with output.open("wb") as stdout, errors.open("wb") as stderr:
        process = subprocess.Popen(command, stdout=stdout, stderr=stderr)
        before: dict[int, float] | None = None
        latest: dict[int, float] = {}
        tiers: dict[int, int] = {}
        while process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(SAMPLE_S)
            sample = _node_seconds(process.pid, tiers)
            latest.update(sample)
            if before is None and READY in errors.read_text(errors="replace"):
                before = sample
    if process.returncode != 0 or before is None:
        raise CommonError(f"the network ended with {process.returncode}: {errors.read_text(errors='replace')[-300:]}")
    spent: dict[int, float] = {}
    for pid, seconds in latest.items():
        spent[tiers[pid]] = spent.get(tiers[pid], 0.0) + seconds - before.get(pid, 0.0)
    return json.loads(output.read_text()), spent


def _node_seconds(parent: int, tiers: dict[int, int]) -> dict[int, float]:
    """CPU seconds of every node process below `parent`; notes the tier of each."""
    seconds = {}
    with suppress(psutil.Error):
        for child in psutil.Process(parent).children(recursive=True):
            with suppress(psutil.Error):
                if child.pid not in tiers:
                    line = child.cmdline()
                    if "run" not in line:
                        continue
                    tiers[child.pid] = int(line[line.index("run") - 1][1])
                used = child.cpu_times()
                seconds[child.pid] = used.user + used.system
    return seconds


def _rates(document: dict[str, Any]) -> tuple[float, float, list[float]]:
    """Payments per second in steady state and over the whole run, and all latencies in ms."""
    proved = [item for item in document["payments"] if item["status"] == "R4"]
    if len(proved) < 100:
        raise CommonError(f"only {len(proved)} payments were proved; a rate needs at least 100")
    times = sorted(item["created_us"] / 1e6 + item["latency_ms"]["r4"] / 1e3 for item in proved)
    low, high = len(times) // 10, len(times) * 9 // 10
    span = times[high] - times[low]
    steady = (high - low) / span if span else float(len(times))
    whole = len(times) / (times[-1] - min(item["created_us"] for item in proved) / 1e6)
    return steady, whole, sorted(item["latency_ms"]["r4"] for item in proved)
