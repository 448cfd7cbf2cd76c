"""The node of a phone while another app is looked at: a process of its own that holds the wallet's folder.

Theory of operation. The app starts this service as soon as there is a wallet, and talks to it over DIR/node.sock as it
would to any node that runs already (`link`). So there is one owner of the folder whether the app is looked at or not,
and a payment that was made goes on when its owner turns to something else. The wallet begins locked: the app unlocks it
with what its owner types, and no passphrase is ever stored.

The service ends by itself when nothing needs it: nobody has asked it anything for `IDLE_S` and no payment is on its
way. It also ends after `RUN_S_MAX`, because Android lets a service of this kind run for six hours of a day and then
takes its process down. Android may take it down at any other moment, too, which loses nothing: what was accepted is on
the disk. The app starts it again when it is looked at.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import trio

from supervm.common.errors import CommonError
from supervm.common.host.config import CONFIG_FILE, NodeConfig, load_config
from supervm.common.host.home import home_directory
from supervm.common.host.node import Node
from supervm.common.host.open import open_node

from ...messages import Info
from ...options import OPTIONS
from ...profile import PROFILE
from ...wallet.payments import PROGRESS
from .announced import announce_all

FOLDER: Final = "phone"
"""The wallet's folder in the home of nodes."""
LOOK_S: Final = 60
"""Between two looks at whether the node is needed."""
IDLE_S: Final = 600
"""So long a node stays that nobody asks anything and that has nothing on its way."""
RUN_S_MAX: Final = 5 * 3_600
"""Longest that the service runs; Android's own bound is six hours of a day."""


def phone_directory() -> Path:
    """Return the folder of this phone's wallet and node; it may not be there yet."""
    return home_directory().joinpath(FOLDER)


class Need:
    """Whether a node is needed any longer; it is looked at every `LOOK_S`."""

    def __init__(self) -> None:
        self._heard = -1
        self._idle_looks = 0
        self._looks = 0

    def look(self, heard: int, *, has_open: bool) -> bool:
        """Return whether the node is needed until the next look.

        Args:
            heard: how many requests it has had so far.
            has_open: whether payments are on their way.
        """
        self._idle_looks = 0 if has_open or heard != self._heard else self._idle_looks + 1
        self._heard = heard
        self._looks += 1
        return self._idle_looks * LOOK_S < IDLE_S and self._looks * LOOK_S < RUN_S_MAX


async def run_while_needed(config: NodeConfig) -> None:
    """Run the node of a phone, locked, until nothing needs it.

    Raises:
        CommonError: the folder is not ready for a node, another process holds it, or the node ended with an error.
    """
    async with open_node(config, profile=PROFILE) as node, trio.open_nursery() as nursery:
        nursery.start_soon(_watch, node, nursery.cancel_scope)
        await node.closed()
        nursery.cancel_scope.cancel()


async def _watch(node: Node, until: trio.CancelScope) -> None:
    """Cancel `until` when the node is not needed any more."""
    need = Need()
    while need.look(node.control.heard, has_open=await _has_open(node)):
        await trio.sleep(LOOK_S)
    until.cancel()


async def _has_open(node: Node) -> bool:
    counts = (await node.request(Info()))["payments"]
    return any(counts.get(status, 0) for status in PROGRESS)


def main() -> None:
    """Run the service; what goes wrong is one line in Android's log."""
    announce_all()
    try:
        trio.run(run_while_needed, load_config(phone_directory().joinpath(CONFIG_FILE), tier=4, options=OPTIONS))
    except CommonError as error:
        sys.stderr.write(f"{error}\n")
