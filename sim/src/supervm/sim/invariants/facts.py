"""What the watchers share: who is honest, who weighs what, and every block, batch and header that was ever seen.

Nothing here asks shipped code for a verdict: quorums are computed from the weights and certificates are judged by the
library's signature check alone, so that a bug in the shipped checks (or a test that breaks them) is seen.
"""

from __future__ import annotations

from collections.abc import Iterable

from supervm.protocol.batch import Batch
from supervm.protocol.block import Block
from supervm.protocol.checkpoint import CheckpointHeader
from supervm.protocol.codec import decode, encode
from supervm.protocol.errors import RemoteProtocolError
from supervm.protocol.hashing import ZERO_HASH
from supervm.protocol.transfer import SignedTransfer, parse_transfer
from supervm.protocol.validators import Validator
from supervm.protocol.votes import Certificate, VoteKind, statement

from ..exact import Deployment, Host
from .violation import Book

BYTES_MAX = 16 << 20


class Members:
    """A validator set as the watchers see it.

    Args:
        members: in index order.
    """

    def __init__(self, members: Iterable[Validator]) -> None:
        listed = tuple(members)
        self.keys = tuple(member.key for member in listed)
        self.weights = tuple(member.weight for member in listed)
        self.node_ids = tuple(member.node_id for member in listed)
        self.total = sum(self.weights)
        self.quorum = 2 * self.total // 3 + 1
        """Weight of a certificate: floor(2W/3) + 1."""
        self.witness = self.total - self.quorum + 1
        """Smallest weight with an honest member: f + 1."""
        self.index_of_node = {node_id: index for index, node_id in enumerate(self.node_ids)}

    def weight_of(self, indices: Iterable[int]) -> int:
        """Return the summed weight of distinct indices; those out of range weigh nothing."""
        return sum(self.weights[index] for index in indices if index < len(self.weights))


class SeenBatch:
    """A batch body: its transfers, and which edge brought each."""

    __slots__ = ("edge_of", "edges", "miner", "transfers")

    def __init__(self, batch: Batch, chain_id: bytes) -> None:
        self.miner = batch.header.miner
        self.edges = batch.header.edges
        self.edge_of = batch.edge_of
        self.transfers: tuple[SignedTransfer, ...] = tuple(parse_transfer(raw, chain_id) for raw in batch.transfers)


class Facts:
    """Shared knowledge of one deployment.

    Args:
        deployment: what is watched.
        book: where violations go.
    """

    def __init__(self, deployment: Deployment, book: Book) -> None:
        self.deployment = deployment
        self.world = deployment.world
        self.chain = deployment.chain
        self.chain_id = deployment.chain.chain_id
        self.book = book
        self.members = Members(deployment.genesis.validators)
        self.faulty: dict[str, str] = {}
        """Name of a host that may do anything -> why."""
        for name in (*deployment.actors, *deployment.twins):
            self.faulty[name] = "adversary"
        self.blocks: dict[bytes, Block] = {}
        """Every block ever seen, by hash."""
        self.batches: dict[bytes, SeenBatch] = {}
        """Every batch body ever seen, by digest."""
        self.final: dict[int, bytes] = {0: self.chain.genesis_header.hash}
        """Height -> hash of the finalized block."""
        self.headers: dict[int, bytes] = {0: encode(self.chain.anchor)}
        """Height -> bytes of the checkpoint header that honest nodes computed."""
        self.executed_ts_ms = 0
        """Time of the highest block that an honest node has executed."""
        self.certified_ts_ms = 0
        """Time of the highest checkpoint for which a quorum's signatures exist."""
        self.epoch = 0
        """Epoch of the highest executed block."""
        self.epoch_began_ms = self.chain.genesis.time_ms
        """Time of that epoch's first block."""
        self._decoded: dict[bytes, Block | None] = {}
        self._digests: dict[bytes, bytes | None] = {}
        self._judged: dict[Certificate, bool] = {}

    def is_honest(self, host: Host) -> bool:
        """Return whether a host runs the shipped core on a disk that never lied."""
        return host.name not in self.faulty

    def index_of(self, host: Host) -> int | None:
        """Return the validator index of a host, None for everybody else."""
        return self.members.index_of_node.get(host.node_id)

    def honest_index(self, index: int) -> bool:
        """Return whether a validator is honest."""
        node_id = self.members.node_ids[index]
        return self.is_honest(self.world.hosts[node_id])

    def block(self, raw: bytes) -> Block | None:
        """Read a block's bytes and remember it; None if they are not a block."""
        if raw not in self._decoded:
            try:
                block = decode(Block, raw, bytes_max=BYTES_MAX)
            except RemoteProtocolError:
                self._decoded[raw] = None
            else:
                self._decoded[raw] = block
                self.blocks.setdefault(block.hash, block)
        return self._decoded[raw]

    def batch(self, raw: bytes) -> None:
        """Read a batch's bytes and remember it."""
        self.digest_of(raw)

    def digest_of(self, raw: bytes) -> bytes | None:
        """Read a batch's bytes, remember it and return its digest; None if nobody can read it."""
        if raw not in self._digests:
            self._digests[raw] = None
            try:
                batch = decode(Batch, raw, bytes_max=BYTES_MAX)
                seen = SeenBatch(batch, self.chain_id)
            except RemoteProtocolError:
                return None  # a faulty miner's; nobody can vote on it either
            digest = self._digests[raw] = batch.header.digest
            self.batches.setdefault(digest, seen)
        return self._digests[raw]

    def checkpoint_header(self, raw: bytes) -> CheckpointHeader:
        """Read a checkpoint header's bytes."""
        return decode(CheckpointHeader, raw, bytes_max=BYTES_MAX)

    def genuine(self, certificate: Certificate) -> bool:
        """Return whether distinct members of quorum weight signed exactly this statement."""
        known = self._judged.get(certificate)
        if known is None:
            known = self._judged[certificate] = self._judge(certificate)
        return known

    def _judge(self, certificate: Certificate) -> bool:
        indices = [index for index, _ in certificate.signatures]
        if len(dict.fromkeys(indices)) != len(indices) or any(index >= len(self.members.keys) for index in indices):
            return False
        if certificate.kind is VoteKind.NULLIFY and certificate.digest != ZERO_HASH:
            return False
        if self.members.weight_of(indices) < self.members.quorum:
            return False
        message = self.statement(certificate.kind, certificate.epoch, certificate.number, certificate.digest)
        return all(self.signed(index, message, signature) for index, signature in certificate.signatures)

    def statement(self, kind: VoteKind, epoch: int, number: int, digest: bytes) -> bytes:
        """Return the bytes that a vote signs."""
        return statement(self.chain_id, kind, epoch, number, digest)

    def signed(self, index: int, message: bytes, signature: bytes) -> bool:
        """Return whether validator `index` signed `message`."""
        return index < len(self.members.keys) and self.world.verify(self.members.keys[index], message, signature)
