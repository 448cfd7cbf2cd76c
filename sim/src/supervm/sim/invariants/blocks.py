"""Which blocks an honest validator may notarize: a second opinion on consensus.md 2.4, justifications apart (R3)."""

from __future__ import annotations

from supervm.protocol.base.codec import encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.base.hashing import hash_block_body
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.evidence import check_evidence
from supervm.protocol.chain.header import BlockHeader

from .facts import Facts

BODY_BYTES_MAX, LAG_MAX = 1 << 20, 16
DRIFT_MS_MAX = 2_000


def flaw_of(block: Block, facts: Facts) -> str:
    """Return what is wrong with a block as a child of its parent, empty if nothing is; remembered by nobody."""
    header, body = block.header, block.body
    rules = facts.epochs.rules_of(header.epoch)
    parent = _parent(header, facts)
    if rules is None or parent is None:
        return "its parent or its epoch does not exist"
    is_first = parent.epoch != header.epoch or parent.height == 0
    if header.chain_id != facts.chain_id or header.height != parent.height + 1:
        return f"its height is {header.height} on a parent of height {parent.height}, or it is another chain's"
    if header.view <= (0 if is_first else parent.view):
        return "its view is not above its parent's"
    if header.proposer != rules.leaders[header.view % len(rules.leaders)]:
        return f"validator {header.proposer} does not lead view {header.view}"
    if header.ts_ms <= parent.ts_ms:
        return f"its time {header.ts_ms} is not after its parent's {parent.ts_ms}"
    raw = encode(body)
    if len(raw) > BODY_BYTES_MAX or hash_block_body(raw) != header.body_hash:
        return "its body is too long, or not the one that it names"
    if (
        not is_first
        and facts.epochs.is_sealed(parent)
        and (body.refs or body.checkpoints or body.closes or body.set_changes or body.ready or body.evidence)
    ):
        return "it follows a sealing block and is not empty"
    if body.refs and header.height - header.last_checkpoint.height > LAG_MAX:
        return f"it carries batches {header.height - header.last_checkpoint.height} blocks after the last checkpoint"
    if any(ref.header.epoch != header.epoch for ref in body.refs):
        return "it carries a batch of another epoch"
    return _checkpoint_flaw(block, parent, facts, is_first) or _evidence_flaw(block, facts)


def _parent(header: BlockHeader, facts: Facts) -> BlockHeader | None:
    if header.parent_hash == facts.chain.genesis_header.hash:
        return facts.chain.genesis_header
    parent = facts.blocks.get(header.parent_hash)
    return None if parent is None else parent.header


def _checkpoint_flaw(block: Block, parent: BlockHeader, facts: Facts, is_first: bool) -> str:
    header, certificates = block.header, block.body.checkpoints
    last = header.last_checkpoint
    if is_first and header.epoch and last.height != parent.height:
        return "the first block of an epoch does not carry the certificate of what the epoch rests on"
    if not certificates:
        return "" if last == parent.last_checkpoint else "it names a checkpoint without a certificate"
    certificate = certificates[0]
    if (certificate.number, certificate.digest) != (last.height, last.hash) or not facts.genuine(certificate):
        return "its checkpoint is certified by nobody"
    return "" if parent.last_checkpoint.height < last.height < header.height else "its checkpoint is not a newer one"


def _evidence_flaw(block: Block, facts: Facts) -> str:
    rules = facts.epochs.rules_of(block.header.epoch)
    assert rules is not None
    for item in block.body.evidence:
        try:
            check_evidence(item, rules)
        except RemoteProtocolError as error:
            return f"its evidence against validator {item.accused} proves nothing: {error}"
    return ""
