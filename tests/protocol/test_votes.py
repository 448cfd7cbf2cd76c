"""Votes and certificates: what a signature covers and every way a certificate can be wrong (consensus.md 2.3)."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import cbor2
import msgspec
import pytest
from chain_tools import make_test_chain
from hypothesis import given
from hypothesis import strategies as st

from supervm.protocol.base.codec import decode, encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.base.hashing import ZERO_HASH, hash_vote
from supervm.protocol.base.keys import verify
from supervm.protocol.chain.spans import Span
from supervm.protocol.chain.votes import (
    Certificate,
    Vote,
    VoteKind,
    check_certificate,
    check_signers,
    make_certificate,
    statement,
)

CHAIN = make_test_chain(4)
DIGEST = bytes(range(32))
NOTARIZATION = CHAIN.certificate(VoteKind.NOTARIZE, 7, DIGEST)
replace = msgspec.structs.replace


def check(certificate: Certificate, kind: VoteKind | None = None) -> None:
    check_certificate(certificate, CHAIN.chain_id, CHAIN.validators, verify, kind=kind)


def test_the_statement_is_the_hash_of_six_cbor_elements() -> None:
    wanted = hash_vote(cbor2.dumps([1, CHAIN.chain_id, 3, 5, 9, DIGEST]))
    assert statement(CHAIN.chain_id, VoteKind.FINALIZE, 5, 9, DIGEST) == wanted


def test_statements_of_different_things_differ() -> None:
    seen = {
        statement(chain_id, kind, epoch, number, digest)
        for chain_id, kind, epoch, number, digest in itertools.product(
            (bytes(32), CHAIN.chain_id), VoteKind, (0, 1), (0, 1, 2**63 - 1), (ZERO_HASH, DIGEST)
        )
    }
    assert len(seen) == 2 * len(VoteKind) * 2 * 3 * 2


@pytest.mark.parametrize("kind", VoteKind)
def test_honest_votes_and_certificates_are_accepted(kind: VoteKind) -> None:
    digests = {VoteKind.NULLIFY: ZERO_HASH, VoteKind.NULLIFY_SPAN: Span(16, 16).digest}
    digest, number = digests.get(kind, DIGEST), 16
    vote = CHAIN.vote(1, kind, number, digest)
    assert verify(CHAIN.validators.keys[1], vote.statement(CHAIN.chain_id), vote.signature)
    check(CHAIN.certificate(kind, number, digest), kind)
    check(CHAIN.certificate(kind, number, digest, signers=range(4)))


@pytest.mark.parametrize(("number", "width"), [(7, 4), (16, 8), (16, 5), (16, 1), (0, 4), (16, 0), (16, 64)])
def test_a_certificate_of_no_span_is_refused(number: int, width: int) -> None:
    with pytest.raises(RemoteProtocolError, match="no span"):
        check(CHAIN.certificate(VoteKind.NULLIFY_SPAN, number, width.to_bytes(32, "big")))


@pytest.mark.parametrize("kind", [0, 10, -1, 255, "NOTARIZE", True, None])
def test_unknown_kinds_are_refused(kind: object) -> None:
    raw = cbor2.loads(encode(NOTARIZATION))
    raw[2] = kind
    with pytest.raises(RemoteProtocolError):
        decode(Certificate, cbor2.dumps(raw))


def test_every_set_of_signers_counts_exactly_its_weight() -> None:
    chain = make_test_chain(5, weights=[1, 2, 3, 4, 10])  # W = 20, q = 14
    assert chain.validators.quorum == 14
    for size in range(1, 6):
        for signers in itertools.combinations(range(5), size):
            certificate = chain.certificate(VoteKind.FINALIZE, 1, DIGEST, signers=signers)
            weight = sum((1, 2, 3, 4, 10)[index] for index in signers)
            if weight >= 14:
                check_certificate(certificate, chain.chain_id, chain.validators, verify)
            else:
                with pytest.raises(RemoteProtocolError, match=f"weight {weight} is below the quorum of 14"):
                    check_certificate(certificate, chain.chain_id, chain.validators, verify)


def with_signatures(change: Callable[[list[tuple[int, bytes]]], list[tuple[int, bytes]]]) -> Certificate:
    return replace(NOTARIZATION, signatures=tuple(change(list(NOTARIZATION.signatures))))


WRONG: dict[str, tuple[Certificate, str]] = {
    "a signer twice": (with_signatures(lambda s: [s[0], s[0], s[1]]), "signer 0 after 0"),
    "a signer twice among enough": (with_signatures(lambda s: [s[0], s[1], s[1], s[2]]), "signer 1 after 1"),
    "signers out of order": (with_signatures(lambda s: [s[1], s[0], s[2]]), "signer 0 after 1"),
    "a signer outside the set": (with_signatures(lambda s: [*s, (4, s[0][1])]), "signer 4 is not one of the 4"),
    "signer 255": (with_signatures(lambda s: [*s, (255, s[0][1])]), "signer 255 is not one of the 4"),
    "below the quorum": (with_signatures(lambda s: s[:2]), "weight 2 is below the quorum of 3"),
    "a signature of another signer": (
        with_signatures(lambda s: [s[0], (1, s[2][1]), s[2]]),
        "signature of validator 1 is invalid",
    ),
    "a bad signature beyond the quorum": (
        with_signatures(lambda s: [*s, (3, bytes(64))]),
        "signature of validator 3 is invalid",
    ),
    "another number": (replace(NOTARIZATION, number=8), "signature of validator 0 is invalid"),
    "another epoch": (replace(NOTARIZATION, epoch=1), "signature of validator 0 is invalid"),
    "another digest": (replace(NOTARIZATION, digest=bytes(32)), "signature of validator 0 is invalid"),
    "another kind": (replace(NOTARIZATION, kind=VoteKind.FINALIZE), "signature of validator 0 is invalid"),
    "a nullification with a hash": (CHAIN.certificate(VoteKind.NULLIFY, 7, DIGEST), "must be zero"),
}


@pytest.mark.parametrize(("certificate", "reason"), WRONG.values(), ids=WRONG)
def test_a_wrong_certificate_is_refused(certificate: Certificate, reason: str) -> None:
    with pytest.raises(RemoteProtocolError, match=reason) as caught:
        check(certificate)
    assert caught.value.code == "bad-certificate"


def test_a_certificate_of_another_chain_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="signature of validator 0 is invalid"):
        check_certificate(NOTARIZATION, bytes(32), CHAIN.validators, verify)


@pytest.mark.parametrize("kind", [kind for kind in VoteKind if kind is not VoteKind.NOTARIZE])
def test_the_required_kind_must_match(kind: VoteKind) -> None:
    with pytest.raises(RemoteProtocolError, match=f"NOTARIZE certificate stands where {kind.name} is required"):
        check(NOTARIZATION, kind)


def test_cheap_checks_come_before_signatures() -> None:
    def never(*_: bytes) -> bool:
        raise AssertionError("a signature was checked")

    for name in ("a signer twice", "a signer outside the set", "below the quorum", "a nullification with a hash"):
        with pytest.raises(RemoteProtocolError):
            check_certificate(WRONG[name][0], CHAIN.chain_id, CHAIN.validators, never)


def test_keys_come_from_the_set_by_index() -> None:
    asked: list[bytes] = []

    def note(key: bytes, _message: bytes, _signature: bytes) -> bool:
        asked.append(key)
        return True

    check_certificate(NOTARIZATION, CHAIN.chain_id, CHAIN.validators, note)
    assert asked == [CHAIN.validators.keys[index] for index in (0, 1, 2)]


@pytest.mark.parametrize("signatures", [[], [[256, bytes(64)]], [[-1, bytes(64)]], [[0, bytes(63)]], [[0]], [0]])
def test_forms_that_are_not_read(signatures: list[object]) -> None:
    raw = cbor2.loads(encode(NOTARIZATION))
    raw[-1] = signatures
    with pytest.raises(RemoteProtocolError):
        decode(Certificate, cbor2.dumps(raw))


def test_more_signatures_than_validators_can_exist_are_not_read() -> None:
    many = replace(NOTARIZATION, signatures=tuple((index % 256, bytes(64)) for index in range(256)))
    with pytest.raises(RemoteProtocolError):
        decode(Certificate, encode(many))


@given(st.permutations(range(4)))
def test_assembly_does_not_depend_on_the_order_of_arrival(order: list[int]) -> None:
    votes = {index: CHAIN.vote(index, VoteKind.NOTARIZE, 7, DIGEST).signature for index in order}
    certificate = make_certificate(VoteKind.NOTARIZE, 0, 7, DIGEST, votes)
    assert [index for index, _ in certificate.signatures] == [0, 1, 2, 3]
    check(certificate)


@given(st.lists(st.integers(0, 300), max_size=12))
def test_signers_are_accepted_iff_strictly_increasing_and_in_range(signers: list[int]) -> None:
    valid = all(left < right for left, right in itertools.pairwise(signers)) and all(index < 4 for index in signers)
    if valid:
        assert check_signers(signers, CHAIN.validators, "it") == len(signers)
    else:
        with pytest.raises(RemoteProtocolError):
            check_signers(signers, CHAIN.validators, "it")


def test_a_vote_names_its_signer_by_index_only() -> None:
    assert msgspec.structs.fields(Vote)[5].name == "signer"
    assert CHAIN.validators.keys[2] not in encode(CHAIN.vote(2, VoteKind.FINALIZE, 1, DIGEST))
