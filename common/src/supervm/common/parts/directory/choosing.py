"""Which nodes fit what is wanted, and which of them are best (network.md 2).

The score looks at what a node says of itself and how far it is from whoever answers. Two nodes of one score are ordered
by a hash of the question and the node, so that many who ask for the same do not all go to the same node.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

import msgspec

from supervm.protocol.reach.record import (
    NAT_FULL_CONE,
    NAT_PORT_RESTRICTED,
    NAT_PUBLIC,
    NAT_RESTRICTED,
    NAT_SYMMETRIC,
    NodeRecord,
)
from supervm.protocol.wire.reach import Wanted

from .table import Entry

TASK_TIERS: Final = {0: (1, 2, 3, 4), 1: (1,), 2: (1, 2), 3: (1, 2, 3), 4: (1, 2, 3, 4)}
"""The weakest tier that may do a task -> all that may; 0: no task is meant."""
BUSY_PERCENT: Final = 80
"""A node with more load takes no new work."""

SCORE: Final = 1_000
OF_LOAD: Final = 5
"""Points that a percent of load costs; a millisecond of distance costs one."""
OF_CORES, CORES_MANY = 50, 64
"""Points for so many cores, where cores are wanted."""
OF_GPU: Final = 100
"""Points for a graphics processor, where one is wanted."""
OF_SEEN: Final = 100
"""Points for a node that is connected to whoever answers: what is seen is worth more than what is only said."""
OF_NAT: Final = {NAT_PUBLIC: 100, NAT_FULL_CONE: 80, NAT_RESTRICTED: 60, NAT_PORT_RESTRICTED: 40, NAT_SYMMETRIC: 20}


def fits(record: NodeRecord, wanted: Wanted) -> bool:
    """Return whether a record says what is wanted; distances are not in it."""
    ability = record.ability
    load_max = min(wanted.load_percent_max, BUSY_PERCENT) if wanted.task else wanted.load_percent_max
    return (
        (not wanted.tiers or record.tier in wanted.tiers)
        and (not wanted.region or record.region == wanted.region)
        and record.tier in TASK_TIERS[wanted.task]
        and record.load_percent <= load_max
        and ability.cores >= wanted.cores_min
        and ability.memory_gib >= wanted.memory_gib_min
        and ability.gpus >= wanted.gpus_min
        and all(word in record.features for word in wanted.features)
    )


def score_of(entry: Entry, wanted: Wanted) -> int:
    """Return how well a node that fits serves what is wanted; more is better."""
    record = entry.record
    score = SCORE - entry.latency_ms - OF_LOAD * record.load_percent + OF_NAT.get(record.nat, 0)
    if wanted.cores_min and record.ability.cores >= CORES_MANY:
        score += OF_CORES
    if wanted.gpus_min and record.ability.gpus:
        score += OF_GPU
    return score + OF_SEEN if entry.attached else score


def seed_of(wanted: Wanted, asker: bytes) -> bytes:
    """Return what orders equal nodes: the same for one asker and question, another for others."""
    return blake2b(msgspec.msgpack.encode(wanted) + asker, digest_size=16, person=b"svm.choice").digest()


def best_of(entries: Iterable[Entry], wanted: Wanted, limit: int, seed: bytes, now_ms: int) -> list[Entry]:
    """Return up to `limit` of the nodes that fit, the best first.

    Args:
        entries: to choose from.
        wanted: what they have to say.
        limit: most that are returned.
        seed: orders equal ones (`seed_of`).
        now_ms: present time, Unix ms; a record that has ended is no answer.
    """
    fit = [
        entry
        for entry in entries
        if entry.record.expires_ms > now_ms
        and fits(entry.record, wanted)
        and (not wanted.latency_ms_max or 0 < entry.latency_ms <= wanted.latency_ms_max)
    ]
    return heapq.nlargest(limit, fit, key=lambda entry: _rank(entry, wanted, seed))


def _rank(entry: Entry, wanted: Wanted, seed: bytes) -> tuple[int, bytes]:
    order = blake2b(entry.node_id, key=seed, digest_size=8).digest()
    return score_of(entry, wanted), order
