"""``supervm bench sides``: our link beside plain TCP and py-libp2p's, two processes each, in turn in one run.

Each round every stack's two processes are started anew, connect once over loopback, and say the same to each other
(`sides.talk`): echoes of 200 bytes one at a time, messages of 200 bytes one way, frames of 64 KiB one way. Plain TCP
without encryption is the limit, the ratio of each row is to it. py-libp2p (TCP, Noise, yamux) is measured where
`PEER_PYTHON` names an interpreter that has it: as it ships, where each connection waits 250 ms for a timer, and without
that timer.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..errors import CommonError
from .measure import BenchOptions, Row, short

PEER_PYTHON: Final = "SUPERVM_LIBP2P_PYTHON"
"""Environment variable: the interpreter of an environment with ``libp2p``, e.g. ``/tmp/peer/bin/python``."""
TALK_S: Final = 120.0
FIGURES: Final = (
    ("connect", "connect_s", "ms", 1e3),
    ("echoes", "echoes_per_s", "echoes/s", 1.0),
    ("messages", "messages_per_s", "messages/s", 1.0),
    ("bulk", "bytes_per_s", "MB/s", 1e-6),
)
"""Name of the row, field of `Talk`, unit, factor."""
LIMIT: Final = "tcp"


@dataclass(frozen=True, slots=True)
class Side:
    """A stack.

    Attributes:
        name: in the rows' names.
        command: what is run, twice.
        path: where its interpreter finds the folder of sides; empty: it has it.
    """

    name: str
    command: tuple[str, ...]
    path: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """What the processes are started with."""
        return {**os.environ, "PYTHONPATH": self.path} if self.path else dict(os.environ)


def stacks() -> list[Side]:
    """Return what is measured here."""
    package = f"{__package__}.sides"
    found = [
        Side(LIMIT, (sys.executable, "-m", f"{package}.tcp_side")),
        Side("supervm", (sys.executable, "-m", f"{package}.driver_side")),
    ]
    python = os.environ.get(PEER_PYTHON)
    if python:
        command, path = (python, "-m", "sides.libp2p_side"), str(Path(__file__).parent)
        found += [Side("libp2p", command, path), Side("libp2p_no_timer", (*command, "--no-dial-timer"), path)]
    return found


def run(options: BenchOptions) -> list[Row]:
    """Measure every stack in turn, round after round.

    Raises:
        CommonError: one of them does not work.
    """
    sides = stacks()
    if len(sides) == 2:
        options.progress(f"without py-libp2p: {PEER_PYTHON} names no interpreter that has it")
    talks: dict[str, list[dict[str, float]]] = {side.name: [] for side in sides}
    for number in range(options.rounds):
        for side in sides:
            options.progress(f"round {number + 1} of {options.rounds}: {side.name}")
            talks[side.name].append(talk_of(side, quick=options.quick))
    return rows_of(talks)


def rows_of(talks: dict[str, list[dict[str, float]]]) -> list[Row]:
    """Return the rows: medians, each beside the limit's."""
    rows = []
    for name, said in talks.items():
        for figure, key, unit, factor in FIGURES:
            value, limit = (statistics.median(one[key] for one in talks[which]) for which in (name, LIMIT))
            if name == LIMIT:
                rows.append(Row(f"sides.{name}.{figure}", short(value * factor), unit, None, None, len(said)))
                continue
            ratio = limit / value if figure == "connect" else value / limit
            row = Row(
                f"sides.{name}.{figure}", short(value * factor), unit, short(limit * factor), short(ratio), len(said)
            )
            rows.append(row)
    return rows


def talk_of(side: Side, *, quick: bool) -> dict[str, float]:
    """Run a stack's two processes and return what they say of themselves.

    Raises:
        CommonError: one does not work, or takes more than `TALK_S`.
    """
    server = subprocess.Popen(
        [*side.command, "serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=side.environment,
    )
    try:
        assert server.stdout is not None, "it was asked for"
        where = server.stdout.readline().strip()
        if not where:
            raise CommonError(f"the benchmark's {side.name} does not start: {' '.join(side.command)} serve")
        return _talk([*side.command, "talk", where, *(["--quick"] if quick else [])], side)
    finally:
        server.kill()
        server.communicate()


def _talk(command: Sequence[str], side: Side) -> dict[str, float]:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TALK_S, check=True, env=side.environment)
        found = json.loads(done.stdout)
    except subprocess.CalledProcessError as error:
        raise CommonError(f"the benchmark's {side.name} fails: {str(error.stderr).strip()[-200:]}") from error
    except (subprocess.TimeoutExpired, ValueError) as error:
        raise CommonError(f"the benchmark's {side.name} gives no result within {TALK_S:g} s") from error
    return {str(key): float(value) for key, value in found.items()}
