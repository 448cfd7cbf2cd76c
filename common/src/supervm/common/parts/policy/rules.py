"""The rules of an owner's policy: the table ``[policy]`` of a configuration (network.md 6).

A rule that is not set allows everything. Rules only ever forbid: no value of any key lets a node do what it would not
do without it, or hides what it does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from supervm.protocol.base.errors import LocalProtocolError

from ...contract.options import OptionSpec, OptionValue

QUEUE: Final = "queue"
READ_ONLY: Final = "read-only"
POLICY_OPTIONS: Final[Mapping[str, OptionSpec]] = {
    "transports": OptionSpec(
        str, "", "transports that may be dialled and listened on, the preferred first: `tcp,serial`; empty: all"
    ),
    "regions": OptionSpec(
        str, "", "regions whose nodes links are kept to; a found node that names none is in none; empty: all"
    ),
    "stores": OptionSpec(str, "", "regions of which nodes may be written to this node's disk; empty: all"),
    "retention_days": OptionSpec(
        int, 0, "days after which logs that were rotated and old backups are removed; 0: never for their age", 0, 36_500
    ),
    "writes_per_minute": OptionSpec(int, 0, "payments that are taken in a minute; 0: no bound", 0, 10**9),
    "writes_burst": OptionSpec(int, 0, "payments that are taken at once; 0: as many as in a minute", 0, 10**9),
    "when_unreachable": OptionSpec(
        str,
        QUEUE,
        "what becomes of payments while nobody above can be reached: queue keeps them, read-only takes none",
        choices=(QUEUE, READ_ONLY),
    ),
    "queue_age_s_max": OptionSpec(
        int, 0, "seconds that the oldest of these may wait before no more are taken; 0: no bound", 0, 366 * 86_400
    ),
}
"""Keys of the table ``[policy]``."""
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]{0,15}")


@dataclass(frozen=True, slots=True)
class Rules:
    """A policy that was read; what is empty or 0 is no rule.

    Attributes:
        transports: schemes that are allowed, the preferred first.
        regions: where peers may be.
        stores: regions of which nodes may be written to disk.
        retention_days: after which logs and backups go.
        writes_per_minute: payments taken in a minute.
        writes_burst: payments taken at once.
        read_only: whether no payments are taken while nobody above can be reached.
        queue_age_s_max: how long the oldest of those may wait that were taken while nobody could be reached.
    """

    transports: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    stores: tuple[str, ...] = ()
    retention_days: int = 0
    writes_per_minute: int = 0
    writes_burst: int = 0
    read_only: bool = False
    queue_age_s_max: int = 0

    @property
    def limits_dials(self) -> bool:
        """Whether there is a rule about whom links are kept to."""
        return bool(self.transports or self.regions)

    @property
    def limits_writes(self) -> bool:
        """Whether there is a rule about payments."""
        return bool(self.writes_per_minute or self.read_only or self.queue_age_s_max)


def read_rules(values: Mapping[str, OptionValue]) -> Rules:
    """Return the rules of a table ``[policy]`` whose values are of the kinds of `POLICY_OPTIONS`.

    Raises:
        LocalProtocolError: a list holds what is no word, or one twice; the text begins with the key.
    """
    full = {key: values.get(key, option.default) for key, option in POLICY_OPTIONS.items()}
    per_minute = int(full["writes_per_minute"])
    return Rules(
        _words(full, "transports"),
        _words(full, "regions"),
        _words(full, "stores"),
        int(full["retention_days"]),
        per_minute,
        int(full["writes_burst"]) or per_minute,
        full["when_unreachable"] == READ_ONLY,
        int(full["queue_age_s_max"]),
    )


def _words(values: Mapping[str, OptionValue], key: str) -> tuple[str, ...]:
    words = tuple(word.strip() for word in str(values[key]).split(",")) if values[key] else ()
    for word in words:
        if _WORD.fullmatch(word) is None:
            raise LocalProtocolError(
                f"{key} holds {word!r:.40}; words of at most 16 letters, digits and + . _ - are allowed, with commas"
            )
    if len(dict.fromkeys(words)) != len(words):
        raise LocalProtocolError(f"{key} names one word twice")
    return words


def scheme_of(address: str) -> str:
    """Return the transport of an address: what stands before the colon if it cannot be a host with a port."""
    scheme, colon, rest = address.partition(":")
    if not colon or address.startswith("[") or rest.isdecimal():
        return "tcp"
    return scheme
