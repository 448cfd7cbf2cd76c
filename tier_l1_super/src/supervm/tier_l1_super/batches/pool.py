"""Batch bodies and certificates that a validator holds, and which certificates a leader puts into its block.

A certificate goes into a block only if at least one of its transactions would execute there (consensus.md 3.9.6): the
selection replays, on an overlay of the executed state, the batches of ancestors that are not executed yet and those
chosen before it. Without the body that cannot be told, so such a certificate waits until the body is here.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

from supervm.protocol.base.codec import encode
from supervm.protocol.base.limits import REFS_MAX
from supervm.protocol.chain.batch import Batch
from supervm.protocol.chain.batch_certificate import BatchCertificate, CertifiedBatch, certified_bits
from supervm.protocol.chain.body import BODY_BYTES_MAX
from supervm.protocol.money.transaction import SignedTransaction, parse_transaction
from supervm.protocol.state.account import EMPTY_ACCOUNT
from supervm.protocol.state.state import State

from ..consensus.seat import Seat

Overlay = dict[bytes, tuple[int, bytes]]
"""Sender -> (next_seq, head) on top of the executed state."""

_BODY_HEADROOM = 1 << 10


@dataclass(frozen=True, slots=True)
class Body:
    """A batch whose form has been checked, with its transactions parsed."""

    batch: Batch
    transactions: tuple[SignedTransaction, ...]


def parse_body(batch: Batch, chain_id: bytes) -> Body:
    """Parse every transaction of a checked batch.

    Raises:
        RemoteProtocolError: a transaction is malformed or for another chain.
    """
    return Body(batch, tuple(parse_transaction(raw, chain_id) for raw in batch.transactions))


@dataclass(slots=True)
class _Held:
    certificate: BatchCertificate
    bits: int
    bytes: int
    arrived_us: int


class Pool:
    """Certificates that are not executed yet and the bodies they need.

    Args:
        state: the executed state, the ledger's own.
        seat: the epoch.
    """

    def __init__(self, state: State, seat: Seat) -> None:
        self._state = state
        self._seat = seat
        self.bodies: dict[bytes, Body] = {}
        """Bodies of batches that hold a live promise or may be executed soon, by digest; all are on disk, too."""
        self._bytes_of: dict[bytes, int] = {}
        self.held: dict[bytes, _Held] = {}
        """Checked certificates by digest, oldest first."""

    def clear(self) -> None:
        """Forget everything: certificates count in their own epoch only (consensus.md 3.7)."""
        self.bodies.clear()
        self._bytes_of.clear()
        self.held.clear()

    def put(self, digest: bytes, body: Body) -> None:
        """Keep a checked body."""
        if digest not in self.bodies:
            self.bodies[digest] = body
            header = body.batch.header
            self._bytes_of[header.miner] = self._bytes_of.get(header.miner, 0) + header.bytes

    def bytes_of(self, miner: bytes) -> int:
        """Return how many bytes of transactions of a miner's batches are kept in memory."""
        return self._bytes_of.get(miner, 0)

    def add_certificate(self, certificate: BatchCertificate, now_us: int) -> bool:
        """Keep a checked certificate; return whether it brings certified bits that were not held before."""
        digest = certificate.digest
        bits = certified_bits(certificate, self._seat.rules.validators)
        known = self.held.get(digest)
        if known is not None:
            if not bits & ~known.bits:
                return False
            known.certificate, known.bits = certificate, bits
            return True
        self.held[digest] = _Held(certificate, bits, len(encode(certificate)), now_us)
        return True

    def certified(self, certificate: BatchCertificate) -> CertifiedBatch | None:
        """Join a reference with its body, or return None while the body is missing."""
        body = self.bodies.get(certificate.digest)
        if body is None:
            return None
        bits = certified_bits(certificate, self._seat.rules.validators)
        return CertifiedBatch(certificate.header, body.transactions, bits)

    def select(
        self, ancestors: Sequence[Sequence[BatchCertificate]], ts_ms: int, *, taken_bytes: int = 0
    ) -> tuple[BatchCertificate, ...] | None:
        """Choose the certificates for a block of time `ts_ms`, oldest first.

        Args:
            ancestors: references of unexecuted ancestor blocks, oldest block first.
            ts_ms: the block's time.
            taken_bytes: length of everything else in the block's body.

        Returns:
            The references, or None if an ancestor's body is missing, so that nothing can be told.
        """
        overlay: Overlay = {}
        for refs in ancestors:
            for ref in refs:
                batch = self.certified(ref)
                if batch is None:
                    return None
                self._replay(batch.transactions, batch.certified, ts_ms, overlay)
        chosen: list[BatchCertificate] = []
        bytes_left = BODY_BYTES_MAX - _BODY_HEADROOM - taken_bytes
        waiting = list(self.held.items())
        progress = True
        while waiting and progress and len(chosen) < REFS_MAX:
            # a later pass finds certificates whose predecessors the pass before has chosen
            progress = False
            still: list[tuple[bytes, _Held]] = []
            for digest, held in waiting:
                body = self.bodies.get(digest)
                if body is None or len(chosen) >= REFS_MAX or held.bytes > bytes_left:
                    continue
                if self._replay(body.transactions, held.bits, ts_ms, overlay):
                    chosen.append(held.certificate)
                    bytes_left -= held.bytes
                    progress = True
                else:
                    still.append((digest, held))
            waiting = still
        return tuple(chosen)

    def has_executable(self, ts_ms: int) -> bool:
        """Return whether any held certificate would execute a transaction on the executed state."""
        for digest, held in self.held.items():
            body = self.bodies.get(digest)
            if body is not None and self._replay(body.transactions, held.bits, ts_ms, {}):
                return True
        return False

    def _replay(self, transactions: Sequence[SignedTransaction], bits: int, ts_ms: int, overlay: Overlay) -> int:
        executed = 0
        accounts = self._state.accounts
        for index, transaction in enumerate(transactions):
            if not bits >> index & 1:
                continue
            body = transaction.body
            slot = overlay.get(body.sender)
            if slot is None:
                account = accounts.get(body.sender, EMPTY_ACCOUNT)
                slot = (account.next_seq, account.head)
            if body.seq == slot[0] and body.prev == slot[1] and ts_ms <= body.valid_until_ms:
                overlay[body.sender] = (body.seq + 1, transaction.id)
                executed += 1
        return executed

    def forget_dead(self, ts_ms: int, keep: Container[bytes] = (), anchored: Container[bytes] = ()) -> list[bytes]:
        """Drop bodies that nothing needs in memory and certificates that are spent; return their digests.

        Needed is a body that a block waiting for execution references (`keep`), that holds a live promise of this
        validator (`anchored`), or that has a certified transaction which can still execute: its slot is not executed
        and the executed time is not past its validity. Whatever else asks for a body finds it on disk.
        """
        dead = []
        for digest, body in self.bodies.items():
            if digest in keep or digest in anchored:
                continue
            held = self.held.get(digest)
            if held is None or not self._can_execute_later(body.transactions, held.bits, ts_ms):
                dead.append(digest)
        for digest in dead:
            header = self.bodies.pop(digest).batch.header
            left = self._bytes_of[header.miner] - header.bytes
            if left:
                self._bytes_of[header.miner] = left
            else:
                del self._bytes_of[header.miner]
            self.held.pop(digest, None)
        return dead

    def _can_execute_later(self, transactions: Sequence[SignedTransaction], bits: int, ts_ms: int) -> bool:
        for index, transaction in enumerate(transactions):
            if bits >> index & 1:
                item = transaction.body
                account = self._state.accounts.get(item.sender, EMPTY_ACCOUNT)
                if item.seq >= account.next_seq and item.valid_until_ms >= ts_ms:
                    return True
        return False
