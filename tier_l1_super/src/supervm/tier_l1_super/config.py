"""What the table ``[l1]`` of a node's configuration may hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from supervm.common.contract.options import OptionSpec

from .consensus.listening import Listening

OPTIONS: Final[Mapping[str, OptionSpec]] = {**Listening.options}
"""Keys of ``[l1]``."""
