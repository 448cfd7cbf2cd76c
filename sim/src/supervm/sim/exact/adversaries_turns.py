"""Validators and phones that lie about turns, evidence and signers, and spend money before they have it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from supervm.common.contract.core import Effect, Input, Received, Send
from supervm.protocol.base.codec import encode
from supervm.protocol.base.hashing import ZERO_HASH, hash_block_body, hash_justification
from supervm.protocol.base.keys import SigningKey
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.body import EMPTY_BODY
from supervm.protocol.chain.evidence import DoubleVote
from supervm.protocol.chain.header import BlockHeader
from supervm.protocol.chain.votes import Certificate, Vote, VoteKind
from supervm.protocol.money.transaction import sign_transfer
from supervm.protocol.wire.consensus import CertificateMessage, ProposalMessage, VoteMessage
from supervm.protocol.wire.payments import Submit
from supervm.tier_l1_super.node import ValidatorNode

from .actor import GRANT, Actor
from .adversaries_leader import Leader

replace = msgspec.structs.replace


class TurnThief(Actor):
    """Proposes an empty block in every view, whoever leads it."""

    _done = (0, 0)

    def more(self, event: Input) -> Iterable[Effect]:
        """Propose as soon as a view begins."""
        core = self.inner
        if not isinstance(core, ValidatorNode) or core.seat.index is None:
            return ()
        simplex, rules = core.simplex, core.seat.rules
        view = simplex.view
        if (rules.epoch, view) <= self._done or view == 0 or rules.leader(view) == self.index:
            return ()
        self._done = (rules.epoch, view)
        place = simplex._parent_for(view)
        parent = None if place is None else simplex._tree.header(place[1])
        just = None if parent is None else simplex._justify(view, parent)
        if parent is None or just is None:
            return ()
        header = BlockHeader(
            1,
            rules.chain_id,
            rules.epoch,
            view,
            parent.height + 1,
            parent.hash,
            rules.view_of(parent),
            self.index,
            max(self.now_us // 1000, parent.ts_ms + 1),
            hash_justification(encode(just)),
            hash_block_body(encode(EMPTY_BODY)),
            parent.last_checkpoint,
            rules.progress_of(parent),
        )
        vote = self.sign_vote(VoteKind.NOTARIZE, view, header.hash)
        self.acted += 1
        return self.to_all(ProposalMessage(encode(Block(1, header, just, EMPTY_BODY, vote.signature))))


class EvidenceForger(Leader):
    """As leader, accuses another validator of votes that it never gave."""

    def propose(self, send: Send, block: Block) -> Iterable[Effect]:
        """Add the evidence; towards every validator the same."""
        if block.body.evidence:
            return (send,)
        victim = (self.index + 1) % len(self.rules.validators)
        own = self.sign_vote(VoteKind.NOTARIZE, block.header.view, ZERO_HASH)
        one, other = (replace(own, signer=victim, digest=bytes([mark]) * 32) for mark in (1, 2))
        return self.with_body(send, block, replace(block.body, evidence=(DoubleVote(1, one, other),)))


class SignatureRepeater(Actor):
    """Makes certificates in which its own signature stands as often as a quorum needs."""

    every_us = 80_000
    _newest: Vote | None = None

    def hear(self, event: Input) -> Input | None:
        """Follow the newest vote of the present epoch."""
        if isinstance(event, Received) and isinstance(event.message, VoteMessage):
            for vote in event.message.votes:
                if vote.kind is VoteKind.NOTARIZE and vote.epoch == self.rules.epoch:
                    self._newest = vote
        return event

    def now_and_then(self) -> Iterable[Effect]:
        """Send one."""
        vote, members = self._newest, self.rules.validators
        if vote is None or vote.epoch != self.rules.epoch or self.context.key.public not in members.keys:
            return ()
        kind = VoteKind.NULLIFY if self.acted % 2 else VoteKind.NOTARIZE
        digest = ZERO_HASH if kind is VoteKind.NULLIFY else vote.digest
        own = self.sign_vote(kind, vote.number, digest)
        times = members.quorum // members.weights[own.signer] + 1
        self.acted += 1
        return self.to_all(
            CertificateMessage(
                (Certificate(1, kind, own.epoch, own.number, digest, ((own.signer, own.signature),) * min(times, 255)),)
            )
        )


class EarlySpender(Actor):
    """Pays all of one account into its next one, and spends that before it can have arrived."""

    every_us = 500_000

    def now_and_then(self) -> Iterable[Effect]:
        """Send both payments, each to another edge, the second one first."""
        edges = self.edges()
        wallet = self.context.wallet
        if not edges or not wallet:
            return ()
        self.acted += 1
        until_ms = self.now_us // 1000 + 20_000
        until_ms -= until_ms % 20_000 - 5_000
        amount = GRANT // 2
        second, has = (wallet[1], GRANT) if len(wallet) > 1 else (SigningKey(self.context.key.public), 0)
        plans = ((second, self.context.others[-1], has + amount // 2), (wallet[0], second.public, amount))
        return [
            Send(
                edges[place % len(edges)],
                Submit(
                    (
                        sign_transfer(
                            key,
                            chain_id=self.chain.chain_id,
                            seq=0,
                            prev=ZERO_HASH,
                            to=to,
                            amount=sum_,
                            fee=1,
                            valid_until_ms=until_ms,
                        ).raw,
                    )
                ),
            )
            for place, (key, to, sum_) in enumerate(plans)
        ]


class LongChainPhone(Actor):
    """Spends its last account in four parts, which sum to it without their fees; pays for too long a time."""

    every_us = 900_000

    def now_and_then(self) -> Iterable[Effect]:
        """Send the chain to one edge, all at once."""
        edges, wallet = self.edges(), self.context.wallet
        if not edges or not wallet:
            return ()
        self.acted += 1
        now_ms = self.now_us // 1000
        until_ms = now_ms - now_ms % 20_000 + 40_000
        raws: list[bytes] = []
        prev = ZERO_HASH
        for seq in range(9):
            transaction = sign_transfer(
                wallet[-1],
                chain_id=self.chain.chain_id,
                seq=seq,
                prev=prev,
                to=self.context.others[0],
                amount=1 if seq > 3 else GRANT // 4 - 7 if seq == 3 else GRANT // 4,
                fee=7,
                valid_until_ms=until_ms,
            )
            raws.append(transaction.raw)
            prev = transaction.id
        forever_ms = now_ms - now_ms % 20_000 + 2 * self.chain.parameters.validity_ms_max
        raws.append(
            sign_transfer(
                wallet[0],
                chain_id=self.chain.chain_id,
                seq=0,
                prev=ZERO_HASH,
                to=self.context.others[-1],
                amount=1,
                fee=1,
                valid_until_ms=forever_ms,
            ).raw
        )
        return (Send(edges[self.acted % len(edges)], Submit(tuple(raws))),)


class HeaderTamperer(Leader):
    """As leader, changes one thing in the header of a block, or its body and not its header; another one in each."""

    def propose(self, send: Send, block: Block) -> Iterable[Effect]:
        """Change the height, the checkpoint, or, for odd validators, the body alone."""
        header = block.header
        choice = header.view // len(self.rules.validators) % 3
        if choice == 0:
            return self.instead(send, replace(block, header=replace(header, height=header.height + 1)))
        if choice == 1:
            last = replace(header.last_checkpoint, height=header.last_checkpoint.height + 1)
            body = replace(block.body, checkpoints=())
            return self.with_body(send, replace(block, header=replace(header, last_checkpoint=last)), body)
        if not (self.number_of(send.peer) or 0) % 2 or block.body == EMPTY_BODY:
            return (send,)
        self.acted += 1
        return (Send(send.peer, ProposalMessage(encode(replace(block, body=EMPTY_BODY))), send.after),)
