"""The host of the Simplex core: one instance per epoch, its effects carried out, its blocks built and checked.

Theory of operation. `step` gives the instance one event and carries out what it asks for, at once and until nothing is
left, so that one step of the node - and one write - covers everything that an input causes. A vote or proposal leaves
when the record that promises it is durable; finalized blocks are written before they are executed.

An epoch ends here when the sealing block is committed (`Simplex` then only helps laggards) and its checkpoint is
certified; `enter_epoch` starts the next instance on that block with an empty log: no promise of an epoch that is over
can be broken any more, because this node never votes in it again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from supervm.common.contract.core import earliest
from supervm.common.contract.records import Append, Prune, Record
from supervm.common.parts.ledger_tables import LEDGER, LedgerRow, stored_number
from supervm.common.parts.part import Part
from supervm.protocol.base.codec import decode, encode
from supervm.protocol.base.errors import LocalProtocolError, RemoteProtocolError
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.chain.block import Block, check_block, glance
from supervm.protocol.chain.evidence import bad_justification, double_vote
from supervm.protocol.chain.finalized import FinalizedBlocks, check_finalized_chain, decode_finalized
from supervm.protocol.chain.header import BlockHeader
from supervm.protocol.chain.votes import Certificate, Vote, VoteKind
from supervm.protocol.wire.consensus import CertificateMessage, GetBlock, ProposalMessage, VoteMessage
from supervm.protocol.wire.fields import Message

from ..batches.pool import Pool
from ..batches.voting import BatchVoter
from ..chain.executor import Executor
from ..chain.serving import Serving
from ..events import Accusation, Fork
from ..ground import Ground
from ..tables import BLOCKS, SEALS, BlockRow, SealRow
from .building import Building
from .epoch_end import EpochEnd
from .recall import FoundLog
from .simplex import Simplex
from .simplex import effects as sx
from .simplex.promises import encode_promise
from .work import Work

COMPACT_EVERY = 256
"""Blocks between compactions of the write-ahead log."""
BLOCK_BYTES_MAX = 8 << 20
PROPOSAL_BYTES_MAX = 4 << 20
"""Of a block on its way: a body of 1 MiB and a justification (`SKIP_SIGNATURES_MAX`)."""


class Consensus(Part):
    """Runs consensus at one node.

    Args:
        ground: what every part stands on.
        pool: batch bodies and certificates.
        voter: batch votes.
        executor: takes finalized blocks.
        serving: told of finalized blocks.
        epoch_end: what ends the epoch.
        log: the write-ahead log as it was found.
        fetch_chain: asks somebody for finalized blocks above the newest here.
    """

    sends = frozenset({CertificateMessage, GetBlock, ProposalMessage, VoteMessage})
    tables = (BLOCKS, SEALS)
    events = (Accusation, Fork)

    def __init__(
        self,
        ground: Ground,
        pool: Pool,
        voter: BatchVoter,
        executor: Executor,
        serving: Serving,
        epoch_end: EpochEnd,
        log: FoundLog,
        fetch_chain: Callable[[], None],
    ) -> None:
        self._ground, self._floors = ground, log.floors
        self._chain, self._seat, self._reader = ground.chain, ground.seat, ground.reader
        self._ledger, self._outbox, self._accuser = ground.ledger, ground.outbox, ground.accuser
        self._pool, self._voter, self._executor, self._serving = pool, voter, executor, serving
        self._epoch_end, self._fetch_chain = epoch_end, fetch_chain
        self._now_us = 0
        self._tokens: dict[int, int] = {}  # local promise token of Simplex -> token of the write
        self.promise_written = 0
        """Token of the newest write with a consensus promise."""
        self._work = Work(ground, pool, executor, epoch_end)
        self._building = Building(ground, pool, executor, epoch_end, self._work, lambda: self.simplex)
        self._finalizations: list[tuple[CertificateMessage, int]] = []  # of this step, and what each waits for
        self._looks = False  # something was executed in this step: there may be more to put into a block
        self._bans = 0
        self._unverified: sx.AskVerify | None = None  # waits for an ancestor: there is no verdict "absent" (P7)
        finalized, tail = self._stored_tip()
        seat = self._seat
        ground.head.found(finalized[0].height)
        self.simplex = Simplex(
            rules=seat.rules,
            index=seat.index,
            key=seat.key,
            parameters=self._chain.parameters,
            finalized=finalized,
            promises=log.promises,
            blocks=tail,
            shuns=self._shuns,
            is_busy=self._is_busy,
        )

    def _stored_tip(self) -> tuple[tuple[BlockHeader, Certificate | None], tuple[Block, ...]]:
        """Return the last finalized header, its finalization or that of a descendant, and the blocks in between."""
        height = stored_number(self._reader, "finalized_height")
        if height <= self._seat.rules.root_height:
            return (self.root, None), ()
        stored = BLOCKS.get(self._reader, height)
        if stored is None:
            raise LocalProtocolError(f"the database says height {height} is finalized but holds no such block")
        header = decode(Block, stored.block, bytes_max=BLOCK_BYTES_MAX).header
        if stored.finalization is not None:
            return (header, decode(Certificate, stored.finalization)), ()
        proof = self._serving.seal(header.height)
        if isinstance(proof, Certificate):
            return (header, proof), ()
        if proof is None:
            raise LocalProtocolError(f"the database holds no finalization of block {height}")
        return (header, proof.finalization), proof.blocks

    @property
    def root(self) -> BlockHeader:
        """Header of the block that the epoch starts from."""
        record = self._ledger.epoch_record(self._seat.rules.epoch)
        assert record is not None  # the epoch that consensus stands in has begun
        return record.root

    @property
    def deadline_us(self) -> int | None:
        """When `tick` has something to do."""
        return earliest(self.simplex.deadline_us, self._building.deadline_us)

    def start(self, now_us: int) -> None:
        """Take part from here on."""
        self.step(now_us, sx.Started())

    def tick(self, now_us: int) -> None:
        """Let the instance see the time, and build if that is due."""
        deadline = self.simplex.deadline_us
        if deadline is not None and deadline <= now_us:
            self.step(now_us, sx.Tick())
        self.build(now_us)

    def executed(self) -> None:
        """A block was executed in this step: see at its end whether there is something to put into a block."""
        self._looks = True

    def settle(self, now_us: int) -> None:
        """See whether what was executed in this step asks for another block, and pass finalizations on.

        They leave with the checkpoint votes that follow from them: one message is one wake-up of its receiver, and
        nearly all have the finalization themselves.
        """
        if self._looks:
            self._looks = False
            self.build(now_us)
        for message, after in self._finalizations:
            self._ground.broadcast(message, max(after, self._ground.head.written))
        self._finalizations.clear()

    def look_again(self, now_us: int) -> None:
        """Give the view up if its leader has been hung up on since the last time."""
        if self._bans != self._ground.manners.bans:
            self._bans = self._ground.manners.bans
            self.step(now_us, sx.Tick())

    def _shuns(self, index: int) -> bool:
        return self._ground.manners.is_banned(self._now_us, self._seat.rules.validators.node_ids[index])

    def enter_epoch(self, now_us: int) -> None:
        """Start the instance of the seat's new epoch."""
        self._unverified = None
        self._building.clear()
        self._work.enter_epoch()
        self._tokens = {}
        if self._seat.index is not None or not self._seat.amnesia:
            # a node that had lost its log votes again from here on, so it begins a new one
            self.promise_written = self._outbox.persist(Prune((self._floors.begin(),), begin=self._seat.amnesia))
            self._seat.log_begun()
        self.simplex = Simplex(
            rules=self._seat.rules,
            index=self._seat.index,
            key=self._seat.key,
            parameters=self._chain.parameters,
            finalized=(self.root, None),
            shuns=self._shuns,
            is_busy=self._is_busy,
        )
        self.start(now_us)

    # --- effects ------------------------------------------------------------------------------------------------------

    def step(self, now_us: int, event: sx.Event) -> None:
        """Step the instance and carry out what it asks for, until it asks for nothing more."""
        self._now_us = now_us
        simplex = self.simplex
        effects = simplex.step(now_us, event)
        if not effects:
            return  # most votes and certificates: one of many, or known
        pending = deque(effects)
        while pending:
            effect = pending.popleft()
            follow_up: sx.Event | None = None
            match effect:
                case sx.PersistPromise(token, payload):
                    self._keep(token, payload)
                case sx.CompactLog(view) if self._seat.index is None:
                    simplex.prune(view)
                case sx.CompactLog(view):
                    self._compact(view)
                case sx.Broadcast(message, after):
                    self._broadcast(message, self._tokens.get(after, 0))
                case sx.SendTo(index, message, after):
                    peer = self._ground.peer_of(index)
                    if peer is not None:
                        self._outbox.send(peer, message, after=self._tokens.get(after, 0))
                case sx.AskBuild():
                    self._building.ask(now_us, effect)
                    follow_up = self._building.content(now_us)
                case sx.AskVerify():
                    follow_up = self._verify(effect)
                case sx.Committed(blocks, finalization, _, tail):
                    self._commit(blocks, finalization, tail)
                case sx.FetchBlock(view, digest, indices):
                    for index in indices:
                        peer = self._ground.peer_of(index)
                        if peer is not None:
                            self._outbox.send(peer, GetBlock(view, digest))
                case sx.FetchFinalized():
                    self._fetch_chain()
                case sx.EvidenceFound(_, first, second):
                    self._accuser.accuse(double_vote(first, second))
                case sx.Blame(index, reason, penalty, code):
                    self._blame(
                        self._seat.rules.validators.node_ids[index],
                        RemoteProtocolError(reason, penalty=penalty, code=code),
                    )
                case sx.ForkFound(reason, _):
                    self._outbox.publish(Fork(reason))
                    self._outbox.halt(reason)
            if follow_up is None and not pending and self._unverified is not None:
                follow_up = self._verify(self._unverified)
            if follow_up is not None:
                pending.extend(simplex.step(now_us, follow_up))

    def _broadcast(self, message: Message, after: int) -> None:
        """Send to all; a lone finalization goes at the end of the step (`settle`)."""
        if (
            isinstance(message, CertificateMessage)
            and len(message.certificates) == 1
            and message.certificates[0].kind is VoteKind.FINALIZE
        ):
            self._finalizations.append((message, after))
        else:
            self._ground.broadcast(message, after)

    def _keep(self, token: int, payload: bytes) -> None:
        """Write a promise; a node without a seat keeps no log, since it promises nothing."""
        if self._seat.index is None:
            return
        self._tokens[token] = self.promise_written = self._outbox.persist(Append(payload))
        if len(self._tokens) > 4 * COMPACT_EVERY:
            del self._tokens[next(iter(self._tokens))]

    def _blame(self, peer: bytes, error: RemoteProtocolError) -> None:
        self._ground.manners.blame(self._now_us, peer, error)

    def unfinished(self, digest: bytes) -> tuple[Block | None, int]:
        """Return a block that is not final here, and the write that passing it on has to wait for."""
        return self.simplex.block(digest), self.promise_written

    def info(self, now_us: int) -> dict[str, Any]:
        """Return where consensus stands."""
        return {"view": self.simplex.view}

    def _verify(self, asked: sx.AskVerify) -> sx.Event | None:
        """Return the verdict on a block, or None while a block that it builds on is missing."""
        block, parent, rules = asked.block, asked.parent, self._seat.rules
        proposed = None
        self._unverified = None
        if block.body.ready and rules.progress_of(parent).next_validators_hash != ZERO_HASH:
            proposed = self._building.proposed_set(parent)
            if proposed is None:
                self._unverified = asked
                return None
        try:
            check_block(block, parent, rules, proposed)
        except RemoteProtocolError as error:
            leader = rules.validators.node_ids[block.header.proposer % len(rules.validators)]
            self._blame(leader, error)
            if error.code == "bad-justification":
                self._accuser.accuse(bad_justification(block.header, block.just, parent, block.signature))
            return sx.BlockVerified(block.hash, ok=False)
        for ref in block.body.refs:
            self._pool.add_certificate(ref, self._now_us)
        self._work.proposed(block.header.view, block.body)
        self._executor.want(block.body.refs, self._now_us)
        return sx.BlockVerified(block.hash, ok=True)

    def _commit(self, blocks: tuple[Block, ...], finalization: Certificate, tail: tuple[Block, ...]) -> None:
        last = blocks[-1].header
        self._work.committed(blocks)
        rows = [BlockRow(block.header.height, encode(block), None) for block in blocks[:-1]]
        records: list[Record] = [BLOCKS.put(row) for row in rows]
        if tail:  # the finalization is a descendant's: kept together they prove the sealing block to others
            records.append(BLOCKS.put(BlockRow(last.height, encode(blocks[-1]), None)))
            records.append(SEALS.put(SealRow(last.height, encode(FinalizedBlocks(1, tail, finalization)))))
        elif finalization.digest == last.hash:
            records.append(BLOCKS.put(BlockRow(last.height, encode(blocks[-1]), encode(finalization))))
        else:  # a piece of a long run: until the next one comes, a restart needs to know what finalized it
            records.append(BLOCKS.put(BlockRow(last.height, encode(blocks[-1]), None)))
            records.append(SEALS.put(SealRow(last.height, encode(finalization))))
        written = self._outbox.persist(*records, LEDGER.put(LedgerRow("finalized_height", last.height)))
        self._ground.head.finalized(last.height, written)
        self._serving.committed(blocks, finalization, self._now_us, tail)
        self._executor.committed(blocks, self._now_us)
        if self._seat.index is None:
            self.simplex.prune(last.view)  # no log, but the records must not pile up
        elif any(block.header.height % COMPACT_EVERY == 0 for block in blocks):
            self._compact(last.view)

    def _compact(self, view: int) -> None:
        """Rewrite the write-ahead log with what is still a promise; the commit itself is in the same write."""
        keep = [self._floors.begin(), *self.simplex.prune(view)]
        keep.extend(encode_promise(promise) for promise in self._executor.live_promises())
        keep.extend(encode_promise(promise) for promise in self._voter.live_promises())
        keep.extend(encode_promise(promise) for promise in self._epoch_end.live_promises())
        self._outbox.persist(Prune(tuple(keep)))

    def proposal(self, now_us: int, sender: int, raw: bytes) -> None:
        """Take a proposal from a validator, after a look at its header: what nobody would vote on is not read.

        Args:
            now_us: the time.
            sender: the validator's index in this epoch.
            raw: encoded `Block`.

        Raises:
            RemoteProtocolError: it is no block, or out of turn.
        """
        simplex = self.simplex
        header, signature = glance(raw)
        if simplex.wants(header):
            self.step(now_us, sx.ProposalReceived(sender, decode(Block, raw, bytes_max=PROPOSAL_BYTES_MAX)))
        elif header.epoch == self._seat.rules.epoch and not simplex.is_in_turn(header):
            raise RemoteProtocolError(
                f"its proposal for view {header.view} is of another chain, leader or order",
                penalty=50,
                code="bad-proposal",
            )
        elif sender == header.proposer and simplex.is_rival(header):
            vote = Vote(1, VoteKind.NOTARIZE, header.epoch, header.view, header.hash, sender, signature)
            self.step(now_us, sx.VoteReceived(sender, vote))  # two proposals of one view are evidence

    def chain(self, now_us: int, raw: bytes) -> bool:
        """Take finalized blocks from a peer; return whether they brought something.

        Raises:
            RemoteProtocolError: they do not follow from what is final here.
        """
        chain = decode_finalized(raw, bytes_max=BLOCK_BYTES_MAX)
        committed = self.simplex.committed
        above = tuple(block for block in chain.blocks if block.header.height > committed.height)
        if not above:
            return False
        if above[0].header.epoch > self._seat.rules.epoch:
            if above[0].header.height == committed.height + 1:
                # the next epoch has begun elsewhere, and its first block carries the proof that it may begin
                for certificate in above[0].body.checkpoints:
                    self._executor.root_certificate(now_us, certificate)
            return False
        if above[0].header.epoch < self._seat.rules.epoch:
            return False  # descendants of our root, which proved it before its checkpoint was certified here
        if self.simplex.sealed or above[0].header.height > committed.height + 1:
            return False
        chain = replace(chain, blocks=above)
        check_finalized_chain(chain, committed, self._seat.rules)
        self.step(now_us, sx.FinalizedChain(chain))
        return True

    # --- building -----------------------------------------------------------------------------------------------------

    def build(self, now_us: int) -> None:
        """Propose if this node leads and it is time; on an idle chain, say so if there is something to do now."""
        self._now_us = now_us
        built = self._building.content(now_us)
        if built is not None:
            self.step(now_us, built)
        if self.simplex.is_waiting(now_us) and self._is_busy():
            self.step(now_us, sx.BlockWanted())

    def _is_busy(self) -> bool:
        return self._building.is_busy(self._now_us)
