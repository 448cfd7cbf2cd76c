"""What a read configuration tells the core of an edge (`options` declares the keys)."""

from __future__ import annotations

from pathlib import Path

from supervm.common.host.config import NodeConfig
from supervm.common.parts.buckets import Rate
from supervm.common.text.options import defaults
from supervm.protocol.light.client import Anchor

from .options import DEFAULT_RATES, OPTIONS, EdgeOptions


def edge_options(config: NodeConfig, anchor: Anchor | None = None) -> EdgeOptions:
    """Return what a checked configuration sets, with the anchor that its file holds."""
    values = {**defaults(OPTIONS), **config.tier_options}

    def number(name: str) -> int:
        return int(values[name])

    return EdgeOptions(
        cache_bytes_max=number("cache_bytes_max"),
        store_max=number("store_max"),
        subscriptions_max=number("subscriptions_max"),
        rates={kind: Rate(number(f"{kind}_per_s"), number(f"{kind}_burst")) for kind in DEFAULT_RATES},
        anchor=anchor,
    )


def anchor_file(config: NodeConfig) -> Path | None:
    """Return the file of the anchor that a checked configuration names, or None."""
    name = config.tier_options.get("anchor", "")
    return config.directory / str(name) if name else None
