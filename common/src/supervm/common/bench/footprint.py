"""``supervm bench footprint``: memory of an idle edge and an idle phone (process tree, resident).

A network of one node per tier is started and left alone for ten seconds after its first payments; then the resident
memory of the L3's and the L4's process trees is read. Pages shared with other processes are counted in full, so these
are upper bounds. The limit is what a router or a phone may be asked for.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped,unused-ignore]  # no stubs

from ..errors import CommonError
from .measure import BenchOptions, Row

LIMIT_MIB = 64
IDLE_S = 10.0
TIMEOUT_S = 120.0
DONE = "every payment has its fate"
"""What `supervm up` says when it has nothing left to do."""
_MIB = 1 << 20


def run(options: BenchOptions) -> list[Row]:
    """Measure once."""
    options.progress(f"one node per tier, {IDLE_S:.0f} s idle")
    with tempfile.TemporaryDirectory(prefix="supervm-bench-") as folder:
        found = _resident(Path(folder))
    return [
        Row(
            f"footprint.idle_l{tier}",
            round(found[tier] / _MIB, 1),
            "MiB",
            LIMIT_MIB,
            round(LIMIT_MIB * _MIB / found[tier], 3),
            1,
        )
        for tier in (3, 4)
    ]


def _resident(folder: Path) -> dict[int, int]:
    """Return resident bytes by tier."""
    progress = folder / "progress.txt"
    command = [
        sys.executable,
        "-m",
        "supervm.common.cli",
        "up",
        "--l1",
        "1",
        "--l2",
        "1",
        "--l3",
        "1",
        "--l4",
        "1",
        "--dir",
        str(folder / "net"),
        "--timeout",
        str(TIMEOUT_S),
    ]
    with progress.open("wb") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr)
    try:
        deadline = time.monotonic() + TIMEOUT_S
        while DONE not in progress.read_text(errors="replace"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise CommonError(f"the network did not settle: {progress.read_text(errors='replace')[-300:]}")
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.2)
        with suppress(subprocess.TimeoutExpired):
            process.wait(IDLE_S)
        found: dict[int, int] = {}
        for child in psutil.Process(process.pid).children():
            line = child.cmdline()
            if "run" in line:
                tree = [child, *child.children(recursive=True)]
                found[int(line[line.index("run") - 1][1])] = sum(item.memory_info().rss for item in tree)
        return found
    finally:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGINT)
        process.wait(TIMEOUT_S)
