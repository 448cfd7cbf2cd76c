"""Byzantine validators at the ends of epochs: who closes early or never, forges controls, lies about epochs.

What they try is named in consensus.md 2.11: to end epochs at will, to keep one from ending, to choose the next
validators, and to make others believe that an epoch is over or far away.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from supervm.common.contract.core import Effect, Input, Send
from supervm.protocol.base.hashing import ZERO_HASH, hash_vote
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.body import BlockBody, OwnSignatures
from supervm.protocol.chain.progress import EpochProgress, signers_bytes
from supervm.protocol.chain.set_change import SetChange
from supervm.protocol.chain.validators import Validator, ValidatorList, ValidatorSet
from supervm.protocol.chain.votes import VoteKind
from supervm.protocol.wire.consensus import ConsensusStatus, VoteMessage

from .actor import Actor, named
from .adversaries_leader import Leader

replace = msgspec.structs.replace
WITHHELD: Final = (VoteKind.EPOCH_CLOSE, VoteKind.NEXT_READY)
FAR: Final = 1_000_000
"""Epochs that a liar is ahead."""


@named("early-closer", 1)
class EarlyCloser(Actor):
    """Closes every epoch as soon as it begins, and says so again and again."""

    every_us = 1_000_000
    _closed = -1

    def more(self, event: Input) -> Iterable[Effect]:
        """Close at once."""
        return self.now_and_then() if self._closed != self.rules.epoch else ()

    def now_and_then(self) -> Iterable[Effect]:
        """Sign EpochClose, to everybody."""
        self._closed = self.rules.epoch
        self.acted += 1
        return self.to_all(VoteMessage((self.sign_vote(VoteKind.EPOCH_CLOSE, 0, ZERO_HASH),)))


@named("close-withholder", 1)
class CloseWithholder(Leader):
    """Never signs the end of an epoch towards others, and as leader leaves all controls out of its blocks."""

    def say(self, send: Send) -> Iterable[Effect]:
        """Keep EpochClose and NextReady."""
        if not isinstance(send.message, VoteMessage):
            return super().say(send)
        votes = tuple(vote for vote in send.message.votes if vote.kind not in WITHHELD)
        if votes == send.message.votes:
            return (send,)
        self.acted += 1
        return (Send(send.peer, VoteMessage(votes), send.after),) if votes else ()

    def propose(self, send: Send, block: Block) -> Iterable[Effect]:
        """Send an otherwise valid block without controls."""
        body = replace(block.body, closes=(), set_changes=(), ready=(), evidence=())
        return (send,) if body == block.body else self.with_body(send, block, body)


@named("control-forger", 1)
class ControlForger(Leader):
    """As leader, forges what ends an epoch and who validates next, another way in each of its blocks."""

    def propose(self, send: Send, block: Block) -> Iterable[Effect]:
        """Forge one thing; towards every validator the same."""
        forge = (
            self._closes,
            self._all_closed,
            self._all_ready,
            self._own_set,
            self._own_set_ready,
            self._strangers,
        )[block.hash[0] % 6]
        return forge(send, block)

    @property
    def _everybody(self) -> bytes:
        return signers_bytes((1 << len(self.rules.validators)) - 1)

    @property
    def _own(self) -> ValidatorList:
        """The set that has this validator alone."""
        own = [member for member in self.rules.validators.members if member.key == self.context.key.public]
        node_id = own[0].node_id if own else self.context.key.public
        return ValidatorList(1, (Validator(1, self.context.key.public, node_id, 1, node_id),))

    def _signatures(self, block: Block, first: int, count: int) -> OwnSignatures:
        """Return signatures that nobody made, the same for everybody who is shown this block."""
        return tuple((first + place, hash_vote(block.hash + bytes([place])) * 2) for place in range(count))

    def _progress(self, send: Send, block: Block, progress: EpochProgress) -> Iterable[Effect]:
        return self.instead(send, replace(block, header=replace(block.header, progress=progress)))

    def _closes(self, send: Send, block: Block) -> Iterable[Effect]:
        """Let everybody close the epoch, with random signatures."""
        closes = self._signatures(block, 0, len(self.rules.validators))
        return self.with_body(send, block, replace(block.body, closes=closes))

    def _all_closed(self, send: Send, block: Block) -> Iterable[Effect]:
        """Claim that everybody has closed, without any signature."""
        return self._progress(send, block, replace(block.header.progress, closers=self._everybody))

    def _all_ready(self, send: Send, block: Block) -> Iterable[Effect]:
        """Claim that everybody has closed and the set of this validator alone is ready."""
        digest = ValidatorSet(self._own.members).hash
        return self._progress(
            send,
            block,
            replace(block.header.progress, closers=self._everybody, next_validators_hash=digest, ready=b"\x01"),
        )

    def _change(self, block: Block) -> SetChange:
        vote = self.sign_vote(VoteKind.SET_CHANGE, 0, ValidatorSet(self._own.members).hash)
        return SetChange(1, self._own, ((vote.signer, vote.signature),))

    def _own_set(self, send: Send, block: Block) -> Iterable[Effect]:
        """Propose the set of this validator alone, signed by itself."""
        return self.with_body(send, block, replace(block.body, set_changes=(self._change(block),)))

    def _own_set_ready(self, send: Send, block: Block) -> Iterable[Effect]:
        """Propose that set and sign that all of it is ready."""
        ready = self.sign_vote(VoteKind.NEXT_READY, 0, ValidatorSet(self._own.members).hash)
        body: BlockBody = replace(block.body, set_changes=(self._change(block),), ready=((0, ready.signature),))
        return self.with_body(send, block, body)

    def _strangers(self, send: Send, block: Block) -> Iterable[Effect]:
        """Let validators be ready that no set has."""
        return self.with_body(send, block, replace(block.body, ready=self._signatures(block, 200, 3)))


@named("epoch-liar", 1)
class EpochLiar(Actor):
    """Says that it stands in another epoch, or at the end of this one, and votes for epochs that nobody has reached."""

    every_us = 100_000

    def say(self, send: Send) -> Iterable[Effect]:
        """Lie about the epoch, or about its end."""
        status = send.message
        if not isinstance(status, ConsensusStatus):
            return (send,)
        self.acted += 1
        if self.acted % 2:
            status = replace(status, sealed=not status.sealed)
        else:
            status = replace(status, epoch=status.epoch + FAR, finalized_height=status.finalized_height + FAR)
        return (Send(send.peer, status, send.after),)

    def now_and_then(self) -> Iterable[Effect]:
        """Vote for the next epoch and for far ones, of every kind that counts there."""
        stream = self.context.stream
        kinds = (VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE, VoteKind.CHECKPOINT, *WITHHELD)
        votes = tuple(
            self.sign_vote(kind, stream.below(9), stream.word().to_bytes(8, "big") * 4, ahead=ahead)
            for ahead in (1, 2, 1 + stream.below(FAR))
            for kind in kinds
        )
        self.acted += 1
        return self.to_all(VoteMessage(votes))
