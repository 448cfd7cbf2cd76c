"""Batches, bitmaps, batch votes and certificates (consensus.md 3.1 and 3.8 T14, T15)."""

from __future__ import annotations

from collections.abc import Callable
from time import process_time

import msgspec
import pytest
from chain_tools import make_test_chain
from hypothesis import given, settings
from hypothesis import strategies as st

from supervm.protocol.base.codec import decode, encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.base.keys import verify
from supervm.protocol.base.limits import BATCH_TRANSACTIONS_MAX
from supervm.protocol.chain.batch import Batch, BatchHeader, batch_header, check_batch, miner_statement
from supervm.protocol.chain.batch_certificate import (
    BatchCertificate,
    VoteGroup,
    batch_vote_statement,
    bitmap_bits,
    bitmap_bytes,
    certified_bits,
    check_batch_certificate,
    make_batch_certificate,
)
from supervm.protocol.chain.validators import Validator, ValidatorSet
from supervm.protocol.chain.votes import VoteKind, statement
from supervm.protocol.state.receipts import TRANSACTIONS, merkle_root

CHAIN = make_test_chain(4, miners=2)
BATCHED = [CHAIN.transaction("alice", CHAIN.account("bob"), amount) for amount in range(1, 11)]
BATCH = CHAIN.batch(BATCHED)
CERTIFICATE = CHAIN.batch_certificate(BATCH)
MINER_KEY = CHAIN.miner_keys[0]
replace = msgspec.structs.replace


def resigned(batch: Batch) -> Batch:
    return replace(batch, signature=MINER_KEY.sign(miner_statement(batch.header.digest)))


def with_header(**changes: object) -> Batch:
    return resigned(replace(BATCH, header=replace(BATCH.header, **changes)))


# --- batches --------------------------------------------------------------------------------------------------------


def test_an_honest_batch_is_accepted_and_named_by_its_header() -> None:
    assert check_batch(BATCH, CHAIN.chain_id, verify) == BATCH.header.digest
    assert BATCH.header.tx_root == merkle_root(BATCH.transactions, TRANSACTIONS)
    assert BATCH.header.bytes == sum(map(len, BATCH.transactions))


WRONG_BATCHES: dict[str, tuple[Batch, str]] = {
    "another chain": (with_header(chain_id=bytes(32)), "another chain"),
    "count too high": (with_header(count=11), "number or size"),
    "count too low": (with_header(count=9), "number or size"),
    "size": (with_header(bytes=BATCH.header.bytes + 1), "number or size"),
    "a transaction missing": (resigned(replace(BATCH, transactions=BATCH.transactions[:-1])), "number or size"),
    "a transaction more": (resigned(replace(BATCH, transactions=(*BATCH.transactions, b"x"))), "number or size"),
    "transactions swapped": (resigned(replace(BATCH, transactions=BATCH.transactions[::-1])), "header's root"),
    "root": (with_header(tx_root=ZERO_HASH), "header's root"),
    "another miner": (
        replace(BATCH, header=replace(BATCH.header, miner=CHAIN.miner_keys[1].public)),
        "miner's signature",
    ),
    "no signature": (replace(BATCH, signature=bytes(64)), "miner's signature"),
    "a changed epoch under the old signature": (
        replace(BATCH, header=replace(BATCH.header, epoch=1)),
        "miner's signature",
    ),
}


@pytest.mark.parametrize(("batch", "reason"), WRONG_BATCHES.values(), ids=WRONG_BATCHES)
def test_a_wrong_batch_is_refused(batch: Batch, reason: str) -> None:
    with pytest.raises(RemoteProtocolError, match=reason) as caught:
        check_batch(batch, CHAIN.chain_id, verify)
    assert caught.value.code == "bad-batch"


def test_every_header_field_is_under_the_digest() -> None:
    header = BATCH.header
    changed = [
        replace(header, chain_id=bytes(32)),
        replace(header, epoch=1),
        replace(header, miner=CHAIN.miner_keys[1].public),
        replace(header, count=9),
        replace(header, bytes=1),
        replace(header, tx_root=ZERO_HASH),
    ]
    assert len({header.digest, *(other.digest for other in changed)}) == len(changed) + 1


@pytest.mark.parametrize("count", [0, BATCH_TRANSACTIONS_MAX + 1])
def test_sizes_that_are_not_read(count: int) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(BatchHeader, encode(replace(BATCH.header, count=count)))
    with pytest.raises(RemoteProtocolError):
        decode(Batch, encode(replace(BATCH, transactions=(b"x",) * count)))


# --- bitmaps --------------------------------------------------------------------------------------------------------


def test_bit_j_is_bit_j_mod_8_of_byte_j_div_8() -> None:
    assert bitmap_bytes(1, 9) == b"\x01\x00"
    assert bitmap_bytes(1 << 8, 9) == b"\x00\x01"
    assert bitmap_bytes(1 << 7, 9) == b"\x80\x00"


