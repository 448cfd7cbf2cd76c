"""What an operator of an L1 may set: the keys of the table ``[l1]``, by the part that they are about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from supervm.common.contract.options import OptionSpec, one_table

from .more import MORE

LISTENING_OPTIONS: Final[Mapping[str, OptionSpec]] = {
    "double_run_listen_s": OptionSpec(
        int, 5, "seconds at start in which the node only listens whether its key already votes elsewhere", 0, 3_600
    ),
}
"""Keys about the time before the first vote."""
OPTIONS: Final[Mapping[str, OptionSpec]] = one_table(LISTENING_OPTIONS, more=MORE)
"""Keys of the table ``[l1]`` of a node's configuration."""
