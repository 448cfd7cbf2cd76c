"""What a read configuration tells the core of an edge (`options` declares the keys)."""

from __future__ import annotations

from pathlib import Path

from supervm.common.errors import InputError
from supervm.common.host.config import CONFIG_FILE, NodeConfig
from supervm.common.parts.buckets import Rate
from supervm.common.parts.fee_policy import read_policy
from supervm.common.parts.reach.options import read_endpoints, read_region
from supervm.common.text.options import defaults
from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.light.client import Anchor

from .options import DEFAULT_RATES, OPTIONS, EdgeOptions


def edge_options(config: NodeConfig, anchor: Anchor | None = None) -> EdgeOptions:
    """Return what a checked configuration sets, with the anchor that its file holds.

    Raises:
        InputError: the fees, the region or the endpoints cannot be read, or the edge is to carry only what pays it and
            has no `payout`.
    """
    values = {**defaults(OPTIONS), **config.tier_options}

    def number(name: str) -> int:
        return int(values[name])

    try:
        fees = read_policy(str(values["fees"]))
        region, endpoints = read_region(str(values["region"])), read_endpoints(str(values["endpoints"]))
    except LocalProtocolError as error:
        raise InputError(f"{config.directory / CONFIG_FILE}: [l3] {error}") from error
    if not values["carry_unpaid"] and config.payout is None:
        raise InputError(
            f"{config.directory / CONFIG_FILE}: [l3] carry_unpaid: false is not allowed without `payout`, the account "
            "that payments are to name in `via`"
        )
    return EdgeOptions(
        cache_bytes_max=number("cache_bytes_max"),
        store_max=number("store_max"),
        subscriptions_max=number("subscriptions_max"),
        rates={kind: Rate(number(f"{kind}_per_s"), number(f"{kind}_burst")) for kind in DEFAULT_RATES},
        fees=fees,
        carry_unpaid=bool(values["carry_unpaid"]),
        anchor=anchor,
        find_peers=bool(values["find_peers"]),
        region=region,
        endpoints=endpoints,
        directory_nodes=number("directory_nodes"),
    )


def anchor_file(config: NodeConfig) -> Path | None:
    """Return the file of the anchor that a checked configuration names, or None."""
    name = config.tier_options.get("anchor", "")
    return config.directory / str(name) if name else None
