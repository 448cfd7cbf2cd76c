"""What an operator of an edge may set, and the bounds as its core takes them (network.md 7, N2).

The keys of the table ``[l3]`` stand here by the part that they are about; `config` reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from supervm.common.contract.options import ANCHOR_OPTION, OptionSpec, OptionValue
from supervm.common.parts.buckets import Rate
from supervm.common.parts.costs import CostClass
from supervm.protocol.light.client import Anchor

from .budgets import DEFAULT_RATES


@dataclass(frozen=True, slots=True)
class EdgeOptions:
    """What an operator of an L3 may set.

    Attributes:
        cache_bytes_max: bytes of cached proofs and their checkpoints.
        store_max: transfers that wait for their fate; one peer may fill half of it.
        subscriptions_max: accounts that one connection may subscribe.
        rates: what one peer may ask, by message class.
        anchor: what to trust from instead of genesis.
        values: the whole table as it was read, for parts of `Shell.MORE`.
    """

    cache_bytes_max: int = 32 << 20
    store_max: int = 65_536
    subscriptions_max: int = 4_096
    rates: Mapping[CostClass, Rate] = field(default_factory=lambda: DEFAULT_RATES)
    anchor: Anchor | None = None
    values: Mapping[str, OptionValue] = field(default_factory=dict)


_DEFAULT: Final = EdgeOptions()


def _rate_options(kind: CostClass) -> dict[str, OptionSpec]:
    rate = DEFAULT_RATES[kind]
    return {
        f"{kind}_per_s": OptionSpec(int, rate.per_s, f"{kind} per second that one peer may ask for", 1, 10**6),
        f"{kind}_burst": OptionSpec(int, rate.burst, f"{kind} that one peer may ask for at once", 1, 10**6),
    }


STORE_OPTIONS: Final[Mapping[str, OptionSpec]] = {
    "store_max": OptionSpec(
        int, _DEFAULT.store_max, "transfers that wait for their fate; one peer may fill half", 2, 10**7
    ),
}
TRANSFER_OPTIONS: Final[Mapping[str, OptionSpec]] = _rate_options("transfers")
PROOF_OPTIONS: Final[Mapping[str, OptionSpec]] = {
    "cache_bytes_max": OptionSpec(
        int, _DEFAULT.cache_bytes_max, "bytes of account proofs that are kept", 1 << 16, 1 << 40
    ),
    "subscriptions_max": OptionSpec(
        int, _DEFAULT.subscriptions_max, "accounts that one connection may subscribe", 1, 100_000
    ),
    **_rate_options("accounts"),
}
RECEIPT_OPTIONS: Final[Mapping[str, OptionSpec]] = _rate_options("receipts")
TRUST_OPTIONS: Final[Mapping[str, OptionSpec]] = {"anchor": ANCHOR_OPTION}
