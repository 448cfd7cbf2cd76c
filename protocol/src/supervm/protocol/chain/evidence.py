"""Evidence: agreed objects by which anybody can see, offline, that a validator or a miner broke the rules.

The faults have the numbers of consensus.md 2.10:

* E1 two Notarize (or two Finalize) votes of one view for different blocks; a proposal's signature is its leader's
  Notarize, so two proposals are E1 as well;
* E2 Nullify and Finalize of one view, or of a span with that view;
* E3 two checkpoint votes of one height for different headers;
* E6 a Notarize of a block whose own justification does not prove that it may extend its parent;
* E7 a miner's signature on a batch with an entry that is not a transaction of this chain signed by its sender.

E4 and E5 (votes and acks on one slot) are no faults while nothing but certificates counts (3.9.3): a slot is free again
once a transaction has expired, so an honest validator may vote for two transactions of one slot. They have no object
here.

Theory of operation. An object proves something only if every part of it is bound to a signature of the accused: a vote
names a block by its hash, the header under that hash names its parent and its justification by theirs, and a batch
header names its entries by a root. Whoever makes up evidence is therefore left without a choice, and what remains is a
pure function of what the accused has signed and of the epoch: the question that an honest signer answers before it
signs. A part that does not match its hash proves nothing, because nobody signed it. Validators are named by index, and
the key comes from the epoch's set; a miner is named by its node id, which is the key itself. Whether that miner is
registered is not asked here: it is a question about the state, for whoever punishes.

E7 covers entries that cannot be read or belong to another chain, too: a miner signs for the whole list, it has the same
bytes that a checker has, and reading them is a pure function of the format that the version in the batch header fixes.
An entry that nobody can read has no valid sender's signature either. Only one that is too short or too long to be any
transaction proves nothing: no validator can read such a batch, let alone vote for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

import msgspec

from ..base import cbor
from ..base.codec import Agreed, Hash, Signature, Uint16, decode, encode
from ..base.errors import RemoteProtocolError
from ..base.hashing import ZERO_HASH, hash_justification
from ..base.limits import BATCH_TRANSACTIONS_MAX
from ..money.transaction import RawTransaction, parse_transaction
from ..state.receipts import TRANSACTIONS, merkle_path, verify_merkle_path
from .batch import Batch, BatchHeader, miner_statement
from .header import BlockHeader, ChainRules, Justification, check_justification
from .spans import span_of
from .votes import Vote, VoteKind

EVIDENCE_BYTES_MAX = 1 << 18
"""Largest encoded evidence: 256 KiB, a quarter of a block's body. Two votes take at most 280 bytes and a
batch's entry at most 2 KiB. A justification is as long as the gap that it covers: 256 KiB hold 86 skipped views or
spans of 64 validators, or 21 of 255. A longer bad one is refused by every validator like any other, but is no
evidence."""

FaultKind: TypeAlias = Literal["E1", "E2", "E3", "E6", "E7"]
"""The faults of consensus.md 2.10 that can be proved in certificate-only mode."""


class DoubleVote(Agreed, tag="dblvote", frozen=True):
    """E1, E2 or E3: two votes of one validator that no honest one signs both; ascending by kind, then by digest.

    Attributes:
        version: layout, 1.
        first: the vote of the lower kind, or of one kind the one of the lower digest.
        second: the other one.
    """

    version: Literal[1]
    first: Vote
    second: Vote

    @property
    def epoch(self) -> int:
        """The epoch whose validators are accused."""
        return self.first.epoch

    @property
    def accused(self) -> int:
        """Index of the validator that is accused."""
        return self.first.signer


class BadJustification(Agreed, tag="badjust", frozen=True):
    """E6: a Notarize of a block whose justification does not prove that it may stand where it stands.

    Attributes:
        version: layout, 1.
        header: the block's.
        just: the justification that `header` commits to.
        parent: header of the block that `header` names as its parent.
        vote: the accused validator's Notarize of `header`.
    """

    version: Literal[1]
    header: BlockHeader
    just: Justification
    parent: BlockHeader
    vote: Vote

    @property
    def epoch(self) -> int:
        """The epoch whose validators are accused."""
        return self.header.epoch

    @property
    def accused(self) -> int:
        """Index of the validator that is accused."""
        return self.vote.signer


class BadBatch(Agreed, tag="badbatch", frozen=True):
    """E7: a signed batch header and an entry under it that is no transaction of this chain signed by its sender.

    Attributes:
        version: layout, 1.
        header: the batch's.
        signature: the miner's on the batch.
        position: place of the entry in the batch, from 0.
        transaction: the entry's bytes, which may be anything.
        path: hashes beside the way from the entry up to the header's `tx_root`, from the leaf up.
    """

    version: Literal[1]
    header: BatchHeader
    signature: Signature
    position: Uint16
    transaction: RawTransaction
    path: Annotated[tuple[Hash, ...], msgspec.Meta(max_length=(BATCH_TRANSACTIONS_MAX - 1).bit_length())]

    @property
    def epoch(self) -> int:
        """The epoch that the batch was made for."""
        return self.header.epoch


BlockEvidence: TypeAlias = DoubleVote | BadJustification
"""What a block may carry: evidence against validators. A miner's fault is shown offline; it has no seat to lose."""
Evidence: TypeAlias = BlockEvidence | BadBatch
"""Everything that `check_evidence` judges."""


