"""Messages by which nodes find each other and carry for each other, numbers 60 to 79 (network.md 1 to 4).

They travel only where both Hellos name ``reach1`` (`subjects`). What they carry of signed objects - records, bundles,
relay receipts - is checked by whoever takes it (`protocol.reach`), since it may come from anybody.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from ..base.codec import Key, Uint, Uint16
from ..reach.bundle import BUNDLE_BYTES_MAX, PRIORITIES, BundleId, Hops
from ..reach.endpoint import Endpoint, Endpoints
from ..reach.record import Nat, RawRecord, Region, Tier
from ..reach.relay_receipt import RawRelayReceipt
from .fields import Message, Word

TAGS = range(60, 80)
"""71 to 79 are not in use."""

RECORDS_MAX = 16
"""Most records that are put at once."""
FOUND_MAX = 10
"""Most nodes that a question names, or an answer."""
BUNDLES_MAX = 64
"""Most bundles that are offered, wanted or taken at once."""
PIECE_BYTES_MAX = 64 << 10
"""Longest piece of a bundle."""
RELAY_RECEIPTS_MAX = 16
"""Most receipts at once."""
PUNCH_DELAY_MS_MAX = 10_000
"""Longest time until both ends of a punch are to dial."""

CUSTODY, DELIVERED, KNOWN, REFUSED = range(4)
"""What has become of a bundle (`TakenItem`)."""

Number = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
"""Tells an answer's question; its sender chooses it."""
Size = Annotated[int, msgspec.Meta(ge=1, le=BUNDLE_BYTES_MAX)]
Offset = Annotated[int, msgspec.Meta(ge=0, le=BUNDLE_BYTES_MAX - 1)]


