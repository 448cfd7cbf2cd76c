"""Who signs, batches and spends without looking: certificates of nothing, votes for everything, money that is none."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from supervm.common.contract.core import Core, Effect, Input, Received, Send
from supervm.protocol.base.codec import decode, encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.chain.batch import Batch, BatchHeader, batch_header, miner_statement
from supervm.protocol.chain.batch_certificate import BatchVote, bitmap_bytes, make_batch_certificate
from supervm.protocol.chain.votes import Certificate, Vote, VoteKind
from supervm.protocol.money.transaction import sign_transfer
from supervm.protocol.state.account import decode_account, encode_account
from supervm.protocol.state.leaves import ACCOUNT, ASSET, decode_holding, encode_holding, parse_leaf_id
from supervm.protocol.state.trie_proof import TrieProof
from supervm.protocol.wire.chain import BatchCertificateMessage, BatchMessage, BatchVoteMessage
from supervm.protocol.wire.consensus import CertificateMessage, VoteMessage
from supervm.protocol.wire.payments import LeafProofs, Submit

from .actor import Actor, ActorContext
from .twins import VIEW_KINDS


class CertificateForger(Actor):
    """Makes certificates of its own signature and of invented ones, for the present view and the next."""

    every_us = 60_000
    _place = (0, 1)
    _digest = bytes(range(32))

    def hear(self, event: Input) -> Input | None:
        """Follow the view, and the newest block that somebody voted for."""
        if isinstance(event, Received) and isinstance(event.message, VoteMessage):
            for vote in event.message.votes:
                place = (vote.epoch, vote.number)
                if vote.kind in VIEW_KINDS and vote.epoch == self.rules.epoch and place >= self._place:
                    self._place = place
                    if vote.kind is VoteKind.NOTARIZE:
                        self._digest = vote.digest
        return event

    def now_and_then(self) -> Iterable[Effect]:
        """Send a forged certificate to everybody."""
        stream = self.context.stream
        kind = stream.pick((VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE))
        digest = ZERO_HASH if kind is VoteKind.NULLIFY else self._digest
        view = self._place[1] + stream.below(2)
        own = self.sign_vote(kind, view, digest)
        signatures = tuple(
            (index, own.signature if index == own.signer else stream.word().to_bytes(8, "big") * 8)
            for index in range(len(self.rules.validators))
        )
        self.acted += 1
        return self.to_all(CertificateMessage((Certificate(1, kind, own.epoch, view, digest, signatures),)))


VOTED = (VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE, VoteKind.CHECKPOINT, VoteKind.BATCH)
"""Kinds that a validator gives all the time; of the others a lie is seen at once, and ends the connection."""


class RecklessValidator(Actor):
    """Signs conflicting votes of every kind, other ones for each validator, and supports all of every batch."""

    every_us = 60_000

    def __init__(self, core: Core, context: ActorContext) -> None:
        super().__init__(core, context)
        self._views = [1]
        self._heights = [1]
        self._digests = [bytes(range(32))]

    def hear(self, event: Input) -> Input | None:
        """Follow views and heights, and what others voted for."""
        if isinstance(event, Received) and isinstance(event.message, VoteMessage):
            for vote in event.message.votes:
                numbers = self._heights if vote.kind is VoteKind.CHECKPOINT else self._views
                numbers[:] = [*numbers, vote.number][-8:]
                self._digests = [*self._digests, vote.digest][-8:]
        return event

    def say(self, send: Send) -> Iterable[Effect]:
        """Support every transaction of every batch."""
        if not isinstance(send.message, BatchVoteMessage):
            return (send,)
        return (Send(send.peer, self._support(send.message.vote.digest, send.message.vote.count), send.after),)

    def more(self, event: Input) -> Iterable[Effect]:
        """Support batches at sight, which the correct core may not do at all."""
        if not isinstance(event, Received) or not isinstance(event.message, BatchMessage):
            return ()
        try:
            batch = decode(Batch, event.message.batch, bytes_max=8 << 20)
        except RemoteProtocolError:
            return ()
        if event.peer not in self.chain.payout_of_miner or not batch.transactions:
            return ()
        return (Send(event.peer, self._support(batch.header.digest, len(batch.transactions))),)

    def _support(self, digest: bytes, count: int) -> BatchVoteMessage:
        bitmap = bitmap_bytes((1 << count) - 1, count)
        vote = BatchVote(1, self.rules.epoch, digest, count, bitmap, self.index, bytes(64))
        signature = self.context.key.sign(vote.statement(self.chain.chain_id))
        return BatchVoteMessage(msgspec.structs.replace(vote, signature=signature))

    def now_and_then(self) -> Iterable[Effect]:
        """Tell each validator something else."""
        self.acted += 1
        count = self.context.stream.between(1, 7)
        return [Send(peer, VoteMessage(tuple(self._vote() for _ in range(count)))) for peer in self.validators()]

    def _vote(self) -> Vote:
        stream = self.context.stream
        kind = stream.pick(tuple(VoteKind) if stream.chance_ppm(50_000) else VOTED)
        number = stream.pick(self._heights if kind is VoteKind.CHECKPOINT else self._views)
        digest = stream.pick(self._digests) if stream.chance_ppm(600_000) else stream.word().to_bytes(8, "big") * 4
        vote = self.sign_vote(
            kind, max(0, number + stream.between(-3, 9)), ZERO_HASH if kind is VoteKind.NULLIFY else digest
        )
        if stream.chance_ppm(20_000):
            return msgspec.structs.replace(vote, signature=stream.word().to_bytes(8, "big") * 8)
        if stream.chance_ppm(20_000):
            return msgspec.structs.replace(vote, signer=stream.below(len(self.rules.validators)))
        return vote


class RecklessMiner(Actor):
    """Batches whatever it is given without looking at it, and sees it through to a certificate."""

    def __init__(self, core: Core, context: ActorContext) -> None:
        super().__init__(core, context)
        self._batches: dict[bytes, BatchHeader] = {}
        self._votes: dict[bytes, dict[int, tuple[bytes, bytes]]] = {}

    def more(self, event: Input) -> Iterable[Effect]:
        """Make a batch of each submission, and a certificate of its votes."""
        if not isinstance(event, Received):
            return ()
        message = event.message
        if isinstance(message, Submit) and message.transactions:
            return self._batch(message.transactions)
        if isinstance(message, BatchVoteMessage):
            return self._vote(message.vote)
        return ()

    def _batch(self, raws: tuple[bytes, ...]) -> Iterable[Effect]:
        chain, key = self.chain, self.context.key
        header = batch_header(chain.chain_id, self.rules.epoch, key.public, raws)
        self._batches[header.digest] = header
        self.acted += 1
        batch = Batch(2, header, key.sign(miner_statement(header.digest)), raws)
        return self.to_all(BatchMessage(encode(batch)))

    def _vote(self, vote: BatchVote) -> Iterable[Effect]:
        header = self._batches.get(vote.digest)
        if header is None:
            return ()
        votes = self._votes.setdefault(vote.digest, {})
        votes[vote.signer] = (vote.bitmap, vote.signature)
        validators = self.rules.validators
        if validators.weight_of(votes) < validators.quorum:
            return ()
        return self.to_all(BatchCertificateMessage(encode(make_batch_certificate(header, votes))))


class RecklessPhone(Actor):
    """Spends more than it has, and continues chains that do not exist, beside payments that are in order."""

    every_us = 700_000

    def now_and_then(self) -> Iterable[Effect]:
        """Send all of it to every edge."""
        edges = self.edges()
        if not edges or not self.context.wallet:
            return ()
        self.acted += 1
        until_ms = self.now_us // 1000 + 20_000
        first, last = self.context.wallet[0], self.context.wallet[-1]
        plans = [(last, 0, ZERO_HASH, 1), (last, 1, bytes(range(32)), 2)]
        if first is not last:
            plans.append((first, 0, ZERO_HASH, 1 << 50))
        else:
            plans.append((last, 2, bytes(range(32)), 1 << 50))
        raws = tuple(
            sign_transfer(
                key,
                chain_id=self.chain.chain_id,
                seq=seq,
                prev=prev,
                to=self.context.others[0],
                amount=amount,
                fee=1,
                valid_until_ms=until_ms - until_ms % 20_000,
            ).raw
            for key, seq, prev, amount in plans
        )
        return [Send(edge, Submit(raws)) for edge in edges]


class FalseBalanceEdge(Actor):
    """Gives phones proofs in which one grain more stands than there is, of each asset."""

    def say(self, send: Send) -> Iterable[Effect]:
        """Replace the value of every proof."""
        if not isinstance(send.message, LeafProofs):
            return (send,)
        self.acted += 1
        proofs = tuple((leaf_id, self._false(leaf_id, proof)) for leaf_id, proof in send.message.proofs)
        return (Send(send.peer, LeafProofs(send.message.checkpoint, proofs), send.after),)

    def _false(self, leaf_id: bytes, raw: bytes) -> bytes:
        proof = decode(TrieProof, raw)
        kind = parse_leaf_id(leaf_id).kind
        if not proof.value or kind == ASSET:
            return raw
        if kind == ACCOUNT:
            account = decode_account(proof.value)
            value = encode_account(account._replace(balance=account.balance + 1))
        else:
            value = encode_holding(decode_holding(proof.value) + 1)
        return encode(msgspec.structs.replace(proof, value=value))
