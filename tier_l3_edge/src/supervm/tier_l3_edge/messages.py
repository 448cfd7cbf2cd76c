"""What the owner of an edge may ask over its control socket; every answer is JSON-able."""

from __future__ import annotations

import msgspec

from supervm.common.parts.directory.messages import FindNodes, ListPeers
from supervm.common.parts.reach.lan_found import LanFound


class EdgeRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="request"):
    """Base of every request to an L3."""


class Info(EdgeRequest, frozen=True, tag="info"):
    """Ask how the node stands.

    Answer: `InfoHead`, then ``"age_s"`` (of the newest header), ``"miners"``, ``"pending"``, ``"proofs_cached"``,
    ``"takes"`` (asset -> least fee) and ``"trust"`` (`LightMemory.info`).
    """


class Statistics(EdgeRequest, frozen=True, tag="statistics"):
    """Ask for counters. Answer: ``{"cache", "transactions", "clients", "miners"}``; times in ms, sizes in bytes."""


Request = Info | Statistics | FindNodes | ListPeers | LanFound
"""Every request; told apart by the field ``request``."""
