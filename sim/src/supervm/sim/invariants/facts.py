"""What the watchers share: who is honest, who weighs what, and every block, batch and header that was ever seen.

Nothing here asks shipped code for a verdict: quorums are computed from the weights and certificates are judged by the
library's signature check alone, so that a bug in the shipped checks (or a test that breaks them) is seen.
"""

from __future__ import annotations

from supervm.protocol.base.codec import decode, encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.chain.batch import Batch
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.checkpoint import CheckpointHeader
from supervm.protocol.chain.spans import span_of
from supervm.protocol.chain.votes import Certificate, VoteKind, statement
from supervm.protocol.money.transaction import SignedTransaction, parse_transaction
from supervm.protocol.state.receipts import TRANSACTIONS, merkle_root

from ..exact import Deployment, Host
from .epochs import Epochs, Members
from .violation import Book

BYTES_MAX = 16 << 20


class SeenBatch:
    """A batch body: its miner and its transactions."""

    __slots__ = ("miner", "transactions")

    def __init__(self, batch: Batch, chain_id: bytes) -> None:
        self.miner = batch.header.miner
        self.transactions: tuple[SignedTransaction, ...] = tuple(
            parse_transaction(raw, chain_id) for raw in batch.transactions
        )


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
        self.epochs = Epochs(deployment.chain, book)
        """Who validates when."""
        self.faulty: dict[str, str] = {}
        """Name of a host that may do anything -> why."""
        for name in deployment.tampered:
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

    @property
    def members(self) -> Members:
        """The validators of the newest epoch."""
        return self.epochs.members[self.epochs.newest]

    def index_of(self, host: Host, epoch: int) -> int | None:
        """Return the validator index of a host in an epoch, None for everybody else."""
        members = self.epochs.members.get(epoch)
        return None if members is None else members.index_of_node.get(host.node_id)

    def signer(self, index: int, epoch: int) -> Host | None:
        """Return the host of a validator of an epoch, None if there is none."""
        members = self.epochs.members.get(epoch)
        return None if members is None or index >= len(members.keys) else self.world.hosts[members.node_ids[index]]

    def honest_index(self, index: int, epoch: int) -> bool:
        """Return whether a validator of an epoch is honest."""
        host = self.signer(index, epoch)
        return host is not None and self.is_honest(host)

    def follow(self) -> None:
        """See which epochs have begun."""
        self.epochs.advance(self.final, self.blocks)

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
            if merkle_root(batch.transactions, TRANSACTIONS) != batch.header.tx_root:
                return None  # not the body of its header
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
            if certificate.epoch not in self.epochs.members:
                return False  # nobody can have voted there yet
            known = self._judged[certificate] = self._judge(certificate)
        return known

    def _judge(self, certificate: Certificate) -> bool:
        members = self.epochs.members[certificate.epoch]
        indices = [index for index, _ in certificate.signatures]
        if len(dict.fromkeys(indices)) != len(indices) or any(index >= len(members.keys) for index in indices):
            return False
        if certificate.kind is VoteKind.NULLIFY and certificate.digest != ZERO_HASH:
            return False
        if certificate.kind is VoteKind.NULLIFY_SPAN and span_of(certificate.number, certificate.digest) is None:
            return False
        if members.weight_of(indices) < members.quorum:
            return False
        message = self.statement(certificate.kind, certificate.epoch, certificate.number, certificate.digest)
        return all(
            self.signed(index, certificate.epoch, message, signature) for index, signature in certificate.signatures
        )

    def statement(self, kind: VoteKind, epoch: int, number: int, digest: bytes) -> bytes:
        """Return the bytes that a vote signs."""
        return statement(self.chain_id, kind, epoch, number, digest)

    def signed(self, index: int, epoch: int, message: bytes, signature: bytes) -> bool:
        """Return whether validator `index` of an epoch signed `message`."""
        members = self.epochs.members.get(epoch)
        return (
            members is not None
            and index < len(members.keys)
            and self.world.verify(members.keys[index], message, signature)
        )
