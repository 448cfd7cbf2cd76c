"""The table ``[l3]`` of a node's configuration (docs/configuration.md lists it)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from supervm.common.contract.options import OptionSpec
from supervm.common.host.config import NodeConfig
from supervm.common.parts.buckets import Rate
from supervm.protocol.light.client import Anchor

from .budgets import EACH
from .node import EdgeNode
from .options import EdgeOptions

OPTIONS: Final[Mapping[str, OptionSpec]] = EdgeNode.declared_options()
"""Keys of the table ``[l3]``."""


def edge_options(config: NodeConfig, anchor: Anchor | None = None) -> EdgeOptions:
    """Return what a checked configuration sets, with the anchor that its file holds."""

    def number(name: str) -> int:
        return int(config.tier_options.get(name, OPTIONS[name].default))

    return EdgeOptions(
        cache_bytes_max=number("cache_bytes_max"),
        store_max=number("store_max"),
        subscriptions_max=number("subscriptions_max"),
        rates={kind: Rate(number(f"{kind}_per_s"), number(f"{kind}_burst")) for kind in EACH},
        anchor=anchor,
        values=config.tier_options,
    )


def anchor_file(config: NodeConfig) -> Path | None:
    """Return the file of the anchor that a checked configuration names, or None."""
    name = config.tier_options.get("anchor", "")
    return config.directory / str(name) if name else None