@dataclass(frozen=True, slots=True)
class Culprit:
    """Who did what: exactly one of `validator` and `miner` is set.

    Attributes:
        kind: the fault.
        validator: index in the epoch's set.
        miner: node id.
    """

    kind: FaultKind
    validator: int | None = None
    miner: bytes | None = None


def double_vote(one: Vote, other: Vote) -> DoubleVote:
    """Put two votes into their agreed order; whether they prove anything is for `check_evidence` to say."""
    first, second = sorted((one, other), key=lambda vote: (vote.kind, vote.digest))
    return DoubleVote(1, first, second)


def bad_justification(
    header: BlockHeader, just: Justification, parent: BlockHeader, signature: bytes
) -> BadJustification:
    """Return the evidence that accuses a leader of a proposal that may not stand where it stands."""
    vote = Vote(1, VoteKind.NOTARIZE, header.epoch, header.view, header.hash, header.proposer, signature)
    return BadJustification(1, header, just, parent, vote)


def bad_batch(batch: Batch, position: int) -> BadBatch:
    """Return the evidence that accuses a batch's miner of the entry at `position` (from 0).

    Raises:
        LocalProtocolError: there is no such entry.
    """
    path = tuple(merkle_path(batch.transactions, position, TRANSACTIONS))
    return BadBatch(1, batch.header, batch.signature, position, batch.transactions[position], path)


def _head(kind: type[Agreed]) -> bytes:
    """Return the bytes that every encoded object of this kind begins with: array head and tag."""
    members = len(msgspec.structs.fields(kind)) + 1
    return bytes([0x80 + members]) + cbor.dumps(kind.__struct_config__.tag)


_HEADS: tuple[tuple[bytes, type[DoubleVote] | type[BadJustification] | type[BadBatch]], ...] = tuple(
    (_head(kind), kind) for kind in (DoubleVote, BadJustification, BadBatch)
)


def decode_evidence(data: bytes) -> Evidence:
    """Read an encoded evidence object of any kind.

    Raises:
        RemoteProtocolError: it is none, is not in its canonical form, or is longer than 256 KiB.
    """
    for head, kind in _HEADS:
        if data.startswith(head):
            return decode(kind, data, bytes_max=EVIDENCE_BYTES_MAX)
    raise RemoteProtocolError("the bytes are no evidence: they begin like none of dblvote, badjust and badbatch")


def check_evidence(evidence: Evidence, rules: ChainRules) -> Culprit:
    """Return who is guilty of what.

    Args:
        evidence: anything that `decode_evidence` reads.
        rules: those of the epoch that the evidence is about (`evidence.epoch`).

    Raises:
        RemoteProtocolError: it does not prove a fault, is of another epoch than `rules`, or is too large (code
            ``bad-evidence``).
    """
    try:
        if evidence.epoch != rules.epoch:
            raise RemoteProtocolError(
                f"the evidence is about epoch {evidence.epoch}; it can be judged by the validators of that epoch only, "
                f"and those given are of epoch {rules.epoch}"
            )
        size = len(encode(evidence))
        if size > EVIDENCE_BYTES_MAX:
            raise RemoteProtocolError(f"the evidence has {size} bytes; at most {EVIDENCE_BYTES_MAX} are allowed")
        match evidence:
            case DoubleVote():
                return _check_double_vote(evidence, rules)
            case BadJustification():
                return _check_bad_justification(evidence, rules)
            case BadBatch():
                return _check_bad_batch(evidence, rules)
    except RemoteProtocolError as error:
        error.code = "bad-evidence"
        raise


