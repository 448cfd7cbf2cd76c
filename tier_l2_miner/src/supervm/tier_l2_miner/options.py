"""What an operator of an L2 may set; every bound of a miner's memory and work in one place (network.md 7, N2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from supervm.common.contract.options import OptionSpec, OptionValue, one_table
from supervm.common.errors import InputError
from supervm.common.parts.fee_policy import FEES_OPTION, read_policy
from supervm.common.parts.reach.options import ENDPOINT_OPTIONS, FIND_OPTIONS
from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.base.limits import BATCH_TRANSACTIONS_MAX

from .more import MORE


class MinerOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds and delays of one miner; times in microseconds, rates per second.

    Attributes:
        fees: the fees that are taken, as `fee_policy.read_policy` reads them; others are refused.
        mempool_transactions_max: transactions held at once, whatever their state; more are refused as "busy". A quarter
            of this and of the bytes is for those that cannot be batched yet.
        mempool_bytes_max: their canonical bytes together.
        batch_transactions_max: transactions per batch, 1 .. 2,000.
        batch_wait_us: how long the first waiting transaction waits for company.
        batch_interval_us: least time between two batches, of which the second is small; half of it for larger ones.
        batches_open_max: batches not yet executed before new ones are held back.
        unverified_max: transactions handed to signature verification and not yet answered.
        submit_rate_edge: transactions per second that one L3 may submit; its burst is twice that.
        submit_rate_other: the same for every other peer.
        query_rate: proofs of leaves per second that one peer may ask for.
        subscriptions_max: accounts that one connection may subscribe.
        push_interval_us: shortest time between two pushes of touched accounts.
        checkpoint_interval_us: longest time an L3 goes without the newest checkpoint, if there is a newer one.
        keep_blocks: heights whose headers and receipts are kept.
    """

    fees: str = str(FEES_OPTION.default)
    mempool_transactions_max: int = 100_000
    mempool_bytes_max: int = 64 << 20
    batch_transactions_max: int = BATCH_TRANSACTIONS_MAX
    batch_wait_us: int = 20_000
    batch_interval_us: int = 400_000
    batches_open_max: int = 16
    unverified_max: int = 8_192
    submit_rate_edge: int = 5_000
    submit_rate_other: int = 256
    query_rate: int = 5_000
    subscriptions_max: int = 100_000
    push_interval_us: int = 200_000
    checkpoint_interval_us: int = 2_000_000
    keep_blocks: int = 10_000


_DEFAULT: Final = MinerOptions()

MEMPOOL_OPTIONS: Final[Mapping[str, OptionSpec]] = {
    "fees": FEES_OPTION,
    "mempool_transactions_max": OptionSpec(
        int,
        _DEFAULT.mempool_transactions_max,
        "transactions held at once, at most a quarter of them unable to run; more are busy",
        1,
        10**7,
    ),
    "mempool_bytes_max": OptionSpec(
        int, _DEFAULT.mempool_bytes_max, "bytes of transactions held at once", 1 << 16, 1 << 34
    ),
}
"""Keys about what is taken, and what waits."""
BATCH_OPTIONS: Final[Mapping[str, OptionSpec]] = {
    "batch_transactions_max": OptionSpec(
        int, _DEFAULT.batch_transactions_max, "transactions per batch", 1, BATCH_TRANSACTIONS_MAX
    ),
    "batch_wait_us": OptionSpec(
        int, _DEFAULT.batch_wait_us, "microseconds that a first transaction waits for company", 0, 10_000_000
    ),
    "batch_interval_us": OptionSpec(
        int, _DEFAULT.batch_interval_us, "microseconds between batches that are not large", 0, 10_000_000
    ),
    "batches_open_max": OptionSpec(
        int, _DEFAULT.batches_open_max, "batches not executed yet before new ones are held back", 1, 256
    ),
}
"""Keys about batches."""
INTAKE_OPTIONS: Final[Mapping[str, OptionSpec]] = {
    "unverified_max": OptionSpec(
        int, _DEFAULT.unverified_max, "transactions in signature verification at once", 1, 10**6
    ),
    "submit_rate_edge": OptionSpec(
        int, _DEFAULT.submit_rate_edge, "transactions per second that one L3 may submit", 1, 10**6
    ),
    "submit_rate_other": OptionSpec(
        int, _DEFAULT.submit_rate_other, "transactions per second that any other peer may submit", 1, 10**6
    ),
}
"""Keys about what comes in."""
SERVING_OPTIONS: Final[Mapping[str, OptionSpec]] = {
    "query_rate": OptionSpec(
        int, _DEFAULT.query_rate, "proofs of leaves per second that one peer may ask for", 1, 10**6
    ),
    "subscriptions_max": OptionSpec(
        int, _DEFAULT.subscriptions_max, "accounts that one connection may subscribe", 1, 10**7
    ),
    "push_interval_us": OptionSpec(
        int, _DEFAULT.push_interval_us, "microseconds between pushes of touched accounts", 0, 60_000_000
    ),
    "checkpoint_interval_us": OptionSpec(
        int,
        _DEFAULT.checkpoint_interval_us,
        "microseconds after which an L3 gets a newer checkpoint unasked",
        1_000,
        60_000_000,
    ),
}
"""Keys about proofs."""
REPLICA_OPTIONS: Final[Mapping[str, OptionSpec]] = {
    "keep_blocks": OptionSpec(int, _DEFAULT.keep_blocks, "heights whose headers and receipts are kept", 256, 2**62),
}
"""Keys about the state."""
OPTIONS: Final[Mapping[str, OptionSpec]] = one_table(
    MEMPOOL_OPTIONS,
    BATCH_OPTIONS,
    INTAKE_OPTIONS,
    SERVING_OPTIONS,
    REPLICA_OPTIONS,
    FIND_OPTIONS,
    ENDPOINT_OPTIONS,
    more=MORE,
)
"""Keys of the table ``[l2]`` of a node's configuration."""


def miner_options(values: Mapping[str, OptionValue]) -> MinerOptions:
    """Return the bounds that a configuration table names; the others keep their defaults.

    Raises:
        InputError: the fees are no list of fees.
    """
    bounds = MinerOptions.__struct_fields__
    options = msgspec.convert({name: value for name, value in values.items() if name in bounds}, MinerOptions)
    try:
        read_policy(options.fees)
    except LocalProtocolError as error:
        raise InputError(f"table [l2], key {error}") from error
    return options
