"""What an operator of an edge may set, and the bounds as its core takes them (network.md 7, N2).

The keys of the table ``[l3]`` stand here by the part that they are about, apart from the parts, which cost more to
import; `config` turns their values into `EdgeOptions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from supervm.common.contract.options import ANCHOR_OPTION, OptionSpec, one_table
from supervm.common.parts.buckets import Rate
from supervm.common.parts.fee_policy import ANY_FEE, FEES_OPTION, FeePolicy
from supervm.common.parts.reach.options import ENDPOINT_OPTIONS, FIND_OPTIONS, LAN_OPTIONS

from .more import MORE

if TYPE_CHECKING:
    from supervm.common.parts.costs import CostClass
    from supervm.protocol.light.client import Anchor

DEFAULT_RATES: Final[Mapping[CostClass, Rate]] = {
    "transactions": Rate(5_000, 20_000),
    "accounts": Rate(500, 8_192),
    "receipts": Rate(200, 2_000),
}
"""What one client may do by default; the transactions' burst lets a queue of 10,000 offline payments pass at once."""


@dataclass(frozen=True, slots=True)
class EdgeOptions:
    """What an operator of an L3 may set.

    Attributes:
        cache_bytes_max: bytes of cached proofs and their checkpoints.
        store_max: transactions that wait for their fate; one peer may fill half of it.
        subscriptions_max: accounts that one connection may subscribe.
        rates: what one peer may ask, by message class.
        fees: the fees that are taken, as far as a miner takes them, too.
        carry_unpaid: whether transactions are carried whose `via` is not the account that this edge is paid to.
        anchor: what to trust from instead of genesis.
        find_peers: whether the edge finds other edges, and tells them of itself.
        region: where it says it is.
        endpoints: where it says it can be dialled.
        directory_nodes: most records of other nodes that it keeps; 0: what edges keep.
    """

    cache_bytes_max: int = 32 << 20
    store_max: int = 65_536
    subscriptions_max: int = 4_096
    rates: Mapping[CostClass, Rate] = field(default_factory=lambda: DEFAULT_RATES)
    fees: FeePolicy = ANY_FEE
    carry_unpaid: bool = True
    anchor: Anchor | None = None
    find_peers: bool = False
    region: str = ""
    endpoints: tuple[str, ...] = ()
    directory_nodes: int = 0


_DEFAULT: Final = EdgeOptions()


def _rate_options(kind: CostClass) -> dict[str, OptionSpec]:
    rate = DEFAULT_RATES[kind]
    return {
        f"{kind}_per_s": OptionSpec(int, rate.per_s, f"{kind} per second that one peer may ask for", 1, 10**6),
        f"{kind}_burst": OptionSpec(int, rate.burst, f"{kind} that one peer may ask for at once", 1, 10**6),
    }


PROOF_OPTIONS: Final[Mapping[str, OptionSpec]] = {
    "cache_bytes_max": OptionSpec(
        int,
        _DEFAULT.cache_bytes_max,
        "bytes of proofs of accounts, holdings and assets that are kept",
        1 << 16,
        1 << 40,
    ),
    "subscriptions_max": OptionSpec(
        int, _DEFAULT.subscriptions_max, "accounts that one connection may subscribe", 1, 100_000
    ),
    **_rate_options("accounts"),
}
"""Keys about account proofs."""
RECEIPT_OPTIONS: Final[Mapping[str, OptionSpec]] = _rate_options("receipts")
"""Keys about receipts."""
TERMS_OPTIONS: Final[Mapping[str, OptionSpec]] = {
    "fees": FEES_OPTION,
    "carry_unpaid": OptionSpec(
        bool, _DEFAULT.carry_unpaid, "whether payments are carried that name another account than `payout` in `via`"
    ),
}
"""Keys about what is carried."""
STORE_OPTIONS: Final[Mapping[str, OptionSpec]] = {
    "store_max": OptionSpec(
        int, _DEFAULT.store_max, "transactions that wait for their fate; one peer may fill half", 2, 10**7
    ),
}
"""Keys about what waits."""
TRANSACTION_OPTIONS: Final[Mapping[str, OptionSpec]] = _rate_options("transactions")
"""Keys about what comes in."""
TRUST_OPTIONS: Final[Mapping[str, OptionSpec]] = {"anchor": ANCHOR_OPTION}
"""Keys about what is trusted."""
OPTIONS: Final[Mapping[str, OptionSpec]] = one_table(
    TERMS_OPTIONS,
    PROOF_OPTIONS,
    RECEIPT_OPTIONS,
    STORE_OPTIONS,
    TRANSACTION_OPTIONS,
    TRUST_OPTIONS,
    FIND_OPTIONS,
    ENDPOINT_OPTIONS,
    LAN_OPTIONS,
    more=MORE,
)
"""Keys of the table ``[l3]`` of a node's configuration."""
