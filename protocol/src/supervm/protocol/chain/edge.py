"""Edge records: an L3 names, under its node key, the account its share of fees is paid to (decisions.md, Genesis).

The miner that serves the edge puts that account into its batch headers, so it is under the validators' votes. The
record keeps a miner from being told a payout by anyone but the edge itself; a higher `counter` replaces a lower one.
"""

from __future__ import annotations

from typing import Literal

from ..base.codec import Agreed, Hash, Key, Signature, Uint, decode, encode
from ..base.errors import RemoteProtocolError
from ..base.hashing import hasher
from ..base.keys import SigningKey
from .votes import Verify

_hash_edge = hasher(b"svm.edge")


class EdgeRecord(Agreed, tag="edge", frozen=True):
    """An edge's node id and payout account, signed by the node key.

    Attributes:
        version: layout, 1.
        chain_id: the network.
        node_id: the edge's node key.
        payout: account that the L3 part of the fees of what it brings is paid to.
        counter: a miner ignores a record with a lower one than it has; edges take the time of their start in us.
        signature: by the node key over the hash of the record with 64 zero bytes in this place.
    """

    version: Literal[1]
    chain_id: Hash
    node_id: Key
    payout: Key
    counter: Uint
    signature: Signature


def _statement(record: EdgeRecord) -> bytes:
    unsigned = EdgeRecord(1, record.chain_id, record.node_id, record.payout, record.counter, bytes(64))
    return _hash_edge(encode(unsigned))


def sign_edge_record(key: SigningKey, chain_id: bytes, payout: bytes, counter: int) -> EdgeRecord:
    """Build the record of the edge that holds `key`."""
    unsigned = EdgeRecord(1, chain_id, key.public, payout, counter, bytes(64))
    return EdgeRecord(1, chain_id, key.public, payout, counter, key.sign(_statement(unsigned)))


def read_edge_record(data: bytes, chain_id: bytes, node_id: bytes, verify: Verify) -> EdgeRecord:
    """Read a record and check that `node_id`, the authenticated peer, signed it for this chain.

    Raises:
        RemoteProtocolError: malformed, for another chain or node, or a bad signature.
    """
    record = decode(EdgeRecord, data, bytes_max=512)
    if record.chain_id != chain_id or record.node_id != node_id:
        raise RemoteProtocolError("the edge record is for another chain or node", code="bad-edge-record")
    if not verify(node_id, _statement(record), record.signature):
        raise RemoteProtocolError("the edge record's signature is invalid", penalty=50, code="bad-edge-record")
    return record
