"""The history of checkpoints: append only, one root, short proofs (consensus.md 4)."""

from __future__ import annotations

import json
from hashlib import blake2b
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervm.protocol.base.codec import encode
from supervm.protocol.base.errors import LocalProtocolError, RemoteProtocolError
from supervm.protocol.state.mmr import (
    HASHES_MAX,
    MMR_PROOF_BYTES_MAX,
    HistoryMMR,
    MMRProof,
    check_peaks,
    decode_mmr_proof,
    verify_mmr,
)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "trees.json").read_text())["history"]


def leaf(number: int) -> bytes:
    return blake2b(number.to_bytes(8, "big"), digest_size=32).digest()


def history(size: int) -> HistoryMMR:
    return HistoryMMR([leaf(n) for n in range(size)])


def h(person: bytes, data: bytes) -> bytes:
    return blake2b(data, digest_size=32, person=person).digest()


def reference_root(leaves: list[bytes]) -> bytes:
    """The definition in the module, written again without shared code."""

    def mountain(part: list[bytes]) -> bytes:
        if len(part) == 1:
            return h(b"svm.mmrleaf", part[0])
        half = len(part) // 2
        return h(b"svm.mmrnode", mountain(part[:half]) + mountain(part[half:]))

    if not leaves:
        return bytes(32)
    peaks, rest = [], leaves
    while rest:
        width = 1 << len(rest).bit_length() - 1
        peaks.append(mountain(rest[:width]))
        rest = rest[width:]
    bag = peaks.pop()
    while peaks:
        bag = h(b"svm.mmrbag", peaks.pop() + bag)
    return h(b"svm.mmrroot", len(leaves).to_bytes(8, "big") + bag)


def refused(root: bytes, what: bytes, proof: MMRProof, *, index: int, size: int | None = None) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        verify_mmr(root, what, proof, index=index, size=size)
    assert caught.value.code == "bad-proof"


def test_root_is_that_of_the_definition_at_every_size() -> None:
    mmr, leaves = HistoryMMR(), list[bytes]()
    for number in range(70):
        assert mmr.size == number
        assert mmr.root == reference_root(leaves)
        mmr.append(leaf(number))
        leaves.append(leaf(number))
    for size in range(71):
        assert mmr.root_at(size) == reference_root(leaves[:size])


def test_every_leaf_is_proved_under_every_size() -> None:
    mmr = history(40)
    for size in range(1, 41):
        root = mmr.root_at(size)
        for index in range(size):
            proof = decode_mmr_proof(encode(mmr.prove(index, size)))
            verify_mmr(root, leaf(index), proof, index=index, size=size)
            verify_mmr(root, leaf(index), proof, index=index)


def test_a_proof_is_good_for_its_leaf_place_size_and_root_only() -> None:
    mmr = history(13)
    for index in range(13):
        proof = mmr.prove(index)
        for other in range(14):
            if other != index:
                refused(mmr.root, leaf(other), proof, index=index)
                refused(mmr.root, leaf(index), proof, index=other)
                refused(mmr.root, leaf(index), msgspec.structs.replace(proof, index=other), index=other)
        for size in (12, 14):
            refused(mmr.root, leaf(index), proof, index=index, size=size)
            refused(mmr.root, leaf(index), msgspec.structs.replace(proof, size=size), index=index)
            refused(history(size).root, leaf(index), proof, index=index)


@pytest.mark.parametrize("index", [0, 9, 12])
def test_every_change_of_one_bit_is_refused(index: int) -> None:
    mmr = history(13)
    data = encode(mmr.prove(index))
    for bit in range(8 * len(data)):
        mutant = bytearray(data)
        mutant[bit >> 3] ^= 1 << (bit & 7)
        with pytest.raises(RemoteProtocolError) as caught:
            verify_mmr(mmr.root, leaf(index), decode_mmr_proof(bytes(mutant)), index=index)
        assert caught.value.code == "bad-proof"


def test_hashes_left_over_or_missing_are_refused() -> None:
    mmr = history(13)
    for index in range(13):
        proof = mmr.prove(index)
        for hashes in (
            proof.hashes[1:],
            proof.hashes[:-1],
            (*proof.hashes, bytes(32)),
            (),
            tuple(part[:-1] for part in proof.hashes),
        ):
            refused(mmr.root, leaf(index), msgspec.structs.replace(proof, hashes=hashes), index=index)


def test_a_node_cannot_be_shown_as_a_leaf() -> None:
    mmr = history(4)
    pair = h(b"svm.mmrleaf", leaf(0)) + h(b"svm.mmrleaf", leaf(1))
    for size in (2, 3, 4):
        refused(mmr.root, pair, MMRProof(1, size, 0, mmr.prove(0).hashes[1:]), index=0)


