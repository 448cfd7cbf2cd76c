"""Byzantine leaders: what a validator can do wrong with the blocks that it proposes (consensus.md 6)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from supervm.common.contract.core import Effect, Send
from supervm.protocol.base.codec import decode, encode
from supervm.protocol.base.hashing import ZERO_HASH, hash_block_body, hash_justification
from supervm.protocol.chain.batch_certificate import VoteGroup
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.body import BlockBody
from supervm.protocol.chain.controls import progress_after
from supervm.protocol.chain.header import Justification
from supervm.protocol.chain.progress import EpochProgress, signers_bytes, signers_mask
from supervm.protocol.chain.votes import VoteKind
from supervm.protocol.wire.consensus import ProposalMessage, VoteMessage

from .actor import Actor, named

replace = msgspec.structs.replace


def progress_before(block: Block) -> EpochProgress:
    """Return what a valid block's parent had gathered: what the header sums up, without what the body adds."""
    progress, body = block.header.progress, block.body
    return EpochProgress(
        1,
        _without(progress.closers, [index for index, _ in body.closes]),
        ZERO_HASH if body.set_changes else progress.next_validators_hash,
        _without(progress.ready, [index for index, _ in body.ready]),
        _without(progress.accused, [item.accused for item in body.evidence]),
    )


def _without(signers: bytes, indices: Sequence[int]) -> bytes:
    return signers_bytes(signers_mask(signers) & ~sum(1 << index for index in indices))


class Leader(Actor):
    """Tampers with the blocks that it proposes itself; what it passes on of others stays as it is."""

    def say(self, send: Send) -> Iterable[Effect]:
        """Give own proposals to `propose`."""
        if not isinstance(send.message, ProposalMessage):
            return (send,)
        block = decode(Block, send.message.block, bytes_max=8 << 20)
        if (block.header.epoch, block.header.proposer) != (self.rules.epoch, self.index):
            return (send,)
        return self.propose(send, block)

    def propose(self, send: Send, block: Block) -> Iterable[Effect]:
        """Return what is sent instead of an own proposal."""
        return (send,)

    def instead(self, send: Send, block: Block) -> Iterable[Effect]:
        """Return a message with another block, signed anew, in place of `send`."""
        self.acted += 1
        vote = self.sign_vote(VoteKind.NOTARIZE, block.header.view, block.hash)
        message = ProposalMessage(encode(replace(block, signature=vote.signature)))
        return (Send(send.peer, message, send.after),)

    def is_odd_turn(self, block: Block) -> bool:
        """Return whether this is the second, fourth, ... time that this validator leads; its views may all be even."""
        return block.header.view // len(self.rules.validators) % 2 == 1

    def with_body(self, send: Send, block: Block, body: BlockBody) -> Iterable[Effect]:
        """Return a message with a block that differs in its body; its header sums that up as it should."""
        progress = progress_after(progress_before(block), body)
        header = replace(block.header, body_hash=hash_block_body(encode(body)), progress=progress)
        return self.instead(send, replace(block, header=header, body=body))


@named("equivocator", 1)
class Equivocator(Leader):
    """As leader, proposes one block to half of the validators and another one to the rest, both signed."""

    def propose(self, send: Send, block: Block) -> Iterable[Effect]:
        """Give odd validators a block that is a millisecond younger."""
        if not (self.number_of(send.peer) or 0) % 2:
            return (send,)
        header = replace(block.header, ts_ms=block.header.ts_ms + 1)
        return self.instead(send, replace(block, header=header))


@named("bad-justification-leader", 1)
class BadJustification(Leader):
    """As leader, leaves out the proof that its block may extend its parent, or one nullification of it."""

    def propose(self, send: Send, block: Block) -> Iterable[Effect]:
        """Strip the justification; every other time the header commits to the stripped one."""
        nullifications = block.just.nullifications[1:]
        just = Justification(
            1, () if len(nullifications) == len(block.just.nullifications) else block.just.parent, nullifications
        )
        header = block.header
        if self.is_odd_turn(block):
            header = replace(header, just_hash=hash_justification(encode(just)))
        return self.instead(send, replace(block, just=just, header=header))


@named("wrong-parent-leader", 1)
class WrongParent(Leader):
    """As leader, extends a block that does not exist."""

    def propose(self, send: Send, block: Block) -> Iterable[Effect]:
        """Name another parent."""
        return self.instead(send, replace(block, header=replace(block.header, parent_hash=ZERO_HASH)))


@named("certificate-omitting-leader", 1)
class CertificateOmitting(Leader):
    """As leader, leaves every batch certificate out of its blocks: censorship."""

    def propose(self, send: Send, block: Block) -> Iterable[Effect]:
        """Send an otherwise valid block without batches."""
        if not block.body.refs:
            return (send,)
        return self.with_body(send, block, replace(block.body, refs=()))


@named("bad-certificate-leader", 1)
class BadCertificates(Leader):
    """As leader, puts batch certificates into its blocks whose signatures are not valid."""

    def propose(self, send: Send, block: Block) -> Iterable[Effect]:
        """Break the first signature of the first certificate."""
        if not block.body.refs:
            return (send,)
        first = block.body.refs[0]
        group = first.votes[0]
        index, signature = group.signatures[0]
        broken = VoteGroup(1, group.bitmap, ((index, signature[:-1] + b"\x01"), *group.signatures[1:]))
        refs = (replace(first, votes=(broken, *first.votes[1:])), *block.body.refs[1:])
        return self.with_body(send, block, replace(block.body, refs=refs))


@named("duplicate-content-leader", 1)
class DuplicateContent(Leader):
    """As leader, puts each batch certificate into its blocks twice."""

    def propose(self, send: Send, block: Block) -> Iterable[Effect]:
        """Repeat the references."""
        if not block.body.refs:
            return (send,)
        return self.with_body(send, block, replace(block.body, refs=(block.body.refs * 2)[:64]))


@named("skewed-timestamp-leader", 1)
class SkewedTimestamp(Leader):
    """As leader, dates its blocks an hour ahead, or no later than their parent."""

    def propose(self, send: Send, block: Block) -> Iterable[Effect]:
        """Go ahead and back in turn."""
        drift_ms = -3_600_000 if self.is_odd_turn(block) else 3_600_000
        ts_ms = max(0, block.header.ts_ms + drift_ms)
        return self.instead(send, replace(block, header=replace(block.header, ts_ms=ts_ms)))


@named("self-nullifier", 1)
class SelfNullifier(Leader):
    """As leader, proposes a good block and votes to nullify its view."""

    def propose(self, send: Send, block: Block) -> Iterable[Effect]:
        """Add the Nullify."""
        self.acted += 1
        vote = self.sign_vote(VoteKind.NULLIFY, block.header.view, ZERO_HASH)
        return (send, Send(send.peer, VoteMessage((vote,)), send.after))


@named("partial-leader", 1)
class PartialLeader(Leader):
    """As leader, shows its block to f validators only."""

    def propose(self, send: Send, block: Block) -> Iterable[Effect]:
        """Send to f of the others, other ones in each view."""
        others = [peer for peer in self.rules.validators.node_ids if self.number_of(peer) != self.index]
        faulty = (len(self.rules.validators) - 1) // 3
        start = block.header.view % len(others)
        if send.peer in [others[(start + place) % len(others)] for place in range(faulty)]:
            return (send,)
        self.acted += 1
        return ()