@given(st.integers(1, BATCH_TRANSACTIONS_MAX), st.data())
def test_bitmaps_round_trip(count: int, data: st.DataObject) -> None:
    bits = data.draw(st.integers(0, (1 << count) - 1))
    bitmap = bitmap_bytes(bits, count)
    assert len(bitmap) == (count + 7) // 8
    assert bitmap_bits(bitmap, count) == bits


@given(st.binary(max_size=8), st.integers(1, 60))
def test_a_bitmap_is_read_iff_it_is_canonical(bitmap: bytes, count: int) -> None:
    bits = int.from_bytes(bitmap, "little")
    if len(bitmap) == (count + 7) // 8 and bits < 1 << count:
        assert bitmap_bytes(bitmap_bits(bitmap, count), count) == bitmap
    else:
        with pytest.raises(RemoteProtocolError, match="does not fit") as caught:
            bitmap_bits(bitmap, count)
        assert caught.value.code == "bad-bitmap"


# --- votes and certificates -----------------------------------------------------------------------------------------


def test_a_vote_covers_chain_epoch_digest_count_and_bitmap() -> None:
    base = (CHAIN.chain_id, 0, BATCH.header.digest, 10, b"\xff\x03")
    others = [
        (bytes(32), *base[1:]),
        (base[0], 1, *base[2:]),
        (*base[:2], ZERO_HASH, *base[3:]),
        (*base[:3], 11, base[4]),
        (*base[:4], b"\xff\x01"),
        (*base[:4], b"\xff\x03\x00"),
    ]
    assert len({batch_vote_statement(*arguments) for arguments in (base, *others)}) == 7
    vote = CHAIN.batch_vote(BATCH, 2)
    assert verify(CHAIN.validators.keys[2], vote.statement(CHAIN.chain_id), vote.signature)


def test_a_plain_vote_of_kind_batch_never_counts_for_a_bitmap() -> None:
    plain = statement(CHAIN.chain_id, VoteKind.BATCH, 0, 0, BATCH.header.digest)
    assert plain != batch_vote_statement(CHAIN.chain_id, 0, BATCH.header.digest, 10, b"\xff\x03")


def check(certificate: BatchCertificate) -> None:
    check_batch_certificate(certificate, CHAIN.chain_id, CHAIN.validators, verify)


