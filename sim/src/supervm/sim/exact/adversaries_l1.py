"""Byzantine validators beside their leadership: votes, certificates, answers and noise (consensus.md 6)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import msgspec

from supervm.common.contract.core import Effect, Input, Received, Send
from supervm.protocol.base.hashing import ZERO_HASH, hash_vote
from supervm.protocol.chain.batch_certificate import bitmap_bytes
from supervm.protocol.chain.votes import Vote, VoteKind, statement
from supervm.protocol.wire.chain import (
    BatchMessage,
    BatchVoteMessage,
    BlocksMessage,
    CheckpointMessage,
    GetBatches,
    GetBlocks,
)
from supervm.protocol.wire.consensus import CertificateMessage, ConsensusStatus, GetBlock, ProposalMessage, VoteMessage
from supervm.protocol.wire.directions import accepted_kinds
from supervm.protocol.wire.fields import Message

from .actor import Actor, named
from .twins import place_of, view_of

replace = msgspec.structs.replace


class Voter(Actor):
    """Tampers with its own votes."""

    def say(self, send: Send) -> Iterable[Effect]:
        """Give each vote to `vote`; what it returns leaves in one message."""
        if not isinstance(send.message, VoteMessage):
            return (send,)
        votes: list[Vote] = []
        for vote in send.message.votes:
            votes.extend(self.vote(send.peer, vote))
        if tuple(votes) == send.message.votes:
            return (send,)
        self.acted += 1
        return (Send(send.peer, VoteMessage(tuple(votes)), send.after),) if votes else ()

    def vote(self, peer: bytes, vote: Vote) -> Iterable[Vote]:
        """Return the votes that `peer` gets instead of one."""
        return (vote,)


@named("mute", 1)
class Mute(Actor):
    """Hears everything and says nothing to other validators but heartbeats."""

    def say(self, send: Send) -> Iterable[Effect]:
        """Send only what every link carries."""
        if send.peer in self.rules.validators.index_of_node and type(send.message) not in accepted_kinds(4, 4):
            self.acted += 1
            return ()
        return (send,)


@named("vote-withholder", 1)
class VoteWithholder(Voter):
    """Never votes on blocks, checkpoints or the end of an epoch."""

    def vote(self, peer: bytes, vote: Vote) -> Iterable[Vote]:
        """Keep the vote."""
        return ()


@named("partial-deliverer", 1)
class PartialDeliverer(Actor):
    """Gives its votes and certificates to f + 1 validators only, other ones in each view."""

    def say(self, send: Send) -> Iterable[Effect]:
        """Withhold from the rest."""
        view = view_of(send.message) if isinstance(send.message, VoteMessage | CertificateMessage) else None
        index = self.number_of(send.peer)
        if view is None or index is None:
            return (send,)
        count = len(self.rules.validators)
        if (index + view) % count <= (count - 1) // 3:
            return (send,)
        self.acted += 1
        return ()


@named("nuller", 1)
class Nuller(Voter):
    """Votes to nullify every view and for no block."""

    _seen = (0, 0)

    def vote(self, peer: bytes, vote: Vote) -> Iterable[Vote]:
        """Keep Notarize and Finalize."""
        return () if vote.kind in (VoteKind.NOTARIZE, VoteKind.FINALIZE) else (vote,)

    def more(self, event: Input) -> Iterable[Effect]:
        """Nullify each view as soon as anybody speaks of it."""
        place = place_of(event.message) if isinstance(event, Received) else None
        if place is None or place <= self._seen or place[0] != self.rules.epoch:
            return ()
        self._seen = place
        self.acted += 1
        return self.to_all(VoteMessage((self.sign_vote(VoteKind.NULLIFY, place[1], ZERO_HASH),)))


@named("double-notarizer", 1)
class DoubleNotarizer(Voter):
    """Notarizes a second, invented block in every view, towards half of the validators."""

    def vote(self, peer: bytes, vote: Vote) -> Iterable[Vote]:
        """Send odd validators another block's name."""
        if vote.kind is VoteKind.NOTARIZE and (self.number_of(peer) or 0) % 2:
            return (self.sign_vote(VoteKind.NOTARIZE, vote.number, hash_vote(vote.digest)),)
        return (vote,)


@named("finalize-nullifier", 1)
class FinalizeNullifier(Voter):
    """Votes both to finalize and to nullify one view, which no rule allows."""

    def vote(self, peer: bytes, vote: Vote) -> Iterable[Vote]:
        """Say the other vote first: after a Finalize the view may be over, and nobody has to look at it."""
        if vote.kind is VoteKind.FINALIZE:
            return (self.sign_vote(VoteKind.NULLIFY, vote.number, ZERO_HASH), vote)
        return (vote,)


@named("bad-signer", 1)
class BadSigner(Voter):
    """Signs some of its votes so that nobody can verify them, and spoils quorums with them."""

    def vote(self, peer: bytes, vote: Vote) -> Iterable[Vote]:
        """Break every third vote's signature."""
        if vote.number % 3:
            return (vote,)
        return (replace(vote, signature=vote.signature[:-1] + b"\x01"),)


