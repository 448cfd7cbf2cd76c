"""From what was observed to figures: the summary that ``[expect]`` is held against, and the details of the report.

Latencies from the sealing of a batch are given in *units*: one unit is the median over validators of the one-way delay
to their q-th nearest, themselves included (q of n equal validators, medians of the links). Theory says R3 ~ 7 and
R4 ~ 8 units with one of them the wait for the next proposal (consensus.md 3.1); an idle network's wait is longer,
because empty blocks are spaced out, so the *net* figures grant exactly one unit for it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median_low
from typing import Any

from supervm.common.parts.events import ForkEvidence
from supervm.protocol.chain.genesis import Chain
from supervm.protocol.money.execution import FeesByTier
from supervm.protocol.state.leaves import NATIVE
from supervm.tier_l1_super import events as l1
from supervm.tier_l1_super.messages import Info as ValidatorInfo
from supervm.tier_l1_super.node import ValidatorNode
from supervm.tier_l2_miner import events as l2
from supervm.tier_l3_edge.messages import Statistics
from supervm.tier_l4_mobile.messages import QueueList
from supervm.tier_l4_mobile.node import MobileNode

from ..disturb.faults import Episode
from ..exact import CITIES, REGIONS, Actor, Deployment, LateTwins, Twins
from ..scenario.faults import FAULTS
from .epochs import Epochs, views_used
from .observing import Recorder, Seen
from .statistics import quantile, spread_ms

LEVELS = ("r0", "r1", "r3", "r4")
STOPS_BLOCKS = tuple(name for name, kind in FAULTS.items() if kind.stops_blocks)
"""Kinds of faults after whose end the time to the next block is measured."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Heights and views (of all epochs) of honest L1 nodes that run at one moment, and what was delivered by then."""

    at_us: int
    height_min: int
    height_max: int
    view_max: int
    running: int
    messages: int


def validators_of(deployment: Deployment, honest: dict[str, None]) -> list[ValidatorNode]:
    """Return the cores of honest L1 nodes that run."""
    cores = (deployment.host(name).core for name in deployment.names(1) if name in honest)
    return [core for core in cores if isinstance(core, ValidatorNode)]


def sample(deployment: Deployment, honest: dict[str, None], zero_us: int) -> Sample:
    """Look at the validators without touching them."""
    cores = validators_of(deployment, honest)
    heights = [core.ledger.height for core in cores]
    world = deployment.world
    return Sample(
        world.now_us - zero_us,
        min(heights, default=0),
        max(heights, default=0),
        max((views_used(core) for core in cores), default=0),
        len(cores),
        world.delivered,
    )


def quorum_delay_us(deployment: Deployment, geography: Any) -> int:
    """Return the unit: the median over genesis validators of the one-way delay to their q-th nearest."""
    hosts = [deployment.world.host(node_id) for node_id in deployment.chain.validators.node_ids]
    places = [host.place for host in hosts]
    quorum = 2 * len(hosts) // 3 + 1
    reach = []
    for here, place in enumerate(places):
        delays = sorted(
            0
            if here == there
            else geography.delay_us(place.region, other.region) + place.access.last_mile_us + other.access.last_mile_us
            for there, other in enumerate(places)
        )
        reach.append(delays[quorum - 1])
    return max(1, median_low(reach))


def _median(times_us: Mapping[str, int], members: Collection[str]) -> int | None:
    """Return when more than half of the members had got there."""
    ordered = sorted(at_us for name, at_us in times_us.items() if name in members)
    half = len(members) // 2
    return ordered[half] if len(ordered) > half else None


def _acts(core: object) -> int:
    """Return how often a node that is not honest did what it is named for."""
    if isinstance(core, LateTwins):
        return core.starts
    return core.acted if isinstance(core, Actor) else int(isinstance(core, Twins))


