"""What validators say to each other about blocks: whose word counts, in which epoch, and which part it is for."""

from __future__ import annotations

from supervm.common.contract.core import PeerDown
from supervm.common.parts.part import Part
from supervm.protocol.base.codec import decode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.chain.batch import Batch
from supervm.protocol.chain.block import glance
from supervm.protocol.chain.votes import Certificate, Vote, VoteKind
from supervm.protocol.wire.chain import BatchMessage
from supervm.protocol.wire.consensus import CertificateMessage, ProposalMessage, VoteMessage
from supervm.protocol.wire.fields import Message

from ..chain.executor import BATCH_MESSAGE_BYTES_MAX, Executor
from ..chain.whereabouts import Whereabouts
from ..ground import Ground
from .early import EarlyMessages, has_say
from .epoch_end import KINDS as EPOCH_KINDS
from .epoch_end import EpochEnd
from .host import Consensus
from .simplex import effects as sx


class Inbox(Part):
    """Votes, proposals and certificates of the epoch's validators, and the buffer for those of the next.

    Args:
        ground: what every part stands on.
        consensus: takes what is about views.
        epoch_end: takes what is about the end of the epoch.
        executor: takes checkpoint votes.
        whereabouts: tells those that are in an epoch that is over.
    """

    takes = frozenset({CertificateMessage, ProposalMessage, VoteMessage})

    def __init__(
        self, ground: Ground, consensus: Consensus, epoch_end: EpochEnd, executor: Executor, whereabouts: Whereabouts
    ) -> None:
        self._ground, self._seat, self._manners = ground, ground.seat, ground.manners
        self._consensus, self._epoch_end = consensus, epoch_end
        self._executor, self._whereabouts = executor, whereabouts
        self._early = EarlyMessages()

    def peer_down(self, now_us: int, event: PeerDown) -> None:
        """Drop what a peer that is gone has said of the next epoch."""
        self._early.forget(event.peer)

    def receive(self, now_us: int, peer: bytes, message: CertificateMessage | ProposalMessage | VoteMessage) -> None:
        """Take what a validator, or who may be one soon, has to say."""
        sender = self._seat.rules.validators.index_of_node.get(peer)
        match message:
            case VoteMessage(votes):
                self._votes(now_us, peer, sender, votes)
            case ProposalMessage(raw):
                if sender is None and not self._epoch_end.closing:
                    return  # a stranger's, and no epoch begins: not worth reading
                epoch = glance(raw)[0].epoch
                if epoch > self._seat.rules.epoch:
                    self._keep_early(peer, epoch, message)
                elif sender is not None:
                    self._consensus.proposal(now_us, sender, raw)
            case CertificateMessage(certificates):
                self._certificates(now_us, peer, sender, message, certificates)

    def _votes(self, now_us: int, peer: bytes, sender: int | None, votes: tuple[Vote, ...]) -> None:
        checkpoint_votes = []
        for vote in votes:
            if not self._manners.is_up(peer):
                return  # one bad vote is enough
            if vote.kind in EPOCH_KINDS:
                if self._epoch_end.vote(peer, vote):
                    self._consensus.build(now_us)
            elif vote.epoch > self._seat.rules.epoch:
                self._keep_early(peer, vote.epoch, VoteMessage((vote,)))
            elif vote.kind is VoteKind.BATCH:
                raise RemoteProtocolError(
                    "a batch vote travels in a message of its own, to the batch's miner", penalty=50, code="bad-vote"
                )
            elif vote.epoch < self._seat.rules.epoch:
                self._whereabouts.remind(now_us, peer)
            elif vote.kind is VoteKind.CHECKPOINT:
                checkpoint_votes.append(vote)
            elif sender is not None:
                self._consensus.step(now_us, sx.VoteReceived(sender, vote))
        if checkpoint_votes:
            self._executor.votes(now_us, peer, checkpoint_votes)

    def _certificates(
        self,
        now_us: int,
        peer: bytes,
        sender: int | None,
        message: CertificateMessage,
        certificates: tuple[Certificate, ...],
    ) -> None:
        known = 0
        for certificate in certificates:
            if certificate.epoch > self._seat.rules.epoch:
                self._keep_early(peer, certificate.epoch, message)
                return
            if sender is None or not self._manners.is_up(peer):
                return  # one bad certificate is enough
            if self._consensus.simplex.knows(certificate):  # nearly always, and then the instance would do nothing
                known += 1 + len(certificate.signatures)
            else:
                self._consensus.step(now_us, sx.CertificateReceived(sender, certificate))
        if known:
            # everybody passes on each certificate, and repeats many in a standstill: only reading them cost us
            total = sum([1 + len(certificate.signatures) for certificate in certificates])
            self._manners.refund(peer, message, part=7 * known, of=8 * total)

    # --- the next epoch ---------------------------------------------------------------------------------------------

    def _keep_early(self, peer: bytes, epoch: int, message: Message) -> None:
        if has_say(self._ground, peer, message):
            self._early.keep(peer, epoch, message, self._seat.rules.epoch)

    def is_early(self, peer: bytes, message: BatchMessage) -> bool:
        """Keep a batch for the next epoch: its miner has learned a moment earlier that this one is over."""
        if not self._epoch_end.closing:
            return False
        epoch = decode(Batch, message.batch, bytes_max=BATCH_MESSAGE_BYTES_MAX).header.epoch
        self._keep_early(peer, epoch, message)
        return epoch > self._seat.rules.epoch

    def take_early(self) -> list[tuple[bytes, Message]]:
        """Return what is held of the present epoch, which has just begun, and forget everything."""
        return self._early.take(self._seat.rules.epoch)
