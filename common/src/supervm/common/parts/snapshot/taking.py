"""The side that takes a snapshot: finds one, asks for its chunks, checks and stores each, and survives restarts.

Theory of operation. A node that hears of a height more than `SNAPSHOT_LAG` above its own *seeks*: it asks its peers in
turn for the changes of validators that it does not know, as a light client does, and then for the first chunk of the
newest snapshot that they offer. That a peer claims a height proves nothing; what counts is the certified checkpoint in
the answer, which is checked against the validators followed so far, and must be that far ahead itself. From then on it
*takes* that snapshot: it asks one peer at a time for the leaves after those it has. Each chunk is verified against the
state root when it comes. A peer that sends a bad one is blamed and not asked again; one that has it no longer, is
silent or goes away is passed over; when nobody is left, the node seeks anew.

On disk, the leaves are rows of the ledger's table of leaves under the snapshot's height, beside those of the present
state, and two rows of the table "snapshot" tell the start and the position after the stored leaves. A chunk's leaves
and the new position are one write, so after a crash at any moment the stored leaves are exactly those before the stored
position, and the node goes on from there. When all are stored the host writes `records`, in which the base of the state
changes and the rows of the old one go: a crash leaves the state before or the one after, never parts of both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from supervm.protocol.base.codec import encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.chain.genesis import Chain
from supervm.protocol.light.client import LightClient, anchor_of
from supervm.protocol.light.snapshot import SnapshotStart, check_snapshot_start, decode_snapshot_start
from supervm.protocol.state.trie_range import FIRST_KEY, decode_trie_range, verify_range
from supervm.protocol.wire.chain import GetSnapshot, SnapshotChunk
from supervm.protocol.wire.payments import ValidatorChanges

from ...contract.core import Outbox
from ...contract.records import Reader, Record
from ..asking import Question, after
from ..events import Snapshot
from ..ledger import adopt_records
from ..ledger_tables import LEAVES, SNAPSHOT, LeafRow, SnapshotRow, stored_number
from ..validator_changes import ChangeStore
from ..validator_following import ValidatorFollower, read_changes

SNAPSHOT_LAG = 4_096
"""Heights behind a certified checkpoint from which a node takes a snapshot instead of blocks."""
ANSWER_US = 10_000_000
"""A peer that has not answered by then is passed over: a chunk of 1 MiB takes 8 s at 1 Mbit/s."""
NOBODY_US = 1_000_000
"""Pause while nobody is connected, as at a start."""
SEEK_AGAIN_US = 30_000_000
"""Pause after nobody had a snapshot that is far enough ahead."""
_START, _POSITION = "start", "position"  # names in the table `SNAPSHOT`
_COMPLETE = b""
"""Stored as the position when no leaf is missing."""


class SnapshotTaker:
    """The snapshot that one node takes, if any.

    Args:
        chain: the network.
        outbox: where questions and records go.
        reader: durable rows, with the tables of `LEDGER_TABLES`.
        changes: the changes of validators that the node knows; those that are followed here are added.
        peers: connected L1 nodes, the same order for the same nodes.
        height: the height up to which the node has the chain when this is made.
    """

    def __init__(
        self,
        chain: Chain,
        outbox: Outbox,
        reader: Reader,
        changes: ChangeStore,
        peers: Callable[[], Sequence[bytes]],
        height: int,
    ) -> None:
        self._chain, self._outbox, self._reader = chain, outbox, reader
        self._changes, self._peers = changes, peers
        # whoever runs a node that follows the whole chain answers for its peers, whatever the age of its genesis
        self._client = LightClient(anchor_of(chain), chain.verify, trusting_period_ms=None)
        self._follower = ValidatorFollower(self._client, changes, outbox)
        self._start: SnapshotStart | None = None
        self._position: bytes | None = FIRST_KEY
        self._seeking = False
        self._question = Question()  # with nobody asked: a pause
        self._starter: bytes | None = None  # who offered the snapshot that is being taken
        self._passed_over: dict[bytes, None] = {}
        self._bad: dict[bytes, None] = {}
        self._not_before_us = 0
        self._height = height
        self._resume()

    def _resume(self) -> None:
        """Go on with what is on disk, if it is still ahead of the state; else remove it."""
        start = SNAPSHOT.get(self._reader, _START)
        position = SNAPSHOT.get(self._reader, _POSITION)
        if start is not None and position is not None:
            stored = decode_snapshot_start(start.value)  # it was checked before it was written
            if stored.height > self._height:
                self._start = stored
                self._position = None if position.value == _COMPLETE else position.value
                self._question.ask(0, None, 0)
                return
        remains = self._discard()
        if remains:
            self._outbox.persist(*remains)

    # --- what the host asks -----------------------------------------------------------------------------------------

    @property
    def is_taking(self) -> bool:
        """Whether a snapshot is being taken, so that blocks below it are of no use."""
        return self._start is not None

    @property
    def height(self) -> int:
        """The height of the snapshot that is being taken; 0 if none is."""
        return 0 if self._start is None else self._start.height

    @property
    def finished(self) -> SnapshotStart | None:
        """The snapshot whose leaves have all been stored, or None; the host then writes `records`."""
        return self._start if self._position is None else None

    @property
    def deadline_us(self) -> int | None:
        """When `tick` has something to do."""
        return None if self._position is None and self._start is not None else self._question.until_us

    def records(self) -> list[Record]:
        """Return the write that puts the finished snapshot in the place of the state; it must come last."""
        start = self.finished
        if start is None:
            return []
        return [*adopt_records(start), SNAPSHOT.delete(_START), SNAPSHOT.delete(_POSITION)]

    def adopted(self, height: int) -> None:
        """Begin anew: the write of `records` is durable, and the node has the chain up to `height`."""
        self._height = height
        self._stop()

    # --- what comes in ----------------------------------------------------------------------------------------------

    def behind(self, now_us: int, height: int, peer: bytes | None = None) -> None:
        """Note that the chain is said to have reached `height`, by `peer`; seek if that is far ahead."""
        if self._start is not None or self._seeking or now_us < self._not_before_us:
            return
        if height > self._height + SNAPSHOT_LAG:
            self._seek(now_us, peer)

    def reached(self, height: int) -> None:
        """Note up to where the node has the chain; a snapshot that is not ahead of it is of no use any more."""
        self._height = height
        if self.finished is None and self._start is not None and self._start.height <= height:
            self._outbox.persist(*self._discard())
            self._stop()

    def followed(self, now_us: int, peer: bytes, message: ValidatorChanges) -> None:
        """Take changes of validators; when the peer knows no more of them, ask it for a snapshot.

        Raises:
            RemoteProtocolError: one is not what it must be; the question has gone to another peer.
        """
        if peer != self._question.peer or not self._seeking:
            return
        try:
            is_new = self._follower.follow_all(now_us, read_changes(message))
        except RemoteProtocolError:
            self._bad[peer] = None
            self._pass_over(now_us, peer)
            raise
        if is_new:
            self._ask(now_us, peer)
        else:
            self._question.wait(now_us, ANSWER_US)
            self._outbox.send(peer, GetSnapshot(0, FIRST_KEY, self._height + SNAPSHOT_LAG))

    def chunk(self, now_us: int, peer: bytes, message: SnapshotChunk) -> bool:
        """Take an answer, return whether it was of use; one that was not asked of this peer, or is late, is ignored.

        Raises:
            RemoteProtocolError: the answer is wrong; the question has gone to another peer.
        """
        late = peer in self._passed_over  # it proves itself all the same
        asked = peer == self._question.peer
        if (not asked and not late) or self._position is None or message.first_key != self._position:
            return False
        try:
            taken = bool(message.leaves) and self._take(now_us, peer, message)
        except RemoteProtocolError:
            self._bad[peer] = None
            if asked:
                self._pass_over(now_us, peer)
            raise
        if not taken and asked:
            self._pass_over(now_us, peer)
        return taken

    def _take(self, now_us: int, peer: bytes, message: SnapshotChunk) -> bool:
        """Check and store a chunk and ask for the next one; return False if it is of no use."""
        start, records = self._start, []
        if start is None:
            start = decode_snapshot_start(message.start)
            if start.height <= self._height + SNAPSHOT_LAG:
                return False
            check_snapshot_start(start, self._client)
            records = [*self._discard(), SNAPSHOT.put(SnapshotRow(_START, encode(start)))]
        if message.height != start.height:
            raise RemoteProtocolError(
                f"a chunk of the snapshot of height {message.height} came where {start.height} was asked for",
                penalty=100,
                code="bad-snapshot",
            )
        run = decode_trie_range(message.leaves)
        following = verify_range(start.state_root, message.first_key, run)
        records += [LEAVES.put(LeafRow(start.height, leaf_id, value)) for leaf_id, value in run.leaves]
        records.append(SNAPSHOT.put(SnapshotRow(_POSITION, _COMPLETE if following is None else following)))
        self._outbox.persist(*records)
        if self._start is None:
            self._starter = peer
        self._start, self._position = start, following
        self._seeking = False
        self._passed_over.clear()
        self._outbox.publish(Snapshot(start.height, len(run.leaves), following is None))
        if following is not None:
            self._ask(now_us, peer)
        else:
            self._question.close()  # complete: whatever peers do, it stays until the host has adopted it
        return True

    def gone(self, now_us: int, peer: bytes) -> None:
        """Ask another peer if the one that was asked is gone."""
        if peer == self._question.peer:
            self._pass_over(now_us, peer)

    def tick(self, now_us: int) -> None:
        """Pass over a silent peer; go on after a restart or a pause."""
        if self.finished is not None or not self._question.is_due(now_us):
            return
        if self._question.peer is not None:
            self._pass_over(now_us, self._question.peer)
        else:
            self._ask(now_us, None)

    # --- whom to ask ------------------------------------------------------------------------------------------------

    def _seek(self, now_us: int, peer: bytes | None) -> None:
        self._seeking = True
        self._client.resume(self._changes.all(), ())  # what the node has seen itself since the last time
        self._ask(now_us, peer)

    def _pass_over(self, now_us: int, peer: bytes) -> None:
        self._passed_over[peer] = None
        self._ask(now_us, None)

    def _ask(self, now_us: int, peer: bytes | None) -> None:
        """Ask `peer`, or the next one that has not been passed over; seek anew or pause when there is none."""
        connected = self._peers()
        peers = [node for node in connected if node not in self._bad]
        if peer not in peers:
            turn = after(peers, self._question.peer)
            peer = next((node for node in turn if node not in self._passed_over), None)
        self._question.close()
        if peer is not None:
            self._question.ask(now_us, peer, ANSWER_US)
            if self._start is None:
                self._follower.ask(peer)
            else:
                self._outbox.send(peer, GetSnapshot(self.height, self._position or FIRST_KEY, 0))
            return
        self._passed_over.clear()
        if self._start is not None and peers:
            # nobody has it any more: what is stored stays until another one takes its place, offered by another peer,
            # since one that offers what it does not serve would be asked again and again
            if self._starter is not None:
                self._bad[self._starter] = None
            self._stop()
            self._seek(now_us, None)
            return
        # nobody is connected or has one: blocks go on meanwhile, and whoever is said to be ahead is asked later
        if self._start is not None:
            self._question.ask(now_us, None, ANSWER_US if connected else NOBODY_US)
        self._seeking = False
        self._bad.clear()
        self._not_before_us = now_us + (SEEK_AGAIN_US if connected else 0)

    def _stop(self) -> None:
        self._start, self._position = None, FIRST_KEY
        self._seeking = False
        self._starter = None
        self._question.close()
        self._passed_over.clear()

    # --- what is on disk --------------------------------------------------------------------------------------------

    def _discard(self) -> list[Record]:
        """Return what removes every row of snapshots that were given up, as far as they are durable by now.

        Rows whose write is still on its way stay until the next time; that is a few chunks at most.
        """
        records: list[Record] = [
            SNAPSHOT.delete(name) for name in (_START, _POSITION) if SNAPSHOT.get(self._reader, name) is not None
        ]
        above = stored_number(self._reader, "base_height") + 1
        leaves = LEAVES.rows(self._reader, first=(above,))
        records.extend(LEAVES.delete(row.since, row.leaf_id) for row in leaves)
        return records