class Collector:
    """Turns one finished run into figures.

    Args:
        deployment: the network after the run; its phones, edges and validators are asked for what they count.
        recorder: what was observed.
        honest: names of honest nodes.
        samples: in order of time.
        episodes: the fault timeline.
        unit_us: see `quorum_delay_us`.
        zero_us, duration_us: when the run began and how long it took, virtual.
    """

    def __init__(
        self,
        deployment: Deployment,
        recorder: Recorder,
        honest: dict[str, None],
        samples: Sequence[Sample],
        episodes: Sequence[Episode],
        unit_us: int,
        zero_us: int,
        duration_us: int,
    ) -> None:
        self._deployment, self._recorder, self._honest = deployment, recorder, honest
        self._samples, self._episodes = samples, episodes
        self._unit_us, self._zero_us, self._duration_us = unit_us, zero_us, duration_us
        cores = validators_of(deployment, honest)
        self._epochs = Epochs(deployment, recorder, max(cores, key=lambda core: core.ledger.height, default=None))
        self._summary: dict[str, float | None] = {}
        self._details: dict[str, Any] = {}

    def collect(self) -> dict[str, Any]:
        """Return ``{"summary": {metric: number}, ...}``; every value is JSON."""
        self._kinds()
        self._blocks()
        self._epoch_ends()
        self._sealing()
        self._validators()
        self._phones()
        self._edges()
        self._timeline()
        return {"summary": self._summary, **self._details}

    def _ask(self, name: str, request: Any) -> Any:
        host = self._deployment.host(name)
        if host.core is None:
            if host.halted is not None:
                return None
            self._deployment.world.start(host.node_id)  # its disk knows
        token = self._deployment.world.command(host.node_id, request)
        reply = host.replies.pop(token, None)
        return None if reply is None else reply.value

    def _region(self, number: int) -> str:
        """Name of a region; a network in one LAN has but one."""
        return "LAN" if self._deployment.world.network.geography.size == 1 else REGIONS[number]

    # --- traffic ------------------------------------------------------------------------------------------------------

    def _kinds(self) -> None:
        recorder = self._recorder
        kinds = sorted(recorder.kinds.items(), key=lambda item: (-item[1][1], item[0]))
        self._details["messages"] = [{"kind": kind, "count": row[0], "bytes": row[1]} for kind, row in kinds]
        self._summary["messages"] = sum(row[0] for _, row in kinds)
        self._summary["bytes"] = sum(row[1] for _, row in kinds)
        egress = max(recorder.egress.values(), default=0)
        self._summary["l1_egress_kbit_per_s_max"] = egress * 8_000 / self._duration_us
        self._details["flows"] = [
            {"from": self._region(one), "to": self._region(other), "bytes": size}
            for (one, other), size in sorted(recorder.flows.items())
        ]
        self._details["cities"] = {name: [lat / 100, lon / 100] for name, (lat, lon) in CITIES.items()}

    # --- chain --------------------------------------------------------------------------------------------------------

    def _first_executed(self) -> list[int]:
        heights = self._recorder.heights
        return [min(heights[height].executed_us.values()) for height in sorted(heights) if heights[height].executed_us]

    def _blocks(self) -> None:
        first = sorted(self._first_executed())
        gaps = [later - earlier for earlier, later in pairwise(first)]
        ordered = sorted(gaps)
        middle = quantile(ordered, 50)
        self._summary["block_gap_ms_p50"] = None if middle is None else middle / 1000
        self._summary["block_gap_ms_max"] = ordered[-1] / 1000 if ordered else None
        during = [at for at in first if at >= self._zero_us]
        self._summary["blocks_per_s"] = len(during) * 1_000_000 / self._duration_us
        self._details["block_gaps_ms"] = spread_ms(gaps)
        heights = self._recorder.heights
        self._summary["forks"] = sum(len(seen.roots) > 1 for seen in heights.values())
        known = [(seen.epoch, seen.view) for _, seen in sorted(heights.items()) if seen.digest]
        if len(known) > 1:  # an epoch's last block is in its highest view, and the next epoch counts from 0 again
            last = dict(known)
            self._summary["views_per_block"] = (sum(last.values()) - known[0][1]) / (len(known) - 1)
        heals: list[dict[str, Any]] = []
        for episode in self._episodes:
            if episode.kind in STOPS_BLOCKS and episode.end_us is not None:
                healed_us = self._zero_us + episode.end_us
                after = next((at for at in first if at > healed_us), None)
                if after is not None:
                    heals.append({"kind": episode.kind, "at_s": episode.end_us / 1e6, "ms": (after - healed_us) / 1000})
                elif episode.end_us < self._duration_us:
                    heals.append({"kind": episode.kind, "at_s": episode.end_us / 1e6, "ms": None})
        self._details["heals"] = heals
        if heals:
            times = [heal["ms"] for heal in heals]
            self._summary["heal_to_block_ms"] = None if None in times else max(times)

    def _epoch_ends(self) -> None:
        epochs = self._epochs
        took_us = sorted(end_us - begin_us for begin_us, end_us in filter(None, epochs.spans_us))
        middle = quantile(took_us, 50)
        self._summary["epochs"], self._summary["set_changes"] = len(epochs.records) - 1, len(epochs.changed)
        self._summary["epoch_change_ms_p50"] = None if middle is None else middle / 1000
        self._summary["epoch_change_ms_max"] = took_us[-1] / 1000 if took_us else None
        self._details["epochs"] = epochs.rows(self._zero_us)

    def _sealing(self) -> None:
        unit = self._unit_us
        self._summary["unit_ms"] = unit / 1000
        raw: dict[str, list[int]] = {"r1": [], "r3": [], "r4": [], "wait": [], "r3_net": [], "r4_net": []}
        by_region: dict[str, list[int]] = {}
        unfinished = 0
        for batch in self._recorder.batches.values():
            if batch.certified_us is None:
                unfinished += 1
                continue
            raw["r1"].append(batch.certified_us - batch.sealed_us)
            seen = self._recorder.heights.get(batch.height) if batch.height is not None else None
            members = {} if seen is None else self._epochs.names[seen.epoch]
            executed = None if seen is None else _median(seen.executed_us, members)
            if seen is None or executed is None:
                unfinished += 1
                continue
            raw["r3"].append(executed - batch.sealed_us)
            by_region.setdefault(self._region(batch.region), []).append(executed - batch.sealed_us)
            wait = self._wait_us(seen, batch.certified_us)
            if wait is not None:
                raw["wait"].append(wait)
                raw["r3_net"].append(executed - batch.sealed_us - wait + unit)
            certified = _median(seen.certified_us, members)
            if certified is not None:
                raw["r4"].append(certified - batch.sealed_us)
                if wait is not None:
                    raw["r4_net"].append(certified - batch.sealed_us - wait + unit)
        both = (50, 99)
        for level, percents in (("r1", both), ("r3", both), ("r4", both), ("r3_net", (50,)), ("r4_net", (50,))):
            ordered = sorted(raw[level])
            for percent in percents:
                value = quantile(ordered, percent)
                self._summary[f"{level}_units_p{percent}"] = None if value is None else round(value / unit, 3)
        self._details["sealing_ms"] = {level: spread_ms(values) for level, values in raw.items()}
        self._details["sealing_by_region_ms"] = {name: spread_ms(times) for name, times in sorted(by_region.items())}
        self._details["batches"] = {"sealed": len(self._recorder.batches), "unfinished": unfinished}

    def _wait_us(self, seen: Seen, certified_us: int) -> int | None:
        proposed_us = self._recorder.proposed_us.get(seen.digest)
        return None if proposed_us is None else max(0, proposed_us - certified_us - self._unit_us)

    def _validators(self) -> None:
        deployment = self._deployment
        chain: Chain = deployment.chain
        cores = validators_of(deployment, self._honest)
        heights = [core.ledger.height for core in cores]
        self._summary["height_min"] = min(heights, default=0)
        self._summary["height_max"] = max(heights, default=0)
        self._summary["height_spread"] = max(heights, default=0) - min(heights, default=0)
        self._summary["supply_errors"] = sum(_has_wrong_sums(core, chain.supply) for core in cores)
        fees: dict[int, dict[bytes, FeesByTier]] = {}
        wrong = 0
        for core in cores:
            if core.ledger.base_height:
                continue  # it began with a snapshot and counts from there
            wrong += fees.setdefault(core.ledger.height, core.ledger.fees) != core.ledger.fees
        self._summary["fee_errors"] = wrong
        newest = (fees[max(fees)] if fees else {}).get(NATIVE, (0, 0, 0, 0))
        self._details["fees"] = {**{f"l{tier}": fee for tier, fee in enumerate(newest, 1)}, "total": sum(newest)}
        self._summary["fees"] = sum(newest)
        self._summary["observers"] = sum(core.seat.amnesia for core in cores)
        names = [name for tier in range(1, 5) for name in deployment.names(tier)]
        halted = [
            {"node": name, "reason": reason}
            for name in names
            if name in self._honest and (reason := deployment.host(name).halted) is not None
        ]
        self._details["halted"] = halted
        self._summary["halted"] = sum(not item["reason"].startswith("storage-failed") for item in halted)
        alarms = self._recorder.alarms
        self._details["alarms"] = [
            {"at_s": (at - self._zero_us) / 1e6, "node": node, "name": event.NAME, "reason": reason}
            for at, node, event, reason in alarms[:200]
        ]
        self._summary["evidence"] = sum(isinstance(event, l1.Accusation | ForkEvidence) for _, _, event, _ in alarms)
        self._summary["solvency_alarms"] = sum(
            isinstance(event, l1.Solvency | l2.Solvency) for _, _, event, _ in alarms
        )
        self._summary["crashes"], self._summary["starts"] = self._recorder.crashes, self._recorder.starts
        actors = [deployment.host(name).core for name in names if name not in self._honest]
        self._summary["adversary_acts"] = sum(_acts(core) for core in actors)
        self._details["validators"] = [
            self._ask(name, ValidatorInfo())
            for name in deployment.names(1)
            if name in self._honest and deployment.host(name).core is not None
        ]

    # --- the edge of the network --------------------------------------------------------------------------------------

    def _phones(self) -> None:
        deployment = self._deployment
        times: dict[str, list[int]] = {level: [] for level in LEVELS}
        by_region: dict[str, list[int]] = {}
        closing: list[int] = []
        spans_us = [span for span in self._epochs.spans_us if span is not None]
        statuses: dict[str, int] = {}
        for name in deployment.names(4):
            if name not in self._honest:
                continue
            answer = self._ask(name, QueueList(limit=20_000)) or {"payments": []}
            region = self._region(deployment.host(name).place.region)
            for payment in answer["payments"]:
                statuses[payment["status"]] = statuses.get(payment["status"], 0) + 1
                for level in LEVELS:
                    latency_ms = payment["latency_ms"][level]
                    if latency_ms is not None:
                        times[level].append(round(latency_ms * 1000))
                r4_ms = payment["latency_ms"]["r4"]
                if r4_ms is not None:
                    by_region.setdefault(region, []).append(round(r4_ms * 1000))
                    if any(begin_us <= payment["created_us"] < end_us for begin_us, end_us in spans_us):
                        closing.append(round(r4_ms * 1000))
        for level in LEVELS:
            row = spread_ms(times[level])
            self._details.setdefault("latency_ms", {})[level] = row
            for name in ("p50", "p90", "p99"):
                self._summary[f"{level}_ms_{name}"] = row[name]
        self._details["latency_by_region_ms"] = {name: spread_ms(values) for name, values in sorted(by_region.items())}
        row = self._details["closing_r4_ms"] = spread_ms(closing)
        self._summary["closing_r4_ms_p50"], self._summary["closing_r4_ms_p99"] = row["p50"], row["p99"]
        phones = (deployment.host(name).core for name in deployment.names(4) if name in self._honest)
        self._summary["phones_epoch_min"] = min(
            (core.client.header.epoch for core in phones if isinstance(core, MobileNode)), default=None
        )
        self._details["statuses"] = dict(sorted(statuses.items()))
        total, proved = sum(statuses.values()), statuses.get("R4", 0)
        refused, expired = statuses.get("refused", 0), statuses.get("expired", 0)
        self._summary["payments"], self._summary["payments_r4"] = total, proved
        self._summary["payments_r4_percent"] = round(100 * proved / total, 3) if total else None
        self._summary["payments_refused"], self._summary["payments_expired"] = refused, expired
        self._summary["payments_open"] = total - proved - refused - expired - statuses.get("cancelled", 0)
        for unit in ("messages", "bytes"):
            self._summary[f"{unit}_per_payment"] = (self._summary[unit] or 0) / proved if proved else None
        answers = self._recorder.answers
        proved_us = [at - asked for asked, at, valid in answers if valid]
        row = spread_ms(proved_us)
        self._details["balance_ms"] = row
        self._summary["balances"] = len(answers)
        self._summary["balances_proved_percent"] = round(100 * len(proved_us) / len(answers), 3) if answers else None
        self._summary["balance_ms_p50"], self._summary["balance_ms_p99"] = row["p50"], row["p99"]

    def _edges(self) -> None:
        hits = misses = 0
        for name in self._deployment.names(3):
            if name in self._honest and self._deployment.host(name).core is not None:
                answer = self._ask(name, Statistics())
                if answer is not None:
                    hits += answer["cache"]["hits"]
                    misses += answer["cache"]["misses"]
        self._details["cache"] = {"hits": hits, "misses": misses}
        self._summary["cache_hit_percent"] = round(100 * hits / (hits + misses), 3) if hits + misses else None

    # --- time ---------------------------------------------------------------------------------------------------------

    def _timeline(self) -> None:
        self._details["timeline"] = [
            {
                "at_s": item.at_us / 1e6,
                "height_min": item.height_min,
                "height_max": item.height_max,
                "view": item.view_max,
                "running": item.running,
                "messages": item.messages,
            }
            for item in self._samples
        ]
        self._details["faults"] = [
            {
                "kind": item.kind,
                "at_s": item.at_us / 1e6,
                "end_s": None if item.end_us is None else item.end_us / 1e6,
                "nodes": item.nodes,
                "text": item.text,
            }
            for item in self._episodes
        ]
        counts = [len(self._deployment.names(tier)) for tier in range(1, 5)]
        self._details["nodes"] = {f"l{tier}": count for tier, count in enumerate(counts, 1)}


def _has_wrong_sums(core: ValidatorNode, supply: int) -> bool:
    """Return whether there is more or less of an asset than its supply; `supply` is that of the native one."""
    return core.ledger.header.supply != supply or core.ledger.state.supply_problem(supply) is not None
