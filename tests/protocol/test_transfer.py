"""Transactions: bounds, ids, signatures, and what refuses them (consensus.md 3.1; decisions.md, Transactions)."""

from __future__ import annotations

from typing import Any

import cbor2
import pytest
from chain_tools import make_test_chain, test_key
from hypothesis import given
from hypothesis import strategies as st

from supervm.protocol.base.codec import INT_MAX, encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.base.hashing import ZERO_HASH, hash_transaction
from supervm.protocol.base.keys import verify_many
from supervm.protocol.money.transfer import (
    PAYLOAD_BYTES_MAX,
    TRANSACTION_BYTES_MAX,
    parse_transaction,
    sign_transfer,
    signature_items,
    transaction_id,
)

CHAIN = make_test_chain()
CHAIN_ID = CHAIN.chain_id
ALICE, BOB = test_key("alice"), CHAIN.account("bob")
FIELDS: dict[str, Any] = {
    "chain_id": CHAIN_ID,
    "seq": 0,
    "prev": ZERO_HASH,
    "to": BOB,
    "amount": 5,
    "fee": 1,
    "valid_until_ms": 1_700_000_000_000,
}
UINT = st.integers(0, INT_MAX)
POSITIVE = st.integers(1, INT_MAX)
HASH = st.binary(min_size=32, max_size=32)


@given(UINT, HASH, HASH, POSITIVE, POSITIVE, UINT, st.binary(max_size=PAYLOAD_BYTES_MAX))
def test_signing_and_parsing_agree(
    seq: int, prev: bytes, to: bytes, amount: int, fee: int, valid_until_ms: int, payload: bytes
) -> None:
    signed = sign_transfer(
        ALICE,
        chain_id=CHAIN_ID,
        seq=seq,
        prev=prev,
        to=to,
        amount=amount,
        fee=fee,
        valid_until_ms=valid_until_ms,
        payload=payload,
    )
    assert parse_transaction(signed.raw, CHAIN_ID) == signed
    assert encode(signed.body) == signed.raw
    assert len(signed.raw) <= TRANSACTION_BYTES_MAX
    body = signed.body
    assert (body.sender, body.seq, body.prev, body.to) == (ALICE.public, seq, prev, to)
    assert (body.amount, body.fee, body.valid_until_ms, body.payload) == (amount, fee, valid_until_ms, payload)
    assert signed.debit == amount + fee
    assert verify_many(signature_items([signed])) == [True]


def test_the_id_is_the_hash_of_the_array_without_the_signature() -> None:
    signed = sign_transfer(ALICE, **FIELDS, payload=b"x" * 200)
    assert signed.id == hash_transaction(cbor2.dumps(cbor2.loads(signed.raw)[:-1]))
    assert signed.id == transaction_id(signed.raw)


def test_the_id_does_not_depend_on_the_signature() -> None:
    signed = sign_transfer(ALICE, **FIELDS)
    other = parse_transaction(signed.raw[:-64] + bytes(64), CHAIN_ID)
    assert other.id == signed.id
    assert verify_many(signature_items([signed, other])) == [True, False]


def test_signing_is_deterministic() -> None:
    assert sign_transfer(ALICE, **FIELDS) == sign_transfer(ALICE, **FIELDS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("chain_id", bytes(32)),
        ("seq", 1),
        ("prev", b"\x01" * 32),
        ("to", CHAIN.account("carol")),
        ("amount", 6),
        ("fee", 2),
        ("valid_until_ms", 1),
        ("payload", b"\x00"),
    ],
)
def test_every_field_is_under_the_id(name: str, value: Any) -> None:
    changed = FIELDS | {name: value}
    assert sign_transfer(ALICE, **changed).id != sign_transfer(ALICE, **FIELDS).id


def test_the_sender_is_under_the_id() -> None:
    assert sign_transfer(test_key("bob"), **FIELDS).id != sign_transfer(ALICE, **FIELDS).id


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("chain_id", bytes(31)),
        ("seq", -1),
        ("seq", INT_MAX + 1),
        ("prev", bytes(33)),
        ("to", b""),
        ("amount", 0),
        ("amount", -1),
        ("amount", INT_MAX + 1),
        ("fee", 0),
        ("fee", -(2**63)),
        ("valid_until_ms", -1),
        ("valid_until_ms", 2**64),
        ("payload", bytes(PAYLOAD_BYTES_MAX + 1)),
    ],
)
def test_fields_out_of_bounds_are_refused_at_signing_and_reading(name: str, value: Any) -> None:
    with pytest.raises(RemoteProtocolError):
        sign_transfer(ALICE, **(FIELDS | {name: value}))


def test_the_largest_transaction_is_within_the_bound() -> None:
    widest = FIELDS | dict.fromkeys(("seq", "amount", "fee", "valid_until_ms"), INT_MAX)
    assert len(sign_transfer(ALICE, **widest, payload=bytes(PAYLOAD_BYTES_MAX)).raw) == 508 <= TRANSACTION_BYTES_MAX


def test_another_chain_is_refused_by_its_own_code() -> None:
    with pytest.raises(RemoteProtocolError, match="another chain") as caught:
        parse_transaction(sign_transfer(ALICE, **FIELDS).raw, bytes(32))
    assert caught.value.code == "wrong-chain"


def test_more_bytes_than_any_transaction_has_are_refused_unread() -> None:
    with pytest.raises(RemoteProtocolError, match="at most 640 are allowed"):
        parse_transaction(bytes(TRANSACTION_BYTES_MAX + 1), CHAIN_ID)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_never_keeps_both_id_and_signature(place: int, change: int) -> None:
    signed = sign_transfer(ALICE, **FIELDS)
    place %= len(signed.raw)
    raw = signed.raw[:place] + bytes([signed.raw[place] ^ change]) + signed.raw[place + 1 :]
    try:
        other = parse_transaction(raw, CHAIN_ID)
    except RemoteProtocolError:
        return
    assert (other.id, other.body.signature) != (signed.id, signed.body.signature)
    assert verify_many(signature_items([other])) == [False]
