"""The L1 node core: consensus, batch votes, execution and serving under one contract.

`ValidatorNode` composes the parts and moves values between them; every rule is in its part. One input goes to the part
it concerns, the parts answer into the shared outbox, and consensus effects are carried out at once until none is left,
so that one step - and one write - covers everything an input causes.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence

from supervm.common.core import (
    Command,
    DialFailed,
    Durable,
    Effect,
    Input,
    Outbox,
    PeerDown,
    PeerUp,
    Received,
    Started,
    Tick,
    WorkDone,
)
from supervm.common.ledger import Applied, Ledger, SupplyMismatch
from supervm.common.peering import Peering
from supervm.common.records import Append, Prune, Put, Reader
from supervm.protocol.batch import BatchCertificate, check_batch_certificate
from supervm.protocol.block import (
    CHECKPOINT_LAG_MAX,
    Block,
    BlockBody,
    BlockHeader,
    CheckpointRef,
    FinalizedBlocks,
    check_block,
    check_finalized_chain,
)
from supervm.protocol.checkpoint import CertifiedCheckpoint
from supervm.protocol.codec import decode, encode
from supervm.protocol.errors import LocalProtocolError, RemoteProtocolError
from supervm.protocol.genesis import Chain
from supervm.protocol.hashing import hasher
from supervm.protocol.keys import SigningKey
from supervm.protocol.votes import Certificate, VoteKind
from supervm.protocol.wire.messages import (
    BatchCertificateMessage,
    BatchMessage,
    BlocksMessage,
    CertificateMessage,
    CheckpointMessage,
    ConsensusStatus,
    Follow,
    GetAccounts,
    GetBatches,
    GetBlock,
    GetBlocks,
    GetReceipt,
    Heartbeat,
    Message,
    ProposalMessage,
    VoteMessage,
)

from .checkpoints import Divergence
from .executor import Executor
from .guard import DoubleRun, DoubleRunGuard
from .messages import Info
from .pool import Pool
from .serving import Serving
from .simplex import Simplex
from .simplex import effects as sx
from .simplex.promises import (
    BatchPromise,
    CheckpointPromise,
    ConsensusPromise,
    decode_promise,
    encode_promise,
    view_of,
)
from .slots import Slots
from .voting import BatchVoter

COMPACT_EVERY = 256
"""Blocks between compactions of the write-ahead log."""
SEEN_CERTIFICATES_MAX = 4_096
LAG_BLOCKS_MAX = 64
"""Blocks that may wait for execution while this node still proposes batches, and whose bodies are kept in memory."""
QUEUED_BLOCKS_MAX = 1_024
"""Finalized blocks that wait for execution, beyond which no more are fetched."""
STATUS_US = 2_000_000
"""Time between ConsensusStatus messages to the other validators."""

_hash_seen = hasher(b"svm.seen")


class ValidatorNode:
    """One L1 node.

    Args:
        chain: the network.
        node_id: this node's id.
        key: the validator key, or None to only follow.
        reader: durable state, including the write-ahead log.
        targets: peers to dial, (node id or None, ``host:port``).
        rng: source of jitter.
        observer: True if the write-ahead log is lost or damaged: the node must not sign anything (2.8, amnesia).
        listen_us: how long to listen, before the first vote, whether the key votes elsewhere.

    Raises:
        LocalProtocolError: the key is not one of the chain's validators, or the stored state is not this chain's.
    """

    def __init__(
        self,
        *,
        chain: Chain,
        node_id: bytes,
        key: SigningKey | None,
        reader: Reader,
        targets: Sequence[tuple[bytes | None, str]],
        rng: random.Random,
        observer: bool = False,
        listen_us: int = 0,
    ) -> None:
        self.chain = chain
        self.node_id = node_id
        index = chain.validators.index_of_node.get(node_id)
        if key is not None and (index is None or chain.validators.keys[index] != key.public):
            raise LocalProtocolError("the validator key and node key are not those of one validator in this genesis")
        if observer or key is None:
            index, key = None, None
        self.index = index
        self._reader = reader
        self._outbox = Outbox()
        self.peering = Peering(self._outbox, targets, rng)
        self.ledger = Ledger(chain, reader)
        promises = [decode_promise(payload) for payload in reader.log()]
        self._slots = Slots(self.ledger.accounts, chain.parameters)
        self._slots.executed_ts_ms = self.ledger.block_header.ts_ms
        self.pool = Pool(self.ledger.accounts, chain.validators)
        self.voter = BatchVoter(
            chain,
            index,
            key,
            self._slots,
            self.pool,
            self._outbox,
            reader,
            [promise for promise in promises if isinstance(promise, BatchPromise)],
        )
        self.executor = Executor(
            chain,
            index,
            key,
            self.ledger,
            self.pool,
            self._slots,
            self._outbox,
            reader,
            [promise for promise in promises if isinstance(promise, CheckpointPromise)],
            self._peer_of,
        )
        self.executor.listen(executed=self._executed, certified=self._certified)
        self.serving = Serving(self._outbox, reader, self.ledger, self.pool)
        finalized = self._stored_tip()
        self.serving.tip = finalized[0].height
        if self.executor.tally.certified is not None:
            self.serving.certified(self.executor.tally.certified)
            self.peering.height = self.executor.tally.height
        self.simplex = Simplex(
            rules=chain.rules,
            index=index,
            key=key,
            parameters=chain.parameters,
            finalized=finalized,
            promises=promises,
        )
        views = [view_of(promise) for promise in promises if isinstance(promise, ConsensusPromise)]
        self._guard = (
            DoubleRunGuard(chain.rules, index, max([*views, finalized[0].view]))
            if index is not None and listen_us
            else None
        )
        self._listen_us = listen_us
        self._vote_from_us: int | None = None  # None: not started, or voting already
        self._tokens: dict[int, int] = {}  # local promise token of Simplex -> token of the write
        self._promise_written = 0  # token of the newest write with a consensus promise
        self._chain_held_back = False  # finalized blocks were not asked for because too many wait for execution
        self._asked: sx.AskBuild | None = None
        self._build_at_us = 0
        self._status_at_us = 0
        self._seen: dict[bytes, None] = {}
        self._now_us = 0

    def _stored_tip(self) -> tuple[BlockHeader, Certificate | None]:
        row = self._reader.get("ledger", ("finalized_height",))
        if row is None or not isinstance(row[0], int):
            return self.chain.genesis_header, None
        stored = self._reader.get("blocks", (row[0],))
        if stored is None or not isinstance(stored[0], bytes) or not isinstance(stored[1], bytes):
            raise LocalProtocolError(f"the database says height {row[0]} is finalized but holds no such block")
        return decode(Block, stored[0], bytes_max=8 << 20).header, decode(Certificate, stored[1])

    # --- the contract -------------------------------------------------------------------------------------------------

    @property
    def deadline_us(self) -> int | None:
        """When the node wants a `Tick`."""
        parts = [
            self.peering.deadline_us,
            self.simplex.deadline_us,
            self.executor.deadline_us,
            self.serving.deadline_us,
            self._status_at_us if self._guard is None else None,
            self._build_at_us if self._asked is not None else None,
            self._vote_from_us,
        ]
        return min((at for at in parts if at is not None), default=None)

    def step(self, now_us: int, event: Input) -> list[Effect]:
        """Take one input; see `supervm.common.core`."""
        self._now_us = now_us
        try:
            self._handle(event)
        except (Divergence, SupplyMismatch, DoubleRun) as error:
            self._outbox.publish("divergence", level="error", reason=str(error))
            self._outbox.halt(str(error))
        return self._outbox.drain()

    def _handle(self, event: Input) -> None:
        now_us = self._now_us
        match event:
            case Received(peer, message):
                self.peering.heard(now_us, peer)
                try:
                    self._receive(peer, message)
                except RemoteProtocolError as error:
                    self._blame(peer, error)
            case WorkDone(token, result):
                if self.voter.verified(token, result):
                    self.executor.run(self._now_us)
                    self._build()  # a certificate may have come before its body
            case Durable():
                pass
            case Tick():
                self._tick()
            case PeerUp():
                self.peering.peer_up(now_us, event)
                self._greet(event.peer)
            case PeerDown():
                self.peering.peer_down(now_us, event)
                self.serving.gone(event.peer)
            case DialFailed():
                self.peering.dial_failed(now_us, event)
            case Command(token, Info()):
                self._outbox.reply(token, self.info())
            case Command(token, request):
                self._outbox.refuse(token, f"unknown request {type(request).__name__}")
            case Started():
                if self._guard is None:
                    self._begin()
                else:
                    self._vote_from_us = now_us + self._listen_us
                self._tick()

    def _begin(self) -> None:
        """Take part: from here on this node votes."""
        self._guard = None
        self._vote_from_us = None
        self.executor.start(self._now_us)
        self._consensus(Started())

    def _tick(self) -> None:
        now_us = self._now_us
        self.peering.tick(now_us)
        if self._guard is not None:
            if self._vote_from_us is not None and self._vote_from_us <= now_us:
                self._begin()
            return
        self.executor.tick(now_us)
        self.serving.tick(now_us)
        deadline = self.simplex.deadline_us
        if deadline is not None and deadline <= now_us:
            self._consensus(Tick())
        self._build()
        if self._status_at_us <= now_us:
            self._status_at_us = now_us + STATUS_US
            status = self._status()
            for index in range(len(self.chain.validators)):
                peer = self._peer_of(index)
                if peer is not None:
                    self._outbox.send(peer, status)

    # --- messages -----------------------------------------------------------------------------------------------------

    def _receive(self, peer: bytes, message: Message) -> None:
        sender = self.chain.validators.index_of_node.get(peer)
        if self._guard is not None:
            if isinstance(message, CertificateMessage):
                self._guard.look(message.certificates)
            elif isinstance(message, Heartbeat):
                self.peering.heartbeat(peer, message)
            return  # whatever else there is to say will be said again
        match message:
            case VoteMessage(votes) if sender is not None:
                checkpoint_votes = []
                for vote in votes:
                    if vote.kind is VoteKind.CHECKPOINT:
                        checkpoint_votes.append(vote)
                    elif vote.kind is VoteKind.BATCH:
                        raise RemoteProtocolError(
                            "a batch vote travels in a message of its own, to the batch's miner",
                            penalty=50,
                            code="bad-vote",
                        )
                    else:
                        self._consensus(sx.VoteReceived(sender, vote))
                if checkpoint_votes:
                    self.executor.votes(peer, checkpoint_votes)
                    self._blame_bad_votes()
            case ProposalMessage(raw) if sender is not None:
                self._consensus(sx.ProposalReceived(sender, decode(Block, raw, bytes_max=4 << 20)))
            case CertificateMessage(certificates) if sender is not None:
                for certificate in certificates:
                    self._consensus(sx.CertificateReceived(sender, certificate))
            case BatchMessage(raw):
                if self.executor.body(raw, self._now_us):
                    self._build()
                elif sender is None:  # from a validator it answers a request that another has answered before
                    self.voter.batch(peer, raw)
            case BatchCertificateMessage(raw):
                self._certificate(raw)
            case Heartbeat():
                self.peering.heartbeat(peer, message)
            case CheckpointMessage(raw):
                self.executor.checkpoint(raw)
            case ConsensusStatus():
                if message.finalized_height > self.serving.tip + 1:
                    self._ask_chain(peer)
            case GetBlocks(from_height):
                self.serving.blocks(peer, from_height)
            case BlocksMessage(raw):
                self._chain(raw)
            case GetBlock(_, digest):
                block = self.simplex.block(digest)
                if block is not None:
                    # it may be our own proposal, whose record is not durable yet
                    self._outbox.send(peer, ProposalMessage(encode(block)), after=self._promise_written)
            case GetBatches():
                self.serving.batches(peer, message)
            case Follow(height):
                self.serving.follow(peer, height, self._now_us)
            case GetAccounts():
                self.serving.accounts(peer, message)
            case GetReceipt(transfer_id):
                self.serving.receipt(peer, transfer_id)
            case _:
                raise RemoteProtocolError(f"an L1 takes no {type(message).__name__} from this peer", code="direction")

    def _certificate(self, raw: bytes) -> None:
        name = _hash_seen(raw)
        if name in self._seen:
            return
        certificate = decode(BatchCertificate, raw, bytes_max=1 << 20)
        if certificate.header.epoch != self.chain.rules.epoch:
            raise RemoteProtocolError("the batch certificate is for another epoch", code="bad-certificate")
        check_batch_certificate(certificate, self.chain.chain_id, self.chain.validators, self.chain.rules.verify)
        self._seen[name] = None
        if len(self._seen) > SEEN_CERTIFICATES_MAX:
            del self._seen[next(iter(self._seen))]
        if self.pool.add_certificate(certificate, self._now_us):
            self.executor.want((certificate,), self._now_us)
            self._build()

    def _chain(self, raw: bytes) -> None:
        chain = decode(FinalizedBlocks, raw, bytes_max=8 << 20)
        committed = self.simplex.committed
        above = tuple(block for block in chain.blocks if block.header.height > committed.height)
        if not above:
            return
        chain = FinalizedBlocks(1, above, chain.finalization)
        check_finalized_chain(chain, committed, self.chain.rules)
        self._consensus(sx.FinalizedChain(chain))
        self._ask_chain(self._anyone())

    def _ask_chain(self, peer: bytes) -> None:
        """Ask for the next finalized blocks, unless too many wait for execution: then as soon as they are fewer."""
        self._chain_held_back = self.executor.queued >= QUEUED_BLOCKS_MAX
        if not self._chain_held_back:
            self._outbox.send(peer, GetBlocks(self.serving.tip + 1))

    def _blame(self, peer: bytes, error: RemoteProtocolError) -> None:
        self._outbox.publish(
            "rejected", level="warning", peer=peer.hex(), code=error.code, reason=error.reason, penalty=error.penalty
        )
        if error.penalty >= 50:
            self._outbox.hang_up(peer, error.code, error.reason)

    def _blame_bad_votes(self) -> None:
        for signer in self.executor.tally.bad_signers:
            error = RemoteProtocolError("its checkpoint vote is not signed by it", penalty=50, code="bad-signature")
            self._blame(self.chain.validators.node_ids[signer], error)
        self.executor.tally.bad_signers.clear()

    def _greet(self, peer: bytes) -> None:
        if peer in self.chain.validators.index_of_node:
            self._outbox.send(peer, self._status())

    def _status(self) -> ConsensusStatus:
        return ConsensusStatus(self.chain.rules.epoch, self.simplex.view, self.simplex.final.view, self.serving.tip)

    def _peer_of(self, index: int) -> bytes | None:
        node_id = self.chain.validators.node_ids[index]
        return node_id if node_id in self.peering.up else None

    def _anyone(self) -> bytes:
        """Return some connected validator; an unknown id if none is, to which nothing is sent."""
        for index in range(len(self.chain.validators)):
            peer = self._peer_of((index + self._now_us) % len(self.chain.validators))
            if peer is not None:
                return peer
        return self.node_id

    # --- consensus ----------------------------------------------------------------------------------------------------

    def _consensus(self, event: sx.Event) -> None:
        """Step Simplex and carry out what it asks for, until it asks for nothing more."""
        pending = deque(self.simplex.step(self._now_us, event))
        while pending:
            effect = pending.popleft()
            follow_up: sx.Event | None = None
            match effect:
                case sx.PersistPromise() if self.index is None:
                    pass  # an observer keeps no log: it promises nothing
                case sx.PersistPromise(token, payload):
                    self._tokens[token] = self._promise_written = self._outbox.persist(Append(payload))
                    if len(self._tokens) > 4 * COMPACT_EVERY:
                        del self._tokens[next(iter(self._tokens))]
                case sx.Broadcast(message, after):
                    token = self._tokens.get(after, 0)
                    for index in range(len(self.chain.validators)):
                        peer = self._peer_of(index) if index != self.index else None
                        if peer is not None:
                            self._outbox.send(peer, message, after=token)
                case sx.SendTo(index, message, after):
                    peer = self._peer_of(index)
                    if peer is not None:
                        self._outbox.send(peer, message, after=self._tokens.get(after, 0))
                case sx.AskBuild():
                    self._asked = effect
                    self._build_at_us = self._now_us + self.chain.parameters.block_interval_ms * 1000
                    follow_up = self._content()
                case sx.AskVerify(block, parent):
                    follow_up = self._verify(block, parent)
                case sx.Committed(blocks, finalization):
                    self._commit(blocks, finalization)
                case sx.FetchBlock(view, digest, indices):
                    for index in indices:
                        peer = self._peer_of(index)
                        if peer is not None:
                            self._outbox.send(peer, GetBlock(view, digest))
                case sx.FetchFinalized():
                    self._ask_chain(self._anyone())
                case sx.EvidenceFound(kind, first, second):
                    self._outbox.publish(
                        "evidence",
                        level="warning",
                        kind=kind,
                        signer=first.signer,
                        first=encode(first).hex(),
                        second=encode(second).hex(),
                    )
                case sx.Blame(index, reason, penalty, code):
                    self._blame(
                        self.chain.validators.node_ids[index], RemoteProtocolError(reason, penalty=penalty, code=code)
                    )
                case sx.ForkFound(reason, _):
                    self._outbox.publish("fork", level="error", reason=reason)
                    self._outbox.halt(reason)
            if follow_up is not None:
                pending.extend(self.simplex.step(self._now_us, follow_up))

    def _verify(self, block: Block, parent: BlockHeader) -> sx.Event:
        try:
            check_block(block, parent, self.chain.rules)
        except RemoteProtocolError as error:
            leader = self.chain.validators.node_ids[block.header.proposer % len(self.chain.validators)]
            self._blame(leader, error)
            return sx.BlockVerified(block.hash, ok=False)
        for ref in block.body.refs:
            self.pool.add_certificate(ref, self._now_us)
        self.executor.want(block.body.refs, self._now_us)
        return sx.BlockVerified(block.hash, ok=True)

    def _commit(self, blocks: tuple[Block, ...], finalization: Certificate) -> None:
        last = blocks[-1].header
        records = [Put("blocks", (block.header.height,), (encode(block), None)) for block in blocks[:-1]]
        records.append(Put("blocks", (last.height,), (encode(blocks[-1]), encode(finalization))))
        self.serving.after = self._outbox.persist(*records, Put("ledger", ("finalized_height",), (last.height,)))
        self.serving.committed(blocks, finalization, self._now_us)
        self.executor.committed(blocks, self._now_us)
        if self.index is None:
            self.simplex.prune(last.view)  # an observer has no log, but its records must not pile up
        elif any(block.header.height % COMPACT_EVERY == 0 for block in blocks):
            self._compact(last.view)

    def _compact(self, view: int) -> None:
        """Rewrite the write-ahead log with what is still a promise; the commit itself is in the same write."""
        keep = list(self.simplex.prune(view))
        keep.extend(encode_promise(promise) for promise in self.executor.live_promises())
        keep.extend(encode_promise(promise) for promise in self.voter.live_promises())
        self._outbox.persist(Prune(tuple(keep)))

    # --- building -----------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        if self._asked is not None:
            built = self._content()
            if built is not None:
                self._consensus(built)

    def _content(self) -> sx.Event | None:
        """Answer `AskBuild` if there is content, or if the block interval is over; None means: not yet."""
        asked = self._asked
        if asked is None:
            return None
        now_ms = self._now_us // 1000
        parent = asked.parent
        ts_ms = max(now_ms, parent.ts_ms + 1)
        ancestors = self._unexecuted_ancestors(parent)
        refs = None if ancestors is None else self.pool.select(ancestors, ts_ms)
        if not refs and self._now_us < self._build_at_us:
            return None
        reference = parent.last_checkpoint
        certificates: tuple[Certificate, ...] = ()
        certified = self.executor.tally.certified
        if certified is not None and parent.last_checkpoint.height < certified.header.height <= parent.height:
            certificate = certified.certificate()
            reference = CheckpointRef(1, certificate.number, certificate.digest)
            certificates = (certificate,)
        if parent.height + 1 - reference.height > CHECKPOINT_LAG_MAX:
            refs = ()
        self._asked = None
        return sx.Built(asked.view, BlockBody(1, refs or (), certificates), ts_ms, reference)

    def _unexecuted_ancestors(self, parent: BlockHeader) -> list[Sequence[BatchCertificate]] | None:
        """Return the references of every block above the executed one up to `parent`, oldest block first."""
        found: list[Sequence[BatchCertificate]] = []
        digest = parent.hash
        if self.executor.queued > LAG_BLOCKS_MAX:
            return None
        for _ in range(parent.height - self.simplex.committed.height):
            block = self.simplex.block(digest)
            if block is None:
                return None
            found.append(block.body.refs)
            digest = block.header.parent_hash
        found.reverse()
        return [*(block.body.refs for block in self.executor.unexecuted(LAG_BLOCKS_MAX)), *found]

    # --- news of the parts --------------------------------------------------------------------------------------------

    def _executed(self, applied: Applied) -> None:
        soon = self.executor.unexecuted(LAG_BLOCKS_MAX)
        keep = dict.fromkeys(ref.digest for block in soon for ref in block.body.refs)
        dead = self.pool.forget_dead(applied.header.ts_ms, keep, self._slots.anchored)
        self.voter.forget(dead)
        if self._chain_held_back and self.executor.queued < QUEUED_BLOCKS_MAX // 2:
            self._ask_chain(self._anyone())
        self._outbox.publish(
            "executed",
            height=applied.header.height,
            receipts=len(applied.result.receipts),
            state_root=applied.header.state_root.hex(),
        )

    def _certified(self, checkpoint: CertifiedCheckpoint) -> None:
        self.peering.height = checkpoint.header.height
        self.serving.after = self._outbox.persist()
        self.serving.certified(checkpoint)

    def info(self) -> dict[str, object]:
        """Where the node stands, for `supervm up` and for people."""
        certified = self.executor.tally.certified
        header = self.ledger.header
        return {
            "tier": 1,
            "node_id": self.node_id.hex(),
            "validator": self.index,
            "view": self.simplex.view,
            "finalized_height": self.serving.tip,
            "executed_height": header.height,
            "certified_height": 0 if certified is None else certified.header.height,
            "state_root": header.state_root.hex(),
            "supply": header.supply,
            "certified_state_root": self.chain.anchor.state_root.hex()
            if certified is None
            else certified.header.state_root.hex(),
            "signers": 0 if certified is None else len(certified.signatures),
            "fees": list(self.ledger.fees_by_tier),
            "peers": len(self.peering.up),
            "promised_transfers": len(self._slots),
            "certificates_held": len(self.pool.held),
        }
