"""The kinds of ``[[fault]]``: what happens, whether it lasts, and the keys of each, said once.

The reader takes keys, bounds and defaults from here, the player (`disturb.faults`) has a method for each kind and asks
here whether it lasts and whether it can stop blocks, and the two tables of docs/simulator.md are `kind_lines` and
`key_lines`. A new kind is an entry here, a method there, and these lines copied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ..boundaries import BOUNDARIES
from .keys import AT, DAY_MS, DAY_S, WHO, Key

FOR: Final = Key("seconds", 0, "how long it lasts; 0: until the end", 0, 366 * DAY_S)
DOWN: Final = Key("seconds", 1_000_000, "time until the node is switched on again; 0: never", 0, 366 * DAY_S)


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One kind.

    Attributes:
        help: what happens, in Markdown, as docs/simulator.md says it.
        own: its own keys, besides ``at_s``, ``who`` and, if it lasts, ``for_s``.
        lasts: whether it has a duration, ``for_s``, and an end; else it is a moment, after which nodes are off for
            ``down_s``.
        stops_blocks: whether blocks may stop while it lasts, so that the time to the next one after it is of interest.
    """

    help: str
    own: Mapping[str, Key] = field(default_factory=dict)
    lasts: bool = True
    stops_blocks: bool = False

    @property
    def keys(self) -> Mapping[str, Key]:
        """All keys besides ``kind``, in the order in which they are read."""
        return {"at_s": AT, **({"for_s": FOR} if self.lasts else {}), "who": WHO, **self.own}


FAULTS: Final[Mapping[str, FaultKind]] = {
    "crash": FaultKind("power off; on again after `for_s`", stops_blocks=True),
    "stop": FaultKind("an orderly stop; on again after `for_s`", stops_blocks=True),
    "crash-point": FaultKind(
        "power fails the `nth` time that the node passes a `boundary`",
        {
            "boundary": Key("text", None, "where in a step the power fails", choices=BOUNDARIES),
            "nth": Key("int", 1, "the how-manieth passage of the boundary", 1, 1_000_000),
            "down_s": DOWN,
        },
        lasts=False,
    ),
    "partition": FaultKind(
        "nothing passes between these nodes and the rest; packets vanish, connections notice after `dead_after_s`",
        {
            "direction": Key("text", "both", "which way nothing passes", choices=("both", "in", "out")),
            "flap_s": Key("seconds", 0, "cut and mend in turn, this long each; 0: stay cut", 0, DAY_S),
        },
        stops_blocks=True,
    ),
    "link": FaultKind(
        "packets are lost (which over a stream shows as delay) or late",
        {
            "loss_ppm": Key("int", 0, "packets lost on the way, per million; shows as delay", 0, 900_000),
            "extra_ms": Key("int", 0, "delay added each way", 0, 60_000),
        },
        stops_blocks=True,
    ),
    "disk-slow": FaultKind(
        "writes take longer", {"factor": Key("int", 10, "how many times longer a write takes", 1, 1_000_000)}
    ),
    "disk-full": FaultKind(
        "the next write fails, which stops the process; room and power are back after `for_s`", stops_blocks=True
    ),
    "amnesia": FaultKind("power off and the write-ahead log gone", {"down_s": DOWN}, lasts=False),
    "bit-flip": FaultKind(
        "power off and one group of the log damaged",
        {"down_s": DOWN, "record": Key("int", 0, "which record of the log, from its beginning", 0, 1_000_000)},
        lasts=False,
    ),
    "lost-suffix": FaultKind(
        "power off and the newest groups of the log gone although they were durable: a disk that lied",
        {"down_s": DOWN, "records": Key("int", 1, "how many of the log's newest records are gone", 1, 1_000_000)},
        lasts=False,
    ),
    "old-backup": FaultKind(
        "power off and the disk as it was `age_s` ago",
        {"down_s": DOWN, "age_s": Key("seconds", 5_000_000, "age of the backup that is put back", 0, 366 * DAY_S)},
        lasts=False,
    ),
    "database-only": FaultKind(
        "power off, and the database as it was `age_s` ago beside today's log: a backup was restored",
        {
            "down_s": DOWN,
            "age_s": Key("seconds", 5_000_000, "age of the tables put beside today's log", 0, 366 * DAY_S),
        },
        lasts=False,
    ),
    "database-and-log": FaultKind("power off, and database and write-ahead log gone", {"down_s": DOWN}, lasts=False),
    "clock": FaultKind(
        "the clock jumps, and back at the end",
        {"step_ms": Key("int", None, "how far the clock jumps; taken back at the end", -DAY_MS, DAY_MS)},
        stops_blocks=True,
    ),
    "churn": FaultKind(
        "nodes go off and come back by themselves; with `day_s`, off-times grow towards each region's midnight",
        {
            "up_s": Key("seconds", None, "mean time that a node stays on (exponential)", 1, 366 * DAY_S),
            "down_s": Key("seconds", None, "mean time that it stays off by day", 1, 366 * DAY_S),
            "day_s": Key("seconds", 0, "length of a day; the night moves round the globe; 0: no days", 0, 366 * DAY_S),
            "night_factor": Key("int", 1, "how many times longer it stays off at the darkest hour", 1, 1_000),
        },
    ),
}
"""Kinds of ``[[fault]]``."""


def kind_lines() -> list[str]:
    """Return the table of kinds in Markdown."""
    rows = (
        f"| `{name}` | {kind.help} | {', '.join(f'`{key}`' for key in kind.own)} |".replace("|  |", "| |")
        for name, kind in FAULTS.items()
    )
    return ["| kind | what happens | own keys |", "|---|---|---|", *rows]


def key_lines() -> list[str]:
    """Return the table of the kinds' own keys in Markdown."""
    rows = (
        f"| `{name}` | `{key}` | {spec.shown_default} | {spec.allowed} | {spec.help} |"
        for name, kind in FAULTS.items()
        for key, spec in kind.own.items()
    )
    return ["| kind | own key | default | allowed | meaning |", "|---|---|---|---|---|", *rows]
