"""Node records: what a node says of itself, signed and versioned, for whoever wants to find it (network.md 1).

Theory of operation. A record names its network, its node, and its place among the node's records: of two, the one with
the higher `counter` holds. A node counts max(last + 1, Unix time in ms), so one that has lost its memory still counts
on. A record ends at `expires_ms`; what is older than that is nobody's any more. It is worth the same whoever brings it.

A phone's record is *coarse*, since it tells strangers where a person's phone is and what it can do: no endpoints, only
the edges that it is attached to; its ability in powers of two; its load in quarters.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, Final, Literal

import msgspec

from ..base.codec import Agreed, Hash, Key, Positive, Signature, Uint, Uint16, decode
from ..base.errors import RemoteProtocolError
from ..base.keys import SigningKey
from ..chain.votes import Verify
from ..state.leaves import AssetId, check_asset
from .endpoint import Endpoints, endpoint_problem
from .signed import hash_node_record, unsigned_bytes, unsigned_part

RECORD_BYTES_MAX: Final = 2_048
"""Longest record; of one with everything in it about 1,900 are used."""
HOME_EDGES_MAX: Final = 3
"""Most edges that a record names as the node's own."""
RECORD_FEATURES_MAX: Final = 12
RECORD_FEES_MAX: Final = 12
"""Most assets that a record tells the fee in; `FeeTerms` tells all of them to whoever is connected."""
RECORD_LIFETIME_MS_MAX: Final = 72 * 3_600_000
"""A record that ends later than that from now is refused: it would outlive what it says."""
RECORD_AHEAD_MS_MAX: Final = 3_600_000
"""A counter further ahead of our clock than that is refused: whoever set its clock far ahead by mistake could never be
heard of again."""
LOAD_STEP_OF_PHONES: Final = 25
"""What the load that a phone tells of is a multiple of, in percent."""

RawRecord = Annotated[bytes, msgspec.Meta(min_length=1, max_length=RECORD_BYTES_MAX)]
"""A field that carries canonical bytes of a `NodeRecord` that nobody has read yet."""
Region = Annotated[str, msgspec.Meta(max_length=16)]
"""Where a node is, a word that the network's operators agree on; empty: it does not say."""
Tier = Annotated[int, msgspec.Meta(ge=1, le=4)]

NAT_UNKNOWN, NAT_PUBLIC, NAT_FULL_CONE, NAT_RESTRICTED, NAT_PORT_RESTRICTED, NAT_SYMMETRIC = range(6)
"""What stands between a node and the open network (RFC 4787; the older words, which say both things at once)."""
Nat = Annotated[int, msgspec.Meta(ge=NAT_UNKNOWN, le=NAT_SYMMETRIC)]


class Ability(Agreed, tag="ability", frozen=True):
    """What a node has to offer; 0 where it does not say.

    Attributes:
        version: layout, 1.
        cores: of its processors.
        memory_gib: GiB of memory.
        disk_gib: GiB that it can store.
        mbit_s: Mbit/s of its line.
        gpus: graphics processors.
    """

    version: Literal[1]
    cores: Uint16
    memory_gib: Uint16
    disk_gib: Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
    mbit_s: Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
    gpus: Uint16


class NodeRecord(Agreed, tag="noderecord", frozen=True):
    """One record.

    Attributes:
        version: layout, 1.
        chain_id: the network.
        node_id: whose it is, and who signed it.
        counter: its place among the node's records.
        expires_ms: Unix time in ms at which it ends.
        tier: 1 to 4.
        region: where the node is.
        endpoints: where it can be dialled from anywhere, the best first; none of a phone.
        home_edges: the edges that it is attached to; they know how to reach it.
        nat: what stands between it and the open network.
        ability: what it has to offer.
        load_percent: how busy it is, 0 to 100.
        features: words of its Hello, ascending.
        box_key: X25519 key that bundles to it are sealed to; empty: it takes none.
        fees: (asset, least fee in it) of what it takes, ascending by asset.
        signature: by `node_id` over all of the above.
    """

    version: Literal[1]
    chain_id: Hash
    node_id: Key
    counter: Uint
    expires_ms: Uint
    tier: Tier
    region: Region
    endpoints: Endpoints
    home_edges: Annotated[tuple[Key, ...], msgspec.Meta(max_length=HOME_EDGES_MAX)]
    nat: Nat
    ability: Ability
    load_percent: Annotated[int, msgspec.Meta(ge=0, le=100)]
    features: Annotated[
        tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=32)], ...],
        msgspec.Meta(max_length=RECORD_FEATURES_MAX),
    ]
    box_key: Annotated[bytes, msgspec.Meta(max_length=32)]
    fees: Annotated[tuple[tuple[AssetId, Positive], ...], msgspec.Meta(max_length=RECORD_FEES_MAX)]
    signature: Signature


