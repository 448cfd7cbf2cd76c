"""What the table ``[l1]`` of a node's configuration may hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from supervm.common.contract.options import OptionSpec

OPTIONS: Final[Mapping[str, OptionSpec]] = {
    "double_run_listen_s": OptionSpec(
        int, 5, "seconds at start in which the node only listens whether its key already votes elsewhere", 0, 3_600
    ),
}
"""Keys of ``[l1]``."""
