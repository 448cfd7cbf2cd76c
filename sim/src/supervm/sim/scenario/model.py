"""What a scenario is once it has been read and checked: plain frozen data in integer units.

Times are microseconds since the beginning of the simulated run, rates are per mille of a unit per second, so that
nothing here is a float; only the bounds of ``[expect]`` may be decimal, because they are compared and never fed back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

OptionValue = int | str | bool | tuple[str, ...] | tuple[int, ...]
"""Value of a fault's or adversary's own key; times are microseconds."""


@dataclass(frozen=True, slots=True)
class TierPlan:
    """One tier of the simulated network (simulation.md 4).

    Attributes:
        count: nodes.
        down_bps: access bandwidth towards the node in bits/s; 0: no limit.
        up_bps: access bandwidth from the node; 0: no limit.
        last_mile_us: one-way delay between the node and its region's exchange.
        loss_ppm: packets lost on the last mile, per million; over a stream they show as delay.
        links: how many nodes of the tier above each one dials; 0: all.
        members: how many of the nodes, the first ones, validate from genesis on; 0: all (L1 only).
    """

    count: int
    down_bps: int
    up_bps: int
    last_mile_us: int
    loss_ppm: int
    links: int
    members: int = 0


@dataclass(frozen=True, slots=True)
class Topology:
    """Where nodes stand.

    Attributes:
        regions: names of geography regions; empty: all nodes in one LAN.
        placement: ``spread`` (round robin) or ``random`` (drawn from the seed).
        jitter: whether delays vary as measured (p50 to p90), or stay at the median.
        find_peers: whether all nodes find their peers, and are in the directory.
    """

    regions: tuple[str, ...]
    placement: str
    jitter: bool
    find_peers: bool


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a machine takes for its work, in us.

    Attributes:
        write_us: until a write is durable.
        write_jitter_us: most that a write may take longer.
        step_us: CPU time of one input.
        verify_us: CPU time of one signature check made inside a node.
        dead_after_us: silence after which a connection counts as dead.
    """

    write_us: int
    write_jitter_us: int
    step_us: int
    verify_us: int
    dead_after_us: int


@dataclass(frozen=True, slots=True)
class Sweep:
    """One run per value of one key.

    Attributes:
        key: dotted path as for ``--set``.
        values: TOML values as text.
    """

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Workload:
    """What the phones are asked to do.

    Attributes:
        payments_per_1000s: payments of all phones together, per 1,000 s.
        balances_per_1000s: questions for somebody's proved balance, likewise.
        lookups_per_1000s: questions for another node, likewise.
        lookups_of: nodes that are looked for by their ids; selectors.
        lookups_as: ``popular`` (the n-th one n times as seldom as the first) or ``even``.
        lookups_any_percent: share of questions that any three edges with room for work answer.
        arrivals: ``even`` or ``random`` (exponential gaps).
        amount_min, amount_max, fee_min, fee_max: grain, drawn evenly.
        senders: which phones are asked; a selector.
        accounts: accounts of each phone.
        assets: assets beside the native one; with some, a payment moves any of them and pays its fee in any.
        start_us, stop_us: when asking begins and ends.
        validity_us: how long a payment may take to execute.
    """

    payments_per_1000s: int
    balances_per_1000s: int
    lookups_per_1000s: int
    lookups_of: tuple[str, ...]
    lookups_as: str
    lookups_any_percent: int
    arrivals: str
    amount_min: int
    amount_max: int
    fee_min: int
    fee_max: int
    senders: tuple[str, ...]
    accounts: int
    assets: int
    start_us: int
    stop_us: int
    validity_us: int


@dataclass(frozen=True, slots=True)
class Fault:
    """One entry of ``[[fault]]``: what goes wrong, when, for whom.

    Attributes:
        kind: a key of `faults.FAULTS`.
        at_us: when it begins.
        for_us: how long it lasts; 0: until the end.
        who: selectors of the nodes it strikes.
        options: the kind's own keys.
        line: where it stands in its file.
    """

    kind: str
    at_us: int
    for_us: int
    who: tuple[str, ...]
    options: Mapping[str, OptionValue]
    line: int

    def number(self, key: str) -> int:
        """Value of a key of the kind that holds a number; times are us."""
        value = self.options[key]
        return value if isinstance(value, int) else 0

    def word(self, key: str) -> str:
        """Value of a key of the kind that holds a text."""
        return str(self.options[key])

    @property
    def end_us(self) -> int | None:
        """When it is over, or None."""
        return self.at_us + self.for_us if self.for_us else None


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of ``[[change]]``: the validators that the operators of all honest L1 nodes approve for the next epoch.

    Attributes:
        kind: a key of `keys.CHANGES`.
        at_us: when they say so.
        who: selectors of the next validators.
        weights: of each of them in the order of their names, or one weight of all.
        line: where it stands in its file.
    """

    kind: str
    at_us: int
    who: tuple[str, ...]
    weights: tuple[int, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Adversary:
    """One entry of ``[[adversary]]``: nodes that do what their kind's name says, from the beginning."""

    kind: str
    who: tuple[str, ...]
    options: Mapping[str, OptionValue]
    line: int

    def number(self, key: str) -> int:
        """Value of a key of the kind that holds a number; times are us."""
        value = self.options[key]
        return value if isinstance(value, int) else 0


@dataclass(frozen=True, slots=True)
class Bound:
    """One line of ``[expect]``.

    Attributes:
        name: the key as written, ``METRIC_min``, ``METRIC_max`` or ``METRIC_is``.
        metric: name in the summary of the metrics.
        direction: ``min``, ``max`` or ``is``.
        target: the bound.
        line: where it stands.
    """

    name: str
    metric: str
    direction: str
    target: Fraction
    line: int


@dataclass(frozen=True, slots=True)
class Scenario:
    """A checked scenario.

    Attributes:
        name: what people call it.
        question: what a run answers.
        claim: the figure that the design claims, with its source; may be empty.
        source: the file or library name it came from.
        text: the file's text with what ``--set`` changed appended, for the report.
        engine: ``exact``.
        duration_us: simulated time after the network came up, which takes `settle_us`.
        view_timeout_ms, block_interval_ms, idle_interval_ms, epoch_us: parameters of the simulated chain.
        topology, hardware, tiers, workload, faults, changes, adversaries, sweep, expect: its tables.
        sample_us: time between two samples of heights and views.
        report_title: heading of the report.
    """

    name: str
    question: str
    claim: str
    source: str
    text: str
    engine: str
    duration_us: int
    settle_us: int
    view_timeout_ms: int
    block_interval_ms: int
    idle_interval_ms: int
    epoch_us: int
    topology: Topology
    hardware: Hardware
    tiers: tuple[TierPlan, TierPlan, TierPlan, TierPlan]
    workload: Workload
    faults: tuple[Fault, ...]
    changes: tuple[Change, ...]
    adversaries: tuple[Adversary, ...]
    sweep: Sweep | None
    expect: tuple[Bound, ...]
    sample_us: int
    report_title: str

    def tier(self, number: int) -> TierPlan:
        """The plan of tier 1..4."""
        return self.tiers[number - 1]
