"""Every key that a scenario file may hold, for the exact engine: kind, unit, bounds, default and meaning.

This table is what validates a file, what an error lists as allowed, and what docs/simulator.md is checked against; the
keys of ``[[fault]]`` stand in `faults`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

_SCALES: Final = {"int": 1, "seconds": 1_000_000, "rate": 1_000}
"""How much what is read is of the unit of the file."""

Read = int | str | bool | tuple[str, ...] | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Key:
    """One key.

    Attributes:
        kind: ``int``, ``text``, ``bool``, ``texts`` (a list of texts), ``ints``, ``seconds`` (read as us) or ``rate``
            (per second, read as per 1,000 s).
        default: what an absent key means, as read; None: the key must be there.
        help: one line for people.
        minimum, maximum: bounds of numbers, in the unit of the file.
        choices: the only texts allowed; empty: any.
    """

    kind: str
    default: Read | None
    help: str
    minimum: int = 0
    maximum: int = 2**53
    choices: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        """What is allowed, for people."""
        texts = f"one of {', '.join(self.choices)}" if self.choices else "a text in quotes"
        numbers = f"from {self.minimum} to {self.maximum}"
        return {
            "int": f"a whole number {numbers}",
            "bool": "true or false",
            "text": texts,
            "texts": f"a list, each {texts}",
            "ints": f"a list, each a whole number {numbers}",
            "seconds": f"a number of seconds {numbers}, with at most 6 decimals",
            "rate": f"a number per second {numbers}, with at most 3 decimals",
        }[self.kind]

    @property
    def shown_default(self) -> str:
        """What an absent key means, for people, in the unit of the file."""
        match self.default:
            case None:
                return "must be there"
            case bool() as value:
                return "`true`" if value else "`false`"
            case str() as value:
                return f'`"{value}"`'
            case tuple() as values:
                return f"`[{', '.join(map(str, values))}]`"
        return f"`{Decimal(self.default) / _SCALES[self.kind]:f}`"

    def read(self, value: Any) -> Read | None:
        """Return the value as the simulator uses it, or None if it is not allowed; decimals come as `Decimal`."""
        if self.kind == "bool":
            return value if type(value) is bool else None
        if self.kind == "text":
            return value if type(value) is str and (not self.choices or value in self.choices) else None
        if self.kind == "texts":
            if type(value) is not list or any(type(item) is not str for item in value):
                return None
            return tuple(value) if all(not self.choices or item in self.choices for item in value) else None
        if self.kind == "ints":
            if type(value) is not list or any(type(item) is not int for item in value):
                return None
            return tuple(value) if all(self.minimum <= item <= self.maximum for item in value) else None
        if type(value) is Decimal and self.kind != "int" and value.is_finite():
            number = value
        elif type(value) is int:
            number = Decimal(value)
        else:
            return None
        if not self.minimum <= number <= self.maximum:
            return None
        scaled = number * _SCALES[self.kind]
        return int(scaled) if scaled == int(scaled) else None


DAY_S: Final = 86_400
DAY_MS: Final = 1_000 * DAY_S
WHO: Final = Key("texts", None, "the nodes; see docs/simulator.md, Naming nodes")
AT: Final = Key("seconds", None, "when it begins, seconds of the run", 0, 366 * DAY_S)

TABLES: Final[Mapping[str, Mapping[str, Key]]] = {
    "scenario": {
        "name": Key("text", None, "what people call it"),
        "question": Key("text", None, "the question that a run answers"),
        "claim": Key("text", "", "the figure that is claimed, with its source"),
        "engine": Key("text", "exact", "which engine runs it", choices=("exact", "scale")),
        "duration_s": Key("seconds", None, "simulated seconds after the network has come up", 1, 366 * DAY_S),
        "settle_s": Key("seconds", 3_000_000, "seconds for connections to come up before the run begins", 0, 600),
        "view_timeout_ms": Key("int", 400, "chain parameter: how long a leader may take at first", 10, 60_000),
        "block_interval_ms": Key("int", 500, "chain parameter: gap between blocks of a busy chain", 10, 60_000),
        "idle_interval_ms": Key("int", 10_000, "chain parameter: the beat of an idle chain", 10, 3_600_000),
        "epoch_s": Key("seconds", 3_600_000_000, "chain parameter: time until an epoch is closed", 1, 366 * DAY_S),
    },
    "topology": {
        "regions": Key("texts", (), "regions of the geography; an empty list puts all nodes into one LAN"),
        "placement": Key("text", "spread", "how nodes get their region", choices=("spread", "random")),
        "jitter": Key("bool", True, "whether delays vary as measured, or stay at their median"),
        "find_peers": Key("bool", False, "whether all nodes find their peers, and are in the directory"),
    },
    "hardware": {
        "write_us": Key("int", 300, "time until a write is durable", 1, 10_000_000),
        "write_jitter_us": Key("int", 0, "most that a write may take longer", 0, 10_000_000),
        "step_us": Key("int", 0, "CPU time that one input keeps a node busy", 0, 10_000_000),
        "verify_us": Key("int", 0, "CPU time of a signature check inside a node; about 38 on a core of 2024", 0, 10**7),
        "dead_after_s": Key("seconds", 15_000_000, "silence after which a connection counts as dead", 1, DAY_S),
    },
    "workload": {
        "payments_per_s": Key("rate", 0, "payments of all phones together", 0, 1_000_000),
        "balances_per_s": Key("rate", 0, "questions for another account's proved balance", 0, 1_000_000),
        "lookups_per_s": Key("rate", 0, "questions for another node, by all phones together; find_peers", 0, 1_000_000),
        "lookups_of": Key("texts", ("l4",), "the nodes that are looked for by their ids"),
        "lookups_as": Key(
            "text",
            "popular",
            "whom of them: the n-th one n times as seldom, or each alike",
            choices=("popular", "even"),
        ),
        "lookups_any_percent": Key("int", 0, "share of questions for any three edges that take work", 0, 100),
        "arrivals": Key("text", "random", "gaps between them", choices=("even", "random")),
        "amount_min": Key("int", 1, "grain", 1, 10**12),
        "amount_max": Key("int", 1_000, "grain", 1, 10**12),
        "fee_min": Key("int", 1, "grain", 1, 10**12),
        "fee_max": Key("int", 100, "grain", 1, 10**12),
        "senders": Key("texts", ("l4",), "the phones that pay and ask"),
        "accounts": Key("int", 1, "accounts of each phone, each with 10^12 grain", 1, 100),
        "assets": Key("int", 0, "assets beside the native one, of which each account has 10^12", 0, 16),
        "start_s": Key("seconds", 0, "when payments begin", 0, 366 * DAY_S),
        "stop_s": Key("seconds", 0, "when they end; 0: half way, so that the last can finish", 0, 366 * DAY_S),
        "validity_s": Key("seconds", 345_600_000_000, "how long a payment may take to execute", 5, 7 * DAY_S),
    },
    "report": {
        "title": Key("text", "", "heading of the report; empty: the scenario's name"),
        "sample_s": Key("seconds", 250_000, "time between two samples of heights and views", 0, DAY_S),
    },
    "sweep": {
        "key": Key("text", None, "the key that differs from run to run, as for --set"),
        "values": Key("texts", None, "its values"),
    },
}
"""Plain tables -> their keys; ``[tiers.lN]`` is `tier_keys`, ``[expect]`` is `expect.SUMMARY`."""

REQUIRED: Final = ("scenario", "tiers")

_LINKS: Final = {2: 0, 3: 4, 4: 3}
_TIER_DEFAULTS: Final = {
    # count, down and up Mbit/s, last mile us, loss ppm; sources in simulation.md 4
    1: (4, 1000, 1000, 90, 0, "IBM Cloud: 0.09 ms round trip in a zone"),
    2: (1, 100, 50, 3_000, 0, "EIP-7870 attester to full node"),
    3: (1, 98, 53, 4_500, 0, "Ookla fixed median, January 2025"),
    4: (2, 62, 11, 17_500, 10_000, "Ookla mobile, 2020 to 2024"),
}
COUNTS_MAX: Final = {1: 128, 2: 4_096, 3: 10_000, 4: 30_000}


def tier_keys(tier: int) -> Mapping[str, Key]:
    """Return the keys of ``[tiers.lN]``; the defaults are those of simulation.md 4."""
    count, down, up, last_mile_us, loss_ppm, source = _TIER_DEFAULTS[tier]
    links = (
        {"links": Key("int", _LINKS[tier], "nodes of the tier above that each dials, nearest first; 0: all", 0, 10_000)}
        if tier > 1
        else {
            "members": Key(
                "int", 0, "how many of them, the first ones, validate from genesis on; 0: all", 0, COUNTS_MAX[1]
            )
        }
    )
    return {
        "count": Key("int", count, "nodes", 0 if tier > 2 else 1, COUNTS_MAX[tier]),
        "down_mbit_per_s": Key("int", down, f"bandwidth towards the node ({source}); 0: no limit", 0, 1_000_000),
        "up_mbit_per_s": Key("int", up, f"bandwidth from the node ({source}); 0: no limit", 0, 1_000_000),
        "last_mile_us": Key("int", last_mile_us, f"one-way delay to the region's exchange ({source})", 0, 10_000_000),
        "loss_ppm": Key("int", loss_ppm, "packets lost on the last mile, per million", 0, 900_000),
        **links,
    }


CHANGES: Final[Mapping[str, Mapping[str, Key]]] = {
    "validators": {
        "at_s": AT,
        "who": WHO,
        "weights": Key("ints", (1,), "weight of each, in the order of the nodes; a single one: of all", 1, 10**9),
    },
}
"""Kinds of ``[[change]]`` -> their keys; ``kind`` itself comes on top."""

ADVERSARY: Final[Mapping[str, Key]] = {
    "who": Key("texts", ("f",), "the nodes; `f`: as many as may be faulty in the actor's tier"),
}
"""Keys of every ``[[adversary]]`` besides ``kind``."""

ADVERSARIES_APART: Final[Mapping[str, Mapping[str, Key]]] = {
    "twins": {},
    "late-twin": {
        "late_s": Key("seconds", 5_000_000, "how long after the node its copy is switched on", 0, 366 * DAY_S),
        "listen_s": Key("seconds", 5_000_000, "how long the copy listens for its key; 0: it votes at once", 0, 3_600),
    },
    "database-restorer": {},
}
"""Kinds of ``[[adversary]]`` that are validators without being actors of `supervm.sim.exact`, and their own keys."""
