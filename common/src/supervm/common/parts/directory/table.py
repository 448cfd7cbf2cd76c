"""The records that a node keeps for others: by node, least recently used first, and by what is asked for most.

Theory of operation. Three kinds of records are here. Those of nodes that are *attached* stay while these are connected:
whoever looks for them has to come here. Those that others have *brought* unasked count for the network of who brought
them, which may fill a quarter of the table; past that the oldest of its own goes. Those that we have *asked* for count
for nobody. When the table is full, the record that was used least recently goes, whoever it is of, unless it is
attached; attached nodes alone never fill more than half.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from supervm.protocol.reach.record import NodeRecord
from supervm.protocol.wire.reach import Wanted

OF_SOURCE: Final = 4
"""A network that brings records fills at most one part of so many."""
SCAN_MAX: Final = 512
"""Most records that one question goes through."""
ASKED: Final = "asked"
"""The source of what we have asked for; no network is called so."""


@dataclass(slots=True)
class Entry:
    """A node.

    Attributes:
        record: its newest.
        raw: the record's bytes.
        source: network of who brought it; `ASKED`.
        via: node id of the edge that it is attached to, as far as is known; else empty.
        latency_ms: how far it is, there and back; 0: not known.
        attached: it is connected to us.
        slot: where it is among those of its tier and region.
    """

    record: NodeRecord
    raw: bytes
    source: str
    via: bytes = b""
    latency_ms: int = 0
    attached: bool = False
    slot: int = 0

    @property
    def node_id(self) -> bytes:
        """Whose it is."""
        return self.record.node_id


class RecordTable:
    """All of them.

    Args:
        own_id: our node id, of which nothing is kept here.
        capacity: most records.
    """

    def __init__(self, own_id: bytes, capacity: int) -> None:
        self._own_id, self.capacity = own_id, capacity
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self._places: dict[tuple[int, str], list[Entry]] = {}  # by tier and region
        self._sources: dict[str, OrderedDict[bytes, None]] = {}
        self._attached = 0
        self.forgotten: list[bytes] = []
        """Nodes that went since this was emptied last; whoever keeps records on disk empties it."""

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def peek(self, node_id: bytes) -> Entry | None:
        """Return what is known of a node; that is no use of it."""
        return self._entries.get(node_id)

    def get(self, node_id: bytes, now_ms: int) -> Entry | None:
        """Return what is known of a node, if its record has not ended."""
        entry = self._entries.get(node_id)
        if entry is None:
            return None
        if entry.record.expires_ms <= now_ms:
            if not entry.attached:
                self._forget(entry)
            return None
        self._entries.move_to_end(node_id)
        return entry

    def put(self, record: NodeRecord, raw: bytes, source: str, via: bytes = b"") -> Entry | None:
        """Take a record that was checked; return its entry, None if it is our own or older than what is here.

        Args:
            record: what came.
            raw: its bytes.
            source: network of who brought it unasked, or `ASKED`.
            via: node id of the edge that it is attached to; empty: not known.
        """
        if record.node_id == self._own_id:
            return None
        entry = self._entries.get(record.node_id)
        if entry is None:
            entry = Entry(record, raw, source, via)
            self._make_room(source)
            self._entries[record.node_id] = entry
            self._sources.setdefault(source, OrderedDict())[record.node_id] = None
            self._place(entry)
            return entry
        if entry.record.counter > record.counter:
            return None
        self._unplace(entry)
        entry.record, entry.raw = record, raw
        entry.via = via or entry.via
        self._place(entry)
        self._entries.move_to_end(record.node_id)
        return entry

    def attach(self, node_id: bytes, latency_ms: int = 0) -> None:
        """Note that a node is connected to us; half of the table at most stays for that reason."""
        entry = self._entries.get(node_id)
        if entry is not None:
            entry.latency_ms = latency_ms or entry.latency_ms
            if not entry.attached and 2 * self._attached < self.capacity:
                entry.attached = True
                self._attached += 1

    def detach(self, node_id: bytes) -> None:
        """Note that it is not any more."""
        entry = self._entries.get(node_id)
        if entry is not None and entry.attached:
            entry.attached = False
            self._attached -= 1

    def candidates(self, wanted: Wanted, first: int) -> Iterator[Entry]:
        """Yield records among which those that fit are, `SCAN_MAX` at most; of more, `first` says where to begin."""
        places = [
            entries
            for (tier, region), entries in self._places.items()
            if (not wanted.tiers or tier in wanted.tiers) and (not wanted.region or region == wanted.region)
        ]
        count = sum(map(len, places))
        left, skip = min(count, SCAN_MAX), first % count if count > SCAN_MAX else 0
        for entries in (*places, *places):
            if skip >= len(entries):
                skip -= len(entries)
                continue
            yield from islice(entries, skip, skip + left)
            left -= min(left, len(entries) - skip)
            skip = 0
            if not left:
                return

    # --- room ---------------------------------------------------------------------------------------------------------

    def _make_room(self, source: str) -> None:
        own = self._sources.get(source)
        if source != ASKED and own is not None and len(own) >= max(1, self.capacity // OF_SOURCE):
            self._forget_first(own)
        while len(self._entries) >= self.capacity and self._forget_first(self._entries):
            pass

    def _forget_first(self, nodes: OrderedDict[bytes, None] | OrderedDict[bytes, Entry]) -> bool:
        """Forget the first of these that is not attached; return whether there was one."""
        for _ in range(len(nodes)):
            node_id = next(iter(nodes))
            entry = self._entries[node_id]
            if not entry.attached:
                self._forget(entry)
                return True
            nodes.move_to_end(node_id)  # not to be looked at again each time
        return False

    def _forget(self, entry: Entry) -> None:
        del self._entries[entry.node_id]
        own = self._sources[entry.source]
        del own[entry.node_id]
        if not own:
            del self._sources[entry.source]
        self._unplace(entry)
        self.forgotten.append(entry.node_id)

    def _place(self, entry: Entry) -> None:
        entries = self._places.setdefault((entry.record.tier, entry.record.region), [])
        entry.slot = len(entries)
        entries.append(entry)

    def _unplace(self, entry: Entry) -> None:
        key = (entry.record.tier, entry.record.region)
        entries = self._places[key]
        last = entries.pop()
        if last is not entry:
            entries[entry.slot] = last
            last.slot = entry.slot
        if not entries:
            del self._places[key]
