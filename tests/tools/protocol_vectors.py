"""What tests/vectors/protocol.json holds: bytes and digests of the samples, as text."""

from __future__ import annotations

from typing import Any

from chain_tools import TestChain
from protocol_samples import agreed_samples, message_samples, sample_chain

from supervm.protocol.base.codec import Agreed, encode
from supervm.protocol.base.hashing import hash_block_body, hash_genesis, hash_justification
from supervm.protocol.chain.allocations import Allocation, write_allocations
from supervm.protocol.chain.batch import BatchHeader
from supervm.protocol.chain.batch_certificate import BatchVote
from supervm.protocol.chain.body import BlockBody
from supervm.protocol.chain.checkpoint import CheckpointHeader
from supervm.protocol.chain.genesis import Genesis
from supervm.protocol.chain.header import BlockHeader, Justification
from supervm.protocol.chain.validators import ValidatorList, ValidatorSet, leader_permutation
from supervm.protocol.chain.votes import Certificate, Vote
from supervm.protocol.money.issue import Issue
from supervm.protocol.money.transaction import transaction_id
from supervm.protocol.money.transfer import Transfer
from supervm.protocol.state.account import POOLS
from supervm.protocol.wire.frames import encode_message


def digest_of(value: Agreed, chain_id: bytes) -> bytes | None:
    """Return the digest the protocol knows a value by - its name, or what its signatures cover - if there is one."""
    match value:
        case Transfer() | Issue():
            return transaction_id(encode(value))
        case BatchHeader():
            return value.digest
        case BlockHeader() | CheckpointHeader():
            return value.hash
        case Justification():
            return hash_justification(encode(value))
        case BlockBody():
            return hash_block_body(encode(value))
        case ValidatorList():
            return ValidatorSet(value.members).hash
        case Genesis():
            return hash_genesis(encode(value))
        case Vote() | Certificate() | BatchVote():
            return value.statement(chain_id)
        case _:
            return None


def allocations_of(chain: TestChain) -> bytes:
    """Return the file of allocations that belongs to a chain's genesis."""
    genesis = chain.chain.genesis
    state = chain.chain.first_state()
    entries = [Allocation(key, account.balance) for key, account in state.accounts.items()]
    entries += [Allocation(key, held[asset], asset) for key, held in state.holdings.items() for asset in held]
    return write_allocations(sorted(entries, key=lambda item: (item.account, item.asset)), genesis.asset_ids)


def protocol_vectors() -> dict[str, Any]:
    """Return the whole content of protocol.json."""
    chain = sample_chain()
    agreed = {}
    for name, value in sorted(agreed_samples().items()):
        digest = digest_of(value, chain.chain_id)
        agreed[name] = {"cbor": encode(value).hex()} | ({} if digest is None else {"digest": digest.hex()})
    return {
        "chain_id": chain.chain_id.hex(),
        "genesis_block_hash": chain.genesis_header.hash.hex(),
        "anchor_hash": chain.chain.anchor.hash.hex(),
        "allocations": allocations_of(chain).hex(),
        "pools": {name: account.hex() for name, account in POOLS.items()},
        "leaders": {str(count): list(leader_permutation(count, chain.chain_id)) for count in (1, 2, 4, 7, 16)},
        "agreed": agreed,
        "messages": {name: encode_message(value).hex() for name, value in sorted(message_samples().items())},
    }
