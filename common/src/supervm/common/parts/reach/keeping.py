"""What of other nodes is on disk: those that answered when they were dialled, and which of them are anchors."""

from __future__ import annotations

from typing import Final

from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.reach.record import read_record

from ...contract.core import Outbox
from ...contract.records import Reader
from ..policy.policy import OPEN
from .known import Known, KnownNodes
from .tables import PROVEN, ProvenRow

KEEP_US: Final = 600_000_000
"""A node of which nothing has changed but its record is written down again after so long."""


class Keeping:
    """Writes proven nodes down, and takes them up again after a restart.

    Args:
        outbox: where the writes go.
        reader: durable state to start from.
        nodes: what is known.

    Attributes:
        anchors: node ids of the peers that had been up longest when that was looked at last.
    """

    def __init__(self, outbox: Outbox, reader: Reader, nodes: KnownNodes) -> None:
        self._outbox, self._reader, self._nodes = outbox, reader, nodes
        self.anchors: list[bytes] = []
        self.policy = OPEN
        """What the owner allows to be kept."""

    def restore(self, now_us: int) -> None:
        """Take up what was proven before the last stop; rows of which nobody can make anything are deleted."""
        for row in PROVEN.rows(self._reader):
            if self._restore(now_us, row) is None:
                self._outbox.persist(PROVEN.delete(row.node_id))
            elif row.anchor:
                self.anchors.append(row.node_id)

    def keep(self, now_us: int, known: Known) -> None:
        """Write a proven node down, unless that was done a moment ago: its peer decides how often it says something."""
        place = next((place for place in known.places if place.proven_us), None)
        if place is None:
            return
        endpoint, anchor = place.spot.endpoint, int(known.node_id in self.anchors)
        if known.kept[:2] == (endpoint, anchor) and now_us < known.kept[2] + KEEP_US:
            return
        known.kept = (endpoint, anchor, now_us)
        if not self.policy.keep(now_us, known.record.region).goes_on:
            return
        row = ProvenRow(known.node_id, endpoint, place.proven_us, known.lasted_us, anchor, known.raw)
        self._outbox.persist(PROVEN.put(row))

    def note_anchors(self, now_us: int, oldest: list[bytes]) -> None:
        """Write down which peers have been up longest; while none has, the old ones stay."""
        if oldest and oldest != self.anchors:
            changed, self.anchors = [*self.anchors, *oldest], oldest
            for node_id in dict.fromkeys(changed):
                known = self._nodes.get(node_id)
                if known is not None:
                    self.keep(now_us, known)

    def drop_forgotten(self) -> None:
        """Delete who was proven and is not known any more."""
        for node_id in self._nodes.forgotten:
            self._outbox.persist(PROVEN.delete(node_id))
        self._nodes.forgotten.clear()

    def _restore(self, now_us: int, row: ProvenRow) -> Known | None:
        try:
            record = read_record(row.record)
        except RemoteProtocolError:
            return None
        known = self._nodes.restore(now_us, record, row.record, row.endpoint, row.proven_us)
        if known is not None:
            known.lasted_us = row.lasted_us
        return known
