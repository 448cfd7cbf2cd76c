"""A network that is switched off, its monitor, and signatures made by hand that are shown to the monitor."""

from __future__ import annotations

from typing import Any

from supervm.common.contract.records import Append
from supervm.protocol.base.codec import encode
from supervm.protocol.base.hashing import ZERO_HASH, hash_block_body, hash_justification
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.body import BlockBody
from supervm.protocol.chain.header import BlockHeader, CheckpointRef, Justification
from supervm.protocol.chain.votes import Certificate, Vote, VoteKind, make_certificate, statement
from supervm.protocol.wire.consensus import VoteMessage
from supervm.protocol.wire.fields import Message
from supervm.sim.exact import Deployment, Persisted, Sent
from supervm.sim.invariants import Monitor
from supervm.tier_l1_super.consensus.simplex.promises import (
    CheckpointPromise,
    FinalizePromise,
    NotarizePromise,
    NullifyPromise,
    encode_promise,
)

NOTARIZE, NULLIFY, FINALIZE, CHECKPOINT = VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE, VoteKind.CHECKPOINT


class Scene:
    """A deployment that is switched off, and a monitor to which things are said."""

    def __init__(self, **options: Any) -> None:
        self.deployment = Deployment(seed=1, **options)
        self.monitor = Monitor(self.deployment)
        self.chain = self.deployment.chain

    @property
    def broken(self) -> set[str]:
        return {violation.name for violation in self.monitor.violations}

    def sent(self, sender: str, message: Message, receiver: str = "l1-0") -> None:
        host = self.deployment.host
        self.monitor._on(Sent(1, host(sender), host(receiver), message, b""))

    def durable(self, name: str, *payloads: Any) -> None:
        self.monitor._on(
            Persisted(1, self.deployment.host(name), 1, tuple(Append(encode_promise(payload)) for payload in payloads))
        )

    def vote(
        self, signer: int, kind: VoteKind, number: int, digest: bytes = ZERO_HASH, *, recorded: bool = True
    ) -> Vote:
        promise: Any = {
            NOTARIZE: NotarizePromise(1, 0, number, digest, ()),
            NULLIFY: NullifyPromise(1, 0, number),
            FINALIZE: FinalizePromise(1, 0, number, digest),
            CHECKPOINT: CheckpointPromise(1, number, digest),
        }[kind]
        if recorded:
            self.durable(f"l1-{signer}", promise)
        signed = self.deployment.validators[signer].sign(statement(self.chain.chain_id, kind, 0, number, digest))
        return Vote(1, kind, 0, number, digest, signer, signed)

    def say(self, signers: range | tuple[int, ...], kind: VoteKind, number: int, digest: bytes = ZERO_HASH) -> None:
        for signer in signers:
            self.sent(f"l1-{signer}", VoteMessage((self.vote(signer, kind, number, digest),)), "l1-3")

    def certificate(
        self, kind: VoteKind, number: int, digest: bytes, signers: tuple[int, ...] = (0, 1, 2)
    ) -> Certificate:
        return make_certificate(
            kind,
            0,
            number,
            digest,
            {
                signer: self.deployment.validators[signer].sign(statement(self.chain.chain_id, kind, 0, number, digest))
                for signer in signers
            },
        )

    def block(self, view: int, parent: Block | None = None, just: Justification | None = None, ts: int = 0) -> Block:
        body = BlockBody(1, (), ())
        above: BlockHeader = self.chain.genesis_header if parent is None else parent.header
        if just is None:
            certificate = () if parent is None else (self.certificate(NOTARIZE, above.view, above.hash),)
            skipped = tuple(self.certificate(NULLIFY, number, ZERO_HASH) for number in range(above.view + 1, view))
            just = Justification(1, certificate, skipped)
        leader = self.chain.rules.leader(view)
        made = BlockHeader(
            1,
            self.chain.chain_id,
            0,
            view,
            above.height + 1,
            above.hash,
            above.view,
            leader,
            above.ts_ms + 1 + ts,
            hash_justification(encode(just)),
            hash_block_body(encode(body)),
            CheckpointRef(1, 0, self.chain.anchor.hash),
        )
        signature = self.deployment.validators[leader].sign(
            statement(self.chain.chain_id, NOTARIZE, 0, view, made.hash)
        )
        block = Block(1, made, just, body, signature)
        self.monitor.facts.blocks[block.hash] = block
        return block


A, B = bytes([1]) * 32, bytes([2]) * 32
