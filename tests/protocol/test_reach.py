"""Records, bundles and relay receipts: what is wrong with one is found, whoever made it, and the signature last."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from chain_tools import GENESIS_TIME_MS, test_key
from protocol_samples import sample_chain
from reach_samples import phone_record, sample_bundle, sample_record, sample_relay_receipt

from supervm.protocol.base.codec import INT_MAX, encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.base.keys import verify
from supervm.protocol.base.reading import bytes_bounds
from supervm.protocol.reach.bundle import BUNDLE_AHEAD_MS_MAX, BUNDLE_BYTES_MAX, Bundle, check_bundle
from supervm.protocol.reach.endpoint import ENDPOINT_CHARS_MAX, ENDPOINTS_MAX, endpoint_problem
from supervm.protocol.reach.record import (
    HOME_EDGES_MAX,
    RECORD_AHEAD_MS_MAX,
    RECORD_BYTES_MAX,
    RECORD_FEATURES_MAX,
    RECORD_FEES_MAX,
    RECORD_LIFETIME_MS_MAX,
    Ability,
    NodeRecord,
    check_record,
    coarse_ability,
    next_counter,
)
from supervm.protocol.reach.relay_receipt import RELAY_RECEIPT_BYTES_MAX, RelayReceipt, check_relay_receipt
from supervm.protocol.reach.signed import hash_bundle, unsigned_bytes

CHAIN_ID = sample_chain().chain_id
NOW_MS = GENESIS_TIME_MS + 1_000
HOUR_MS = 3_600_000


def never(public: bytes, message: bytes, signature: bytes) -> bool:
    raise AssertionError("the signature is looked at last")


def checked_record(record: NodeRecord, now_ms: int = NOW_MS, verify: Any = verify) -> NodeRecord:
    return check_record(encode(record), chain_id=CHAIN_ID, now_ms=now_ms, verify=verify)


def checked_bundle(bundle: Bundle, now_ms: int = NOW_MS, verify: Any = verify) -> tuple[bytes, Bundle]:
    return check_bundle(encode(bundle), chain_id=CHAIN_ID, now_ms=now_ms, verify=verify)


def checked_receipt(receipt: RelayReceipt, verify: Any = verify) -> RelayReceipt:
    return check_relay_receipt(encode(receipt), chain_id=CHAIN_ID, verify=verify)


# --- records ----------------------------------------------------------------------------------------------------------


def test_a_record_is_believed_from_whoever_brings_it() -> None:
    for record in (sample_record(), phone_record()):
        assert checked_record(record) == record


WRONG_RECORDS: dict[str, tuple[dict[str, Any], str]] = {
    "of another network": ({"chain_id": bytes(32)}, "of the network 0000"),
    "expires too late": ({"expires_ms": NOW_MS + RECORD_LIFETIME_MS_MAX + HOUR_MS + 1}, "it ends at"),
    "counts too far ahead": ({"counter": NOW_MS + RECORD_AHEAD_MS_MAX + 1}, "its counter is"),
    "endpoint of spaces": ({"endpoints": ("a b:1",)}, "printable ASCII"),
    "endpoint with a line": ({"endpoints": ("host:1\n",)}, "printable ASCII"),
    "endpoint that is not ASCII": ({"endpoints": ("hôte:1",)}, "printable ASCII"),
    "endpoint without a colon": ({"endpoints": ("localhost",)}, "scheme:rest or host:port"),
    "endpoint without a host": ({"endpoints": (":7000",)}, "scheme:rest or host:port"),
    "endpoint twice": ({"endpoints": ("a:1", "a:1")}, "an endpoint twice"),
    "features out of order": ({"features": ("b", "a")}, "features are not in ascending order"),
    "feature twice": ({"features": ("a", "a")}, "features are not in ascending order"),
    "edges out of order": ({"home_edges": (b"\x02" * 32, b"\x01" * 32)}, "home edges are not in ascending order"),
    "its own edge": ({"home_edges": (test_key("edge").public,)}, "its own node as its edge"),
    "fees out of order": ({"fees": ((b"\x01" * 32, 1), (b"", 1))}, "fees are not in ascending order"),
    "asset of half an id": ({"fees": ((b"\x01" * 16, 1),)}, "an asset id has 32 bytes"),
    "box key of half a key": ({"box_key": bytes(16)}, "its box key has 16 bytes"),
}
WRONG_PHONES: dict[str, tuple[dict[str, Any], str]] = {
    "says where it can be dialled": ({"endpoints": ("192.0.2.9:1",)}, "names no endpoints"),
    "says how busy it is": ({"load_percent": 26}, "in steps of 25"),
    "says what it is": ({"ability": Ability(1, 6, 4, 0, 0, 0)}, "powers of two"),
}


@pytest.mark.parametrize(("changes", "reason"), WRONG_RECORDS.values(), ids=WRONG_RECORDS)
def test_a_record_that_says_what_it_must_not_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(RemoteProtocolError, match=reason) as caught:
        checked_record(sample_record(**changes), verify=never)
    assert 0 < caught.value.penalty < 50


@pytest.mark.parametrize(("changes", "reason"), WRONG_PHONES.values(), ids=WRONG_PHONES)
def test_a_phone_that_says_too_much_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(RemoteProtocolError, match=reason) as caught:
        checked_record(phone_record(**changes), verify=never)
    assert caught.value.code == "bad-record"
    checked_record(sample_record(**changes))  # an edge may


def test_a_record_that_has_ended_is_nobodys_fault() -> None:
    record = sample_record()
    assert checked_record(record, record.expires_ms - 1) == record
    with pytest.raises(RemoteProtocolError, match="a record ended at") as caught:
        checked_record(record, record.expires_ms, verify=never)
    assert (caught.value.code, caught.value.penalty) == ("expired", 0)


def test_only_its_node_signs_a_record() -> None:
    """A changed field, another's signature, another kind of object with the same digest's bytes."""
    good = sample_record()
    other = sample_record("other")
    for forged in (
        msgspec.structs.replace(good, load_percent=0),
        msgspec.structs.replace(good, node_id=other.node_id),
        msgspec.structs.replace(good, signature=other.signature),
        msgspec.structs.replace(good, signature=test_key("edge").sign(hash_bundle(unsigned_bytes(good)))),
    ):
        with pytest.raises(RemoteProtocolError, match="signature") as caught:
            checked_record(forged)
        assert (caught.value.code, caught.value.penalty) == ("bad-signature", 50)


def test_counters_go_up_even_when_the_clock_goes_back() -> None:
    assert next_counter(0, NOW_MS) == NOW_MS
    assert next_counter(NOW_MS, NOW_MS) == NOW_MS + 1
    assert next_counter(NOW_MS + HOUR_MS, NOW_MS) == NOW_MS + HOUR_MS + 1


def test_a_phone_rounds_what_it_can_do_down() -> None:
    assert coarse_ability(Ability(1, 6, 3, 0, 1_000, 1)) == Ability(1, 4, 2, 0, 512, 1)
    assert coarse_ability(Ability(1, 65_535, 1, 2**32 - 1, 2, 0)) == Ability(1, 32_768, 1, 2**31, 2, 0)


def test_a_record_with_everything_in_it_fits() -> None:
    longest = sample_record(
        counter=NOW_MS,
        region="x" * 16,
        endpoints=tuple(f"{place}:".ljust(ENDPOINT_CHARS_MAX, "x") for place in range(ENDPOINTS_MAX)),
        home_edges=tuple(bytes([place]) * 32 for place in range(HOME_EDGES_MAX)),
        ability=Ability(1, 65_535, 65_535, 2**32 - 1, 2**32 - 1, 65_535),
        load_percent=100,
        features=tuple(chr(97 + place) * 32 for place in range(RECORD_FEATURES_MAX)),
        fees=tuple((bytes([place]) * 32, INT_MAX) for place in range(RECORD_FEES_MAX)),
    )
    assert checked_record(longest) == longest
    assert RECORD_BYTES_MAX - 256 < len(encode(longest)) <= RECORD_BYTES_MAX


@pytest.mark.parametrize("endpoint", ["1.2.3.4:5", "[::1]:7000", "serial:/dev/ttyUSB0", "tcp:serial:7"])
def test_endpoints_of_any_medium_have_the_form(endpoint: str) -> None:
    assert endpoint_problem(endpoint) is None


# --- bundles ----------------------------------------------------------------------------------------------------------


def test_a_bundle_is_known_by_its_hash() -> None:
    bundle = sample_bundle()
    bundle_id, same = checked_bundle(bundle)
    assert same == bundle
    assert bundle_id == hash_bundle(unsigned_bytes(bundle))
    assert checked_bundle(sample_bundle(sequence=8))[0] != bundle_id


WRONG_BUNDLES: dict[str, dict[str, Any]] = {
    "of another network": {"chain_id": bytes(32)},
    "to itself": {"destination": test_key("alice").public},
    "from the future": {"created_ms": NOW_MS + BUNDLE_AHEAD_MS_MAX + 1},
}


@pytest.mark.parametrize("changes", WRONG_BUNDLES.values(), ids=WRONG_BUNDLES)
def test_a_bundle_that_is_wrong_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError, match="a bundle is wrong") as caught:
        checked_bundle(sample_bundle(**changes), verify=never)
    assert (caught.value.code, caught.value.penalty) == ("bad-bundle", 20)


def test_a_bundle_ends_and_cannot_be_altered() -> None:
    bundle = sample_bundle()
    with pytest.raises(RemoteProtocolError, match="a bundle ended") as caught:
        checked_bundle(bundle, bundle.expires_ms, verify=never)
    assert (caught.value.code, caught.value.penalty) == ("expired", 0)
    for name, value in (("body", b"x"), ("priority", 0), ("hops_max", 255), ("sequence", 8), ("lifetime_ms", HOUR_MS)):
        with pytest.raises(RemoteProtocolError, match="the signature of a bundle is wrong"):
            checked_bundle(msgspec.structs.replace(bundle, **{name: value}))
    assert bytes_bounds(Bundle)[1] <= BUNDLE_BYTES_MAX


# --- relay receipts ---------------------------------------------------------------------------------------------------


def test_a_relay_receipt_is_its_hops_word_and_nobody_elses() -> None:
    receipt = sample_relay_receipt()
    assert checked_receipt(receipt) == receipt
    for name, value in (("carried_bytes", 2**40), ("counter", 42), ("window", 0), ("relay", bytes(32))):
        with pytest.raises(RemoteProtocolError, match="the signature of a relay receipt is wrong"):
            checked_receipt(msgspec.structs.replace(receipt, **{name: value}))
    for changes in (
        {"chain_id": bytes(32)},
        {"relay": receipt.hop},
        {"relay": receipt.source},
        {"source": receipt.hop},
    ):
        with pytest.raises(RemoteProtocolError, match="a relay receipt is wrong"):
            checked_receipt(sample_relay_receipt(**changes), verify=never)
    assert bytes_bounds(RelayReceipt)[1] <= RELAY_RECEIPT_BYTES_MAX
