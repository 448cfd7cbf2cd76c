"""Batches of transactions, as miners make them (consensus.md 3.1).

A batch's digest is the hash of its header, and the header commits to everything that fees depend on: the miner and the
transactions, each of which names the edge that is paid. No leader and no rival can rewrite who is paid, and no miner
can put itself in an edge's place. Votes and certificates are in `batch_certificate`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Literal

import msgspec

from ..base.codec import Agreed, Hash, Key, Signature, Uint, encode
from ..base.errors import RemoteProtocolError
from ..base.hashing import HASHES_REMEMBERED, hash_batch, hasher
from ..base.limits import BATCH_TRANSACTIONS_MAX
from ..money.transaction import RawTransaction
from ..state.receipts import TRANSACTIONS, merkle_root
from .votes import Verify

BATCH_BYTES_MAX = 4 << 20
"""decisions.md, Numbers."""

hash_miner_signature = hasher(b"svm.minersig")


class BatchHeader(Agreed, tag="batch", frozen=True, cache_hash=True):
    """What is voted on; its hash is the batch's digest.

    Attributes:
        version: layout, 2.
        chain_id: the network.
        epoch: whose validators vote on the batch; no block of another epoch may carry it.
        miner: node id of the L2 that made and signed the batch and earns the L2 part of its fees.
        count: number of transactions.
        bytes: length of all transactions together, as canonical signed bytes.
        tx_root: root of the Merkle tree of the transactions in their order (`receipts.TRANSACTIONS`).
    """

    version: Literal[2]
    chain_id: Hash
    epoch: Uint
    miner: Key
    count: Annotated[int, msgspec.Meta(ge=1, le=BATCH_TRANSACTIONS_MAX)]
    bytes: Annotated[int, msgspec.Meta(ge=1, le=BATCH_BYTES_MAX)]
    tx_root: Hash

    @property
    def digest(self) -> Hash:
        """The batch's name: 32 bytes."""
        return _batch_digest(self)


@lru_cache(maxsize=HASHES_REMEMBERED)
def _batch_digest(header: BatchHeader) -> bytes:
    return hash_batch(encode(header))


class Batch(Agreed, tag="batchbody", frozen=True):
    """A header with what it commits to, and the miner's signature.

    Attributes:
        version: layout, 2.
        header: commits to the transactions.
        signature: the miner's, by its node key over `miner_statement` of the header's digest.
        transactions: canonical signed bytes of each; their order is that of every vote's bits.
    """

    version: Literal[2]
    header: BatchHeader
    signature: Signature
    transactions: Annotated[tuple[RawTransaction, ...], msgspec.Meta(min_length=1, max_length=BATCH_TRANSACTIONS_MAX)]


def miner_statement(digest: bytes) -> bytes:
    """Return the 32 bytes that the miner's node key signs for a batch."""
    return hash_miner_signature(digest)


def batch_header(chain_id: bytes, epoch: int, miner: bytes, transactions: tuple[bytes, ...]) -> BatchHeader:
    """Build the header that commits to these transactions, in this order."""
    return BatchHeader(
        2,
        chain_id,
        epoch,
        miner,
        len(transactions),
        sum(map(len, transactions)),
        merkle_root(transactions, TRANSACTIONS),
    )


def check_batch(batch: Batch, chain_id: bytes, verify: Verify) -> bytes:
    """Check a batch against its own header and its miner's signature; return its digest.

    The senders' signatures are not checked here: they go to the verification workers.

    Raises:
        RemoteProtocolError: wrong chain, or anything that does not match the header (code ``bad-batch``).
    """
    header = batch.header
    problem = None
    if header.chain_id != chain_id:
        problem = "it belongs to another chain"
    elif len(batch.transactions) != header.count or sum(map(len, batch.transactions)) != header.bytes:
        problem = "the number or size of its transactions is not what the header says"
    elif merkle_root(batch.transactions, TRANSACTIONS) != header.tx_root:
        problem = "its transactions do not hash to the header's root"
    if problem is None:
        digest = header.digest
        if verify(header.miner, miner_statement(digest), batch.signature):
            return digest
        problem = "the miner's signature is invalid"
    raise RemoteProtocolError(f"the batch is refused: {problem}", penalty=50, code="bad-batch")
