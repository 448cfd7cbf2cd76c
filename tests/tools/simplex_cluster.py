"""A cluster of Simplex cores under virtual time, with a network, disks and crashes that a seed decides.

Everything a node sends is checked on its way out: no honest signature leaves before its promise is durable (S6), no
honest pair of contradicting signatures (S5), and over the whole run no two blocks final at one height (S1, S2), no view
both final and nullified (S3), one notarized block per view (S4).
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable
from hashlib import blake2b

from supervm.protocol.base.codec import decode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.chain.block import Block, check_block
from supervm.protocol.chain.body import BlockBody
from supervm.protocol.chain.finalized import FinalizedBlocks, check_finalized_chain
from supervm.protocol.chain.genesis import Parameters
from supervm.protocol.chain.header import ChainRules, CheckpointRef, genesis_block_header
from supervm.protocol.chain.spans import Span, span_of
from supervm.protocol.chain.validators import Validator, ValidatorSet
from supervm.protocol.chain.votes import Certificate, Vote, VoteKind, make_certificate, statement
from supervm.protocol.wire.consensus import CertificateMessage, ProposalMessage, VoteMessage
from supervm.protocol.wire.fields import Message
from supervm.tier_l1_super.consensus.simplex import Simplex
from supervm.tier_l1_super.consensus.simplex import effects as fx
from supervm.tier_l1_super.consensus.simplex.promises import (
    FinalizePromise,
    NotarizePromise,
    NullifyPromise,
    SpanPromise,
    decode_promise,
)

CHAIN_ID = bytes([7]) * 32
N, X, F, S = VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE, VoteKind.NULLIFY_SPAN
TIMES = Parameters(2, view_timeout_ms=100, view_timeout_ms_max=2_000, block_interval_ms=50)
EMPTY = BlockBody(1, (), ())
START_US = 1_000_000_000
GENESIS = genesis_block_header(CHAIN_ID, START_US // 1000, ZERO_HASH)


class FastKey:
    """A stand-in for ed25519 that only honest test code respects: the public key is the secret."""

    def __init__(self, public: bytes) -> None:
        self.public = public

    def sign(self, message: bytes) -> bytes:
        return blake2b(self.public + message, digest_size=64).digest()


def fast_verify(public: bytes, message: bytes, signature: bytes) -> bool:
    return FastKey(public).sign(message) == signature


KEYS = [FastKey(bytes([index]) * 32) for index in range(1, 65)]


def make_rules(count: int, weights: tuple[int, ...] | None = None) -> ChainRules:
    members = [
        Validator(1, KEYS[index].public, bytes([100 + index]) * 32, weights[index] if weights else 1, bytes(32))
        for index in range(count)
    ]
    return ChainRules(CHAIN_ID, 0, ValidatorSet(members), tuple(range(count)), fast_verify)


def vote(index: int, kind: VoteKind, view: int, digest: bytes = ZERO_HASH) -> Vote:
    return Vote(1, kind, 0, view, digest, index, KEYS[index].sign(statement(CHAIN_ID, kind, 0, view, digest)))


def certificate(kind: VoteKind, view: int, digest: bytes, signers: Iterable[int]) -> Certificate:
    return make_certificate(
        kind, 0, view, digest, {index: vote(index, kind, view, digest).signature for index in signers}
    )


class Violation(AssertionError):
    """A safety rule was broken."""


class Monitor:
    """Remembers every signature and certificate ever sent and every commit."""

    def __init__(self, honest: Iterable[int]) -> None:
        self.honest = dict.fromkeys(honest)
        self.signed: dict[tuple[int, VoteKind, int], bytes] = {}
        self.certified: dict[tuple[VoteKind, int], bytes] = {}
        self.final: dict[int, bytes] = {}
        self.spans: dict[tuple[int, Span], None] = {}
        self.certified_spans: dict[Span, None] = {}
        self.evidence: list[fx.EvidenceFound] = []
        self.blames: list[fx.Blame] = []

    def signature(self, index: int, kind: VoteKind, view: int, digest: bytes) -> None:
        if index not in self.honest:
            return
        if kind is S:
            span = span_of(view, digest)
            assert span is not None
            if (index, span) not in self.spans:
                self.spans[index, span] = None
                if any((index, F, below) in self.signed for below in range(span.first, span.last + 1)):
                    raise Violation(f"S5: {index} signed a span up to {view} and Finalize of one of its views")
            return
        if kind is F and any(who == index and span.first <= view <= span.last for who, span in self.spans):
            raise Violation(f"S5: {index} signed Finalize of view {view} and a span that holds it")
        if self.signed.setdefault((index, kind, view), digest) != digest:
            raise Violation(f"S5: {index} signed two {kind.name} in view {view}")
        rival = {X: F, F: X}.get(kind)
        if rival is not None and (index, rival, view) in self.signed:
            raise Violation(f"S5: {index} signed Nullify and Finalize in view {view}")

    def certificate(self, held: Certificate) -> None:
        if held.kind is S:
            span = span_of(held.number, held.digest)
            assert span is not None
            if span not in self.certified_spans:
                self.certified_spans[span] = None
                if any((F, view) in self.certified for view in range(span.first, span.last + 1)):
                    raise Violation(f"S3: a span up to {held.number} holds a final view")
            return
        if held.kind is F and any(span.first <= held.number <= span.last for span in self.certified_spans):
            raise Violation(f"S3: view {held.number} is final and in a certified span")
        if self.certified.setdefault((held.kind, held.number), held.digest) != held.digest:
            raise Violation(f"S4: two {held.kind.name} certificates in view {held.number}")
        rival = {X: F, F: X}.get(held.kind)
        if rival is not None and (rival, held.number) in self.certified:
            raise Violation(f"S3: view {held.number} is final and nullified")

    def committed(self, height: int, block_hash: bytes) -> None:
        if self.final.setdefault(height, block_hash) != block_hash:
            raise Violation(f"S1: two final blocks at height {height}")


class Node:
    """A host of one core: a disk that syncs in order, a chain, and answers to its peers."""

    def __init__(self, cluster: Cluster, index: int | None, *, reach: Callable[[int], bool] | None = None) -> None:
        self.cluster, self.index, self.reach = cluster, index, reach
        self.disk: list[bytes] = []
        self.chain: list[Block] = []
        self.finalization: Certificate | None = None
        self.durable_promises: dict[tuple[VoteKind, int, bytes], None] = {}
        self.life = 0
        self.up = False
        self.silent_leader = False
        self.commit_times: list[int] = []
        self.start()

    # life and death

    def start(self) -> None:
        header = self.chain[-1].header if self.chain else GENESIS
        self.simplex = self.cluster.make(
            rules=self.cluster.rules,
            index=self.index,
            key=None if self.index is None else KEYS[self.index],
            parameters=self.cluster.times,
            finalized=(header, self.finalization),
            promises=[decode_promise(payload) for payload in self.disk],
        )
        self.life += 1
        self.up = True
        self.live_chain = list(self.chain)
        self.live_finalization = self.finalization
        self.writing: list[tuple[int, list[bytes], list[fx.Effect]]] = []
        self.write_until = 0
        self.durable_token = 0
        self.waiting: list[tuple[int, int | None, Message]] = []
        self.tick_at: int | None = None
        self.later(self.cluster.rng.randrange(1000), lambda: self.step(fx.Started()))

    def crash(self) -> None:
        """Everything not durable is gone."""
        self.up = False
        self.life += 1

    def later(self, delay_us: int, action: Callable[[], None]) -> None:
        life = self.life

        def run() -> None:
            if self.up and self.life == life:
                action()

        self.cluster.at(self.cluster.now + delay_us, run)

    # the contract

    def step(self, event: fx.Event) -> None:
        cluster = self.cluster
        if self.simplex.view == 0 and not isinstance(event, fx.Started):
            return  # the process is still starting
        effects = self.simplex.step(cluster.now, event)
        payloads: list[bytes] = []
        commits: list[Block] = []
        compact: int | None = None
        token = 0
        for effect in effects:
            if isinstance(effect, fx.PersistPromise):
                payloads.append(effect.payload)
                token = effect.token
            elif isinstance(effect, fx.CompactLog):
                compact = effect.view
            elif isinstance(effect, fx.Committed):
                self.live_chain.extend(effect.blocks)
                commits.extend(effect.blocks)
                self.live_finalization = effect.finalization
                self.commit_times.append(cluster.now)
                for block in effect.blocks:
                    cluster.monitor.committed(block.header.height, block.hash)
        heights = [block.header.height for block in self.live_chain]
        assert heights == list(range(1, len(heights) + 1)), "P11: commits are not consecutive"
        if payloads or commits:
            delay = cluster.rng.randrange(cluster.disk_us + 1)
            self.write_until = max(self.write_until, cluster.now + delay)
            finalization = self.live_finalization
            written = token

            def durable() -> None:
                self.disk.extend(payloads)
                for payload in payloads:
                    self.note(payload)
                if commits:
                    self.chain.extend(commits)
                    self.finalization = finalization
                if commits or compact is not None:
                    view = self.chain[-1].header.view if commits else compact
                    assert view is not None
                    self.disk = list(self.simplex.prune(view))
                    for payload in self.disk:  # the rewritten log holds what was still being appended, too
                        self.note(payload)
                self.durable_token = max(self.durable_token, written)
                self.flush()

            if delay:
                self.later(self.write_until - cluster.now, durable)
            for effect in effects:
                self.carry_out(effect)
            if not delay:
                self.later(self.write_until - cluster.now, durable)
        else:
            for effect in effects:
                self.carry_out(effect)
        self.flush()
        self.arm()

    def note(self, payload: bytes) -> None:
        promise = decode_promise(payload)
        if isinstance(promise, NotarizePromise):
            self.durable_promises[N, promise.view, promise.digest] = None
        elif isinstance(promise, NullifyPromise):
            self.durable_promises[X, promise.view, ZERO_HASH] = None
        elif isinstance(promise, FinalizePromise):
            self.durable_promises[F, promise.view, promise.digest] = None
        elif isinstance(promise, SpanPromise):
            span = Span(promise.view, promise.width)
            self.durable_promises[S, span.last, span.digest] = None

    def arm(self) -> None:
        deadline = self.simplex.deadline_us
        armed = self.tick_at
        if deadline is not None and (armed is None or deadline < armed or armed < self.cluster.now):
            self.tick_at = deadline
            self.later(max(0, deadline - self.cluster.now), self.tick)

    def tick(self) -> None:
        self.tick_at = None
        deadline = self.simplex.deadline_us
        if deadline is not None and deadline <= self.cluster.now:
            self.step(fx.Tick())
            assert self.simplex.deadline_us is None or self.simplex.deadline_us > self.cluster.now, "a tick spins"
        else:
            self.arm()

    def carry_out(self, effect: fx.Effect) -> None:
        cluster = self.cluster
        if isinstance(effect, fx.Broadcast):
            self.waiting.append((effect.after, None, effect.message))
        elif isinstance(effect, fx.SendTo):
            self.waiting.append((effect.after, effect.index, effect.message))
        elif isinstance(effect, fx.AskBuild):
            if not self.silent_leader:
                view = effect.view
                self.later(
                    cluster.build_us,
                    lambda: self.step(
                        fx.Built(view, EMPTY, cluster.now // 1000 + self.life, CheckpointRef(1, 0, ZERO_HASH))
                    ),
                )
        elif isinstance(effect, fx.AskVerify):
            try:
                check_block(effect.block, effect.parent, cluster.rules)
                ok = True
            except RemoteProtocolError:
                ok = False
            block_hash = effect.block.hash
            self.later(cluster.verify_us, lambda: self.step(fx.BlockVerified(block_hash, ok)))
        elif isinstance(effect, fx.FetchBlock):
            for peer in effect.from_indices:
                cluster.request(self, peer, effect.hash)
        elif isinstance(effect, fx.FetchFinalized):
            for peer in range(cluster.count):
                cluster.request_chain(self, peer, effect.from_height)
        elif isinstance(effect, fx.EvidenceFound):
            cluster.monitor.evidence.append(effect)
        elif isinstance(effect, fx.Blame):
            cluster.monitor.blames.append(effect)
        elif isinstance(effect, fx.ForkFound):
            raise Violation(effect.reason)

    def flush(self) -> None:
        held: list[tuple[int, int | None, Message]] = []
        for after, index, message in self.waiting:
            if after > self.durable_token:
                held.append((after, index, message))
                continue
            self.check_leaving(message)
            for peer in range(self.cluster.count) if index is None else (index,):
                if peer != self.index and (self.reach is None or self.reach(peer)):
                    self.cluster.send(self, peer, message)
        self.waiting = held

    def check_leaving(self, message: Message) -> None:
        """S5 and S6 over every signature of ours in the message, also those inside certificates."""
        votes: list[tuple[VoteKind, int, bytes]] = []
        certificates: tuple[Certificate, ...] = ()
        if isinstance(message, VoteMessage):
            votes = [(one.kind, one.number, one.digest) for one in message.votes]
        elif isinstance(message, CertificateMessage):
            certificates = message.certificates
        elif isinstance(message, ProposalMessage):
            block = self.cluster.decode(message.block)
            votes = [(N, block.header.view, block.hash)]
            certificates = block.just.parent + block.just.nullifications
        for one in certificates:
            self.cluster.monitor.certificate(one)
            if any(index == self.index for index, _ in one.signatures):
                votes.append((one.kind, one.number, one.digest))
        for kind, view, digest in votes:
            assert self.index is not None
            self.cluster.monitor.signature(self.index, kind, view, digest)
            if self.index in self.cluster.monitor.honest and (kind, view, digest) not in self.durable_promises:
                raise Violation(f"S6: {self.index} sent {kind.name} of view {view} before it was durable")

    def later_if_up(self, delay_us: int, sender: int, message: Message) -> None:
        """Deliver a message if the node is up then, whether or not it is up now."""

        def arrive() -> None:
            if self.up:
                self.receive(sender, message)

        self.cluster.at(self.cluster.now + delay_us, arrive)

    def receive(self, sender: int, message: Message) -> None:
        if isinstance(message, VoteMessage):
            for one in message.votes:
                self.step(fx.VoteReceived(sender, one))
        elif isinstance(message, CertificateMessage):
            for held in message.certificates:
                self.step(fx.CertificateReceived(sender, held))
        elif isinstance(message, ProposalMessage):
            self.step(fx.ProposalReceived(sender, self.cluster.decode(message.block)))

    def find(self, block_hash: bytes) -> Block | None:
        return self.simplex.block(block_hash) or next((one for one in self.chain if one.hash == block_hash), None)


class Cluster:
    """`count` validators; `delay` gives the microseconds a message takes, or None for a lost one."""

    def __init__(
        self,
        count: int = 4,
        *,
        seed: int = 0,
        absent: Iterable[int] = (),
        twins: Iterable[int] = (),
        make: type[Simplex] = Simplex,
        delay_us: int = 10_000,
        jitter_us: int = 0,
        loss: float = 0.0,
        disk_us: int = 0,
        build_us: int = 0,
        verify_us: int = 0,
        times: Parameters = TIMES,
        weights: tuple[int, ...] | None = None,
    ) -> None:
        self.rng = random.Random(seed)
        self.count, self.make, self.times = count, make, times
        self.rules = make_rules(count, weights)
        self.delay_us, self.jitter_us, self.loss = delay_us, jitter_us, loss
        self.disk_us, self.build_us, self.verify_us = disk_us, build_us, verify_us
        self.now = START_US
        self.queue: list[tuple[int, int, Callable[[], None]]] = []
        self.number = 0
        self.blocked: Callable[[int, int], bool] = lambda _src, _dst: False
        self.drop: Callable[[int, int, Message], bool] = lambda _src, _dst, _message: False
        self.messages = 0
        self._blocks: dict[bytes, Block] = {}
        double = dict.fromkeys(twins)
        gone = dict.fromkeys(absent)
        self.monitor = Monitor(index for index in range(count) if index not in double)
        self.nodes: list[Node] = []
        for index in range(count):
            if index in double:
                for half in (0, 1):
                    side = [self.rng.random() < 0.7 for _ in range(count)]
                    node = Node(self, index, reach=lambda peer, side=side: side[peer])  # type: ignore[misc]
                    node.life += half * 3  # the two halves propose different times, so different blocks
                    node.up = False
                    node.start()
                    self.nodes.append(node)
            elif index not in gone:
                self.nodes.append(Node(self, index))

    def at(self, when: int, action: Callable[[], None]) -> None:
        self.number += 1
        heapq.heappush(self.queue, (when, self.number, action))

    def run(self, duration_us: int, until: Callable[[], bool] | None = None) -> bool:
        end = self.now + duration_us
        while self.queue and self.queue[0][0] <= end:
            when, _, action = heapq.heappop(self.queue)
            self.now = when
            action()
            if until is not None and until():
                return True
        self.now = end
        return until is None

    def decode(self, data: bytes) -> Block:
        block = self._blocks.get(data)
        if block is None:
            block = self._blocks[data] = decode(Block, data)
        return block

    def trip(self, source: int | None, target: int | None) -> int | None:
        if source is not None and target is not None and self.blocked(source, target):
            return None
        if self.loss and self.rng.random() < self.loss:
            return None
        return self.delay_us + (self.rng.randrange(self.jitter_us) if self.jitter_us else 0)

    def send(self, source: Node, peer: int, message: Message) -> None:
        sender = source.index
        assert sender is not None
        self.messages += 1
        if self.drop(sender, peer, message):
            return
        for node in self.nodes:
            if node.index == peer:
                delay = self.trip(sender, peer)
                if delay is not None:
                    node.later_if_up(delay, sender, message)

    def request(self, asker: Node, peer: int, block_hash: bytes) -> None:
        delay = self.trip(asker.index, peer)
        nodes = [node for node in self.nodes if node.index == peer and node is not asker]
        if delay is None or not nodes:
            return

        def serve() -> None:
            block = nodes[0].find(block_hash) if nodes[0].up else None
            back = self.trip(peer, asker.index)
            if block is not None and back is not None:
                asker.later(back, lambda: asker.step(fx.ProposalReceived(peer, block)))

        self.at(self.now + delay, serve)

    def request_chain(self, asker: Node, peer: int, height: int) -> None:
        delay = self.trip(asker.index, peer)
        nodes = [node for node in self.nodes if node.index == peer and node is not asker]
        if delay is None or not nodes:
            return

        def serve() -> None:
            node = nodes[0]
            blocks, finalization = tuple(node.chain[height - 1 :]), node.finalization
            back = self.trip(peer, asker.index)
            if not node.up or not blocks or finalization is None or back is None:
                return
            chain = FinalizedBlocks(1, blocks, finalization)

            def arrive() -> None:
                if asker.up and len(asker.live_chain) >= height - 1:
                    parent = asker.live_chain[height - 2].header if height > 1 else GENESIS
                    check_finalized_chain(chain, parent, self.rules)
                    asker.step(fx.FinalizedChain(chain))

            self.at(self.now + back, arrive)

        self.at(self.now + delay, serve)

    @property
    def honest(self) -> list[Node]:
        return [node for node in self.nodes if node.index in self.monitor.honest]

    def heights(self) -> list[int]:
        return [len(node.live_chain) for node in self.honest]
