"""The whole app in a folder of a test's, with a node of its own and clocks in the test's hands."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from chain_tools import make_test_chain

from supervm.common.wallet import Stretching
from supervm.protocol.base.codec import encode
from supervm.tier_l4_mobile.app.folder import PhoneFolder
from supervm.tier_l4_mobile.app.look_of import System
from supervm.tier_l4_mobile.app.screens.life import Life, Outside

CHEAP = Stretching(passes=1, memory_bytes=8 << 10)
"""What a test's passphrase costs."""


def new_bytes(size: int) -> bytes:
    """Random bytes of a test: always the same."""
    return bytes(range(7, 7 + size))


@dataclass(slots=True)
class LifeScene:
    """One folder, and the machine around it.

    Attributes:
        directory: the wallet's folder.
        uptime_ms: a clock that only the test moves.
        ahead_ms: how far the wall clock is set ahead.
    """

    directory: Path
    uptime_ms: int = 0
    ahead_ms: int = 0
    _keys: count[int] = field(default_factory=count)

    @property
    def folder(self) -> PhoneFolder:
        return PhoneFolder(self.directory, new_bytes, cost=CHEAP)

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self.ahead_ms

    def life(self) -> Life:
        outside = Outside(System("en"), self.now_ms, lambda: self.uptime_ms, lambda: f"app:{next(self._keys)}")
        return Life(self.folder, outside)


def genesis_file(folder: Path) -> Path:
    """The file of a test's network."""
    path = folder / "network.cbor"
    path.write_bytes(encode(make_test_chain(4).chain.genesis))
    return path
