"""The side that has a snapshot: which heights it offers, and chunks of them on request.

Theory of operation. Snapshots are of the roots of epochs, where a certified checkpoint proves all that a taker must
know besides the leaves (`protocol.snapshot`). At each sealing block the state tree and the peaks of the history are
kept: both are immutable, and the tree shares with the present one what has not changed since. Once the certified
checkpoint of exactly that height is known, the snapshot is offered; the newest two are, so that whoever takes one has
at least an epoch of time. The heights are the same at every node, so a taker can go on with another one. They live in
memory: a node that restarts offers nothing until its next epoch begins.

A chunk takes some 20 ms to make, and a request has a hundred bytes. So one chunk leaves every `CHUNK_US`, to one peer
after the other, and each peer has at most one request waiting: a new one replaces it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from supervm.protocol.base.codec import encode
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint
from supervm.protocol.chain.epoch import EpochRecord
from supervm.protocol.light.snapshot import SnapshotStart
from supervm.protocol.state.trie import TrieView
from supervm.protocol.state.trie_range import FIRST_KEY, RANGE_BYTES_MAX, prove_range
from supervm.protocol.wire.chain import GetSnapshot, SnapshotChunk

from ...contract.core import Outbox

SNAPSHOTS_OFFERED = 2
"""Snapshots offered at a time; one more may wait for its certificate."""
CHUNK_BYTES_MAX = RANGE_BYTES_MAX
"""Longest run of leaves in one chunk, in bytes."""
CHUNK_US = 100_000
"""Time between two chunks, whoever asks."""


@dataclass(slots=True)
class _Offer:
    epoch: EpochRecord
    view: TrieView
    peaks: tuple[bytes, ...]
    start: bytes = b""  # encoded once the checkpoint is certified


class SnapshotOffers:
    """Snapshots of one node.

    Args:
        outbox: where answers go.
        answered: told of each answer: (now_us, peer, bytes), so that whoever asks pays for it.
        written: returns the write that answers wait for: the certificate in one may name this node's own promise.
    """

    def __init__(self, outbox: Outbox, answered: Callable[[int, bytes, int], None], written: Callable[[], int]) -> None:
        self._outbox = outbox
        self._answered = answered
        self._offers: OrderedDict[int, _Offer] = OrderedDict()
        self._waiting: OrderedDict[bytes, GetSnapshot] = OrderedDict()
        self._next_us = 0
        self._written = written

    @property
    def heights(self) -> tuple[int, ...]:
        """Heights that are offered, ascending."""
        return tuple(height for height, offer in self._offers.items() if offer.start)

    @property
    def deadline_us(self) -> int | None:
        """When `tick` has something to do."""
        return self._next_us if self._waiting else None

    def sealed(self, epoch: EpochRecord, view: TrieView, peaks: list[bytes]) -> None:
        """Note the root of an epoch, the state after it, and the peaks of the history under its checkpoint."""
        self._offers[epoch.root.height] = _Offer(epoch, view, tuple(peaks))
        while len(self._offers) > SNAPSHOTS_OFFERED + 1:
            self._offers.popitem(last=False)

    def certified(self, checkpoint: CertifiedCheckpoint) -> None:
        """Note a certified checkpoint that this node's own execution agrees with."""
        offer = self._offers.get(checkpoint.header.height)
        if offer is not None:
            offer.start = encode(SnapshotStart(1, checkpoint, offer.peaks, offer.epoch))
            for height in self.heights[:-SNAPSHOTS_OFFERED]:
                del self._offers[height]

    def ask(self, now_us: int, peer: bytes, request: GetSnapshot) -> None:
        """Take a request; it is answered now or, if it is the turn of others, soon."""
        if self._find(request) is None:
            self._outbox.send(peer, SnapshotChunk(request.height, request.first_key, b"", b""))
            return
        self._waiting[peer] = request
        self.tick(now_us)

    def gone(self, peer: bytes) -> None:
        """Forget what a peer has asked for."""
        self._waiting.pop(peer, None)

    def tick(self, now_us: int) -> None:
        """Answer the request that has waited longest, if it is time."""
        if self._waiting and self._next_us <= now_us:
            self._next_us = now_us + CHUNK_US
            peer, request = self._waiting.popitem(last=False)
            chunk = self._chunk(request)
            self._outbox.send(peer, chunk, after=self._written())
            self._answered(now_us, peer, len(chunk.start) + len(chunk.leaves))

    def _find(self, request: GetSnapshot) -> tuple[int, _Offer] | None:
        heights = self.heights
        height = heights[-1] if request.height == 0 and heights else request.height
        return (height, self._offers[height]) if height in heights and height > request.above else None

    def _chunk(self, request: GetSnapshot) -> SnapshotChunk:
        found = self._find(request)
        if found is None:  # it has grown old while it waited
            return SnapshotChunk(request.height, request.first_key, b"", b"")
        height, offer = found
        run = prove_range(offer.view, request.first_key, bytes_max=CHUNK_BYTES_MAX)
        start = offer.start if request.first_key == FIRST_KEY else b""
        return SnapshotChunk(height, request.first_key, start, encode(run))
