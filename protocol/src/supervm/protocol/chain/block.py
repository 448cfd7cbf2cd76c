"""Blocks: bodies, chains of them, and the one validity rule (consensus.md 2.4).

A block carries batch certificates, not transactions, so its validity is a pure function of its ancestors and the
signatures in it: no execution, no local clock, no local database. Headers and justifications are in `header`, what a
block carries in `body`, what ends an epoch in `controls`, and runs of blocks that nodes fetch in `finalized`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from ..base import cbor
from ..base.codec import Agreed, Hash, Signature, decode, encode
from ..base.errors import RemoteProtocolError
from ..base.hashing import hash_block_body
from .batch_certificate import certified_bits, check_batch_certificate
from .body import BODY_BYTES_MAX, EMPTY_BODY, BlockBody
from .controls import check_control_signatures, check_controls, progress_after
from .evidence import check_evidence
from .header import JUSTIFICATION_BYTES_MAX, BlockHeader, ChainRules, Justification, check_justification
from .validators import ValidatorSet
from .votes import VoteKind, check_certificate

CHECKPOINT_LAG_MAX = 16
"""K of consensus.md 2.4: beyond this lag of certified checkpoints, blocks must carry no batches."""
HEADER_BYTES_MAX = 1_024
"""More than any header takes: 5 hashes, 4 bit masks of 255 validators and some integers."""
BLOCK_BYTES_MAX = HEADER_BYTES_MAX + JUSTIFICATION_BYTES_MAX + BODY_BYTES_MAX
"""More than any valid block takes."""


class Block(Agreed, tag="fullblock", frozen=True):
    """Header, justification and body together.

    Attributes:
        version: layout, 1.
        header: what is hashed and voted on; it commits to the other two.
        just: why the block may extend its parent.
        body: what the block brings.
        signature: the proposer's Notarize vote for the header.
    """

    version: Literal[1]
    header: BlockHeader
    just: Justification
    body: BlockBody
    signature: Signature

    @property
    def hash(self) -> Hash:
        """The hash of the header."""
        return self.header.hash


_BLOCK_HEAD = b"\x86" + cbor.dumps(Block.__struct_config__.tag) + b"\x01"
_SIGNATURE_HEAD = b"\x58\x40"


def glance(data: bytes) -> tuple[BlockHeader, bytes]:
    """Return header and proposer's signature of an encoded block without reading what lies between, megabytes maybe.

    Whether the rest is a justification and a body, and the right ones, is left to `decode` and `check_block`.

    Raises:
        RemoteProtocolError: the bytes do not begin and end like a block.
    """
    if not data.startswith(_BLOCK_HEAD) or data[-66:-64] != _SIGNATURE_HEAD:
        raise RemoteProtocolError("the bytes are no block: they do not begin and end like one")
    start = len(_BLOCK_HEAD)
    raw = data[start : start + HEADER_BYTES_MAX]
    return decode(BlockHeader, raw[: _item_end(raw)]), data[-64:]


def _item_end(data: bytes) -> int:
    """Return where the first CBOR item in `data` ends, by the lengths in its heads.

    Raises:
        RemoteProtocolError: it does not end in `data`, or is of a kind that no agreed object has.
    """
    at, left = 0, 1
    while left and at < len(data):
        major, short = divmod(data[at], 32)
        size = 1 << max(0, short - 24) if 24 <= short < 28 else 0
        if short > 27 or major not in (0, 2, 3, 4, 7):
            break
        value = int.from_bytes(data[at + 1 : at + 1 + size], "big") if size else short
        at += 1 + size
        left -= 1
        if major in (2, 3):
            at += value
        elif major == 4:
            left += value
    if left or at > len(data):
        raise RemoteProtocolError(f"the header of a block does not end within {HEADER_BYTES_MAX} bytes")
    return at


def check_block(block: Block, parent: BlockHeader, rules: ChainRules, proposed: ValidatorSet | None = None) -> None:
    """The validity rule: fields, leader, limits, justification, checkpoint and batch certificates; cheap checks first.

    A pure function of the block, its ancestors and the epoch. The proposer's own signature is not looked at: it is a
    Notarize vote, and is counted and checked as one.

    Args:
        block: the block.
        parent: its parent's header.
        rules: the epoch.
        proposed: the validator set that the parent's `progress` names; None if it names none.

    Raises:
        RemoteProtocolError: the block is invalid (code ``bad-block`` or that of the part that is wrong).
    """
    header, body = block.header, block.body

    def refuse(reason: str) -> RemoteProtocolError:
        return RemoteProtocolError(
            f"block {header.height} of view {header.view}: {reason}", penalty=50, code="bad-block"
        )

    parent_view = rules.view_of(parent)
    if header.chain_id != rules.chain_id or header.epoch != rules.epoch:
        raise refuse("it belongs to another chain or epoch")
    if header.height != parent.height + 1 or header.parent_hash != parent.hash or header.parent_view != parent_view:
        raise refuse("it does not link to its parent")
    if header.view <= parent_view:
        raise refuse(f"its view must be above the parent's {parent_view}")
    if header.proposer != rules.leader(header.view):
        raise refuse(f"validator {header.proposer} does not lead this view")
    if header.ts_ms <= parent.ts_ms:
        raise refuse(f"its time {header.ts_ms} must be after the parent's {parent.ts_ms}")
    body_bytes = encode(body)
    if len(body_bytes) > BODY_BYTES_MAX:
        raise refuse(f"its body has {len(body_bytes)} bytes; at most {BODY_BYTES_MAX} are allowed")
    if hash_block_body(body_bytes) != header.body_hash:
        raise refuse("its body is not the one the header commits to")
    if rules.is_sealed(parent) and body != EMPTY_BODY:
        raise refuse("it descends from a sealing block, so its body must be empty")
    certified_epoch = _check_last_checkpoint(block, parent, rules, refuse)
    if body.refs and header.height - header.last_checkpoint.height > CHECKPOINT_LAG_MAX:
        raise refuse(
            f"it carries batches {header.height - header.last_checkpoint.height} blocks after the last certified "
            "checkpoint"
        )
    if any(ref.header.epoch != header.epoch for ref in body.refs):
        raise refuse("it carries a batch of another epoch")
    try:
        proposed = check_controls(body, rules.progress_of(parent), rules.validators, proposed)
    except RemoteProtocolError as error:
        raise refuse(error.reason) from error
    if header.progress != progress_after(rules.progress_of(parent), body):
        raise refuse("its progress is not its parent's and what its body adds")
    # from here on signatures are checked: everything cheap has been seen
    check_justification(header, block.just, parent, rules)
    for certificate in body.checkpoints:
        signers = rules.validators if certified_epoch == rules.epoch else rules.previous
        assert signers is not None
        check_certificate(certificate, rules.chain_id, signers, rules.verify, kind=VoteKind.CHECKPOINT)
    check_control_signatures(body, rules.chain_id, rules.epoch, rules.validators, proposed, rules.verify)
    for item in body.evidence:
        check_evidence(item, rules)
    for ref in body.refs:
        check_batch_certificate(ref, rules.chain_id, rules.validators, rules.verify)
        if not certified_bits(ref, rules.validators):
            # whoever gives a bit keeps the body; without a certified one nobody need have it
            raise refuse("it carries a batch of which no transaction is certified")


def _check_last_checkpoint(
    block: Block, parent: BlockHeader, rules: ChainRules, refuse: Callable[[str], RemoteProtocolError]
) -> int:
    """Check which checkpoint the header names; return the epoch whose validators must have certified it.

    The first block of an epoch carries the certificate of its root, on which the epoch rests, made by the set of the
    epoch before; for whoever comes later it is the proof that the epoch has begun.
    """
    header = block.header
    last, parent_last = header.last_checkpoint, parent.last_checkpoint
    epoch = header.epoch
    if rules.previous is not None and parent.height == rules.root_height:
        epoch -= 1
        if last.height != rules.root_height or not block.body.checkpoints:
            raise refuse("the first block of an epoch must carry the checkpoint certificate of the epoch's root")
    if block.body.checkpoints:
        certificate = block.body.checkpoints[0]
        if (certificate.epoch, certificate.number, certificate.digest) != (epoch, last.height, last.hash):
            raise refuse("its checkpoint certificate is not for the checkpoint its header names")
        if not parent_last.height < last.height < header.height:
            raise refuse("its checkpoint is not newer than the parent's and older than itself")
    elif last != parent_last:
        raise refuse("it names a new checkpoint without its certificate")
    return epoch
