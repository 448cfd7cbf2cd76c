"""What an owner of an L4 may set: the keys of the table ``[l4]``, by the part that they are about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from supervm.common.contract.options import ANCHOR_OPTION, OptionSpec, one_table
from supervm.common.parts.participation import ACTIVE, PASSIVE, STANDARD
from supervm.common.parts.reach.options import FIND_OPTIONS, LAN_OPTIONS, PHONE_OPTIONS

from .more import MORE

ACCOUNTS_MAX: Final = 100_000
"""Most accounts that one node opens."""
QUEUE_MAX: Final = 1_000
"""Most payments on their way at once unless the owner of a node says otherwise."""
VALIDITY_MS: Final = 96 * 3_600_000
"""How long a payment may execute unless its owner says otherwise (consensus.md 3.9.1)."""

ACCOUNT_OPTIONS: Final[Mapping[str, OptionSpec]] = {
    "accounts": OptionSpec(int, 1, "accounts of the wallet that this node opens, from number 0 on", 1, ACCOUNTS_MAX),
    "names": OptionSpec(str, "", "file with one name per account, in account order; empty: no names"),
}
"""Keys about the wallet's accounts."""
PAYMENT_OPTIONS: Final[Mapping[str, OptionSpec]] = {
    "validity_s": OptionSpec(int, VALIDITY_MS // 1000, "seconds that a payment may take to execute", 5, 7 * 86_400),
    "queue_max": OptionSpec(
        int, QUEUE_MAX, "payments that may be on their way at once; more are refused", 1, 1_000_000
    ),
}
"""Keys about payments."""
LOCK_OPTIONS: Final[Mapping[str, OptionSpec]] = {
    "lock_after_s": OptionSpec(
        int, 0, "seconds after its owner's last payment or unlocking until the wallet locks; 0: never", 0, 86_400
    ),
}
"""Keys about the wallet's lock."""
AUTO: Final = "auto"
"""The mode of a phone that leaves it to the phone what it does for others."""
MODE_OPTIONS: Final[Mapping[str, OptionSpec]] = {
    "mode": OptionSpec(
        str,
        STANDARD,
        "passive: own traffic only and few payments in flight, for small devices; standard: answers others what it "
        "knows; active: carries for others, too; auto: what the device can spare",
        choices=(STANDARD, PASSIVE, ACTIVE, AUTO),
    ),
    "metered": OptionSpec(
        str,
        "unknown",
        "whether the connection is paid for by volume; auto does nothing for others over one that is, and is active "
        "only over one that is not",
        choices=("unknown", "yes", "no"),
    ),
}
"""Keys about what a phone does beside its owner's business, and how much of that at once."""
TRUST_OPTIONS: Final[Mapping[str, OptionSpec]] = {"anchor": ANCHOR_OPTION}
"""Keys about what is trusted."""
HANDOVER_OPTIONS: Final[Mapping[str, OptionSpec]] = {
    "promises_max": OptionSpec(
        int,
        1_000,
        "payments of others that are kept once their phones handed them over; finished ones go first",
        1,
        10**5,
    ),
}
"""Keys about what other phones hand over."""
OPTIONS: Final[Mapping[str, OptionSpec]] = one_table(
    ACCOUNT_OPTIONS,
    PAYMENT_OPTIONS,
    MODE_OPTIONS,
    LOCK_OPTIONS,
    TRUST_OPTIONS,
    HANDOVER_OPTIONS,
    FIND_OPTIONS,
    PHONE_OPTIONS,
    LAN_OPTIONS,
    more=MORE,
)
"""Keys of the table ``[l4]`` of a node's configuration."""