def naive_bits(certificate: BatchCertificate, validators: ValidatorSet) -> int:
    """The definition: certified(j) iff the voters that set bit j have quorum weight."""
    certified = 0
    for j in range(certificate.header.count):
        weight = 0
        for group in certificate.votes:
            if group.bitmap[j // 8] >> (j % 8) & 1:
                weight += sum(validators.weights[index] for index, _ in group.signatures)
        certified |= (weight >= validators.quorum) << j
    return certified


@given(st.dictionaries(st.integers(0, 3), st.integers(0, 1023), min_size=3))
@settings(max_examples=50)
def test_mixed_bitmaps_certify_what_each_quorum_set(bits_of: dict[int, int]) -> None:
    certificate = CHAIN.batch_certificate(BATCH, bits_of)
    check(certificate)
    assert certified_bits(certificate, CHAIN.validators) == naive_bits(certificate, CHAIN.validators)
    assert decode(BatchCertificate, encode(certificate)) == certificate


@given(st.lists(st.integers(1, 2**40), min_size=1, max_size=20), st.integers(1, 70), st.data())
def test_certified_bits_are_the_definition_for_any_weights(weights: list[int], count: int, data: st.DataObject) -> None:
    validators = ValidatorSet(
        Validator(1, bytes([index, 0]) * 16, bytes([index, 1]) * 16, weight, bytes(32))
        for index, weight in enumerate(weights)
    )
    few = st.sampled_from(data.draw(st.lists(st.integers(0, (1 << count) - 1), min_size=1, max_size=4)))
    votes = {
        index: (bitmap_bytes(data.draw(few), count), bytes(64))
        for index in range(len(weights))
        if data.draw(st.booleans()) or index == 0
    }
    header = replace(BATCH.header, count=count)
    certificate = make_batch_certificate(header, votes)
    assert certified_bits(certificate, validators) == naive_bits(certificate, validators)


def test_a_zero_bit_promises_nothing_but_its_voter_counts_for_the_certificate() -> None:
    certificate = CHAIN.batch_certificate(BATCH, {0: 0, 1: 0b11, 2: 0b10})
    check(certificate)
    assert certified_bits(certificate, CHAIN.validators) == 0
    assert certified_bits(CHAIN.batch_certificate(BATCH, {0: 0b10, 1: 0b11, 2: 0b10}), CHAIN.validators) == 0b10


def test_votes_are_grouped_by_bitmap_in_ascending_order_whatever_the_order_of_arrival() -> None:
    bits_of = {3: 0b1000000001, 0: 0b1, 2: 0b1, 1: 0b1000000000}
    certificate = CHAIN.batch_certificate(BATCH, bits_of)
    assert [group.bitmap for group in certificate.votes] == [b"\x00\x02", b"\x01\x00", b"\x01\x02"]
    assert [[index for index, _ in group.signatures] for group in certificate.votes] == [[1], [0, 2], [3]]
    assert CHAIN.batch_certificate(BATCH, dict(sorted(bits_of.items()))) == certificate


MIXED = CHAIN.batch_certificate(BATCH, {0: 1, 1: 1, 2: 3, 3: 3})


def votes_of(change: Callable[[VoteGroup, VoteGroup], tuple[VoteGroup, ...]]) -> BatchCertificate:
    return replace(MIXED, votes=change(*MIXED.votes))


WRONG_CERTIFICATES: dict[str, tuple[BatchCertificate, str]] = {
    "another chain": (replace(MIXED, header=replace(MIXED.header, chain_id=bytes(32))), "another chain"),
    "another epoch": (replace(MIXED, header=replace(MIXED.header, epoch=1)), "vote of validator 0 is invalid"),
    "another batch": (replace(MIXED, header=replace(MIXED.header, tx_root=ZERO_HASH)), "vote of validator 0"),
    "another count": (replace(MIXED, header=replace(MIXED.header, count=11)), "vote of validator 0 is invalid"),
    "groups out of order": (votes_of(lambda a, b: (b, a)), "ascending bitmap order"),
    "a bitmap twice": (
        votes_of(lambda a, b: (replace(a, signatures=a.signatures[:1]), replace(a, signatures=a.signatures[1:]), b)),
        "ascending bitmap order",
    ),
    "a signer in two groups": (
        votes_of(lambda a, b: (a, replace(b, signatures=(a.signatures[0], *b.signatures)))),
        "signer 0 after 0",
    ),
    "a signer twice in a group": (
        votes_of(lambda a, b: (a, replace(b, signatures=(b.signatures[0], *b.signatures)))),
        "signer 2 after 2",
    ),
    "signers out of order": (
        votes_of(lambda a, b: (a, replace(b, signatures=b.signatures[::-1]))),
        "signer 2 after 3",
    ),
    "a signer outside the set": (
        votes_of(lambda a, b: (a, replace(b, signatures=(*b.signatures, (4, bytes(64)))))),
        "signer 4 is not one of the 4",
    ),
    "below the quorum": (votes_of(lambda a, b: (a,)), "weight 2 is below 3"),
    "a bit past the end": (votes_of(lambda a, b: (a, replace(b, bitmap=b"\x03\x04"))), "does not fit"),
    "a bitmap too short": (votes_of(lambda a, b: (a, replace(b, bitmap=b"\x03"))), "does not fit"),
    "a bitmap too long": (votes_of(lambda a, b: (a, replace(b, bitmap=b"\x03\x00\x00"))), "does not fit"),
    "a bit added to a vote": (votes_of(lambda a, b: (a, replace(b, bitmap=b"\x07\x00"))), "validator 2 is invalid"),
    "a bad signature beyond the quorum": (
        votes_of(lambda a, b: (a, replace(b, signatures=(b.signatures[0], (3, bytes(64)))))),
        "validator 3 is invalid",
    ),
}


@pytest.mark.parametrize(("certificate", "reason"), WRONG_CERTIFICATES.values(), ids=WRONG_CERTIFICATES)
def test_a_wrong_certificate_is_refused(certificate: BatchCertificate, reason: str) -> None:
    check(MIXED)
    with pytest.raises(RemoteProtocolError, match=reason) as caught:
        check(certificate)
    assert caught.value.code == "bad-certificate"


def test_cheap_checks_come_before_signatures() -> None:
    def never(*_: bytes) -> bool:
        raise AssertionError("a signature was checked")

    for name in ("another chain", "groups out of order", "a signer in two groups", "below the quorum"):
        with pytest.raises(RemoteProtocolError):
            check_batch_certificate(WRONG_CERTIFICATES[name][0], CHAIN.chain_id, CHAIN.validators, never)


def test_counting_bits_stays_cheap_when_every_vote_has_its_own_bitmap() -> None:
    validators = ValidatorSet(
        Validator(1, bytes([index, 0]) * 16, bytes([index, 1]) * 16, 1, bytes(32)) for index in range(255)
    )
    header = replace(BATCH.header, count=BATCH_TRANSACTIONS_MAX)
    every = (1 << BATCH_TRANSACTIONS_MAX) - 1
    votes = {index: (bitmap_bytes(every // (index + 3), BATCH_TRANSACTIONS_MAX), bytes(64)) for index in range(255)}
    certificate = make_batch_certificate(header, votes)
    assert len(certificate.votes) == 255
    started = process_time()
    for _ in range(20):
        certified_bits(certificate, validators)
    assert process_time() - started < 0.4
    assert certified_bits(certificate, validators) == naive_bits(certificate, validators)


def test_the_header_counts_bytes_of_exactly_these_transactions() -> None:
    header = batch_header(CHAIN.chain_id, 0, MINER_KEY.public, (b"a", b"bc"))
    assert (header.count, header.bytes) == (2, 3)
