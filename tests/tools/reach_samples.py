"""One instance of every agreed type and every message of the subject ``reach1``; frozen in tests/vectors/reach.json."""

from __future__ import annotations

from typing import Any

from chain_tools import GENESIS_TIME_MS, test_key
from protocol_samples import sample_chain

from supervm.protocol.base.codec import Agreed, encode
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.reach import record as records
from supervm.protocol.reach.bundle import Bundle, sign_bundle
from supervm.protocol.reach.record import Ability, NodeRecord, sign_record
from supervm.protocol.reach.relay_receipt import RelayReceipt, sign_relay_receipt
from supervm.protocol.reach.signed import hash_bundle, hash_node_record, hash_relay_receipt, unsigned_bytes
from supervm.protocol.wire import reach
from supervm.protocol.wire.fields import Message
from supervm.protocol.wire.frames import encode_message

DIGESTS = {NodeRecord: hash_node_record, Bundle: hash_bundle, RelayReceipt: hash_relay_receipt}
NO_SIGNATURE = bytes(64)


def sample_record(name: str = "edge", **changes: Any) -> NodeRecord:
    """Return the signed record of an edge with everything in it, or with other values in some fields."""
    key = test_key(name)
    fields: dict[str, Any] = {
        "version": 1,
        "chain_id": sample_chain().chain_id,
        "node_id": key.public,
        "counter": GENESIS_TIME_MS,
        "expires_ms": GENESIS_TIME_MS + 3_600_000,
        "tier": 3,
        "region": "eu-west",
        "endpoints": ("192.0.2.1:7003", "[2001:db8::1]:7003"),
        "home_edges": (),
        "nat": records.NAT_PUBLIC,
        "ability": Ability(1, 8, 16, 500, 1_000, 0),
        "load_percent": 37,
        "features": ("reach1",),
        "box_key": bytes(range(32)),
        "fees": ((b"", 5), (bytes(range(32)), 1)),
        "signature": NO_SIGNATURE,
    }
    return sign_record(key, NodeRecord(**fields | changes))


def phone_record(name: str = "phone", **changes: Any) -> NodeRecord:
    """Return the signed record of a phone."""
    coarse: dict[str, Any] = {
        "tier": 4,
        "endpoints": (),
        "home_edges": (test_key("edge").public,),
        "nat": records.NAT_SYMMETRIC,
        "ability": Ability(1, 8, 4, 0, 0, 0),
        "load_percent": 25,
        "fees": (),
    }
    return sample_record(name, **coarse | changes)


def sample_bundle(**changes: Any) -> Bundle:
    """Return a signed bundle from alice's phone to bob's."""
    fields: dict[str, Any] = {
        "version": 1,
        "chain_id": sample_chain().chain_id,
        "source": test_key("alice").public,
        "destination": test_key("bob").public,
        "created_ms": GENESIS_TIME_MS,
        "lifetime_ms": 72 * 3_600_000,
        "priority": 3,
        "hops_max": 16,
        "sequence": 7,
        "body": b"sealed to the box key of bob",
        "signature": NO_SIGNATURE,
    }
    return sign_bundle(test_key("alice"), Bundle(**fields | changes))


def sample_relay_receipt(**changes: Any) -> RelayReceipt:
    """Return a receipt for what an edge carried from alice to bob, signed by bob."""
    fields: dict[str, Any] = {
        "version": 1,
        "chain_id": sample_chain().chain_id,
        "relay": test_key("edge").public,
        "source": test_key("alice").public,
        "hop": test_key("bob").public,
        "carried_bytes": 65_536,
        "window": GENESIS_TIME_MS // 3_600_000,
        "counter": 41,
        "signature": NO_SIGNATURE,
    }
    return sign_relay_receipt(test_key("bob"), RelayReceipt(**fields | changes))


def reach_agreed() -> dict[str, Agreed]:
    """Return one instance of every agreed type of `supervm.protocol.reach`, by type name."""
    record = sample_record()
    samples: list[Agreed] = [record, record.ability, sample_bundle(), sample_relay_receipt()]
    return {type(sample).__name__: sample for sample in samples}


def reach_messages() -> dict[str, Message]:
    """Return one instance of every message of `supervm.protocol.wire.reach`, by type name."""
    edge, bob = test_key("edge").public, test_key("bob").public
    bundle = encode(sample_bundle())
    bundle_id = hash_bundle(unsigned_bytes(sample_bundle()))
    endpoints = ("192.0.2.1:7003", "198.51.100.7:40000")
    samples: list[Message] = [
        reach.Observed("198.51.100.7:40000"),
        reach.RecordPut((encode(sample_record()), encode(phone_record()))),
        reach.Find(2**32 - 1, (edge, bob), reach.Wanted((3, 4), "eu-west", ("reach1",), 3, 80, 50, 4, 8, 1), 10),
        reach.Found(2**32 - 1, (reach.FoundItem(encode(phone_record()), 12, edge), reach.FoundItem(b"x", 0, b""))),
        reach.PunchAsk(7, bob, endpoints, records.NAT_PORT_RESTRICTED),
        reach.PunchGo(7, bob, endpoints[1:], records.NAT_FULL_CONE, 250, ""),
        reach.BundleOffer((reach.OfferItem(bundle_id, bob, len(bundle), 3, 1, GENESIS_TIME_MS + 72 * 3_600_000),)),
        reach.BundleWant((reach.WantItem(bundle_id, 100), reach.WantItem(ZERO_HASH, 0))),
        reach.BundleData(bundle_id, len(bundle), 1, 100, bundle[100:]),
        reach.BundleTaken((reach.TakenItem(bundle_id, reach.CUSTODY), reach.TakenItem(ZERO_HASH, reach.REFUSED))),
        reach.RelayCount((encode(sample_relay_receipt()),)),
    ]
    return {type(sample).__name__: sample for sample in samples}


def reach_vectors() -> dict[str, Any]:
    """Return the whole content of reach.json."""
    agreed = {}
    for name, value in sorted(reach_agreed().items()):
        digest = DIGESTS.get(type(value))  # type: ignore[call-overload]
        signed = {} if digest is None else {"digest": digest(unsigned_bytes(value)).hex()}
        agreed[name] = {"cbor": encode(value).hex()} | signed
    return {
        "chain_id": sample_chain().chain_id.hex(),
        "agreed": agreed,
        "messages": {name: encode_message(value).hex() for name, value in sorted(reach_messages().items())},
    }
