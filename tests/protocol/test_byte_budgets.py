"""Everything whose size depends on history or on the number of validators fits the frame that it travels in.

The objects are the largest that are valid, at 64 and at 255 validators: signatures, masks and numbers at their longest.
Signatures are zeros here; only lengths are looked at.
"""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from chain_tools import GENESIS_TIME_MS, make_test_chain, test_key
from hostile_bytes import crammed_msgpack
from protocol_samples import agreed_samples

from supervm.protocol.base.codec import INT_MAX, decode, encode
from supervm.protocol.base.errors import LocalProtocolError, RemoteProtocolError
from supervm.protocol.base.keys import verify
from supervm.protocol.base.limits import BATCH_TRANSACTIONS_MAX, REFS_MAX
from supervm.protocol.base.reading import bytes_bounds
from supervm.protocol.chain.batch_certificate import BatchCertificate, VoteGroup, bitmap_bytes
from supervm.protocol.chain.block import BLOCK_BYTES_MAX, HEADER_BYTES_MAX, Block, check_block
from supervm.protocol.chain.body import BODY_BYTES_MAX, BlockBody
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint, CheckpointHeader
from supervm.protocol.chain.epoch import EpochRecord
from supervm.protocol.chain.evidence import EVIDENCE_BYTES_MAX, BadBatch, DoubleVote
from supervm.protocol.chain.finalized import HEADERS_MAX, PIECE_BYTES_MAX, FinalizedBlocks, FinalizedPrefix
from supervm.protocol.chain.header import (
    JUSTIFICATION_BYTES_MAX,
    SKIP_SIGNATURES_MAX,
    SKIPS_MAX,
    BlockHeader,
    CheckpointRef,
    Justification,
)
from supervm.protocol.chain.progress import EpochProgress
from supervm.protocol.chain.set_change import SetChange
from supervm.protocol.chain.spans import Span
from supervm.protocol.chain.validators import VALIDATORS_MAX, Validator, ValidatorList, ValidatorSet
from supervm.protocol.chain.votes import Certificate, Vote, VoteKind
from supervm.protocol.light import client as light
from supervm.protocol.light.client import LightClient, ValidatorChange, account_answer, anchor_of, fewest_changes
from supervm.protocol.light.forks import FORK_BYTES_MAX, CheckpointFork
from supervm.protocol.light.snapshot import SNAPSHOT_START_BYTES_MAX, SnapshotStart
from supervm.protocol.money.execution import RECEIPTS_MAX
from supervm.protocol.state.leaves import LEAF_ID_BYTES_MAX, NATIVE, account_leaf_id
from supervm.protocol.state.trie import QuadTrie
from supervm.protocol.state.trie_proof import TrieProof
from supervm.protocol.state.trie_range import RANGE_BYTES_MAX
from supervm.protocol.wire.chain import BatchCertificateMessage, BlocksMessage, SnapshotChunk
from supervm.protocol.wire.consensus import CertificateMessage, ProposalMessage, VoteMessage
from supervm.protocol.wire.fields import FORWARD_MAX, Message
from supervm.protocol.wire.frames import FRAME_BYTES_MAX, FRAME_BYTES_MAX_CORE, decode_message, encode_message
from supervm.protocol.wire.payments import (
    CHANGES_MAX,
    FEE_ASSETS_MAX,
    FeeTerms,
    ForkMessage,
    LeafProofs,
    ReceiptAnswer,
    ValidatorChanges,
)
from supervm.protocol.wire.subject import Wire
from supervm.protocol.wire.subjects import REACH

MASK = b"\xff" * 32
SIZES = pytest.mark.parametrize("validators", [64, VALIDATORS_MAX])
PARENT_KIND, SPAN, SKIP = VoteKind.NOTARIZE, VoteKind.NULLIFY_SPAN, VoteKind.NULLIFY


def signatures(validators: int) -> tuple[tuple[int, bytes], ...]:
    """As many as there are validators, of the highest indices, which take the most bytes."""
    return tuple((index, MASK * 2) for index in range(VALIDATORS_MAX - validators + 1, VALIDATORS_MAX + 1))


