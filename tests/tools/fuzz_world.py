"""A world that crashes at awkward moments and looks at everything that leaves a node.

Theory of operation. `WatchedWorld` is the ordinary world with three additions. A crash falls at a random place between
the writes that were asked for and those that became durable, also between the tables' part and the log's part of one
write. Every message that a node lets go is looked at: a vote must have its durable record (S6), and no node may ever,
over all its lives, emit two votes that contradict each other (S5). What was sent is remembered as raw material for
replays and for well-typed nonsense.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field

from four_tiers import FourTiers

from supervm.common.core import Effect, Persist, Send
from supervm.common.records import Append, Record
from supervm.protocol.batch import (
    Batch,
    BatchVote,
    bitmap_bits,
)
from supervm.protocol.block import Block, FinalizedBlocks
from supervm.protocol.checkpoint import CertifiedCheckpoint
from supervm.protocol.codec import decode
from supervm.protocol.hashing import ZERO_HASH
from supervm.protocol.transfer import SignedTransfer, parse_transfer
from supervm.protocol.votes import Certificate, Vote, VoteKind
from supervm.protocol.wire.messages import (
    BatchMessage,
    BatchVoteMessage,
    BlocksMessage,
    CertificateMessage,
    CheckpointMessage,
    Message,
    ProposalMessage,
    VoteMessage,
)
from supervm.sim.world import Host, World
from supervm.tier_l1_super.node import ValidatorNode
from supervm.tier_l1_super.simplex.promises import (
    BatchPromise,
    CheckpointPromise,
    FinalizePromise,
    NotarizePromise,
    NullifyPromise,
    decode_promise,
)

KEPT_PER_KIND = 40
Statement = tuple[int, int, bytes]
"""(kind, number, digest) of a vote."""


class Violation(AssertionError):
    """A rule of the protocol was broken."""


@dataclass
class Witness:
    """What one validator has made durable and said, over all its lives."""

    promised: dict[Statement, None] = field(default_factory=dict)
    bits: dict[bytes, int] = field(default_factory=dict)
    said: dict[tuple[int, int], bytes] = field(default_factory=dict)
    slots: dict[tuple[bytes, int, bytes], SignedTransfer] = field(default_factory=dict)


class WatchedWorld(World):
    """A world that crashes at awkward moments and looks at everything that leaves a node."""

    chance: random.Random
    validators: dict[bytes, int]
    chain_id: bytes

    def watch(self, net: FourTiers, chance: random.Random) -> None:
        """Begin: `chance` decides where crashes fall."""
        self.chance = chance
        self.chain_id = net.chain.chain_id
        self.validators = {node.public: index for index, node in enumerate(net.l1)}
        self.witnesses = {node.public: Witness() for node in net.l1}
        self.liars: dict[bytes, None] = {}
        self.transfers: dict[bytes, tuple[SignedTransfer, ...]] = {}
        self.captured: dict[type[Message], list[tuple[bytes, bytes, Message]]] = defaultdict(list)
        self._writes: dict[bytes, list[tuple[int, tuple[Record, ...]]]] = defaultdict(list)
        self._seen_captures = 0

    def crash(self, node_id: bytes) -> None:
        """Crash; a random part of what was asked to be written has reached the disk, perhaps half of the next."""
        host = self._hosts[node_id]
        writes = self._writes.pop(node_id, [])
        reached = self.chance.randrange(len(writes) + 1)
        for _, records in writes[:reached]:
            host.disk.commit(records)
            self._note_durable(host, records)
        if reached < len(writes) and self.chance.random() < 0.5:
            host.disk.stage(writes[reached][1])
            host.disk.crash(between=True)
        super().crash(node_id)

    def _carry_out(self, host: Host, effect: Effect) -> None:
        if isinstance(effect, Persist):
            self._writes[host.node_id].append((effect.token, effect.records))
        super()._carry_out(host, effect)

    def _release(self, host: Host) -> None:
        writes = self._writes[host.node_id]
        while writes and writes[0][0] <= host.durable:
            self._note_durable(host, writes.pop(0)[1])
        super()._release(host)

    def _note_durable(self, host: Host, records: tuple[Record, ...]) -> None:
        witness = self.witnesses.get(host.node_id)
        if witness is None:
            return
        for record in records:
            if not isinstance(record, Append):
                continue
            promise = decode_promise(record.payload)
            if isinstance(promise, NotarizePromise):
                witness.promised[VoteKind.NOTARIZE, promise.view, promise.digest] = None
            elif isinstance(promise, NullifyPromise):
                witness.promised[VoteKind.NULLIFY, promise.view, ZERO_HASH] = None
            elif isinstance(promise, FinalizePromise):
                witness.promised[VoteKind.FINALIZE, promise.view, promise.digest] = None
            elif isinstance(promise, CheckpointPromise):
                witness.promised[VoteKind.CHECKPOINT, promise.height, promise.digest] = None
            elif isinstance(promise, BatchPromise):
                bits = bitmap_bits(promise.bitmap, promise.count)
                witness.bits[promise.digest] = witness.bits.get(promise.digest, 0) | bits

    def _emit(self, host: Host, effect: Effect) -> None:
        if isinstance(effect, Send):
            kept = self.captured[type(effect.message)]
            self._seen_captures += 1
            if len(kept) < KEPT_PER_KIND:
                kept.append((host.node_id, effect.peer, effect.message))
            elif self._seen_captures % 7 == 0:
                kept[self._seen_captures % KEPT_PER_KIND] = (host.node_id, effect.peer, effect.message)
            if isinstance(effect.message, BatchMessage) and host.tier == 2:
                self.note_batch(effect.message.batch)
            if host.node_id in self.validators and host.node_id not in self.liars:
                self._look(host, effect.message)
        super()._emit(host, effect)

    def note_batch(self, raw: bytes) -> None:
        """Remember the transfers of a batch."""
        batch = decode(Batch, raw, bytes_max=8 << 20)
        self.transfers[batch.header.digest] = tuple(parse_transfer(item, self.chain_id) for item in batch.transfers)

    def _look(self, host: Host, message: Message) -> None:
        me = self.validators[host.node_id]
        if isinstance(message, VoteMessage):
            for vote in message.votes:
                self._vote(host, vote)
        elif isinstance(message, ProposalMessage):
            block = decode(Block, message.block, bytes_max=8 << 20)
            if block.header.proposer == me:
                self._say(host, VoteKind.NOTARIZE, block.header.view, block.hash)
        elif isinstance(message, CertificateMessage):
            for certificate in message.certificates:
                self._certificate(host, certificate)
        elif isinstance(message, BlocksMessage):
            self._certificate(host, decode(FinalizedBlocks, message.blocks, bytes_max=8 << 20).finalization)
        elif isinstance(message, CheckpointMessage):
            checkpoint = decode(CertifiedCheckpoint, message.checkpoint)
            if me in [signer for signer, _ in checkpoint.signatures]:
                self._say(host, VoteKind.CHECKPOINT, checkpoint.header.height, checkpoint.header.hash)
        elif isinstance(message, BatchVoteMessage):
            self._batch_vote(host, message.vote)

    def _vote(self, host: Host, vote: Vote) -> None:
        if vote.signer != self.validators[host.node_id]:
            raise Violation(f"{host.address} sent a vote of validator {vote.signer}")
        self._say(host, vote.kind, vote.number, vote.digest)

    def _certificate(self, host: Host, certificate: Certificate) -> None:
        if self.validators[host.node_id] in [signer for signer, _ in certificate.signatures]:
            self._say(host, certificate.kind, certificate.number, certificate.digest)

    def _say(self, host: Host, kind: VoteKind, number: int, digest: bytes) -> None:
        """One own signature leaves: it is on disk, and contradicts nothing that was ever said."""
        witness = self.witnesses[host.node_id]
        if (kind, number, digest) not in witness.promised:
            raise Violation(f"{host.address}: {kind.name} {number} leaves without its record")
        if witness.said.setdefault((kind, number), digest) != digest:
            raise Violation(f"{host.address}: two different {kind.name} for {number}")
        if kind in (VoteKind.NULLIFY, VoteKind.FINALIZE):
            other = VoteKind.FINALIZE if kind is VoteKind.NULLIFY else VoteKind.NULLIFY
            if (other, number) in witness.said:
                raise Violation(f"{host.address}: NULLIFY and FINALIZE of view {number}")

    def _batch_vote(self, host: Host, vote: BatchVote) -> None:
        witness = self.witnesses[host.node_id]
        bits = bitmap_bits(vote.bitmap, vote.count)
        if bits & ~witness.bits.get(vote.digest, 0):
            raise Violation(f"{host.address}: a batch vote leaves without its record")
        core = host.core
        assert isinstance(core, ValidatorNode)
        for position, transfer in enumerate(self.transfers[vote.digest]):
            if bits >> position & 1:
                body = transfer.body
                slot = (body.sender, body.seq, body.prev)
                earlier = witness.slots.setdefault(slot, transfer)
                if earlier.id != transfer.id:
                    if earlier.body.valid_until_ms >= core.ledger.block_header.ts_ms:
                        raise Violation(f"{host.address}: two live transfers supported for slot {body.seq}")
                    witness.slots[slot] = transfer