@named("bad-root-signer", 1)
class BadRootSigner(Voter):
    """Certifies checkpoints that are not the result of the chain."""

    def vote(self, peer: bytes, vote: Vote) -> Iterable[Vote]:
        """Sign another header hash."""
        if vote.kind is not VoteKind.CHECKPOINT:
            return (vote,)
        return (self.sign_vote(VoteKind.CHECKPOINT, vote.number, hash_vote(vote.digest)),)


@named("stale-replayer", 1)
class StaleReplayer(Actor):
    """Sends everybody messages of long ago, its own and others'."""

    every_us = 50_000
    _KEPT = 512

    _old: deque[Message] | None = None

    def hear(self, event: Input) -> Input | None:
        """Remember what comes."""
        if isinstance(event, Received):
            self._keep(event.message)
        return event

    def say(self, send: Send) -> Iterable[Effect]:
        """Remember what leaves."""
        self._keep(send.message)
        return (send,)

    def _keep(self, message: Message) -> None:
        if self._old is None:
            self._old = deque(maxlen=self._KEPT)
        if type(message) in accepted_kinds(1, 1) and isinstance(
            message, VoteMessage | CertificateMessage | ProposalMessage | CheckpointMessage | BlocksMessage
        ):
            self._old.append(message)

    def now_and_then(self) -> Iterable[Effect]:
        """Send one of the older half to everybody."""
        if not self._old:
            return ()
        self.acted += 1
        return self.to_all(self._old[self.context.stream.below((len(self._old) + 1) // 2)])


@named("future-flooder", 1)
class FutureFlooder(Actor):
    """Floods the others with signed votes at the edge of their windows, and with requests."""

    every_us = 20_000
    _place = (0, 0)

    def hear(self, event: Input) -> Input | None:
        """Follow epoch and view."""
        place = place_of(event.message) if isinstance(event, Received) else None
        if place is not None and place[0] == self.rules.epoch:
            self._place = max(self._place, place)
        return event

    def now_and_then(self) -> Iterable[Effect]:
        """Vote for invented blocks in views up to 10 ahead, and ask for everything."""
        view = self._place[1]
        votes = tuple(
            self.sign_vote(VoteKind.NOTARIZE, view + ahead, self.context.stream.word().to_bytes(8, "big") * 4)
            for ahead in range(3, 11)
        )
        self.acted += 1
        digest = self.context.stream.word().to_bytes(8, "big") * 4
        return [
            Send(peer, message)
            for peer in self.validators()
            for message in (VoteMessage(votes), GetBlocks(0), GetBlock(view, digest), GetBatches((digest,) * 8))
        ]


@named("lying-sync-peer", 1)
class LyingSyncPeer(Actor):
    """Claims heights that do not exist, and answers requests for blocks, bodies and checkpoints with damaged ones."""

    def say(self, send: Send) -> Iterable[Effect]:
        """Damage one byte in the middle."""
        message = send.message
        bad: Message
        if isinstance(message, ConsensusStatus):
            bad = replace(message, finalized_height=message.finalized_height + 1_000_000, view=message.view + 1_000_000)
        elif isinstance(message, BlocksMessage):
            bad = BlocksMessage(damaged(message.blocks))
        elif isinstance(message, CheckpointMessage):
            bad = CheckpointMessage(damaged(message.checkpoint))
        elif isinstance(message, BatchMessage):
            bad = BatchMessage(damaged(message.batch))
        else:
            return (send,)
        self.acted += 1
        return (Send(send.peer, bad, send.after),)


@named("body-withholder", 1)
class BodyWithholder(Actor):
    """Votes on batches and never gives their bodies to anybody."""

    def say(self, send: Send) -> Iterable[Effect]:
        """Keep the bodies."""
        if isinstance(send.message, BatchMessage):
            self.acted += 1
            return ()
        return (send,)

    def hear(self, event: Input) -> Input | None:
        """Count the requests that stay without an answer."""
        if isinstance(event, Received) and isinstance(event.message, GetBatches):
            self.acted += 1
            return None
        return event


@named("bad-bitmap-voter", 1)
class BadBitmapVoter(Actor):
    """Votes on batches with no transaction supported, signed, or with bits past the end."""

    def say(self, send: Send) -> Iterable[Effect]:
        """Send zeros, and now and then too many bits."""
        if not isinstance(send.message, BatchVoteMessage):
            return (send,)
        self.acted += 1
        vote = send.message.vote
        count = vote.count
        oversized = self.acted % 4 == 0
        bitmap = b"\xff" * ((count + 7) // 8 + 1) if oversized else bitmap_bytes(0, count)
        vote = replace(vote, bitmap=bitmap)
        vote = replace(vote, signature=self.context.key.sign(vote.statement(self.chain.chain_id)))
        return (Send(send.peer, BatchVoteMessage(vote), send.after),)


@named("old-epoch-voter", 1)
class OldEpochVoter(Voter):
    """Signs its votes for another epoch."""

    def vote(self, peer: bytes, vote: Vote) -> Iterable[Vote]:
        """Sign under the next epoch's number."""
        epoch = vote.epoch + 1
        message = statement(self.chain.chain_id, vote.kind, epoch, vote.number, vote.digest)
        return (replace(vote, epoch=epoch, signature=self.context.key.sign(message)),)


def damaged(raw: bytes) -> bytes:
    """Return the bytes with one of the middle changed."""
    middle = len(raw) // 2
    return raw[:middle] + bytes([raw[middle] ^ 1]) + raw[middle + 1 :] if raw else raw
