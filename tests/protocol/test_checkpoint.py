"""Certified checkpoints: only a quorum of exactly the trusted set, for exactly this header (consensus.md 5)."""

from __future__ import annotations

import msgspec
import pytest
from chain_tools import make_test_chain
from protocol_samples import agreed_samples, sample_chain

from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.base.keys import verify
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint, CheckpointHeader, check_certified_checkpoint
from supervm.protocol.chain.votes import VoteKind, check_certificate

CHAIN = make_test_chain(4)
replace = msgspec.structs.replace
HEADER = replace(CHAIN.chain.anchor, height=3, block_hash=b"b" * 32, prev_hash=CHAIN.chain.anchor.hash)
CHECKPOINT = CHAIN.certify_checkpoint(HEADER)


def check(checkpoint: CertifiedCheckpoint) -> None:
    check_certified_checkpoint(checkpoint, CHAIN.chain_id, CHAIN.validators, verify)


@pytest.mark.parametrize("signers", [(0, 1, 2), (1, 2, 3), (0, 1, 2, 3)])
def test_any_quorum_certifies(signers: tuple[int, ...]) -> None:
    check(CHAIN.certify_checkpoint(HEADER, signers))


def test_the_certificate_is_the_one_that_blocks_carry() -> None:
    certificate = CHECKPOINT.certificate()
    assert (certificate.kind, certificate.number, certificate.digest) == (VoteKind.CHECKPOINT, 3, HEADER.hash)
    check_certificate(certificate, CHAIN.chain_id, CHAIN.validators, verify, kind=VoteKind.CHECKPOINT)


def test_every_field_is_signed() -> None:
    names = [field.name for field in msgspec.structs.fields(CheckpointHeader) if field.name != "version"]
    for name in names:
        value = getattr(HEADER, name)
        changed = replace(HEADER, **{name: value + 1 if isinstance(value, int) else b"?" * 32})
        assert changed.hash != HEADER.hash
        with pytest.raises(RemoteProtocolError):
            check(replace(CHECKPOINT, header=changed))


def finalize_signatures() -> CertifiedCheckpoint:
    """The same hash and number, signed as a finalization."""
    return replace(CHECKPOINT, signatures=CHAIN.certificate(VoteKind.FINALIZE, 3, HEADER.hash).signatures)


SIGNED = CHECKPOINT.signatures
WRONG: dict[str, tuple[CertifiedCheckpoint, str, str]] = {
    "another chain": (
        CHAIN.certify_checkpoint(replace(HEADER, chain_id=bytes(32))),
        "another chain",
        "wrong-chain",
    ),
    "another set": (
        CHAIN.certify_checkpoint(replace(HEADER, validators_hash=ZERO_HASH)),
        "another validator set",
        "wrong-set",
    ),
    "below the quorum": (CHAIN.certify_checkpoint(HEADER, (0, 1)), "below the quorum of 3", "bad-certificate"),
    "a signer twice": (
        replace(CHECKPOINT, signatures=(SIGNED[0], SIGNED[0], SIGNED[1])),
        "signer 0",
        "bad-certificate",
    ),
    "a signer outside": (replace(CHECKPOINT, signatures=(*SIGNED, (9, SIGNED[0][1]))), "signer 9", "bad-certificate"),
    "another kind of vote": (finalize_signatures(), "validator 0 is invalid", "bad-certificate"),
}


@pytest.mark.parametrize(("checkpoint", "reason", "code"), WRONG.values(), ids=WRONG)
def test_a_wrong_checkpoint_is_refused(checkpoint: CertifiedCheckpoint, reason: str, code: str) -> None:
    check(CHECKPOINT)
    with pytest.raises(RemoteProtocolError, match=reason) as caught:
        check(checkpoint)
    assert caught.value.code == code


def test_signatures_of_another_set_never_count() -> None:
    other = make_test_chain(5)
    header = replace(HEADER, validators_hash=other.validators.hash)
    with pytest.raises(RemoteProtocolError, match="another validator set"):
        check(other.certify_checkpoint(header))


def test_the_frozen_sample_verifies() -> None:
    sample = agreed_samples()["CertifiedCheckpoint"]
    assert isinstance(sample, CertifiedCheckpoint)
    chain = sample_chain()
    check_certified_checkpoint(sample, chain.chain_id, chain.validators, verify)
    assert sample.header.supply == 1_000_000 + 2**40
