"""Evidence of every fault that can be proved; frozen in tests/vectors/evidence.json.

`evidence_samples` is a pure function: no clock, no randomness, the same bytes on every machine.
"""

from __future__ import annotations

from typing import Any

from chain_tools import TestChain, block_vote, make_test_chain
from msgspec.structs import replace
from protocol_samples import sample_chain

from supervm.protocol.base.codec import encode
from supervm.protocol.chain.batch import Batch
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.evidence import BadJustification, Culprit, Evidence, bad_batch, double_vote
from supervm.protocol.chain.header import BlockHeader, Justification
from supervm.protocol.chain.votes import VoteKind
from supervm.protocol.money.transaction import TRANSACTION_BYTES_MIN, SignedTransaction

NOTARIZE, NULLIFY, FINALIZE, CHECKPOINT = VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE, VoteKind.CHECKPOINT
A, B = b"a" * 32, b"b" * 32


def justification_evidence(block: Block, parent: BlockHeader) -> BadJustification:
    """Accuse the proposer of `block` of its justification, good or bad."""
    return BadJustification(1, block.header, block.just, parent, block_vote(block))


def misjustified(chain: TestChain) -> dict[str, BadJustification]:
    """Return blocks whose own signed justification is invalid, each in another way."""
    first = chain.block(chain.genesis_header)
    head = first.header
    good = chain.justification(head, 4)
    thin = chain.certificate(NULLIFY, 2, signers=(0, 1))
    forged = chain.certificate(NULLIFY, 2)
    forged = replace(forged, signatures=((0, bytes(64)), *forged.signatures[1:]))
    skipped = good.nullifications
    wrong = {
        "no parent": Justification(1, (), skipped),
        "another parent": Justification(1, (chain.certificate(NOTARIZE, 1, B),), skipped),
        "a gap": Justification(1, good.parent, skipped[1:]),
        "order of the gap": Justification(1, good.parent, skipped[::-1]),
        "too little weight": Justification(1, good.parent, (thin, skipped[1])),
        "a forged signature": Justification(1, good.parent, (forged, skipped[1])),
    }
    return {name: justification_evidence(chain.block(head, view=4, just=just), head) for name, just in wrong.items()}


def faulty_entries(chain: TestChain) -> dict[str, SignedTransaction]:
    """Return entries that no honest miner puts into a batch, as `TestChain.batch` takes them."""
    good = chain.transaction("alice", chain.account("bob"), seq=0, prev=bytes(32))
    elsewhere = make_test_chain(4, {"alice": 7}).transaction("alice", chain.account("bob"))
    other = chain.transaction("alice", chain.account("bob"), 2, seq=0, prev=bytes(32))
    return {
        "another's signature": replace(good, raw=good.raw[:-64] + other.raw[-64:]),
        "other chain": elsewhere,
        "unreadable": replace(good, raw=good.raw[:-1]),
        "zeros": replace(good, raw=bytes(TRANSACTION_BYTES_MIN)),
    }


def batch_with(chain: TestChain, entry: SignedTransaction) -> Batch:
    """Return a batch of five transactions of miner 1, of which the fourth is `entry`."""
    bob = chain.account("bob")
    good = [chain.transaction("bob", bob, 1, seq=seq, prev=bytes(32)) for seq in range(4)]
    return chain.batch([*good[:3], entry, good[3]], miner=1)


def evidence_samples() -> dict[str, tuple[Evidence, Culprit]]:
    """Return evidence by name, with its verdict under the rules of `sample_chain`."""
    chain = sample_chain()
    vote = chain.vote
    samples: dict[str, tuple[Evidence, Culprit]] = {
        "E1 two blocks": (double_vote(vote(1, NOTARIZE, 7, A), vote(1, NOTARIZE, 7, B)), Culprit("E1", 1)),
        "E1 two finalized": (double_vote(vote(0, FINALIZE, 9, B), vote(0, FINALIZE, 9, A)), Culprit("E1", 0)),
        "E2": (double_vote(vote(2, FINALIZE, 2**40, A), vote(2, NULLIFY, 2**40)), Culprit("E2", 2)),
        "E3": (double_vote(vote(3, CHECKPOINT, 12, A), vote(3, CHECKPOINT, 12, B)), Culprit("E3", 3)),
    }
    for name, evidence in misjustified(chain).items():
        samples[f"E6 {name}"] = evidence, Culprit("E6", evidence.vote.signer)
    for name, entry in faulty_entries(chain).items():
        samples[f"E7 {name}"] = bad_batch(batch_with(chain, entry), 3), Culprit("E7", miner=chain.miner_keys[1].public)
    return samples


def evidence_vectors() -> dict[str, Any]:
    """Return the whole content of evidence.json."""
    return {
        "genesis": encode(sample_chain().chain.genesis).hex(),
        "evidence": {
            name: {
                "cbor": encode(evidence).hex(),
                "kind": culprit.kind,
                "validator": culprit.validator,
                "miner": None if culprit.miner is None else culprit.miner.hex(),
            }
            for name, (evidence, culprit) in evidence_samples().items()
        },
    }
