"""The history of checkpoints: append only, one root, short proofs (consensus.md 4)."""

from __future__ import annotations

import json
from hashlib import blake2b
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kept_history import KeptHistory

from supervm.protocol.base.codec import encode
from supervm.protocol.base.errors import LocalProtocolError, RemoteProtocolError
from supervm.protocol.state.mmr import (
    HASHES_MAX,
    MMR_PROOF_BYTES_MAX,
    HistoryMMR,
    MMRProof,
    check_peaks,
    decode_mmr_proof,
    mmr_peak_positions,
    mmr_peaks,
    mmr_position,
    prove_mmr,
    verify_mmr,
)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "trees.json").read_text())["history"]


def leaf(number: int) -> bytes:
    return blake2b(number.to_bytes(8, "big"), digest_size=32).digest()


def history(size: int) -> KeptHistory:
    return KeptHistory([leaf(n) for n in range(size)])


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
    mmr, leaves = KeptHistory(), list[bytes]()
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


def test_nodes_are_numbered_in_the_order_in_which_they_come_to_be() -> None:
    mmr, made = HistoryMMR(), list[tuple[int, bytes]]()
    for number in range(100):
        made += mmr.append(leaf(number))
    assert [position for position, _ in made] == list(range(2 * 100 - (100).bit_count()))
    nodes = dict(made)
    for height in range(7):
        for index in range(100 >> height):
            below = range(index << height, (index + 1) << height)
            root = reference_root([leaf(number) for number in below])
            alone = nodes[mmr_position(height, index)]
            assert HistoryMMR.from_peaks(len(below), [alone]).root == root


@given(st.integers(0, 300), st.integers(0, 40))
def test_a_range_that_knows_only_its_peaks_goes_on_with_equal_roots(start: int, more: int) -> None:
    full = history(start)
    short = HistoryMMR.from_peaks(start, full.peaks())
    assert len(short.peaks()) == start.bit_count()
    for number in range(start, start + more):
        assert short.root == full.root
        assert full.append(leaf(number)) == short.append(leaf(number))
    assert (short.root, short.size, short.peaks()) == (full.root, full.size, full.peaks())
    assert len(short.peaks()) <= (start + more).bit_length()


@given(st.integers(0, 300), st.integers(1, 40), st.data())
def test_a_range_begun_from_checked_peaks_proves_every_leaf_after_them(
    start: int, more: int, data: st.DataObject
) -> None:
    full = history(start)
    check_peaks(full.root, start, full.peaks())
    short = KeptHistory.begun_at(start, full.peaks())
    for number in range(start, start + more):
        full.append(leaf(number))
        short.append(leaf(number))
    index = data.draw(st.integers(start, start + more - 1))
    size = data.draw(st.integers(index + 1, start + more))
    assert short.prove(index, size) == full.prove(index, size)
    verify_mmr(full.root_at(size), leaf(index), short.prove(index, size), index=index)


@given(st.integers(1, 300), st.data())
def test_peaks_of_a_floor_and_what_came_after_prove_every_leaf_from_there(size: int, data: st.DataObject) -> None:
    """What a ledger keeps when it prunes: all nodes from the floor's leaf on, and the peaks below it."""
    full = history(size)
    floor = data.draw(st.integers(0, size - 1))
    kept = {at: full.nodes[at] for at in mmr_peak_positions(floor)}
    kept |= {at: node for at, node in full.nodes.items() if at >= mmr_position(0, floor)}
    assert mmr_peaks(size, kept.get) == full.peaks()
    index = data.draw(st.integers(floor, size - 1))
    under = data.draw(st.integers(index + 1, size))
    assert prove_mmr(index, under, kept.get) == full.prove(index, under)
    for gone in range(floor):
        proof = prove_mmr(gone, size, kept.get)
        assert proof is None or proof == full.prove(gone, size)
    if floor > 1:
        assert prove_mmr(0, size, kept.get) is None


def test_a_proof_reads_few_nodes() -> None:
    full = history(1_000)
    for index in (0, 1, 511, 512, 998, 999):
        asked: list[int] = []

        def node_at(position: int, asked: list[int] = asked) -> bytes | None:
            asked.append(position)
            return full.nodes.get(position)

        assert prove_mmr(index, 1_000, node_at) == full.prove(index)
        assert len(asked) <= 2 * (1_000).bit_length()


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
    for index, size in ((5, 5), (-1, 5), (3, 3)):
        with pytest.raises(LocalProtocolError, match="there is no leaf"):
            prove_mmr(index, size, mmr.nodes.get)
    assert prove_mmr(0, 6, mmr.nodes.get) is None
    assert mmr_peaks(6, mmr.nodes.get) is None
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
    mmr = KeptHistory()
    for number, case in enumerate(VECTORS):
        assert case["leaf"] == leaf(number).hex()
        mmr.append(leaf(number))
        assert mmr.root.hex() == case["root"]
        assert encode(mmr.prove(number // 2)).hex() == case["proof_of_the_middle"]
