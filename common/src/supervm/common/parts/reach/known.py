"""The nodes that are known, with their addresses and what came of dialling them (network.md 1 and 7).

Theory of operation. Whatever a stranger can put in here has a bound that it cannot widen with more keys, only with more
networks. Nodes that can be dialled are in buckets. Those that nobody has dialled yet are *unproven*: their bucket
follows from a secret of this node, the network of whoever told of them and their own network, and one teller's network
reaches 8 of the 64 buckets, an eighth. Those that answered when they were dialled are *proven*: their bucket follows
from their own network, of which each reaches 4 of 32. A full bucket takes a newcomer only in the place of one that has
failed or ended; so who is known and answers is not pushed out by who is only said to exist.

Nodes that cannot be dialled - phones, mostly - are remembered apart, those that were heard of last.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from supervm.protocol.reach.record import NodeRecord

from .score import score_of
from .spots import Scope, Spot, spot_of

BUCKET_NODES: Final = 16
UNPROVEN_BUCKETS, UNPROVEN_OF_SOURCE = 64, 8
PROVEN_BUCKETS, PROVEN_OF_GROUP = 32, 4
HIDDEN_MAX: Final = 1_024
"""Nodes without an address that are remembered."""
FAILURES_MAX: Final = 3
"""Dials in a row that nobody answered, after which a node may be pushed out, and is dialled more rarely."""
PAUSE_US: Final = 10_000_000
"""A node is not drawn again sooner after a dial, or after its link ended; each failure doubles that."""
PAUSE_US_MAX: Final = 3_600_000_000
"""Longest such pause."""
DRAWS: Final = 3
"""Nodes that are drawn at random, of which the best is taken: a good score helps, and does not decide."""


@dataclass(slots=True)
class Place:
    """One address of a node, and what came of dialling it."""

    spot: Spot
    tried_us: int = 0
    failures: int = 0
    proven_us: int = 0


@dataclass(slots=True)
class Known:
    """A node.

    Attributes:
        record: its newest.
        raw: the record's bytes.
        source: network of whoever told of it first.
        heard_us: when its record came.
        places: its addresses that can be dialled from here, in the order of the record; none of a phone.
        lasted_us: how long the longest link to it stood.
        bucket: where it is, if it can be dialled.
        kept: what was written down of it last, and when; whoever keeps it on disk says so here.
    """

    record: NodeRecord
    raw: bytes
    source: str
    heard_us: int
    places: list[Place] = field(default_factory=list)
    lasted_us: int = 0
    bucket: list[bytes] | None = None
    kept: tuple[str, int, int] = ("", 0, 0)

    @property
    def node_id(self) -> bytes:
        """Whose it is."""
        return self.record.node_id

    @property
    def proven(self) -> bool:
        """Whether it answered at one of its addresses."""
        return any(place.proven_us for place in self.places)

    @property
    def failures(self) -> int:
        """Dials in a row that failed, at the address where they are fewest."""
        return min((place.failures for place in self.places), default=0)

    def place(self, endpoint: str) -> Place | None:
        """Return one of its addresses."""
        return next((place for place in self.places if place.spot.endpoint == endpoint), None)

    def best(self) -> Place:
        """Return the address to dial: of those that failed least one that answered."""
        if len(self.places) == 1:
            return self.places[0]
        return min(self.places, key=lambda place: (place.failures, not place.proven_us))


class KnownNodes:
    """All of them.

    Args:
        own_id: our node id, of which nothing is kept here.
        scope_min: addresses that can be dialled from less far away are no addresses to us.
        rng: the secret of the buckets, and draws.
    """

    def __init__(self, own_id: bytes, scope_min: Scope, rng: random.Random) -> None:
        self._own_id = own_id
        self._scope_min = scope_min
        self._rng = rng
        self._secret = rng.randbytes(16)
        self._nodes: dict[bytes, Known] = {}
        self._hidden: OrderedDict[bytes, None] = OrderedDict()
        self._unproven: list[list[bytes]] = [[] for _ in range(UNPROVEN_BUCKETS)]
        self._proven: list[list[bytes]] = [[] for _ in range(PROVEN_BUCKETS)]
        self.forgotten: list[bytes] = []
        """Proven nodes that are none any more; whoever keeps them on disk takes them from here."""

    def __len__(self) -> int:
        return len(self._nodes)

    def get(self, node_id: bytes) -> Known | None:
        """Return what is known of a node."""
        return self._nodes.get(node_id)

    def __iter__(self) -> Iterator[Known]:
        return iter(self._nodes.values())

    def proven(self) -> list[Known]:
        """Return the nodes that have answered."""
        return [self._nodes[node_id] for bucket in self._proven for node_id in bucket]

    # --- learning -----------------------------------------------------------------------------------------------------

    def hear(self, now_us: int, record: NodeRecord, raw: bytes, source: str) -> Known | None:
        """Take a record that was checked; return its node, None if there is no room for it or it is our own.

        Args:
            now_us: present time.
            record: what came; of one node the highest counter holds.
            raw: its bytes.
            source: network of whoever brought it.
        """
        if record.node_id == self._own_id:
            return None
        known = self._nodes.get(record.node_id)
        if known is not None and known.record.counter >= record.counter:
            return known
        spots = [spot for spot in map(spot_of, record.endpoints) if spot is not None and spot.scope >= self._scope_min]
        if known is None:
            known = Known(record, raw, source, now_us, [Place(spot) for spot in spots])
        else:
            was_proven = known.proven
            known.record, known.raw, known.heard_us = record, raw, now_us
            known.places = [known.place(spot.endpoint) or Place(spot) for spot in spots]
            if known.bucket is not None and known.places and known.proven == was_proven:
                return known
            self._forget(known)
        return known if self._settle(now_us, known) else None

    def prove(self, now_us: int, node_id: bytes, endpoint: str) -> Known | None:
        """Note that a node answered where it was dialled; return it if that address is one of its record."""
        known = self._nodes.get(node_id)
        place = None if known is None else known.place(endpoint)
        if known is None or place is None:
            return None
        was_proven = known.proven
        place.proven_us, place.failures = now_us, 0
        if not was_proven:
            bucket = self._bucket(self._proven, PROVEN_OF_GROUP, place.spot.group, node_id.hex())
            if self._has_room(now_us, bucket):
                self._move(known, bucket)
            else:
                place.proven_us = 0  # it stays among the unproven: those there answer, too
                return None
        return known

    def tried(self, now_us: int, node_id: bytes, endpoint: str) -> None:
        """Note that a node is dialled, or that a link to it has ended: it is left alone for a while."""
        known = self._nodes.get(node_id)
        place = None if known is None else known.place(endpoint)
        if place is not None:
            place.tried_us = now_us

    def failed(self, node_id: bytes, endpoint: str) -> None:
        """Note that it did not answer there, or would not have us."""
        known = self._nodes.get(node_id)
        place = None if known is None else known.place(endpoint)
        if place is not None:
            place.failures += 1

    def lasted(self, node_id: bytes, us: int) -> None:
        """Note how long a link to it stood."""
        known = self._nodes.get(node_id)
        if known is not None:
            known.lasted_us = max(known.lasted_us, us)

    # --- choosing -----------------------------------------------------------------------------------------------------

    def draw(
        self,
        now_us: int,
        *,
        tiers: Collection[int],
        without: Collection[bytes],
        groups: Collection[str],
        proven: bool,
    ) -> Known | None:
        """Return a node to dial, None if there is none.

        A bucket is drawn, then a node in it, so that a network with many nodes is not drawn more often than one with a
        few; of some such draws the best node is taken.

        Args:
            now_us: present time.
            tiers: it is of one of these.
            without: it is none of these.
            groups: it is in none of these networks.
            proven: whether it has answered before.
        """
        drawn: list[Known] = []
        buckets = [bucket for bucket in (self._proven if proven else self._unproven) if bucket]
        self._rng.shuffle(buckets)
        for bucket in buckets:
            fit = []
            for known in map(self._nodes.__getitem__, bucket):
                if known.record.tier in tiers and known.node_id not in without:
                    place = known.best()
                    if place.spot.group not in groups and self._is_due(now_us, place):
                        fit.append(known)
            if fit:
                drawn.append(self._rng.choice(fit))
                if len(drawn) == DRAWS:
                    break
        return max(drawn, key=lambda known: score_of(known.record, known.failures, known.lasted_us), default=None)

    def _is_due(self, now_us: int, place: Place) -> bool:
        return not place.tried_us or now_us >= place.tried_us + min(PAUSE_US << min(place.failures, 20), PAUSE_US_MAX)

    # --- buckets ------------------------------------------------------------------------------------------------------

    def restore(self, now_us: int, record: NodeRecord, raw: bytes, endpoint: str, proven_us: int) -> Known | None:
        """Take a node that was proven before we were started; as `hear` and `prove`."""
        spot = spot_of(endpoint)
        if spot is None or self.hear(now_us, record, raw, spot.group) is None:
            return None
        return self.prove(proven_us, record.node_id, endpoint)

    def _settle(self, now_us: int, known: Known) -> bool:
        """Find a place for a node that has none; return whether there is one."""
        if not known.places:
            self._nodes[known.node_id] = known
            self._hidden[known.node_id] = None
            if len(self._hidden) > HIDDEN_MAX:
                self._forget(self._nodes[next(iter(self._hidden))])
            return True
        group = known.places[0].spot.group
        bucket = self._bucket(self._unproven, UNPROVEN_OF_SOURCE, known.source, group)
        if not self._has_room(now_us, bucket):
            return False
        self._nodes[known.node_id] = known
        self._move(known, bucket)
        return True

    def _bucket(self, buckets: list[list[bytes]], of_source: int, source: str, item: str) -> list[bytes]:
        """Return the bucket of an item: one of `of_source` that the source reaches."""
        place = self._number(source, item) % of_source
        return buckets[self._number(source, str(place)) % len(buckets)]

    def _number(self, *parts: str) -> int:
        digest = blake2b("\0".join(parts).encode(), key=self._secret, digest_size=8, person=b"svm.bucket").digest()
        return int.from_bytes(digest, "big")

    def _has_room(self, now_us: int, bucket: list[bytes]) -> bool:
        """Make room in a bucket if that hurts nobody; return whether there is some."""
        if len(bucket) < BUCKET_NODES:
            return True
        gone = [known for known in map(self._nodes.__getitem__, bucket) if _is_gone(now_us, known)]
        if not gone:
            return False
        self._forget(max(gone, key=lambda known: known.failures))
        return True

    def _move(self, known: Known, bucket: list[bytes]) -> None:
        if known.bucket is not None:
            known.bucket.remove(known.node_id)
        known.bucket = bucket
        bucket.append(known.node_id)

    def _forget(self, known: Known) -> None:
        self._nodes.pop(known.node_id, None)
        self._hidden.pop(known.node_id, None)
        if known.bucket is not None:
            if any(known.bucket is bucket for bucket in self._proven):
                self.forgotten.append(known.node_id)
            known.bucket.remove(known.node_id)
            known.bucket = None


def _is_gone(now_us: int, known: Known) -> bool:
    """Return whether a node may be pushed out: it does not answer, or was never proven and its record has ended."""
    return known.failures >= FAILURES_MAX or (not known.proven and known.record.expires_ms * 1_000 <= now_us)
