"""Peers that cost: they flood, repeat and fill, and every byte of it is allowed by its form (network.md 7, N2).

What they may cost an honest node is an invariant (`invariants/costs.py`); that payments go on meanwhile is in
tests/sim/test_attacks.py. Each does its worst every `every_us`, to every node that would listen.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from supervm.common.contract.core import Core, Effect, Input, Received, Send
from supervm.protocol.base.codec import encode
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.base.keys import SigningKey
from supervm.protocol.chain.batch import Batch, batch_header, miner_statement
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.body import EMPTY_BODY
from supervm.protocol.chain.header import Justification
from supervm.protocol.chain.votes import Vote, VoteKind
from supervm.protocol.money.transaction import sign_transfer
from supervm.protocol.wire.chain import (
    BatchCertificateMessage,
    BatchMessage,
    Follow,
    GetBatches,
    GetBlocks,
    GetSnapshot,
)
from supervm.protocol.wire.consensus import GetBlock, ProposalMessage, VoteMessage
from supervm.protocol.wire.fields import Message
from supervm.protocol.wire.payments import GetValidatorChanges
from supervm.tier_l1_super.node import ValidatorNode

from .actor import Actor, named

replace = msgspec.structs.replace
REQUESTS_PER_ROUND = 100
"""Questions to each validator every 100 ms."""
VOTES_PER_MESSAGE = 100
REPEATS_PER_ROUND = 20
POOR_TRANSACTIONS = 20
"""Transactions in each batch of a filler."""
POOR_BATCHES = 4
"""Its batches every 100 ms."""


def _validator(core: Core) -> ValidatorNode:
    assert isinstance(core, ValidatorNode)
    return core


class Flooder(Actor):
    """Sends what `flood` returns to every L1, ten times a second."""

    every_us = 100_000

    def now_and_then(self) -> Iterable[Effect]:
        """Flood."""
        effects = [Send(peer, message) for peer, tier in self.up.items() if tier == 1 for message in self.flood()]
        self.acted += len(effects)
        return effects

    def flood(self) -> Iterable[Message]:
        """Return what one validator gets."""
        return ()


@named("request-flooder", 1)
class RequestFlooder(Flooder):
    """Asks every L1 for the whole chain, a thousand times a second, in all the ways there are."""

    def flood(self) -> Iterable[Message]:
        """Ask for what is cheap to ask for and dear to answer."""
        kinds: tuple[Message, ...] = (
            GetBlocks(1),
            Follow(0),
            GetBlock(1, ZERO_HASH),
            GetBatches((ZERO_HASH,) * 64),
            GetSnapshot(0, ZERO_HASH, 0),
            GetValidatorChanges(0),
        )
        return [kinds[number % len(kinds)] for number in range(REQUESTS_PER_ROUND)]


@named("vote-repeater", 1)
class VoteRepeater(Flooder):
    """Votes once as it should, and then for other things with signatures that are none, over and over."""

    def flood(self) -> Iterable[Message]:
        """Repeat rivals of votes that it gave, and votes for what nobody knows as yet."""
        node = _validator(self.inner)
        certified = node.executor.tally.certified
        height = 1 if certified is None else certified.header.height + 1
        honest = self.sign_vote(VoteKind.CHECKPOINT, height + 40, b"\x01" * 32)
        rivals = tuple(
            Vote(1, VoteKind.CHECKPOINT, honest.epoch, honest.number, bytes([number]) * 32, self.index, b"\x02" * 64)
            for number in range(VOTES_PER_MESSAGE)
        )
        second = self.sign_vote(VoteKind.NOTARIZE, node.simplex.view, b"\x03" * 32)
        return [VoteMessage((honest,)), VoteMessage(rivals), *[VoteMessage((second,))] * REPEATS_PER_ROUND]


@named("certificate-replayer", 2)
class CertificateReplayer(Flooder):
    """Sends every batch certificate that it has ever seen again and again."""

    every_us = 100_000

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._seen: dict[bytes, None] = {}
        self._turn = 0

    def say(self, send: Send) -> Iterable[Effect]:
        """Remember what the correct core sends."""
        if isinstance(send.message, BatchCertificateMessage):
            self._seen[send.message.certificate] = None
        return (send,)

    def hear(self, event: Input) -> Input | None:
        """Remember what others send."""
        if isinstance(event, Received) and isinstance(event.message, BatchCertificateMessage):
            self._seen[event.message.certificate] = None
        return event

    def flood(self) -> Iterable[Message]:
        """Repeat the next ones."""
        seen = list(self._seen)
        if not seen:
            return ()
        self._turn += REPEATS_PER_ROUND
        return [BatchCertificateMessage(seen[(self._turn + step) % len(seen)]) for step in range(REPEATS_PER_ROUND)]


@named("disk-filling-miner", 2)
class DiskFillingMiner(Flooder):
    """Makes batches of genuine transactions of people who have nothing, each time another edge's."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._poor = SigningKey(bytes([7]) * 32)
        self._seq = 0

    def flood(self) -> Iterable[Message]:
        """Return batches that no transaction of can run."""
        return [self._batch() for _ in range(POOR_BATCHES)]

    def _batch(self) -> BatchMessage:
        transactions = []
        for _ in range(POOR_TRANSACTIONS):
            self._seq += 1
            transactions.append(
                sign_transfer(
                    self._poor,
                    chain_id=self.chain.chain_id,
                    seq=self._seq % 1000,
                    prev=ZERO_HASH,
                    to=b"\x05" * 32,
                    amount=self._seq,
                    fee=1,
                    valid_until_ms=self.now_us // 1000 + 60_000,
                    payload=bytes(200),
                ).raw
            )
        header = batch_header(self.chain.chain_id, self.rules.epoch, self.context.key.public, tuple(transactions))
        signature = self.context.key.sign(miner_statement(header.digest))
        return BatchMessage(encode(Batch(2, header, signature, tuple(transactions))))


@named("early-filler", 1)
class EarlyFiller(Flooder):
    """Fills the room for messages of the next epoch, with proposals and votes that nobody asked for."""

    def flood(self) -> Iterable[Message]:
        """Return proposals and votes of the next epoch."""
        committed = _validator(self.inner).simplex.committed
        header = replace(committed, epoch=self.rules.epoch + 1, view=1, height=committed.height + 1)
        early = encode(Block(1, header, Justification(1, (), ()), EMPTY_BODY, bytes(64)))
        vote = self.sign_vote(VoteKind.NOTARIZE, 1, b"\x04" * 32, ahead=1)
        return [*[ProposalMessage(early)] * REPEATS_PER_ROUND, VoteMessage((vote,) * VOTES_PER_MESSAGE)]
