"""What the owner of any node may ask of its directory; every answer is JSON-able."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from supervm.protocol.base.address import encode_node_id
from supervm.protocol.reach.record import NAT_UNKNOWN, NodeRecord, Region, Tier
from supervm.protocol.wire.reach import FOUND_MAX, Wanted

NATS: Final = ("unknown", "public", "full-cone", "address-restricted", "port-restricted", "symmetric")
"""The words for `NodeRecord.nat`."""


class FindNodes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="find", tag_field="request"):
    """Look for nodes, by their ids or by what they can do. Answer: a list of `node_document`, the best first.

    Attributes:
        nodes: ids, ``svmnode1...``; with any the rest asks nothing.
        tiers: any of these.
        region: this one.
        features: all of these.
        task: a tier, the weakest that may do the work; 0: no work is meant.
        load_percent_max: at most so busy.
        latency_ms_max: at most so far from whoever answers, as far as that is known; 0: any.
        cores_min: at least so many; likewise memory in GiB and graphics processors.
        memory_gib_min: see there.
        gpus_min: see there.
        limit: most nodes.
    """

    nodes: Annotated[tuple[Annotated[str, msgspec.Meta(max_length=128)], ...], msgspec.Meta(max_length=FOUND_MAX)] = ()
    tiers: Annotated[tuple[Tier, ...], msgspec.Meta(max_length=4)] = ()
    region: Region = ""
    features: Annotated[tuple[Annotated[str, msgspec.Meta(max_length=32)], ...], msgspec.Meta(max_length=4)] = ()
    task: Annotated[int, msgspec.Meta(ge=0, le=4)] = 0
    load_percent_max: Annotated[int, msgspec.Meta(ge=0, le=100)] = 100
    latency_ms_max: Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)] = 0
    cores_min: Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)] = 0
    memory_gib_min: Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)] = 0
    gpus_min: Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=FOUND_MAX)] = FOUND_MAX


class ListPeers(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="peers", tag_field="request"
):
    """List who is connected. Answer: a list of ``{"node", "tier", "address", "chosen", "load_percent", "record"}``."""


def wanted_of(request: FindNodes) -> Wanted:
    """Return what a request wants of records."""
    return Wanted(
        tiers=request.tiers,
        region=request.region,
        features=request.features,
        task=request.task,
        load_percent_max=request.load_percent_max,
        latency_ms_max=request.latency_ms_max,
        cores_min=request.cores_min,
        memory_gib_min=request.memory_gib_min,
        gpus_min=request.gpus_min,
    )


def node_document(record: NodeRecord, via: bytes, latency_ms: int) -> dict[str, Any]:
    """Return a record as the owner is shown it.

    Args:
        record: what a node says of itself.
        via: node id of the edge that it is attached to; empty: not known.
        latency_ms: how far it is, there and back; 0: not known.
    """
    ability = record.ability
    return {
        "node": encode_node_id(record.node_id),
        "tier": record.tier,
        "region": record.region,
        "endpoints": list(record.endpoints),
        "home_edges": [encode_node_id(edge) for edge in record.home_edges],
        "via": encode_node_id(via) if via else None,
        "nat": NATS[record.nat] if record.nat != NAT_UNKNOWN else None,
        "load_percent": record.load_percent,
        "cores": ability.cores,
        "memory_gib": ability.memory_gib,
        "disk_gib": ability.disk_gib,
        "mbit_s": ability.mbit_s,
        "gpus": ability.gpus,
        "features": list(record.features),
        "latency_ms": latency_ms or None,
        "expires_ms": record.expires_ms,
    }
