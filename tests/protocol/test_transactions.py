"""Transactions: kinds, bounds, ids, signatures, and what refuses them (consensus.md 3.1; spec/transactions.md)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cbor2
import msgspec
import pytest
from chain_tools import make_test_chain, test_key
from hypothesis import given
from hypothesis import strategies as st

from supervm.protocol.base.codec import INT_MAX, encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.base.hashing import ZERO_HASH, hash_transaction
from supervm.protocol.base.keys import verify_many
from supervm.protocol.base.reading import bytes_bounds
from supervm.protocol.money.issue import Issue
from supervm.protocol.money.kinds import ISSUE, RESERVED, TRANSFER, reserved_for
from supervm.protocol.money.transaction import (
    KINDS,
    TRANSACTION_BYTES_MAX,
    TRANSACTION_BYTES_MIN,
    SignedTransaction,
    debits_of,
    parse_transaction,
    sign_issue,
    sign_transfer,
    signature_items,
    transaction_id,
)
from supervm.protocol.money.transfer import PAYLOAD_BYTES_MAX, Transfer
from supervm.protocol.state.leaves import NATIVE

CHAIN = make_test_chain()
CHAIN_ID = CHAIN.chain_id
ALICE, BOB, EDGE = test_key("alice"), CHAIN.account("bob"), CHAIN.account("edge")
GOLD, SILVER = b"g" * 32, b"s" * 32
COMMON: dict[str, Any] = {
    "chain_id": CHAIN_ID,
    "seq": 0,
    "prev": ZERO_HASH,
    "fee": 1,
    "valid_until_ms": 1_700_000_000_000,
}
TRANSFER_FIELDS = COMMON | {"to": BOB, "amount": 5}
ISSUE_FIELDS = COMMON | {"supply": 1_000}
Sign = Callable[..., SignedTransaction]
EACH = pytest.mark.parametrize(
    ("sign", "fields"), [(sign_transfer, TRANSFER_FIELDS), (sign_issue, ISSUE_FIELDS)], ids=["transfer", "issue"]
)
UINT = st.integers(0, INT_MAX)
POSITIVE = st.integers(1, INT_MAX)
HASH = st.binary(min_size=32, max_size=32)
NONE_OR_HASH = st.just(b"") | HASH
HEAD = {
    "seq": UINT,
    "prev": HASH,
    "fee": POSITIVE,
    "fee_asset": NONE_OR_HASH,
    "via": NONE_OR_HASH,
    "valid_until_ms": UINT,
    "payload": st.binary(max_size=PAYLOAD_BYTES_MAX),
}


@given(st.fixed_dictionaries(HEAD | {"to": HASH, "asset": NONE_OR_HASH, "amount": POSITIVE}))
def test_signing_and_parsing_a_transfer_agree(fields: dict[str, Any]) -> None:
    signed = sign_transfer(ALICE, chain_id=CHAIN_ID, **fields)
    agree(signed, fields)
    body = signed.body
    assert isinstance(body, Transfer)
    if body.asset == body.fee_asset:
        assert signed.debits == ((body.asset, body.amount + body.fee),)
    else:
        assert signed.debits == ((body.asset, body.amount), (body.fee_asset, body.fee))


@given(st.fixed_dictionaries(HEAD | {"supply": POSITIVE}))
def test_signing_and_parsing_an_issue_agree(fields: dict[str, Any]) -> None:
    signed = sign_issue(ALICE, chain_id=CHAIN_ID, **fields)
    agree(signed, fields)
    assert isinstance(signed.body, Issue)
    assert signed.debits == ((signed.body.fee_asset, signed.body.fee),)


def agree(signed: SignedTransaction, fields: dict[str, Any]) -> None:
    assert parse_transaction(signed.raw, CHAIN_ID) == signed
    assert encode(signed.body) == signed.raw
    assert len(signed.raw) <= TRANSACTION_BYTES_MAX
    assert {name: getattr(signed.body, name) for name in fields} == fields
    assert (signed.body.sender, signed.body.chain_id, signed.body.version) == (ALICE.public, CHAIN_ID, 2)
    assert verify_many(signature_items([signed])) == [True]
    assert debits_of(signed.body) == signed.debits


# --- kinds ----------------------------------------------------------------------------------------------------------


def test_kinds_in_use_and_reserved_do_not_meet_and_take_one_byte() -> None:
    assert KINDS == {TRANSFER: Transfer, ISSUE: Issue} == {1: Transfer, 2: Issue}
    for number, kind in KINDS.items():
        assert kind.__struct_config__.tag == number
        assert reserved_for(number) == ""
    numbers = [*KINDS, *(number for numbers in RESERVED for number in numbers)]
    assert sorted(numbers) == list(range(1, 24))
    assert [reserved_for(number) for number in (3, 7, 8, 15, 16, 23)] == [
        *("stake",) * 2,
        *("objects",) * 2,
        *("calls",) * 2,
    ]


@pytest.mark.parametrize("number", [0, *range(3, 24)])
def test_a_kind_that_is_not_in_use_is_refused_by_what_it_is_reserved_for(number: int) -> None:
    raw = cbor2.dumps([number, 2, CHAIN_ID, *[0] * 12])
    subject = reserved_for(number)
    told = f"a transaction of kind {number}{f', which is reserved for {subject},' if subject else ''} is not known here"
    with pytest.raises(RemoteProtocolError, match=f"^{told}: 1 transfer, 2 issue$") as caught:
        parse_transaction(raw, CHAIN_ID)
    assert caught.value.code == "unknown-kind"


@pytest.mark.parametrize(
    "raw",
    [b"", b"\x8f", b"\x01\x01", cbor2.dumps([24, 2]), cbor2.dumps([-1, 2]), cbor2.dumps(["transfer", 2]), b"\xff\xff"],
)
def test_bytes_that_begin_like_no_kind_are_no_transaction(raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        parse_transaction(raw, CHAIN_ID)
    assert caught.value.code == "malformed"


def test_one_kinds_bytes_are_not_read_as_the_other() -> None:
    for signed, number in ((sign_transfer(ALICE, **TRANSFER_FIELDS), 2), (sign_issue(ALICE, **ISSUE_FIELDS), 1)):
        with pytest.raises(RemoteProtocolError, match="cannot be read"):
            parse_transaction(signed.raw[:1] + bytes([number]) + signed.raw[2:], CHAIN_ID)


def test_all_kinds_have_one_head_and_end_in_the_signature() -> None:
    """Whoever knows no kind can still tell who sent it, in which slot, till when, and who is paid for it."""
    heads = [[field.name for field in msgspec.structs.fields(kind)] for kind in KINDS.values()]
    head = ["version", "chain_id", "sender", "seq", "prev", "valid_until_ms", "fee_asset", "fee", "via"]
    for names in heads:
        assert names[: len(head)] == head
        assert names[-2:] == ["payload", "signature"]


# --- ids and signatures ---------------------------------------------------------------------------------------------


@EACH
def test_the_id_is_the_hash_of_the_array_without_the_signature(sign: Sign, fields: dict[str, Any]) -> None:
    signed = sign(ALICE, **fields, payload=b"x" * 200)
    assert signed.id == hash_transaction(cbor2.dumps(cbor2.loads(signed.raw)[:-1]))
    assert signed.id == transaction_id(signed.raw)


@EACH
def test_the_id_does_not_depend_on_the_signature(sign: Sign, fields: dict[str, Any]) -> None:
    signed = sign(ALICE, **fields)
    other = parse_transaction(signed.raw[:-64] + bytes(64), CHAIN_ID)
    assert other.id == signed.id
    assert verify_many(signature_items([signed, other])) == [True, False]
    assert sign(ALICE, **fields) == signed  # signing is deterministic


OTHERS: list[tuple[str, Any]] = [
    ("chain_id", bytes(32)),
    ("seq", 1),
    ("prev", b"\x01" * 32),
    ("fee", 2),
    ("fee_asset", GOLD),
    ("via", EDGE),
    ("valid_until_ms", 1),
    ("payload", b"\x00"),
    ("to", EDGE),
    ("asset", GOLD),
    ("amount", 6),
    ("supply", 6),
]


@EACH
def test_every_field_is_under_the_id(sign: Sign, fields: dict[str, Any]) -> None:
    signed = sign(ALICE, **fields)
    names = {field.name for field in msgspec.structs.fields(type(signed.body))}
    others = [sign(ALICE, **fields | {name: value}).id for name, value in OTHERS if name in names]
    assert len(others) == len(names) - 3  # the version is fixed, the sender has a test, the signature is not under it
    assert len({signed.id, *others}) == len(others) + 1


@EACH
def test_the_sender_is_under_the_id(sign: Sign, fields: dict[str, Any]) -> None:
    assert sign(test_key("bob"), **fields).id != sign(ALICE, **fields).id


@EACH
@given(place=st.integers(0, 10_000), change=st.integers(1, 255))
def test_a_changed_byte_never_keeps_both_id_and_signature(
    sign: Sign, fields: dict[str, Any], place: int, change: int
) -> None:
    signed = sign(ALICE, **fields, fee_asset=GOLD, via=EDGE)
    place %= len(signed.raw)
    raw = signed.raw[:place] + bytes([signed.raw[place] ^ change]) + signed.raw[place + 1 :]
    try:
        other = parse_transaction(raw, CHAIN_ID)
    except RemoteProtocolError:
        return
    assert (other.id, other.body.signature) != (signed.id, signed.body.signature)
    assert verify_many(signature_items([other])) == [False]


# --- bounds ---------------------------------------------------------------------------------------------------------

OUT_OF_BOUNDS: list[tuple[str, Any]] = [
    ("chain_id", bytes(31)),
    ("seq", -1),
    ("seq", INT_MAX + 1),
    ("prev", bytes(33)),
    ("to", b""),
    ("amount", 0),
    ("amount", -1),
    ("amount", INT_MAX + 1),
    ("supply", 0),
    ("supply", INT_MAX + 1),
    ("fee", 0),
    ("fee", -(2**63)),
    ("valid_until_ms", -1),
    ("valid_until_ms", 2**64),
    ("payload", bytes(PAYLOAD_BYTES_MAX + 1)),
    *(("via", bytes(size)) for size in (1, 31, 33)),
    *(("fee_asset", bytes(size)) for size in (1, 31, 33)),
    *(("asset", bytes(size)) for size in (1, 31, 33)),
]


@EACH
def test_fields_out_of_bounds_are_refused_at_signing_and_reading(sign: Sign, fields: dict[str, Any]) -> None:
    names = sign(ALICE, **fields).body.__struct_fields__
    for name, value in OUT_OF_BOUNDS:
        if name in names:
            with pytest.raises(RemoteProtocolError) as caught:
                sign(ALICE, **fields | {name: value})
            assert caught.value.code == "malformed", (name, value)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"asset": bytes(31)}, "an asset id has 32 bytes, or none for the native asset; this one has 31"),
        ({"fee_asset": bytes(1)}, "an asset id has 32 bytes, or none for the native asset; this one has 1"),
        ({"via": bytes(20)}, "via is an account of 32 bytes, or empty; this one has 20"),
    ],
)
def test_a_wrong_length_is_named(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(RemoteProtocolError, match=told):
        sign_transfer(ALICE, **TRANSFER_FIELDS | fields)


def test_an_id_of_zeros_is_an_asset_that_nobody_has_and_not_the_native_one() -> None:
    """32 zeros stand for the native asset where people write it; on the wire it has one spelling, no bytes."""
    assert sign_transfer(ALICE, **TRANSFER_FIELDS, asset=bytes(32)).debits == ((bytes(32), 5), (NATIVE, 1))


def test_the_largest_and_the_shortest_of_all_kinds_are_within_the_bounds() -> None:
    ids = {"fee_asset": GOLD, "via": EDGE, "payload": bytes(PAYLOAD_BYTES_MAX)}
    numbers = dict.fromkeys(("seq", "fee", "valid_until_ms"), INT_MAX)
    transfer = sign_transfer(ALICE, **TRANSFER_FIELDS | numbers | ids | {"asset": SILVER, "amount": INT_MAX})
    issue = sign_issue(ALICE, **ISSUE_FIELDS | numbers | ids | {"supply": INT_MAX})
    assert len(transfer.raw) == bytes_bounds(Transfer)[1] == 602 <= TRANSACTION_BYTES_MAX
    assert len(issue.raw) == bytes_bounds(Issue)[1] <= TRANSACTION_BYTES_MAX
    assert min(bytes_bounds(kind)[0] for kind in KINDS.values()) == 178 >= TRANSACTION_BYTES_MIN


@EACH
def test_another_chain_is_refused_by_its_own_code(sign: Sign, fields: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError, match="another chain") as caught:
        parse_transaction(sign(ALICE, **fields).raw, bytes(32))
    assert caught.value.code == "wrong-chain"


@pytest.mark.parametrize("first", [0, *KINDS, 3, 255])
def test_more_bytes_than_any_transaction_has_are_refused_unread(first: int) -> None:
    with pytest.raises(RemoteProtocolError, match="641 bytes; at most 640 are allowed"):
        parse_transaction(bytes([0x8F, first]) + bytes(TRANSACTION_BYTES_MAX - 1), CHAIN_ID)


@given(st.binary(max_size=700))
def test_garbage_raises_nothing_else(raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_transaction(raw, CHAIN_ID)