class Part(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Base of what stands in lists of messages."""


# --- records and the directory ----------------------------------------------------------------------------------------


class Observed(Message, tag=60, frozen=True):
    """Where the sender sees the receiver: `address` is the ``host:port`` that the connection comes from."""

    address: Endpoint


class RecordPut(Message, tag=61, frozen=True):
    """`records` that the receiver may not have: the sender's own, or those of nodes that are attached to it."""

    records: Annotated[tuple[RawRecord, ...], msgspec.Meta(min_length=1, max_length=RECORDS_MAX)]


class Wanted(Part, frozen=True):
    """What a record has to say to be found; a field that asks nothing is empty or 0.

    Attributes:
        tiers: any of these.
        region: this one.
        features: all of these.
        task: a tier, the weakest that may do the work.
        load_percent_max: at most so busy; 0 is as idle as can be, 100 is any.
        latency_ms_max: no further from the receiver of the question than that, as far as it knows.
        cores_min: at least so many.
        memory_gib_min: likewise.
        gpus_min: likewise.
    """

    tiers: Annotated[tuple[Tier, ...], msgspec.Meta(max_length=4)] = ()
    region: Region = ""
    features: Annotated[tuple[Word, ...], msgspec.Meta(max_length=4)] = ()
    task: Annotated[int, msgspec.Meta(ge=0, le=4)] = 0
    load_percent_max: Annotated[int, msgspec.Meta(ge=0, le=100)] = 100
    latency_ms_max: Uint16 = 0
    cores_min: Uint16 = 0
    memory_gib_min: Uint16 = 0
    gpus_min: Uint16 = 0


class Find(Message, tag=62, frozen=True):
    """Ask for records: of the nodes that are named, or, if none is, of any that are as is wanted.

    Attributes:
        number: comes back in the answer.
        nodes: node ids; with some `wanted` asks nothing more.
        wanted: what the records have to say.
        limit: most records in the answer.
    """

    number: Number
    nodes: Annotated[tuple[Key, ...], msgspec.Meta(max_length=FOUND_MAX)]
    wanted: Wanted
    limit: Annotated[int, msgspec.Meta(ge=1, le=FOUND_MAX)]


class FoundItem(Part, frozen=True):
    """A node that was found.

    Attributes:
        record: its newest record that the sender has.
        latency_ms: how far it is from the sender, there and back; 0: not known.
        via: node id of the edge that it is attached to right now; empty: not known, or of no use.
    """

    record: RawRecord
    latency_ms: Uint16
    via: Annotated[bytes, msgspec.Meta(max_length=32)]


class Found(Message, tag=63, frozen=True):
    """The answer to the `Find` of this `number`; who was asked for and is not in `items` is not known."""

    number: Number
    items: Annotated[tuple[FoundItem, ...], msgspec.Meta(max_length=FOUND_MAX)]


# --- punching ---------------------------------------------------------------------------------------------------------


class PunchAsk(Message, tag=64, frozen=True):
    """Ask a common neighbour to bring the sender together with `peer`; or, from the neighbour: somebody asks for you.

    Attributes:
        number: of the one who began, comes back in `PunchGo`.
        peer: node id of who is to be reached, or who wants to reach the receiver.
        endpoints: where the sender, or who wants to reach the receiver, may be dialled.
        nat: what it is behind.
    """

    number: Number
    peer: Key
    endpoints: Endpoints
    nat: Nat


class PunchGo(Message, tag=65, frozen=True):
    """What a common neighbour says to both: dial each other now; or to who asked: it will not be.

    Attributes:
        number: of the `PunchAsk`.
        peer: node id of the other.
        endpoints: where it may be dialled.
        nat: what it is behind.
        delay_ms: how long to wait before dialling, so that both dial at the same time.
        refusal: why not, a stable word; empty: go.
    """

    number: Number
    peer: Key
    endpoints: Endpoints
    nat: Nat
    delay_ms: Annotated[int, msgspec.Meta(ge=0, le=PUNCH_DELAY_MS_MAX)]
    refusal: Word


# --- bundles ----------------------------------------------------------------------------------------------------------


class OfferItem(Part, frozen=True):
    """A bundle that the sender has for the receiver, or would have carried by it.

    Attributes:
        bundle_id: which.
        destination: node id of its receiver.
        size_bytes: of the whole bundle.
        priority: its own.
        hops: how many nodes it has passed, the sender counted.
        expires_ms: its own.
    """

    bundle_id: BundleId
    destination: Key
    size_bytes: Size
    priority: Annotated[int, msgspec.Meta(ge=0, le=PRIORITIES - 1)]
    hops: Hops
    expires_ms: Uint


class BundleOffer(Message, tag=66, frozen=True):
    """Offer the bundles in `items`; none is sent before it is wanted."""

    items: Annotated[tuple[OfferItem, ...], msgspec.Meta(min_length=1, max_length=BUNDLES_MAX)]


class WantItem(Part, frozen=True):
    """The bundle `bundle_id` was offered and is wanted, from the byte `offset` on."""

    bundle_id: BundleId
    offset: Offset


class BundleWant(Message, tag=67, frozen=True):
    """The answer to an offer: `items` of it, the most wanted first; what is not named is not wanted."""

    items: Annotated[tuple[WantItem, ...], msgspec.Meta(max_length=BUNDLES_MAX)]


class BundleData(Message, tag=68, frozen=True):
    """A piece of a bundle that was wanted.

    Attributes:
        bundle_id: which.
        size_bytes: of the whole bundle.
        hops: how many nodes it has passed, the sender counted.
        offset: where the piece begins.
        data: the piece.
    """

    bundle_id: BundleId
    size_bytes: Size
    hops: Hops
    offset: Offset
    data: Annotated[bytes, msgspec.Meta(min_length=1, max_length=PIECE_BYTES_MAX)]


class TakenItem(Part, frozen=True):
    """What has become of a bundle at the sender of the message.

    Attributes:
        bundle_id: which.
        fate: `CUSTODY` it is on disk and goes on from here, `DELIVERED` its receiver has it, `KNOWN` it was here
            before, `REFUSED` keep it.
    """

    bundle_id: BundleId
    fate: Annotated[int, msgspec.Meta(ge=CUSTODY, le=REFUSED)]


class BundleTaken(Message, tag=69, frozen=True):
    """What has become of the bundles in `items`; who offered one may forget it unless it is refused."""

    items: Annotated[tuple[TakenItem, ...], msgspec.Meta(min_length=1, max_length=BUNDLES_MAX)]


# --- what is paid for -------------------------------------------------------------------------------------------------


class RelayCount(Message, tag=70, frozen=True):
    """Relay `receipts`: from the next hop to the relay, and from the relay to who settles them."""

    receipts: Annotated[tuple[RawRelayReceipt, ...], msgspec.Meta(min_length=1, max_length=RELAY_RECEIPTS_MAX)]
