"""Batches and their certificates as they come: from miners to vote on, from others because a block refers to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from supervm.common.parts.part import Part
from supervm.protocol.base.codec import decode, encode
from supervm.protocol.base.hashing import hasher
from supervm.protocol.chain.batch_certificate import BatchCertificate, certified_bits, check_batch_certificate
from supervm.protocol.wire.chain import BatchCertificateMessage, BatchMessage, BatchVoteMessage

from ..chain.executor import Executor
from ..consensus.host import Consensus
from ..events import Conflict
from ..ground import Ground
from ..tables import BATCHES, LOOSE, SPENT
from .bodies import Bodies
from .pool import Pool
from .slots import Slots
from .voting import BatchVoter

SEEN_CERTIFICATES_MAX = 4_096
PASS_ON_TIMES = 2
"""How many view time-outs D0 a certificate may wait before it is shown to whoever leads then, at doubling intervals."""
PASS_ON_MAX = 8
"""Certificates that are passed on at a time: one is enough to say that there is something to do. Where many wait, all
know that, and each would show all of them to everybody."""
_hash_seen = hasher(b"svm.seen")


class BatchIntake(Part):
    """Batches and batch certificates at one validator.

    Args:
        ground: what every part stands on.
        voter: votes on what miners bring.
        pool: bodies and certificates that are held.
        slots: this validator's promises.
        bodies: which batches are executed already.
        executor: wants the bodies of blocks.
        consensus: may propose when a certificate or body has come.
        is_early: keeps a batch for the next epoch; says whether it is one.
    """

    takes = frozenset({BatchCertificateMessage, BatchMessage})
    sends = frozenset({BatchCertificateMessage, BatchVoteMessage})
    tables = (BATCHES, LOOSE, SPENT)
    events = (Conflict,)

    def __init__(
        self,
        ground: Ground,
        voter: BatchVoter,
        pool: Pool,
        slots: Slots,
        bodies: Bodies,
        executor: Executor,
        consensus: Consensus,
        is_early: Callable[[bytes, BatchMessage], bool],
    ) -> None:
        self._seat, self._manners, self._outbox = ground.seat, ground.manners, ground.outbox
        self._voter, self._pool, self._slots, self._bodies = voter, pool, slots, bodies
        self._executor, self._consensus, self._is_early = executor, consensus, is_early
        self._seen: dict[bytes, None] = {}
        self._ground = ground
        self._pass_on_us = PASS_ON_TIMES * 1000 * ground.chain.parameters.view_timeout_ms
        self._waiting: dict[bytes, tuple[int, int]] = {}  # certificate's digest -> (when to pass it on, pause), us
        self._pass_on_at_us: int | None = None  # the first of these times, or earlier

    @property
    def deadline_us(self) -> int | None:
        """When a certificate may have to be passed on."""
        return self._pass_on_at_us

    def tick(self, now_us: int) -> None:
        """Show the leader what has waited for long, and then all: its miner may reach this validator alone.

        A leader that has crashed is given up only by those who know that there is something to do.
        """
        if self._pass_on_at_us is None or now_us < self._pass_on_at_us:
            return
        leader = self._seat.rules.leader(self._consensus.simplex.view)
        peer = None if leader == self._seat.index else self._ground.peer_of(leader)
        left = PASS_ON_MAX
        for digest, (at_us, pause_us) in list(self._waiting.items()):
            held = self._pool.held.get(digest)
            if held is None or self._bodies.is_spent(held.certificate.header):
                del self._waiting[digest]
            elif at_us <= now_us:
                self._waiting[digest] = now_us + 2 * pause_us, 2 * pause_us
                if not left:
                    continue
                left -= 1
                message = BatchCertificateMessage(encode(held.certificate))
                if pause_us > self._pass_on_us:
                    self._ground.broadcast(message)
                elif peer is not None:
                    self._outbox.send(peer, message)
        self._pass_on_at_us = min((at_us for at_us, _ in self._waiting.values()), default=None)

    def receive(self, now_us: int, peer: bytes, message: BatchCertificateMessage | BatchMessage) -> None:
        """Take a batch or a certificate."""
        match message:
            case BatchMessage():
                self._batch(now_us, peer, message)
            case BatchCertificateMessage():
                self._certificate(now_us, peer, message)

    def work_done(self, now_us: int, token: int, result: Any) -> bool:
        """Take the verdict on a batch's signatures."""
        if not self._voter.verified(now_us, token, result):
            return False
        self._executor.run(now_us)
        self._consensus.build(now_us)  # a certificate may have come before its body
        return True

    def info(self, now_us: int) -> dict[str, Any]:
        """Return how much is promised and held."""
        return {"promised_transactions": len(self._slots), "certificates_held": len(self._pool.held)}

    def _batch(self, now_us: int, peer: bytes, message: BatchMessage) -> None:
        raw = message.batch
        is_validator = peer in self._seat.rules.validators.index_of_node
        is_answer = is_validator and self._executor.is_answer(peer, raw)
        if self._executor.body(raw, now_us):
            self._manners.refund(peer, message)
            self._consensus.build(now_us)
        elif is_answer:
            self._manners.refund(peer, message)  # somebody was quicker
        elif not is_validator and not self._is_early(peer, message):
            # from a validator it would answer a request that another has answered before
            self._voter.batch(peer, message)

    def _certificate(self, now_us: int, peer: bytes, message: BatchCertificateMessage) -> None:
        """Take a batch certificate from whoever has it: what it brings decides what is spent on it."""
        raw = message.certificate
        name = _hash_seen(raw)
        if name in self._seen:
            return
        rules = self._seat.rules
        certificate = decode(BatchCertificate, raw, bytes_max=1 << 20)
        if certificate.header.epoch != rules.epoch or self._bodies.is_spent(certificate.header):
            return  # one of us is behind: it counts in its own epoch only, and until it is executed
        check_batch_certificate(certificate, rules.chain_id, rules.validators, rules.verify)
        self._seen[name] = None
        if len(self._seen) > SEEN_CERTIFICATES_MAX:
            del self._seen[next(iter(self._seen))]
        if certified_bits(certificate, rules.validators) and self._pool.add_certificate(certificate, now_us):
            self._manners.refund(peer, message)
            self._waiting[certificate.digest] = now_us + self._pass_on_us, self._pass_on_us
            if self._pass_on_at_us is None:
                self._pass_on_at_us = now_us + self._pass_on_us
            self._executor.want((certificate,), now_us)
            self._consensus.build(now_us)
