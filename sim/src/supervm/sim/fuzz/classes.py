"""The classes of faults that the fuzzer draws from: what each does, whom it asks about, and what its values stand for.

A fault of a run is a *choice*, an integer that says everything about it. This table is the one place that says which
integers there are: `chaos` and `cast` draw by it, `config` turns its classes on and off, a case with another class is
refused, and the table of docs/simulator.md is `lines`. The order is part of every seed: a class that is new comes last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from ..boundaries import BOUNDARIES
from ..errors import SimulationError

if TYPE_CHECKING:
    from ..exact import Stream

STEP_MS: Final = 50
"""Unit of durations in values of choices, a *step*."""
SPANS: Final = (20, 60, 60, 160, 400)
"""Longest durations of cuts, in steps; the longest outlive a connection."""


class Draw(Protocol):
    """How a value is drawn, once it is sure that the fault happens."""

    def __call__(self, stream: Stream, nodes: int) -> int:
        """Return a value, never 0, in a run of so many nodes."""

    @property
    def shown(self) -> str:
        """The values that there are, for people."""


@dataclass(frozen=True, slots=True)
class Between:
    """A number of `low`, which is 1 or more, to `high`."""

    low: int
    high: int

    def __call__(self, stream: Stream, nodes: int) -> int:
        """Draw it."""
        return stream.between(self.low, self.high)

    @property
    def shown(self) -> str:
        """The bounds."""
        return f"{self.low} to {self.high}"


@dataclass(frozen=True, slots=True)
class Pair:
    """Another node, and for how long: ``1 + node + nodes * (steps - 1)``, of at most one of `SPANS` steps."""

    def __call__(self, stream: Stream, nodes: int) -> int:
        """Draw it."""
        return 1 + stream.below(nodes * stream.pick(SPANS))

    @property
    def shown(self) -> str:
        """How it is made up."""
        return f"1 + node + nodes * (steps - 1), 1 to {max(SPANS)} steps"


@dataclass(frozen=True, slots=True)
class Sides:
    """A side for each node: bit i of the value is that of node i. One more than random bits, and so never 0."""

    def __call__(self, stream: Stream, nodes: int) -> int:
        """Draw it."""
        return 1 + stream.bits(nodes)

    @property
    def shown(self) -> str:
        """How it is made up."""
        return "bit i is the side of node i"


@dataclass(frozen=True, slots=True)
class FaultClass:
    """One class.

    Attributes:
        help: what happens, in Markdown.
        about: whom every tick asks about; empty: the class is no matter of ticks.
        draw: which values there are; None: none is drawn under its name.
        value: what the value stands for.
        rare: so many times rarer than the run's `rate_ppm`.
        like: kinds of ``[[fault]]`` that do the same in a scenario.
        is_drawn: whether the swarm turns it on; else only who asks for it.
    """

    help: str
    about: str = ""
    draw: Draw | None = None
    value: str = ""
    rare: int = 1
    like: tuple[str, ...] = ()
    is_drawn: bool = True


CLASSES: Final[Mapping[str, FaultClass]] = {
    "crash": FaultClass(
        "a node goes off",
        "each node",
        Between(1, 60),
        "steps; of a multiple of 4 its peers hear nothing, and give it up by themselves",
        like=("crash",),
    ),
    "trap": FaultClass(
        "power fails at a boundary",
        "each node",
        Between(1, 12 * len(BOUNDARIES)),
        f"`(value - 1) % {len(BOUNDARIES)}` is the boundary, `(value - 1) // {len(BOUNDARIES)} + 1` its `nth`",
        like=("crash-point",),
    ),
    "power": FaultClass(
        "all validators go off", "all", Between(1, 40), "steps, and up to two more for some", like=("crash",)
    ),
    "cut": FaultClass(
        "nothing passes between two nodes", "each node", Pair(), "even: connections are reset", like=("partition",)
    ),
    "one-way": FaultClass("nothing passes from a node to another", "each node", Pair(), like=("partition",)),
    "partition": FaultClass(
        "nothing passes between two halves",
        "all",
        Sides(),
        "the choice `partition-span` has the steps",
        like=("partition",),
    ),
    "slow": FaultClass(
        "the way to a node takes longer, until the end",
        "each node",
        Pair(),
        f"{STEP_MS * 300 // 1000} ms for each step",
        rare=2,
        like=("link",),
    ),
    "loss": FaultClass("messages are lost and sent again, `loss_ppm` of them", like=("link",)),
    "clock": FaultClass(
        "a clock jumps, until the end",
        "each node",
        Between(1, 5_000),
        "half of it is ms; odd: forward, even: back",
        rare=3,
        like=("clock",),
    ),
    "disk-slow": FaultClass(
        "writes take longer, for 40 steps",
        "each node",
        Between(1, 100),
        "so many times longer, and once",
        rare=2,
        like=("disk-slow",),
    ),
    "disk-full": FaultClass(
        "the next write fails", "each node", Between(1, 40), "steps until there is room", rare=4, like=("disk-full",)
    ),
    "amnesia": FaultClass(
        "a validator goes off, and its write-ahead log is gone",
        "each L1",
        Between(1, 20),
        "steps; a multiple of 3: the database is gone as well",
        rare=2,
        like=("amnesia", "database-and-log"),
    ),
    "damage": FaultClass(
        "a validator's disk lies: it counts as faulty; the first time only a backup is made",
        "each L1",
        Between(1, 24),
        "steps; odd: so many of the newest records are gone, even: the backup is back",
        rare=2,
        like=("lost-suffix", "old-backup"),
    ),
    "byzantine": FaultClass("validators play adversaries, less than a third of the weight (choice `actor`)"),
    "twins": FaultClass(
        "a validator runs twice from the beginning", draw=Between(1, 1 << 30), value="seed of who sees which of the two"
    ),
    "bad-miner": FaultClass("a miner plays an adversary (choice `actor`)"),
    "bad-edge": FaultClass("an edge plays an adversary (choice `actor`)"),
    "bad-phone": FaultClass("a phone plays an adversary (choice `actor`)"),
    "same-wallet": FaultClass("two phones have one wallet", value="1"),
    "busy": FaultClass("writes take three times longer from the beginning", like=("disk-slow",)),
    "noise": FaultClass(
        "a node says what no program of ours would", "each node", Between(1, 1 << 30), "seed of the outburst"
    ),
    "set-change": FaultClass(
        "operators agree on other validators",
        "all",
        Between(1, 1 << 30),
        "seed of the set; a multiple of 8: they take it back",
    ),
    "database-only": FaultClass(
        "a validator goes off, and an old database is put beside today's log",
        "each L1",
        Between(1, 24),
        "steps; the first, and a multiple of 6: only a backup is made",
        like=("database-only",),
    ),
    "late-twin": FaultClass(
        "a validator's key is started a second time, later", draw=Between(40, 80), value="100 ms after the first"
    ),
    "rot": FaultClass(
        "an account in the memory of a validator or miner has a grain more",
        "each L1 and L2",
        Between(1, 1 << 16),
        "which account",
        rare=4,
        is_drawn=False,
    ),
}
"""Classes of faults."""
DRAWN: Final = tuple(name for name, class_ in CLASSES.items() if class_.is_drawn)
"""Those that the swarm turns on, each in about every other run."""


def check_classes(names: Iterable[str]) -> None:
    """Refuse classes that there are not: one that is ignored in silence makes a run answer another question.

    Raises:
        SimulationError: there is none of a name.
    """
    unknown = [name for name in names if name not in CLASSES]
    if unknown:
        raise SimulationError(f"there is no class of faults {', '.join(unknown)}; there are {', '.join(CLASSES)}")


def lines() -> list[str]:
    """Return the table of classes in Markdown."""
    rows = []
    for name, class_ in CLASSES.items():
        asked = class_.about + (f", 1/{class_.rare} as often" if class_.rare > 1 else "")
        values = ["" if class_.draw is None else class_.draw.shown, class_.value]
        like = ", ".join(f"`{kind}`" for kind in class_.like)
        cells = (f"`{name}`", class_.help, asked, "; ".join(filter(None, values)), like)
        rows.append("| " + " | ".join(cells).replace("|  |", "| |").replace("|  |", "| |") + " |")
    return [
        "| class | what happens | asked at each tick | value of the choice | in a scenario |",
        "|---|---|---|---|---|",
        *(row.replace("  |", " |") for row in rows),
    ]