def certificate(validators: int, kind: VoteKind = SKIP) -> Certificate:
    return Certificate(1, kind, INT_MAX, INT_MAX, MASK, signatures(validators))


def members(validators: int) -> ValidatorList:
    return ValidatorList(1, (Validator(1, MASK, MASK, INT_MAX, MASK),) * validators)


def header() -> BlockHeader:
    return BlockHeader(
        1,
        MASK,
        *(INT_MAX,) * 3,
        MASK,
        INT_MAX,
        255,
        INT_MAX,
        MASK,
        MASK,
        CheckpointRef(1, INT_MAX, MASK),
        EpochProgress(1, MASK, MASK, MASK, MASK),
    )


def justification(validators: int) -> Justification:
    """The longest that is valid: as many certificates, and as many signatures in them, as there may be."""
    count = min(SKIPS_MAX, SKIP_SIGNATURES_MAX // validators)
    skips = [certificate(validators)] * count
    left = min(validators, SKIP_SIGNATURES_MAX - count * validators)
    if left and count < SKIPS_MAX:
        skips.append(msgspec.structs.replace(skips[0], signatures=signatures(left)))
    return Justification(1, (certificate(validators),), tuple(skips))


def checkpoint(validators: int) -> CertifiedCheckpoint:
    summary = CheckpointHeader(1, MASK, INT_MAX, INT_MAX, MASK, MASK, INT_MAX, *(MASK,) * 5, INT_MAX)
    return CertifiedCheckpoint(1, summary, signatures(validators))


def change(validators: int) -> ValidatorChange:
    return ValidatorChange(1, checkpoint(validators), members(validators))


def block(validators: int) -> Block:
    """A block with the longest justification, and a body that is filled up with bytes to its bound."""
    groups = tuple(VoteGroup(1, MASK * 8, ((index, bytes(64)),)) for index in range(100, 100 + 40))
    sample = agreed_samples()["BatchCertificate"]
    assert isinstance(sample, BatchCertificate)
    ref = msgspec.structs.replace(sample, votes=groups)
    refs = (ref,) * min(REFS_MAX, (BODY_BYTES_MAX - 100) // len(encode(ref)))
    return Block(1, header(), justification(validators), BlockBody(1, refs, ()), bytes(64))


# --- blocks ---------------------------------------------------------------------------------------------------------


@SIZES
def test_a_justification_and_a_block_are_within_their_bounds(validators: int) -> None:
    just = encode(justification(validators))
    assert len(just) <= JUSTIFICATION_BYTES_MAX
    assert len(encode(header())) == bytes_bounds(BlockHeader)[1] == 391 <= HEADER_BYTES_MAX
    assert len(encode(block(validators))) <= BLOCK_BYTES_MAX
    longest = ProposalMessage(bytes(BLOCK_BYTES_MAX))
    assert decode_message(encode_message(longest)) == longest
    assert len(encode_message(longest)) <= FRAME_BYTES_MAX_CORE


def test_the_bound_of_a_block_counts_every_part_of_it() -> None:
    """Header, justification and body at their bounds, with the array, the kind and the signature around them."""
    around = len(encode(block(64))) - sum(
        len(encode(part)) for part in (block(64).header, block(64).just, block(64).body)
    )
    assert around + bytes_bounds(BlockHeader)[1] <= HEADER_BYTES_MAX


@SIZES
def test_one_block_always_fits_into_a_piece_with_its_finalization(validators: int) -> None:
    """Else one leader could propose a valid block that no miner and no late validator can ever be given."""
    overhead = len(encode(FinalizedBlocks(1, (block(validators),), certificate(VALIDATORS_MAX)))) - len(
        encode(block(validators))
    )
    assert BLOCK_BYTES_MAX + overhead <= PIECE_BYTES_MAX
    piece = BlocksMessage(bytes(PIECE_BYTES_MAX))
    assert decode_message(encode_message(piece)) == piece
    assert len(encode_message(piece)) <= FRAME_BYTES_MAX_CORE


def test_a_run_that_one_late_finalization_made_final_fits_piece_by_piece() -> None:
    """With blocks of 1 MiB the greatest number of headers fits, with the longest block 800."""
    final, headers = certificate(VALIDATORS_MAX), (header(),) * HEADERS_MAX
    some = block(64)
    around = len(encode(FinalizedPrefix(1, (some,), headers, final))) - len(encode(some))
    assert around + (1 << 20) <= PIECE_BYTES_MAX
    few = len(encode(FinalizedPrefix(1, (some,), headers[:800], final))) - len(encode(some))
    assert few + BLOCK_BYTES_MAX <= PIECE_BYTES_MAX


def test_a_block_with_more_signatures_in_its_justification_is_not_valid() -> None:
    """The bound is a rule, not a habit of honest leaders; it is looked at before any signature."""
    chain = make_test_chain(4)
    parent = chain.block(chain.genesis_header).header
    just = Justification(1, (chain.notarization(parent),), (certificate(VALIDATORS_MAX),) * 157)
    made = chain.block(parent, view=200, just=just)
    with pytest.raises(RemoteProtocolError, match="have 40035 signatures; at most 40000 are allowed") as caught:
        check_block(made, parent, chain.rules)
    assert caught.value.code == "bad-justification"


@pytest.mark.parametrize(("validators", "signers"), [(64, 43), (64, 64), (255, 171), (255, 255)])
def test_any_gap_that_can_arise_is_proved_within_the_bounds(validators: int, signers: int) -> None:
    """Spans of 4, 16, 64, ... views: six for each factor of four, 16 views alone at the end, three at either side."""
    factors = 20  # 4**20 views: 10**12, at 400 ms each 13,000 years
    count = 6 * factors + 16 + 6
    assert count <= SKIPS_MAX
    assert count * signers <= SKIP_SIGNATURES_MAX
    span = Span(4**factors, 4**factors)
    skips = (msgspec.structs.replace(certificate(signers, SPAN), number=span.last, digest=span.digest),) * count
    assert len(encode(Justification(1, (certificate(validators),), skips))) <= JUSTIFICATION_BYTES_MAX


@SIZES
def test_a_leaders_body_without_batches_leaves_room_for_them(validators: int) -> None:
    """Two pieces of evidence as long as they may be, every close, a certified set change, every NextReady."""
    set_change = SetChange(1, members(validators), signatures(validators))
    controls = BlockBody(
        1, (), (certificate(validators),), signatures(validators), (set_change,), signatures(validators)
    )
    assert len(encode(controls)) + 2 * EVIDENCE_BYTES_MAX <= 2 * BODY_BYTES_MAX // 3


@SIZES
def test_one_batch_certificate_fits_into_a_body_and_a_message(validators: int) -> None:
    """Each vote with a bitmap of its own, as liars could make them."""
    bitmap = bitmap_bytes((1 << BATCH_TRANSACTIONS_MAX) - 1, BATCH_TRANSACTIONS_MAX)
    votes = tuple(VoteGroup(1, bitmap, (item,)) for item in signatures(validators))
    sample = agreed_samples()["BatchCertificate"]
    longest = encode(msgspec.structs.replace(sample, votes=votes))
    assert len(longest) <= BODY_BYTES_MAX // 8
    assert len(encode_message(BatchCertificateMessage(longest))) <= FRAME_BYTES_MAX


# --- consensus ------------------------------------------------------------------------------------------------------


def test_votes_and_a_repeat_of_certificates_fit_into_a_frame() -> None:
    """A repeat carries at most 4,096 signatures besides the last one of its certificates, which may be the longest."""
    vote = Vote(1, SKIP, INT_MAX, INT_MAX, MASK, 255, MASK * 2)
    assert len(encode_message(VoteMessage((vote,) * (4 * VALIDATORS_MAX)))) <= FRAME_BYTES_MAX_CORE
    repeat = (certificate(VALIDATORS_MAX),) * (4_096 // VALIDATORS_MAX + 2)
    assert len(encode_message(CertificateMessage(repeat))) <= FRAME_BYTES_MAX


def test_evidence_of_votes_and_batches_is_short() -> None:
    for kind in (DoubleVote, BadBatch):
        assert bytes_bounds(kind)[1] <= EVIDENCE_BYTES_MAX // 200


# --- light clients --------------------------------------------------------------------------------------------------


@SIZES
def test_a_full_answer_of_changes_fits_into_the_frame_of_a_phone(validators: int) -> None:
    raw = encode(change(validators))
    assert len(raw) <= {64: 12_700, 255: bytes_bounds(ValidatorChange)[1]}[validators]
    message = ValidatorChanges((raw,) * CHANGES_MAX)
    assert decode_message(encode_message(message)) == message
    assert len(encode_message(message)) <= FRAME_BYTES_MAX


@SIZES
def test_forks_receipts_and_fee_lists_fit_into_the_frame_of_a_phone(validators: int) -> None:
    fork = encode(CheckpointFork(1, checkpoint(validators), checkpoint(validators)))
    assert len(fork) <= FORK_BYTES_MAX
    assert len(encode_message(ForkMessage(fork))) <= FRAME_BYTES_MAX
    assert (RECEIPTS_MAX - 1).bit_length() == light.RECEIPT_PATH_MAX
    assert len(encode_message(ReceiptAnswer(MASK, bytes(bytes_bounds(light.ReceiptProof)[1])))) <= FRAME_BYTES_MAX
    assert len(encode_message(FeeTerms(MASK, ((MASK, INT_MAX),) * FEE_ASSETS_MAX))) <= FRAME_BYTES_MAX


def test_a_full_answer_of_proofs_fits_into_a_core_frame() -> None:
    """64 levels deep, for which somebody must find two ids whose hashes begin with the same 128 bits.

    On links with phones the sender splits by bytes instead: `FORWARD_MAX` such proofs are six times its frame.
    """
    proof = encode(TrieProof(1, bytes(100), b"", b"", bytes(64), bytes(64 * 3 * 32)))
    answer = LeafProofs(encode(checkpoint(VALIDATORS_MAX)), ((bytes(LEAF_ID_BYTES_MAX), proof),) * FORWARD_MAX)
    assert len(encode_message(answer)) <= FRAME_BYTES_MAX_CORE
    assert len(encode_message(LeafProofs(answer.checkpoint, answer.proofs[:80]))) <= FRAME_BYTES_MAX


@SIZES
def test_a_snapshot_begins_within_its_bound(validators: int) -> None:
    start = SnapshotStart(
        1,
        checkpoint(validators),
        (MASK,) * 63,
        EpochRecord(1, INT_MAX, header(), members(validators), (members(validators),)),
    )
    data = encode(start)
    assert len(data) <= bytes_bounds(SnapshotStart)[1] <= SNAPSHOT_START_BYTES_MAX
    chunk = SnapshotChunk(INT_MAX, MASK, data, bytes(RANGE_BYTES_MAX))
    assert len(encode_message(chunk)) <= FRAME_BYTES_MAX_CORE


# --- finding and carrying -------------------------------------------------------------------------------------------

LONGEST = crammed_msgpack(integer=INT_MAX, string_bytes=1 << 20, text="\U0001f600")


@pytest.mark.parametrize("kind", REACH.directions, ids=lambda kind: kind.__name__)
def test_the_longest_of_every_kind_of_reach_is_a_small_part_of_a_phones_frame(kind: type[Message]) -> None:
    """A tenth: whoever is sent the most of everything by eight neighbours at once keeps less than one frame."""
    frame = LONGEST.longest(kind)
    assert encode_message(Wire(REACH).decode(frame)) == frame
    assert len(frame) <= FRAME_BYTES_MAX // 10


# --- the history of validators --------------------------------------------------------------------------------------

CHAIN = make_test_chain(4)
KEYS = {key.public: key for name in ("validator", "other") for key in [test_key(f"{name}{i}") for i in range(12)]}


def validator_set(name: str) -> ValidatorSet:
    """Set A is that of genesis, B and C share members with nobody."""
    if name == "A":
        return CHAIN.validators
    first = 4 * (ord(name) - ord("B"))
    keys = [test_key(f"other{first + index}").public for index in range(4)]
    return ValidatorSet(Validator(1, key, key, 1, key) for key in keys)


def sealed(height: int, name: str, following: str | None = None) -> CertifiedCheckpoint:
    """The sealing checkpoint of a height, or one in the middle of an epoch, by the set of this name."""
    validators = validator_set(name)
    summary = msgspec.structs.replace(
        CHAIN.chain.anchor,
        epoch=height // 10,
        height=height,
        block_hash=bytes([height]) * 32,
        prev_hash=MASK,
        ts_ms=GENESIS_TIME_MS + height,
        validators_hash=validators.hash,
        next_validators_hash=bytes(32) if following is None else validator_set(following).hash,
    )
    unsigned = CertifiedCheckpoint(1, summary, ((0, bytes(64)),))
    message = unsigned.certificate().statement(CHAIN.chain_id)
    signed = tuple((index, KEYS[key].sign(message)) for index, key in enumerate(validators.keys[:3]))
    return CertifiedCheckpoint(1, summary, signed)


def history(names: str) -> list[ValidatorChange]:
    """A change every tenth height from each set to the next."""
    return [
        ValidatorChange(1, sealed(10 * place + 9, name, following), ValidatorList(1, validator_set(following).members))
        for place, (name, following) in enumerate(pairwise(names))
    ]


NOW_MS = GENESIS_TIME_MS + 10_000


def following(changes: list[ValidatorChange]) -> LightClient:
    client = LightClient(anchor_of(CHAIN.chain), verify)
    for item in changes:
        assert client.follow(item, NOW_MS)
    return client


@pytest.mark.parametrize(
    ("names", "fewest"),
    [
        ("AB", ["AB"]),
        ("ABC", ["AB", "BC"]),
        ("ABAC", ["AC"]),
        ("ABCABC", ["AB", "BC"]),
        ("ABABABAC", ["AC"]),
        ("ABCBA", []),
        ("ABACAB", ["AB"]),
        ("ABCBD", ["AB", "BD"]),
        ("A", []),
    ],
)
def test_an_answer_passes_each_set_once_at_most(names: str, fewest: list[str]) -> None:
    changes = history(names)
    steps = fewest_changes(changes)
    named = {validator_set(name).hash: name for name in "ABCD"}
    assert [
        named[item.checkpoint.header.validators_hash] + named[item.checkpoint.header.next_validators_hash]
        for item in steps
    ] == fewest
    # with all of them or with the fewest, the same checkpoint is believed in the end
    newest = sealed(10 * len(names), names[-1])
    for way in (changes, list(steps)):
        assert following(way).accept_checkpoint(encode(newest), NOW_MS) == newest.header


def test_a_client_that_was_led_past_a_set_blames_nobody_who_shows_it() -> None:
    """Of A, B, A, C it knows A to C alone. What B certified in between is not believed, and is no lie either."""
    whole, led = following(history("ABAC")), following([history("ABAC")[2]])
    of_b = sealed(15, "B")
    whole.check_checkpoint(of_b, NOW_MS)
    with pytest.raises(RemoteProtocolError, match="other validators than those that are known") as caught:
        led.check_checkpoint(of_b, NOW_MS)
    assert (caught.value.code, caught.value.penalty) == ("wrong-set", 0)
    newest = sealed(40, "C")
    for client in (whole, led):
        assert client.accept_checkpoint(encode(newest), NOW_MS) == newest.header
        assert not client.follow(history("ABAC")[0], NOW_MS)
    assert (len(whole.changes), len(led.changes)) == (3, 1)


def test_an_answer_that_nobody_would_read_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    trie = QuadTrie(dict(CHAIN.chain.first_state().leaves()))
    account = CHAIN.account("alice")
    proof = encode(trie.prove(account_leaf_id(account)))
    newest = msgspec.structs.replace(sealed(40, "C").header, state_root=trie.root)
    data = account_answer(
        encode(msgspec.structs.replace(sealed(40, "C"), header=newest)), account, NATIVE, proof, history("ABAC")
    )
    assert len(decode(light.AccountAnswer, data).changes) == 1
    monkeypatch.setattr(light, "ANSWER_BYTES_MAX", len(data) - 1)
    with pytest.raises(LocalProtocolError, match=r"for 1 changes of validators; at most .* begin at a newer anchor"):
        account_answer(encode(sealed(40, "C")), account, NATIVE, proof, history("ABAC"))
