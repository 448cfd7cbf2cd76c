"""One Simplex core and what a test plays to it: blocks, votes, certificates and the passing of time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import simplex_cluster as sim

from supervm.protocol.base.codec import encode
from supervm.protocol.base.hashing import ZERO_HASH, hash_block_body, hash_justification
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.header import BlockHeader, ChainRules, Justification
from supervm.protocol.chain.votes import Certificate, Vote, VoteKind, statement
from supervm.protocol.wire.consensus import VoteMessage
from supervm.tier_l1_super.consensus.simplex import Simplex
from supervm.tier_l1_super.consensus.simplex import effects as fx
from supervm.tier_l1_super.consensus.simplex.promises import (
    FinalizePromise,
    NotarizePromise,
    NullifyPromise,
    Promise,
    decode_promise,
)

N, X, F = VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE
RULES = sim.make_rules(4)
LEAD_US = (2 * 100 + 50) * 1000
ADVANCE_US = (3 * 100 + 50) * 1000
E = TypeVar("E")


def justify(parent: BlockHeader, view: int) -> Justification:
    """A true justification, with certificates of validators 1 to 3."""
    proof = () if parent.height == 0 else (sim.certificate(N, parent.view, parent.hash, (1, 2, 3)),)
    skips = tuple(sim.certificate(X, skipped, ZERO_HASH, (1, 2, 3)) for skipped in range(parent.view + 1, view))
    return Justification(1, proof, skips)


def make_block(
    parent: BlockHeader, view: int, *, just: Justification | None = None, ts_ms: int | None = None, salt: int = 0
) -> Block:
    """A block of `view` signed by its leader."""
    just = just if just is not None else justify(parent, view)
    header = BlockHeader(
        1,
        sim.CHAIN_ID,
        0,
        view,
        parent.height + 1,
        parent.hash,
        parent.view,
        RULES.leader(view),
        (parent.ts_ms + 1 if ts_ms is None else ts_ms) + salt,
        hash_justification(encode(just)),
        hash_block_body(encode(sim.EMPTY)),
        parent.last_checkpoint,
    )
    signature = sim.KEYS[RULES.leader(view)].sign(statement(sim.CHAIN_ID, N, 0, view, header.hash))
    return Block(1, header, just, sim.EMPTY, signature)


class Solo:
    """Validator 0 of four (view v is led by v mod 4), played to by the test."""

    def __init__(
        self,
        *,
        promises: list[Promise] | None = None,
        index: int | None = 0,
        now_us: int = sim.START_US,
        finalized: tuple[BlockHeader, Certificate | None] = (sim.GENESIS, None),
        rules: ChainRules = RULES,
        shuns: Callable[[int], bool] | None = None,
        is_busy: Callable[[], bool] | None = None,
    ) -> None:
        self.core = Simplex(
            rules=rules,
            index=index,
            key=None if index is None else sim.KEYS[index],
            parameters=sim.TIMES,
            finalized=finalized,
            promises=promises or [],
            shuns=shuns,
            is_busy=is_busy,
        )
        self.now_us = now_us
        self.all: list[fx.Effect] = []
        self.step(fx.Started())

    def step(self, event: fx.Event) -> list[fx.Effect]:
        effects = self.core.step(self.now_us, event)
        self.all.extend(effects)
        return effects

    def votes(self, kind: VoteKind, *numbers: int, digest: bytes = ZERO_HASH, view: int = 1) -> list[fx.Effect]:
        return [
            one for index in numbers for one in self.step(fx.VoteReceived(index, sim.vote(index, kind, view, digest)))
        ]

    def certify(self, kind: VoteKind, view: int, digest: bytes = ZERO_HASH) -> list[fx.Effect]:
        quorum = self.core.rules.validators.quorum
        return self.step(fx.CertificateReceived(1, sim.certificate(kind, view, digest, range(1, 1 + quorum))))

    def propose(self, block: Block, sender: int | None = None) -> list[fx.Effect]:
        return self.step(fx.ProposalReceived(block.header.proposer if sender is None else sender, block))

    def verified(self, block: Block, ok: bool = True) -> list[fx.Effect]:
        return self.step(fx.BlockVerified(block.hash, ok))

    def wait(self, duration_us: int) -> list[fx.Effect]:
        """Let time pass, ticking at every deadline."""
        end, out = self.now_us + duration_us, list[fx.Effect]()
        while self.core.deadline_us is not None and self.core.deadline_us <= end:
            self.now_us = self.core.deadline_us
            out.extend(self.step(fx.Tick()))
        self.now_us = end
        return out

    def promises(self) -> list[Promise]:
        return [decode_promise(one.payload) for one in self.all if isinstance(one, fx.PersistPromise)]

    def kinds(self) -> list[str]:
        """Own votes promised, as "N1", "X2", ..."""
        names = {NotarizePromise: "N", NullifyPromise: "X", FinalizePromise: "F"}
        return [
            f"{names[type(one)]}{one.view}"
            for one in self.promises()  # type: ignore[union-attr]
            if type(one) in names
        ]


def only(effects: list[fx.Effect], kind: type[E]) -> list[E]:
    return [one for one in effects if isinstance(one, kind)]


def sent_votes(effects: list[fx.Effect]) -> list[Vote]:
    return [
        vote
        for one in only(effects, fx.Broadcast)
        if isinstance(one.message, VoteMessage)
        for vote in one.message.votes
    ]