def sign_record(key: SigningKey, record: NodeRecord) -> NodeRecord:
    """Return the record with the signature of its node; the one that it has does not matter."""
    return msgspec.structs.replace(record, signature=key.sign(hash_node_record(unsigned_bytes(record))))


def read_record(data: bytes) -> NodeRecord:
    """Read a record that was checked before.

    Raises:
        RemoteProtocolError: it is none.
    """
    return decode(NodeRecord, data, bytes_max=RECORD_BYTES_MAX)


def check_record(data: bytes, *, chain_id: bytes, now_ms: int, verify: Verify) -> NodeRecord:
    """Read a record that anybody may have made, and check it: what is cheap first, the signature last.

    Args:
        data: what came.
        chain_id: our network.
        now_ms: present time, Unix ms.
        verify: signature verification.

    Raises:
        RemoteProtocolError: ``malformed``, ``bad-record``, ``bad-signature``; or ``expired``, without a penalty.
    """
    record = read_record(data)
    check_record_form(record, chain_id)
    if record.expires_ms <= now_ms:
        raise RemoteProtocolError(
            f"a record ended at {record.expires_ms} ms, our clock says {now_ms} ms", penalty=0, code="expired"
        )
    if record.expires_ms > now_ms + RECORD_LIFETIME_MS_MAX + RECORD_AHEAD_MS_MAX:
        raise _wrong(f"it ends at {record.expires_ms} ms; at most {RECORD_LIFETIME_MS_MAX} ms from now are allowed")
    if record.counter > now_ms + RECORD_AHEAD_MS_MAX:
        raise _wrong(f"its counter is {record.counter}; at most {RECORD_AHEAD_MS_MAX} above our clock are allowed")
    if not verify(record.node_id, hash_node_record(unsigned_part(data)), record.signature):
        raise RemoteProtocolError("the signature of a node record is wrong", penalty=50, code="bad-signature")
    return record


def check_record_form(record: NodeRecord, chain_id: bytes) -> None:
    """Check all of a record that needs neither a clock nor a signature.

    Raises:
        RemoteProtocolError: another network, lists out of order, a field that says what it must not (code
            ``bad-record``).
    """
    if record.chain_id != chain_id:
        raise _wrong(f"it is of the network {record.chain_id.hex()[:16]}; ours is {chain_id.hex()[:16]}")
    for endpoint in record.endpoints:
        problem = endpoint_problem(endpoint)
        if problem is not None:
            raise _wrong(problem)
    assets = [asset for asset, _ in record.fees]
    for asset in assets:
        check_asset(asset)
    lists: dict[str, Sequence[Any]] = {"features": record.features, "home edges": record.home_edges, "fees": assets}
    for name, items in lists.items():
        if any(one >= other for one, other in pairwise(items)):
            raise _wrong(f"its {name} are not in ascending order, each once")
    if len(dict.fromkeys(record.endpoints)) != len(record.endpoints):
        raise _wrong("it names an endpoint twice")
    if record.node_id in record.home_edges:
        raise _wrong("it names its own node as its edge")
    if len(record.box_key) not in (0, 32):
        raise _wrong(f"its box key has {len(record.box_key)} bytes; 32 or none are allowed")
    if record.tier == 4:
        _check_coarse(record)


def _check_coarse(record: NodeRecord) -> None:
    """Check that a phone does not say more than it should."""
    if record.endpoints:
        raise _wrong("a phone's record names no endpoints; its edges know how to reach it")
    if record.load_percent % LOAD_STEP_OF_PHONES:
        raise _wrong(f"a phone tells its load in steps of {LOAD_STEP_OF_PHONES} %")
    if record.ability != coarse_ability(record.ability):
        raise _wrong("a phone tells its ability in powers of two")


def coarse_ability(ability: Ability) -> Ability:
    """Return what a phone tells of its ability: each amount's highest power of two."""
    _, *amounts = msgspec.structs.astuple(ability)
    return Ability(1, *(1 << amount.bit_length() >> 1 for amount in amounts))


def next_counter(last: int, now_ms: int) -> int:
    """Return the counter of a node's next record.

    Args:
        last: of its last one; 0 if there was none, or it is not remembered.
        now_ms: present time, Unix ms.
    """
    return max(last + 1, now_ms)


def _wrong(reason: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"a node record is wrong: {reason}", penalty=20, code="bad-record")
