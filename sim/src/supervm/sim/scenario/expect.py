"""``[expect]``: bounds on the summary of a run, which decide the exit status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from .model import Bound

DIRECTIONS: Final = {"min": ">=", "max": "<=", "is": "="}

_LEVELS: Final = ("r0", "r1", "r3", "r4")
_QUANTILES: Final = ("p50", "p90", "p99")

SUMMARY: Final[Mapping[str, str]] = {
    **{
        f"{level}_ms_{quantile}": f"{level.upper()} as the paying phone sees it, {quantile} in ms after it was asked"
        for level in _LEVELS
        for quantile in _QUANTILES
    },
    **{
        f"{level}_units_{quantile}": f"{level.upper()} from the sealing of the batch, {quantile} in quorum delays"
        for level in ("r1", "r3", "r4")
        for quantile in ("p50", "p99")
    },
    "r3_net_units_p50": "R3 from the sealing, without the wait for the next proposal, in quorum delays",
    "r4_net_units_p50": "R4 likewise",
    "unit_ms": "the quorum delay: median over validators of the one-way delay to their q-th nearest, in ms",
    "payments": "payments asked for",
    "payments_r4": "payments whose execution was proved to their phone",
    "payments_r4_percent": "the same as a share of all",
    "payments_refused": "payments refused",
    "payments_expired": "payments expired",
    "payments_open": "payments without a fate at the end",
    "height_min": "lowest executed height among the L1 nodes that run and are honest",
    "height_max": "highest executed height",
    "height_spread": "difference of the two",
    "blocks_per_s": "blocks executed per second by the validator that is furthest",
    "block_gap_ms_p50": "time between two blocks at the first validator to execute them, median",
    "block_gap_ms_max": "the longest such time",
    "heal_to_block_ms": "longest time from the end of a fault that stopped blocks to the next block",
    "views_per_block": "views used per block: 1 when no leader is skipped",
    "epochs": "epochs that have ended",
    "set_changes": "epochs that began with other validators or other weights than the one before",
    "epoch_change_ms_p50": "from the block that closes an epoch to the first block of the next one, median",
    "epoch_change_ms_max": "the longest time from the block that closes an epoch to the first block of the next one",
    "closing_r4_ms_p50": "R4 of the payments that were asked for while an epoch changed, median",
    "closing_r4_ms_p99": "likewise, p99",
    "phones_epoch_min": "lowest epoch whose validators an honest phone that is on has verified",
    "forks": "heights at which two honest nodes computed different states",
    "halted": "honest nodes that stopped themselves",
    "solvency_alarms": "payments that were certified and could not be executed",
    "evidence": "proofs of misbehaviour that honest validators published",
    "supply_errors": "honest validators with an asset of which there is more or less than its supply",
    "fee_errors": "honest validators at the same height whose fee totals differ",
    "fees": "grain of fees paid by executed transactions",
    "messages": "messages delivered",
    "bytes": "bytes of frames delivered",
    "messages_per_payment": "messages delivered per proved payment",
    "bytes_per_payment": "bytes delivered per proved payment",
    "l1_egress_kbit_per_s_max": "mean egress of the validator that sends most",
    "cache_hit_percent": "account questions that edges answered from their cache",
    "balances": "balance questions answered",
    "balances_proved_percent": "of those, answered with a valid proof",
    "balance_ms_p50": "time to a proved balance, median",
    "balance_ms_p99": "likewise, p99",
    "lookups": "questions of phones for other nodes that were answered",
    "lookups_open": "such questions without an answer at the end",
    "lookups_found_percent": "of those answered, the share to which a node was named",
    "lookups_l4_percent": "of those with a node, answered from the phone's own table",
    "lookups_l3_percent": "likewise, by an edge",
    "lookups_l2_percent": "likewise, by a miner",
    "lookups_l1_percent": "likewise, by a validator",
    "lookups_edge_hit_percent": "of those that an edge was asked, answered without asking a miner",
    "lookups_miner_hit_percent": "of those that a miner was asked, answered without asking a validator",
    "lookup_ms_mean": "time to an answer with a node, mean",
    "lookup_ms_p50": "likewise, median",
    "lookup_ms_p99": "likewise, p99",
    "crashes": "times that a node was switched off by force",
    "starts": "times that a node was switched on",
    "adversary_acts": "how often the adversaries did what they are named for",
    "observers": "honest validators that found their own log unfit at the end and only watch",
}
"""Metric -> meaning; with ``_min``, ``_max`` or ``_is`` behind it, a key of ``[expect]``."""


def split_name(name: str) -> tuple[str, str] | None:
    """Return metric and direction of a key of ``[expect]``, or None if there is no such metric."""
    metric, _, direction = name.rpartition("_")
    return (metric, direction) if metric in SUMMARY and direction in DIRECTIONS else None


def bound_of(value: Any) -> Fraction | None:
    """Return a TOML number as an exact fraction; None if it is no finite number."""
    if type(value) is int:
        return Fraction(value)
    return Fraction(value) if type(value) is Decimal and value.is_finite() else None


def holds(bound: Bound, value: float | None) -> bool:
    """Return whether a measured value satisfies its bound; what was not measured satisfies none."""
    if value is None:
        return False
    measured = Fraction(value)
    if bound.direction == "min":
        return measured >= bound.target
    return measured <= bound.target if bound.direction == "max" else measured == bound.target


def judge(bounds: Sequence[Bound], summary: Mapping[str, float | None]) -> list[dict[str, Any]]:
    """Return one row ``{"name", "target", "value", "ok"}`` per bound (surface.md)."""
    rows = []
    for bound in bounds:
        value = summary.get(bound.metric)
        target = int(bound.target) if bound.target.denominator == 1 else float(bound.target)
        rows.append({"name": bound.name, "target": target, "value": value, "ok": holds(bound, value)})
    return rows
