"""What an operator of an L1 may set: the keys of the table ``[l1]``, by the part that they are about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from supervm.common.contract.options import OptionSpec, OptionValue, one_table
from supervm.common.parts.reach.options import ENDPOINT_OPTIONS, FIND_OPTIONS

from .more import MORE

LISTENING_OPTIONS: Final[Mapping[str, OptionSpec]] = {
    "double_run_listen_s": OptionSpec(
        int, 5, "seconds at start in which the node only listens whether its key already votes elsewhere", 0, 3_600
    ),
}
"""Keys about the time before the first vote."""
KEEP_BLOCKS: Final = 10_000
"""Blocks kept by a node that is no archive."""
ARCHIVE_AUTO, ARCHIVE_YES, ARCHIVE_NO = "auto", "yes", "no"
PRUNING_OPTIONS: Final[Mapping[str, OptionSpec]] = {
    "keep_blocks": OptionSpec(
        int, KEEP_BLOCKS, "blocks kept by a node that is no archive, and those of the epoch they begin in", 256, 2**62
    ),
    "archive": OptionSpec(
        str,
        ARCHIVE_AUTO,
        "whether the whole chain is kept; auto: by a node that has no validator.key",
        choices=(ARCHIVE_AUTO, ARCHIVE_YES, ARCHIVE_NO),
    ),
}
"""Keys about how much of the chain is kept."""
OPTIONS: Final[Mapping[str, OptionSpec]] = one_table(
    LISTENING_OPTIONS, PRUNING_OPTIONS, FIND_OPTIONS, ENDPOINT_OPTIONS, more=MORE
)
"""Keys of the table ``[l1]`` of a node's configuration."""


def blocks_kept(values: Mapping[str, OptionValue], *, has_key: bool) -> int | None:
    """Return how many blocks a node with these options keeps; None: all, it is an archive.

    Args:
        values: the table ``[l1]``; what it does not name has its default.
        has_key: whether the node may vote.
    """
    archive = values.get("archive", ARCHIVE_AUTO)
    if archive == ARCHIVE_YES or (archive == ARCHIVE_AUTO and not has_key):
        return None
    return int(values.get("keep_blocks", KEEP_BLOCKS))
