"""``supervm bench app``: how long the app takes to be there, what it costs at rest and at work, what history takes.

First a phone pays through a network of one node per tier (`bench drain`), so that it has a history; its files, all of
them proved payments, are the row about history. Then each round starts a process with the window in software and in
memory (`app_process`) on a copy of that phone's folder, whose edge is gone: a node of the app's own, the wallet open at
Home. It tells when its first frame was drawn, when Home showed what its node had answered, its memory and CPU while
nobody touches it, and the CPU of its thread from frame to frame - node, session and drawing - while 1,000 payments are
signed, queued and shown. Limits are what a phone may be asked for.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import trio

from supervm.common.bench.drain import drained_queues
from supervm.common.bench.measure import BenchOptions, Row, short
from supervm.common.errors import CommonError
from supervm.common.up.layout import PASSPHRASE_FILE
from supervm.common.wallet import WALLET_FILE

LIMITS: Final = {
    "first_frame": ("s", 1.5),
    "home": ("s", None),
    "rss": ("MiB", 165),
    "idle_cpu": ("%", 3),
    "frame_p99": ("ms", 16),
}
"""Row -> unit and aim."""
HISTORY_PAYMENTS: Final = 10_000
"""History is told for so many."""
QUEUE: Final = 1_000
"""Payments that are shown while frames are measured."""
TIMEOUT_S: Final = 180

_HISTORY, _HISTORY_QUICK = (1_000, 3), (200, 1)
_LEFT_BEHIND = shutil.ignore_patterns("node.sock", "lock", "*.log*", "backups")


def run(options: BenchOptions) -> list[Row]:
    """Measure; nothing where there is no Kivy to draw with."""
    if importlib.util.find_spec("kivy") is None:
        options.progress("there is no Kivy here, so the app is not measured")
        return []
    count, queues = _HISTORY_QUICK if options.quick else _HISTORY
    with tempfile.TemporaryDirectory(prefix="supervm-bench-", dir=options.directory) as name:
        folder = Path(name)
        trio.run(drained_queues, folder, count, queues, options.progress)
        [phone] = [path.parent for path in folder.rglob(WALLET_FILE)]
        [passphrase] = folder.rglob(PASSPHRASE_FILE)
        size = sum(path.stat().st_size for path in phone.iterdir() if ".sqlite" in path.name)
        found = []
        for number in range(1 if options.quick else options.rounds):
            options.progress(f"the app, round {number + 1}")
            at_rest = _once(phone, passphrase, folder / f"rest{number}", 0)
            at_work = _once(phone, passphrase, folder / f"work{number}", QUEUE)
            found.append(at_rest | {"frame_p99": at_work["frame_p99"]})
    return [*_rows(found), Row("app.history", short(_mib(size, count * queues)), "MiB", None, None, 1)]


def _rows(found: list[dict[str, float]]) -> list[Row]:
    rows = []
    for name, (unit, limit) in LIMITS.items():
        value = statistics.median(each[name] for each in found)
        ratio = None if limit is None else short(limit / value)
        rows.append(Row(f"app.{name}", short(value), unit, limit, ratio, len(found)))
    return rows


def _mib(size: int, payments: int) -> float:
    """Return the MiB that `HISTORY_PAYMENTS` take where so many take `size` bytes."""
    return size * HISTORY_PAYMENTS / payments / 2**20


def _once(phone: Path, passphrase: Path, folder: Path, payments: int) -> dict[str, float]:
    """Start the app on a copy of a phone's folder; return what it tells: of itself at rest, or at so many payments.

    A graphics chip draws on a phone. Here that is done in software: by the app's thread while it is at rest, so that
    memory is the app's own, and by other threads at work, so that the CPU of its thread is what the app itself uses.
    """
    shutil.copytree(phone, folder, ignore=_LEFT_BEHIND)
    environment = {**os.environ, "SDL_VIDEODRIVER": "offscreen"}
    if not payments:
        environment["LP_NUM_THREADS"] = "0"
    environment.pop("DISPLAY", None)
    command = [sys.executable, "-m", "supervm.tier_l4_mobile.bench.app_process", str(folder), str(passphrase)]
    done = subprocess.run(
        [*command, str(payments), str(time.monotonic())],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise CommonError(f"the app ended with status {done.returncode}: {last[:200]}")
    told: dict[str, float] = json.loads(done.stdout)
    return told
