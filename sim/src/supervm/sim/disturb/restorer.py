"""The actor `database-restorer`: a validator that follows every rule, and whose operator does not.

Its database is put back from an old backup again and again, beside today's write-ahead log, as somebody may do who
looks for a mistake. It counts as honest: whatever it has forgotten, it must never sign a contradiction (S5).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import partial

from ..exact import Deployment
from ..exact.disk import Snapshot

RESTORER = "database-restorer"
"""Its name in scenario files."""
PERIOD_US = 4_000_000
"""Time between two restores."""
DOWN_US = 200_000
"""Time that the node is off for one."""
SETTLE_US = 5_000_000
"""Time that is left at the end of a run without a restore: who was put back last has to come back to the others."""
BACKUPS = 3
"""Backups that are kept; the oldest is put back."""


class Restorer:
    """Restores the databases of some validators until shortly before the end of a run.

    Args:
        deployment: the network.
        names: the validators.
    """

    def __init__(self, deployment: Deployment, names: Sequence[str]) -> None:
        self._deployment, self._world = deployment, deployment.world
        self._names, self._end_us = tuple(names), 0
        self._backups: dict[str, deque[Snapshot]] = {name: deque(maxlen=BACKUPS) for name in names}
        self.acted = 0
        """Databases put back."""

    def begin(self, end_us: int) -> None:
        """Take the first backups now, and go on until the world time `end_us`; the network is started."""
        self._end_us = end_us
        if self._names:
            self._world.at(self._world.now_us, self._turn)

    def _turn(self) -> None:
        if self._world.now_us + SETTLE_US >= self._end_us:
            return
        for name in self._names:
            host, backups = self._deployment.host(name), self._backups[name]
            if len(backups) == BACKUPS and host.core is not None:
                self._world.hold_off(host.node_id, RESTORER)
                host.disk.restore_tables(backups[0])
                self.acted += 1
                back = partial(self._world.let_on, host.node_id, RESTORER)
                self._world.at(self._world.now_us + DOWN_US, back)
            backups.append(host.disk.snapshot())
        self._world.at(self._world.now_us + PERIOD_US, self._turn)
