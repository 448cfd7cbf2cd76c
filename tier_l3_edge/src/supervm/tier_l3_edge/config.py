"""The table ``[l3]`` of a node's configuration (docs/configuration.md lists it)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from supervm.common.contract.options import ANCHOR_OPTION, OptionSpec, OptionValue
from supervm.common.host.config import NodeConfig
from supervm.common.parts.buckets import Rate
from supervm.common.parts.costs import CostClass

from .budgets import DEFAULT_RATES, EACH
from .options import EdgeOptions

_DEFAULT = EdgeOptions()


def _rate_options(kind: CostClass, what: str) -> dict[str, OptionSpec]:
    rate = DEFAULT_RATES[kind]
    return {
        f"{kind}_per_s": OptionSpec(int, rate.per_s, f"{what} per second that one peer may ask for", 1, 10**6),
        f"{kind}_burst": OptionSpec(int, rate.burst, f"{what} that one peer may ask for at once", 1, 10**6),
    }


EDGE_OPTIONS: Final[Mapping[str, OptionSpec]] = {
    "cache_bytes_max": OptionSpec(
        int, _DEFAULT.cache_bytes_max, "bytes of account proofs that are kept", 1 << 16, 1 << 40
    ),
    "store_max": OptionSpec(
        int, _DEFAULT.store_max, "transfers that wait for their fate; one peer may fill half", 2, 10**7
    ),
    "subscriptions_max": OptionSpec(
        int, _DEFAULT.subscriptions_max, "accounts that one connection may subscribe", 1, 100_000
    ),
    **_rate_options("transfers", "transfers"),
    **_rate_options("accounts", "accounts"),
    **_rate_options("receipts", "receipts"),
    "anchor": ANCHOR_OPTION,
}
"""Keys of the table ``[l3]``."""


def edge_options(config: NodeConfig) -> EdgeOptions:
    """Return the bounds that a checked configuration sets."""
    values: Mapping[str, OptionValue] = config.tier_options

    def number(name: str) -> int:
        return int(values.get(name, EDGE_OPTIONS[name].default))

    return EdgeOptions(
        cache_bytes_max=number("cache_bytes_max"),
        store_max=number("store_max"),
        subscriptions_max=number("subscriptions_max"),
        rates={
            kind: Rate(number(f"{kind}_per_s"), number(f"{kind}_burst")) for kind in EACH
        },
    )


def anchor_file(config: NodeConfig) -> Path | None:
    """Return the file of the anchor that a checked configuration names, or None."""
    name = config.tier_options.get("anchor", "")
    return config.directory / str(name) if name else None
