"""Answers to questions for records: what fits, and which of those that fit (network.md 2)."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import chain
from typing import Final

from supervm.protocol.reach.record import NodeRecord
from supervm.protocol.wire.reach import Find, FoundItem, Wanted

from .known import Known, KnownNodes

TASK_TIERS: Final = {0: (1, 2, 3, 4), 1: (1,), 2: (1, 2), 3: (1, 2, 3), 4: (1, 2, 3, 4)}
"""The weakest tier that may do a task -> all that may; 0: no task is meant."""
BUSY_PERCENT: Final = 80
"""A node with more load takes no new work."""


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


def answer(
    question: Find, asker: bytes, nodes: KnownNodes, up: Iterable[bytes], now_us: int, rng: random.Random
) -> list[FoundItem]:
    """Return what is known to a question.

    Of more nodes that fit than are asked for those come first that are connected or have been dialled from here. The
    search begins at a place that chance decides and ends when there are enough, so that whoever asks several nodes
    hears of many, and no question costs more than going once through all that is known.

    Args:
        question: what is asked.
        asker: who asks, and is not told of itself.
        nodes: what is known.
        up: who is connected.
        now_us: present time; a record that has ended is no answer.
        rng: chance.
    """
    now_ms = now_us // 1_000
    if question.nodes:
        named = [known for node_id in question.nodes if (known := nodes.get(node_id)) is not None]
        found = [known for known in named if known.record.expires_ms > now_ms and known.node_id != asker]
        return [FoundItem(known.raw, 0, b"") for known in found[: question.limit]]
    near = [known for node_id in up if (known := nodes.get(node_id)) is not None]
    chosen: dict[bytes, Known] = {}
    for some in (near, nodes.proven(), list(nodes)):
        first = rng.randrange(len(some) + 1)
        for known in chain(some[first:], some[:first]):
            record = known.record
            if record.expires_ms > now_ms and fits(record, question.wanted) and record.node_id != asker:
                chosen[record.node_id] = known
                if len(chosen) == question.limit:
                    return [FoundItem(item.raw, 0, b"") for item in chosen.values()]
    return [FoundItem(item.raw, 0, b"") for item in chosen.values()]
