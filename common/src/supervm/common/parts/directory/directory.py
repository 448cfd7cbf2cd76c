"""Answers to whoever looks for nodes: from what is known here, else from above (network.md 2).

Theory of operation. Names of machines are looked up as names of hosts are: nearest first. A phone looks into its own
table, then asks its edge, an edge a miner, a miner a validator; a validator is the root and knows every node that wants
to be found. Each keeps what it hears until the record ends, and has one question under way for each thing that is
asked. Questions only ever go up, so they end.

Records come up the same way. A node tells whoever it meets its own; edges and miners tell those above them, a few at a
time, of the nodes that are attached to them. So an edge knows all its phones, and the root knows of each willing phone
which edges it is attached to (`home_edges`): who looks for a phone learns where to go.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.reach.record import NodeRecord
from supervm.protocol.wire.frames import encode_message
from supervm.protocol.wire.reach import RECORDS_MAX, Find, Found, FoundItem, RecordPut, Wanted

from ...contract.core import earliest
from ..reach.own import OwnNode
from ..shell import Shell
from .choosing import best_of, fits, seed_of
from .ladder import PHONE, ROOT, Ladder
from .questions import QUESTIONS_FROM, Questions, Sought
from .reporting import Reports
from .root import Root
from .table import ASKED, Entry, RecordTable

EDGE: Final = 3
CAPACITY: Final[Mapping[int, int]] = {1: 1_000_000, 2: 100_000, 3: 10_000, 4: 200}
"""Tier -> records that its nodes keep, if their owners say nothing else."""

Answer = Callable[[int, Sequence[Entry]], None]


def phone_capacity(memory_bytes: int) -> int:
    """Return how many records a phone with that much memory keeps (network.md 2)."""
    for below_mib, capacity in ((512, 50), (1_024, 100), (2_048, 200), (4_096, 300)):
        if memory_bytes < below_mib << 20:
            return capacity
    return 500


class Directory:
    """What a node knows of others, for itself and for whoever asks.

    Args:
        shell: the node.
        rng: whom to ask of several, and where to look first.
        own: how many records its owner wants kept, and whether phones are asked.

    Attributes:
        table: the records.
        here: questions that were answered from the table alone.
        above: those for which somebody above was asked.
    """

    def __init__(self, shell: Shell, rng: random.Random, own: OwnNode) -> None:
        self._shell, self._rng = shell, rng
        self._outbox, self._peering = shell.outbox, shell.peering
        self.table = RecordTable(shell.node_id, own.directory_nodes or CAPACITY[shell.TIER])
        self._ladder = Ladder(shell.TIER, rng, ask_phones=own.ask_phones)
        self._questions = Questions(self._send, self._ladder.distances)
        self._seeking: dict[bytes, int] = {}  # whom we ask for neighbours, and the number
        self._root: Root | None = None
        if shell.TIER == ROOT and shell.reader is not None:
            self._root = Root(shell.outbox, shell.reader, self.table)
        self._reports = Reports(self.table)
        self._number = 0
        self.here = self.above = 0

    @property
    def deadline_us(self) -> int | None:
        """When `tick` has something to do."""
        return earliest(self._questions.deadline_us, self._reports.deadline_us)

    def started(self, now_us: int) -> None:
        """Take up what was known before the last stop."""
        if self._root is not None:
            self._root.restore(now_us // 1_000)

    def tick(self, now_us: int) -> None:
        """Ask again, and tell those above of attached nodes."""
        self._questions.tick(now_us)
        if self._reports.deadline_us is not None and self._reports.deadline_us <= now_us:
            for peer, records in self._reports.take(now_us):
                for start in range(0, len(records), RECORDS_MAX):
                    self._outbox.send(peer, RecordPut(tuple(records[start : start + RECORDS_MAX])))

    def settle(self) -> None:
        """Close the step."""
        if self._root is not None:
            self._root.settle()
        else:
            self._reports.forget(self.table.forgotten)
            self.table.forgotten.clear()

    def info(self) -> Mapping[str, Any]:
        """Return what the owner is told."""
        return {"directory": {"records": len(self.table), "answered_here": self.here, "asked_above": self.above}}

    # --- records ------------------------------------------------------------------------------------------------------

    def peer_up(self, now_us: int, peer: bytes, tier: int) -> None:
        """Note a peer that names the subject."""
        self._ladder.tiers[peer] = tier
        self.table.attach(peer)
        self._reports.tell(now_us, self._ladder.told)

    def peer_down(self, now_us: int, peer: bytes) -> None:
        """It is gone."""
        self._ladder.tiers.pop(peer, None)
        self._seeking.pop(peer, None)
        self.table.detach(peer)
        self._reports.tell(now_us, self._ladder.told)
        self._questions.peer_down(now_us, peer)

    def learn(self, now_us: int, record: NodeRecord, raw: bytes, source: str, peer: bytes) -> None:
        """Take a record that was checked.

        Args:
            now_us: present time.
            record: what came.
            raw: its bytes.
            source: network of who brought it; `ASKED` if we have asked for it.
            peer: who brought it.
        """
        before = self.table.peek(record.node_id)
        is_news = before is None or before.record.counter < record.counter
        is_own = peer == record.node_id
        via = peer if not is_own and source != ASKED and self._ladder.tiers.get(peer) == EDGE else b""
        entry = self.table.put(record, raw, source, via)
        if entry is None:
            return
        if is_own:
            self.table.attach(peer)
        if self._root is not None:
            if self._shell.policy.keep(now_us, record.region).goes_on:
                self._root.keep(record, raw, source)
        elif is_news and source != ASKED and record.tier > self._shell.TIER - (not is_own):
            self._reports.note(now_us, record.node_id)

    # --- questions ----------------------------------------------------------------------------------------------------

    def answer(self, now_us: int, peer: bytes, question: Find) -> None:
        """Answer a peer's question, from here or when somebody above has answered ours."""
        nodes, number, taking_part = question.nodes, question.number, self._shell.taking_part

        def tell(at_us: int, entries: Sequence[Entry]) -> None:
            taking_part.note_question(found=bool(entries))
            if not taking_part.now.answers:
                entries = ()
            if peer in self._peering.up:
                items = tuple(self._item(entry) for entry in entries)
                found = Found(number, items)
                self._shell.manners.answered(at_us, peer, "link", len(encode_message(found)))
                self._outbox.send(peer, found)

        may_ask = taking_part.now.answers and self._ladder.tiers.get(peer, self._shell.TIER) > self._shell.TIER
        self.find(now_us, nodes, question.wanted, question.limit, tell, asker=peer, may_ask=may_ask)

    def find(
        self,
        now_us: int,
        nodes: Sequence[bytes],
        wanted: Wanted,
        limit: int,
        tell: Answer,
        *,
        asker: bytes = b"",
        may_ask: bool = True,
    ) -> None:
        """Look for nodes; `tell` is called with the time and what was found, at once or later.

        Args:
            now_us: present time.
            nodes: ids; empty: any that is as is wanted.
            wanted: what the records have to say.
            limit: most that are told.
            tell: takes the answer.
            asker: who asks, and is not told of itself; empty: our owner.
            may_ask: whether somebody above may be asked.
        """

        def look(at_us: int) -> list[Entry]:
            return self._look(at_us, nodes, wanted, limit, asker)

        found = look(now_us)
        missing = self._missing(now_us, nodes, wanted, limit, found, asker) if may_ask and self._ladder.asks else []
        if not missing:
            self.here += 1
            tell(now_us, found)
            return
        self.above += 1
        self._questions.ask(now_us, missing, lambda at_us: tell(at_us, look(at_us)))

    def _look(self, now_us: int, nodes: Sequence[bytes], wanted: Wanted, limit: int, asker: bytes) -> list[Entry]:
        """Return what the table has."""
        if nodes:
            named = [self.table.get(node_id, now_us // 1_000) for node_id in dict.fromkeys(nodes)]
            return [entry for entry in named if entry is not None and entry.node_id != asker][:limit]
        candidates = self.table.candidates(wanted, self._rng.randrange(1 << 30))
        found = best_of(candidates, wanted, limit + 1, seed_of(wanted, asker), now_us // 1_000)
        return [entry for entry in found if entry.node_id != asker][:limit]

    def _missing(
        self,
        now_us: int,
        nodes: Sequence[bytes],
        wanted: Wanted,
        limit: int,
        found: Sequence[Entry],
        asker: bytes,
    ) -> list[Sought]:
        """Return what is worth asking for above."""
        if nodes:
            known = {asker, *(entry.node_id for entry in found)}
            keys = [Sought(node_id) for node_id in dict.fromkeys(nodes) if node_id not in known]
        else:
            keys = [Sought(b"", wanted, limit)] if len(found) < limit else []
        return [key for key in keys if self._questions.wants(now_us, key)]

    def seek(self, peer: bytes, wanted: Wanted, limit: int) -> None:
        """Ask one peer for nodes that it knows, unless it owes us such an answer already."""
        if peer not in self._seeking:
            self._number = (self._number + 1) % QUESTIONS_FROM
            self._seeking[peer] = self._number
            self._outbox.send(peer, Find(self._number, (), wanted, limit))

    @property
    def idle(self) -> list[bytes]:
        """Peers that may be asked for neighbours: they owe no answer."""
        return [peer for peer in self._ladder.tiers if peer not in self._seeking]

    def is_sought(self, peer: bytes, message: Found) -> bool:
        """Return whether a peer's answer is to what `seek` has asked it; it owes that no more."""
        if self._seeking.get(peer) != message.number:
            return False
        del self._seeking[peer]
        return True

    def found(self, now_us: int, peer: bytes, message: Found, hear: Callable[[FoundItem], NodeRecord | None]) -> None:
        """Take the answer of somebody above; `hear` checks a record and takes it.

        Raises:
            RemoteProtocolError: nothing was asked, or something else is answered (code ``unasked``).
        """
        keys = self._questions.answered(now_us, peer, message.number)
        if keys is None:
            raise RemoteProtocolError("this answers no open question for records", code="unasked")
        self.table.attach(peer, self._ladder.distances.of(peer) // 1_000)
        named = {key.node_id for key in keys if key.node_id}
        found: set[bytes] = set()
        for item in message.items:
            record = hear(item)
            if record is None:
                continue
            if record.node_id not in named if named else not fits(record, keys[0].wanted):
                raise RemoteProtocolError("a node that nobody asked for is in an answer", code="unasked")
            found.add(record.node_id)
            self._note_way(record.node_id, item, peer)
        unknown = [key for key in keys if key.node_id not in found] if named else [] if found else list(keys)
        if unknown and self._ladder.is_beside(peer):
            self._questions.settle(now_us, [key for key in keys if key not in unknown], unknown=())
            self._questions.ask_another(now_us, unknown, peer)
            return
        self._questions.settle(now_us, keys, unknown=unknown)

    def _note_way(self, node_id: bytes, item: FoundItem, peer: bytes) -> None:
        """Keep what whoever answers says of the way to a node."""
        entry = self.table.peek(node_id)
        if entry is None:
            return
        entry.via = item.via or entry.via
        if item.latency_ms and not entry.attached:  # by way of whoever answers: it is no further than that
            entry.latency_ms = item.latency_ms + self._ladder.distances.of(peer) // 1_000

    def _item(self, entry: Entry) -> FoundItem:
        via = entry.via or (entry.record.home_edges[0] if entry.record.home_edges else b"")
        if entry.attached and entry.record.tier == PHONE and self._shell.TIER == EDGE:
            via = self._shell.node_id
        return FoundItem(entry.raw, min(entry.latency_ms, 0xFFFF), via)

    def _send(self, question: Find, but: bytes | None) -> bytes | None:
        peer = self._ladder.choose(question, but)
        if peer is not None:
            self._outbox.send(peer, question)
        return peer