@given(st.integers(0, 300), st.integers(0, 40))
def test_a_range_that_knows_only_its_peaks_goes_on_with_equal_roots(start: int, more: int) -> None:
    full = history(start)
    short = HistoryMMR.from_peaks(start, full.peaks())
    assert len(short.peaks()) == start.bit_count()
    for number in range(start, start + more):
        assert short.root == full.root
        full.append(leaf(number))
        short.append(leaf(number))
        if number % 3 == 0:
            short.compact()
    assert (short.root, short.size, short.peaks()) == (full.root, full.size, full.peaks())


def test_a_compact_range_proves_what_it_has_seen_whole_and_says_what_it_cannot() -> None:
    mmr = history(8)
    mmr.compact()
    for number in range(8, 16):
        mmr.append(leaf(number))
    for index in range(8, 16):
        verify_mmr(mmr.root, leaf(index), mmr.prove(index), index=index)
    with pytest.raises(LocalProtocolError, match="no longer held"):
        mmr.prove(3)
    with pytest.raises(LocalProtocolError, match="no longer held"):
        mmr.root_at(7)


@given(st.integers(0, 300), st.integers(1, 40), st.data())
def test_a_range_begun_from_checked_peaks_proves_every_leaf_after_them(
    start: int, more: int, data: st.DataObject
) -> None:
    full = history(start)
    check_peaks(full.root, start, full.peaks())
    short = HistoryMMR.from_peaks(start, full.peaks())
    for number in range(start, start + more):
        full.append(leaf(number))
        short.append(leaf(number))
    index = data.draw(st.integers(start, start + more - 1))
    size = data.draw(st.integers(index + 1, start + more))
    assert short.prove(index, size) == full.prove(index, size)
    verify_mmr(full.root_at(size), leaf(index), short.prove(index, size), index=index)


def test_peaks_of_anything_else_are_refused() -> None:
    for size in (0, 1, 6, 13):
        mmr = history(size)
        peaks = mmr.peaks()
        check_peaks(mmr.root, size, peaks)
        wrong = [[*peaks, bytes(32)], [bytes(31), *peaks[1:]], peaks[::-1] if size in (6, 13) else [bytes(32)] * 9]
        wrong += [[*peaks[:place], bytes(32), *peaks[place + 1 :]] for place in range(len(peaks))]
        for bad in wrong + ([peaks[:-1]] if peaks else []):
            with pytest.raises(RemoteProtocolError, match="peak") as caught:
                check_peaks(mmr.root, size, bad)
            assert caught.value.code == "bad-proof"
        for other in (-1, size + 1, 1 << 63, 14 if size == 13 else 13):
            with pytest.raises(RemoteProtocolError):
                check_peaks(mmr.root, other, peaks)


def test_misuse_is_our_own_fault() -> None:
    mmr = history(5)
    with pytest.raises(LocalProtocolError, match="32 bytes"):
        mmr.append(b"short")
    for index, size in ((5, None), (-1, None), (3, 3), (0, 6)):
        with pytest.raises(LocalProtocolError, match="there is no leaf"):
            mmr.prove(index, size)
    for wrong in (-1, 6):
        with pytest.raises(LocalProtocolError, match="leaves"):
            mmr.root_at(wrong)
    for size, peaks in ((3, [bytes(32)]), (1, [bytes(31)]), (-1, [bytes(32)])):
        with pytest.raises(LocalProtocolError, match="peaks"):
            HistoryMMR.from_peaks(size, peaks)


WILD = st.integers(0, 2**63 - 1)


@given(WILD, WILD, st.lists(st.binary(min_size=32, max_size=32), max_size=9))
def test_wild_fields_raise_nothing_but_bad_proof(size: int, index: int, hashes: list[bytes]) -> None:
    refused(bytes(32), leaf(0), MMRProof(1, size, index, tuple(hashes)), index=index)


@given(st.binary(max_size=200))
def test_garbage_raises_nothing_but_bad_proof(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        decode_mmr_proof(data)
    assert caught.value.code == "bad-proof"


def test_the_longest_proof_is_within_the_bound() -> None:
    proof = MMRProof(1, 2**63 - 1, 2**63 - 2, (bytes(32),) * HASHES_MAX)
    assert decode_mmr_proof(encode(proof)) == proof
    assert len(encode(proof)) <= MMR_PROOF_BYTES_MAX


def test_frozen_roots_and_proof_bytes() -> None:
    mmr = HistoryMMR()
    for number, case in enumerate(VECTORS):
        assert case["leaf"] == leaf(number).hex()
        mmr.append(leaf(number))
        assert mmr.root.hex() == case["root"]
        assert encode(mmr.prove(number // 2)).hex() == case["proof_of_the_middle"]