def _check_double_vote(evidence: DoubleVote, rules: ChainRules) -> Culprit:
    first, second = evidence.first, evidence.second
    view = first.number
    if (first.kind, second.kind) == (VoteKind.FINALIZE, VoteKind.NULLIFY_SPAN):
        span = span_of(second.number, second.digest)
        if span is not None and span.first <= view <= span.last:
            view = second.number
    if (first.signer, first.epoch, view) != (second.signer, second.epoch, second.number):
        raise RemoteProtocolError("the two votes are not of one validator for one view or height of one epoch")
    if (first.kind, first.digest) >= (second.kind, second.digest):
        raise RemoteProtocolError("the two votes are for the same, or not in ascending order of kind and digest")
    kind = _contradiction(first, second)
    for vote in (first, second):
        _check_signature(vote, rules)
    return Culprit(kind, validator=first.signer)


def _contradiction(first: Vote, second: Vote) -> FaultKind:
    """Return which rule the two votes, of one signer and number and not equal, break together."""
    match first.kind, second.kind:
        case (VoteKind.NOTARIZE, VoteKind.NOTARIZE) | (VoteKind.FINALIZE, VoteKind.FINALIZE):
            return "E1"
        case (VoteKind.NULLIFY, VoteKind.FINALIZE) if first.digest == ZERO_HASH:
            return "E2"
        case (VoteKind.FINALIZE, VoteKind.NULLIFY_SPAN):
            return "E2"  # that the span holds the view was asked before
        case (VoteKind.CHECKPOINT, VoteKind.CHECKPOINT):
            return "E3"
    raise RemoteProtocolError(f"nobody is forbidden to sign these {first.kind.name} and {second.kind.name} votes both")


def _check_signature(vote: Vote, rules: ChainRules) -> None:
    validators = rules.validators
    if vote.signer >= len(validators):
        raise RemoteProtocolError(f"there is no validator {vote.signer}; the epoch has {len(validators)}")
    if not rules.verify(validators.keys[vote.signer], vote.statement(rules.chain_id), vote.signature):
        raise RemoteProtocolError(
            f"the {vote.kind.name} vote for {vote.number} is not signed by validator {vote.signer} for this chain"
        )


def _check_bad_justification(evidence: BadJustification, rules: ChainRules) -> Culprit:
    header, just, parent, vote = evidence.header, evidence.just, evidence.parent, evidence.vote
    signed = (vote.kind, vote.epoch, vote.number, vote.digest)
    if signed != (VoteKind.NOTARIZE, header.epoch, header.view, header.hash):
        raise RemoteProtocolError("the vote is not a Notarize of the block that is shown")
    if header.chain_id != rules.chain_id:
        raise RemoteProtocolError("the block belongs to another chain")
    # both must be what was signed: anybody can put a wrong justification or parent beside a good header
    if parent.hash != header.parent_hash:
        raise RemoteProtocolError("the parent is not the one the header commits to")
    if hash_justification(encode(just)) != header.just_hash:
        raise RemoteProtocolError("the justification is not the one the header commits to")
    _check_signature(vote, rules)
    try:
        check_justification(header, just, parent, rules)
    except RemoteProtocolError:
        return Culprit("E6", validator=vote.signer)
    raise RemoteProtocolError("the justification is valid")


def _check_bad_batch(evidence: BadBatch, rules: ChainRules) -> Culprit:
    header, raw = evidence.header, evidence.transaction
    if header.chain_id != rules.chain_id:
        raise RemoteProtocolError("the batch belongs to another chain")
    if not verify_merkle_path(raw, evidence.position, header.count, evidence.path, header.tx_root, TRANSACTIONS):
        raise RemoteProtocolError(f"the transaction is not entry {evidence.position} of the batch")
    if not rules.verify(header.miner, miner_statement(header.digest), evidence.signature):
        raise RemoteProtocolError("the batch is not signed by its miner")
    culprit = Culprit("E7", miner=header.miner)
    try:
        transaction = parse_transaction(raw, rules.chain_id)
    except RemoteProtocolError:
        return culprit
    if rules.verify(transaction.body.sender, transaction.id, transaction.body.signature):
        raise RemoteProtocolError("the transaction is one of this chain and signed by its sender")
    return culprit
