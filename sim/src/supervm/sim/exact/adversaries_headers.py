"""Who lies about headers and checkpoints: two of one height, blocks without proof, headers that are no chain's."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from supervm.common.contract.core import Effect, Send
from supervm.protocol.base.codec import decode, encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.base.hashing import hash_vote
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.body import EMPTY_BODY
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint
from supervm.protocol.chain.finalized import decode_finalized
from supervm.protocol.chain.votes import Vote, VoteKind
from supervm.protocol.money.transaction import sign_transfer
from supervm.protocol.wire.chain import BlocksMessage, CheckpointMessage
from supervm.protocol.wire.consensus import ProposalMessage
from supervm.protocol.wire.payments import LeafProofs, Submit

from .actor import Actor
from .adversaries_l1 import Voter
from .adversaries_leader import BadJustification, Leader

replace = msgspec.structs.replace


class DoubleCertifier(Voter):
    """Certifies a second, invented header beside every true one, and tells everybody of both."""

    kind = VoteKind.CHECKPOINT

    def vote(self, peer: bytes, vote: Vote) -> Iterable[Vote]:
        """Add the other vote."""
        if vote.kind is not self.kind:
            return (vote,)
        return (vote, self.sign_vote(self.kind, vote.number, hash_vote(vote.digest)))


class DoubleVoter(DoubleCertifier):
    """Notarizes a second, invented block in every view, and tells everybody of both."""

    kind = VoteKind.NOTARIZE


class UnjustifiedLeader(BadJustification):
    """As leader, commits to a block without the proof that it may stand there, each time: it is banned, and back."""

    def is_odd_turn(self, block: Block) -> bool:
        """Lie in the same way in every turn."""
        return True


class BodyEmptier(Leader):
    """As leader, gives odd validators its block without what is in it, under the header of the full one."""

    def propose(self, send: Send, block: Block) -> Iterable[Effect]:
        """Empty the body."""
        if not (self.number_of(send.peer) or 0) % 2 or block.body == EMPTY_BODY:
            return (send,)
        self.acted += 1
        return (Send(send.peer, ProposalMessage(encode(replace(block, body=EMPTY_BODY))), send.after),)


class HeaderForger(Actor):
    """Gives those below it checkpoints of an invented state, under the signatures of the true ones."""

    def say(self, send: Send) -> Iterable[Effect]:
        """Replace every checkpoint; no proof fits it, so there are none."""
        message = send.message
        if self.number_of(send.peer) is not None or send.peer in self.chain.payout_of_miner:
            return (send,)
        if isinstance(message, LeafProofs):
            forged = self._forged(message.checkpoint)
            return (Send(send.peer, LeafProofs(forged, ()), send.after),)
        if isinstance(message, CheckpointMessage):
            return (Send(send.peer, CheckpointMessage(self._forged(message.checkpoint)), send.after),)
        return (send,)

    def _forged(self, raw: bytes) -> bytes:
        try:
            true = decode(CertifiedCheckpoint, raw, bytes_max=1 << 20)
        except RemoteProtocolError:
            return raw
        self.acted += 1
        header = replace(true.header, state_root=hash_vote(true.header.state_root))
        return encode(CertifiedCheckpoint(1, header, true.signatures))


class LateSpender(Actor):
    """Pays out of its last account again and again, with payments that are valid for moments only."""

    every_us = 150_000
    _VALID_MS = (400, 900, 1_400, 1_900)

    def now_and_then(self) -> Iterable[Effect]:
        """Send the next one for the first slot to all edges; once one of them runs, none of the others can."""
        edges = self.edges()
        if not edges or not self.context.wallet:
            return ()
        valid_ms = self._VALID_MS[self.acted % len(self._VALID_MS)]
        self.acted += 1
        raw = sign_transfer(
            self.context.wallet[-1],
            chain_id=self.chain.chain_id,
            seq=0,
            prev=bytes(32),
            to=self.context.others[0],
            amount=self.acted,
            fee=1,
            valid_until_ms=self.now_us // 1000 + valid_ms,
        ).raw
        return [Send(edge, Submit((raw,))) for edge in edges]


class ChainForger(Actor):
    """Gives whoever asks for finalized blocks the last of them with another time, under the true finalization."""

    def say(self, send: Send) -> Iterable[Effect]:
        """Replace the last block."""
        message = send.message
        if not isinstance(message, BlocksMessage) or not message.blocks:
            return (send,)
        chain = decode_finalized(message.blocks, bytes_max=8 << 20)
        last = chain.blocks[-1]
        forged = replace(last, header=replace(last.header, ts_ms=last.header.ts_ms + 1))
        self.acted += 1
        raw = encode(replace(chain, blocks=(*chain.blocks[:-1], forged)))
        return (Send(send.peer, BlocksMessage(raw), send.after),)
