"""Two ends of a snapshot in memory: a chain with many accounts, nodes that offer its state, and one that takes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache

import msgspec
from chain_tools import GENESIS_TIME_MS, TestChain, make_test_chain

from supervm.common.contract.core import Effect, Outbox, Persist, Send
from supervm.common.parts.ledger import Ledger
from supervm.common.parts.ledger_tables import LEDGER_TABLES
from supervm.common.parts.snapshot.offering import SnapshotOffers
from supervm.common.parts.snapshot.taking import SnapshotTaker
from supervm.common.parts.validator_changes import CHANGE_TABLES, ChangeStore
from supervm.common.storage.memory import MemoryStore
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.chain.batch_certificate import CertifiedBatch
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.body import OwnSignatures
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint
from supervm.protocol.chain.controls import progress_after
from supervm.protocol.chain.epoch import next_epoch
from supervm.protocol.chain.set_change import proposed_set
from supervm.protocol.chain.votes import VoteKind
from supervm.protocol.money.transaction import SignedTransaction
from supervm.protocol.wire.chain import GetSnapshot, SnapshotChunk
from supervm.protocol.wire.frames import decode_message, encode_message
from supervm.protocol.wire.payments import GetValidatorChanges, ValidatorChanges

replace = msgspec.structs.replace
EVERY = 8
"""Blocks of an epoch."""
TABLES = (*LEDGER_TABLES, *CHANGE_TABLES)

Step = tuple[Block, list[CertifiedBatch], list[SignedTransaction]]


def many_accounts(count: int) -> tuple[TestChain, list[Step]]:
    """Return a chain and `count` blocks, each of which pays nine new accounts.

    Every `EVERY` blocks an epoch ends. Every second one ends with a change of validators: the first one weighs two
    from then on, or one again. The same three are a quorum of either set.
    """
    chain = make_test_chain()
    steps: list[Step] = []
    epoch = chain.chain.first_epoch
    parent, rules = chain.genesis_header, chain.rules
    for number in range(count):
        height = number + 1
        made = [chain.transaction("alice", chain.account(f"to{number}-{i}"), amount=7, fee=9) for i in range(9)]
        batch = chain.batch(made, epoch=epoch.number)
        change = None
        ready: OwnSignatures = ()
        if height % (2 * EVERY) == 0:
            first, *others = rules.validators.members
            change = chain.set_change((replace(first, weight=3 - first.weight), *others))
            ready = tuple((signer, chain.vote(signer, VoteKind.NEXT_READY, 0).signature) for signer in range(3))
        block = chain.block(
            parent,
            refs=[chain.batch_certificate(batch)],
            closes=(0, 1, 2) if height % EVERY == 0 else (),
            change=change,
            ready=ready,
        )
        header = replace(
            block.header, epoch=rules.epoch, progress=progress_after(rules.progress_of(parent), block.body)
        )
        block = replace(block, header=header)
        steps.append((block, [chain.certified(batch)], made))
        parent = header
        if rules.is_sealed(header):
            proposed = None if change is None else proposed_set(change.validators)
            epoch = next_epoch(header, rules, proposed)
            rules = chain.chain.rules_of(epoch)
    return chain, steps


class Offering:
    """A node that has executed `steps` and offers snapshots of the roots of its epochs."""

    def __init__(self, chain: TestChain, steps: Iterable[Step]) -> None:
        self.chain = chain
        self.outbox = Outbox()
        self.store = MemoryStore(TABLES)
        self.ledger = Ledger(chain.chain, self.store)
        self.changes = ChangeStore(self.store, Outbox())
        self.checkpoints: dict[int, CertifiedCheckpoint] = {}
        self.answered: list[tuple[int, bytes, int]] = []
        self.offers = SnapshotOffers(self.outbox, lambda *answer: self.answered.append(answer), lambda: 0)
        for step in steps:
            self.apply(step)

    def apply(self, step: Step) -> None:
        """Execute one more block and certify it."""
        applied = self.ledger.apply(step[0], step[1])
        self.store.commit(applied.records)
        height = applied.header.height
        checkpoint = self.checkpoints[height] = self.chain.certify_checkpoint(applied.header)
        if self.ledger.epoch.root == step[0].header:
            view = self.ledger.view(height)
            assert view is not None
            self.offers.sealed(self.ledger.epoch, view, self.ledger.peaks())
            self.changes.sealed(checkpoint, self.ledger.epoch.validators)
        self.offers.certified(checkpoint)

    def answer(self, now_us: int, request: GetSnapshot) -> SnapshotChunk:
        """Return the answer to a request, as it comes over the wire."""
        self.offers.ask(now_us, b"taker", request)
        deadline_us = self.offers.deadline_us
        if deadline_us is not None:
            self.offers.tick(deadline_us)
        [effect] = self.outbox.drain()
        assert isinstance(effect, Send)
        answer = decode_message(encode_message(effect.message))
        assert isinstance(answer, SnapshotChunk)
        return answer


Answer = Callable[[GetSnapshot], SnapshotChunk | None]
"""A peer: a request in, an answer out, or None for silence."""


@cache
def _all_changes() -> ChangeStore:
    return Offering(*many_accounts(5 * EVERY)).changes


START_US = (GENESIS_TIME_MS + 3_600_000) * 1_000
"""When every node of these tests starts: after all blocks were made."""


def known_changes(peer: bytes, request: GetValidatorChanges) -> ValidatorChanges | None:
    """Answer as every honest peer does: with all changes there are."""
    return _all_changes().answer(request.after_height)


@dataclass
class Taking:
    """A node at genesis that takes a snapshot from `peers`; writes are staged and become durable at once by default.

    `ratchet` is what a peer that is up answers when it is asked for changes of validators.
    """

    chain: TestChain
    peers: dict[bytes, Answer]
    store: MemoryStore = field(default_factory=lambda: MemoryStore(TABLES))
    ratchet: Callable[[bytes, GetValidatorChanges], ValidatorChanges | None] = known_changes
    now_us: int = START_US
    asked: list[tuple[bytes, GetSnapshot]] = field(default_factory=list)
    asked_changes: list[tuple[bytes, int]] = field(default_factory=list)
    errors: list[tuple[bytes, RemoteProtocolError]] = field(default_factory=list)
    durable: bool = True

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begin, again after a crash, with what is on disk."""
        self.outbox = Outbox()
        self.ledger = Ledger(self.chain.chain, self.store)
        self.changes = ChangeStore(self.store, self.outbox)
        self.taker = SnapshotTaker(
            self.chain.chain, self.outbox, self.store, self.changes, lambda: list(self.peers), self.ledger.height
        )

    def effects(self) -> list[tuple[bytes, GetSnapshot]]:
        """Stage what is to be written, answer questions for changes, and return what snapshots are asked for."""
        asks: list[tuple[bytes, GetSnapshot]] = []
        effects: list[Effect] = self.outbox.drain()
        while effects:
            for effect in effects:
                if isinstance(effect, Persist):
                    self.store.stage(effect.records)
                    if self.durable:
                        self.store.flush()
                elif isinstance(effect, Send) and isinstance(effect.message, GetSnapshot):
                    asks.append((effect.peer, effect.message))
                elif isinstance(effect, Send) and isinstance(effect.message, GetValidatorChanges):
                    self.asked_changes.append((effect.peer, effect.message.after_height))
                    answer = self.ratchet(effect.peer, effect.message) if effect.peer in self.peers else None
                    if answer is not None:
                        self._give(effect.peer, lambda peer, item=answer: self.taker.followed(self.now_us, peer, item))
            effects = self.outbox.drain()
        self.asked += asks
        return asks

    def _give(self, peer: bytes, give: Callable[[bytes], None]) -> None:
        """Give an answer to the taker; a peer that it blames is gone."""
        try:
            give(peer)
        except RemoteProtocolError as error:
            self.errors.append((peer, error))
            self.peers.pop(peer, None)
            self.taker.gone(self.now_us, peer)

    def run(self, steps: int = 1_000) -> bool:
        """Pass questions and answers on, and the time where there is silence; return whether all leaves are here."""
        for _ in range(steps):
            if self.taker.finished is not None:
                self.effects()
                return True
            asks = self.effects()
            for peer, request in asks:
                answer = self.peers[peer](request) if peer in self.peers else None
                if answer is not None:
                    self._give(peer, lambda peer, item=answer: self.taker.chunk(self.now_us, peer, item))
            if not asks:
                deadline_us = self.taker.deadline_us
                if deadline_us is None:
                    return False
                self.now_us = max(self.now_us, deadline_us)
                self.taker.tick(self.now_us)
        return self.taker.finished is not None

    def adopt(self) -> None:
        """Put the finished snapshot in the place of the state."""
        self.store.commit(self.taker.records())
        self.ledger.reload()
        self.taker.adopted(self.ledger.height)
