"""What one phone hands to another: signed payments with what is proved of their payers, and proofs on the way back.

Theory of operation (transactions.md 8). A container is an agreed object, so one value has one byte string; its kind
and version stand first. Nothing in it is believed because somebody brought it. A transaction is signed by its sender, a
proof hashes up to a checkpoint, and a checkpoint is signed by validators that whoever reads it trusts already, or is
led to by the changes of validators in it. So a container needs no signature of its own, may be copied, and may come
twice.

One format goes both ways: a payer's phone puts transactions into it and the newest proof of each account that they
spend of; a phone that brought them puts the receipts into it and a newer proof of the account, which is all that the
payer's phone needs to see its payment proved without ever meeting an edge.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from supervm.protocol.base.codec import Agreed, Hash, Key, decode, encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint
from supervm.protocol.light.client import ReceiptProof
from supervm.protocol.light.trust import ValidatorChange
from supervm.protocol.money.transaction import RawTransaction
from supervm.protocol.state.leaves import AssetId
from supervm.protocol.state.trie_proof import TrieProof

from ..errors import HandoverError
from ..messages import CONTAINER_BYTES_MAX

MAGIC: Final = b"\x87\x68handover"
"""How every container begins: an agreed object of seven fields, of which the first is its kind."""
TRANSACTIONS_MAX: Final = 64
"""Most transactions in one container, and most receipts."""
PROOFS_MAX: Final = 16
"""Most proved balances in one container."""
CHANGES_MAX: Final = 64
"""Most changes of validators in one container."""


class ProvedLeaf(Agreed, tag="handleaf", frozen=True):
    """What an account has of one asset, proved.

    Attributes:
        version: layout, 1.
        checkpoint: under whose state root it is proved.
        account: whose it is.
        asset: of which asset; the native one stands in the account's own leaf.
        proof: of that leaf, or that there is none.
    """

    version: Literal[1]
    checkpoint: CertifiedCheckpoint
    account: Key
    asset: AssetId
    proof: TrieProof


class Container(Agreed, tag="handover", frozen=True):
    """What goes from phone to phone.

    Attributes:
        version: layout, 1.
        chain_id: the network.
        changes: changes of validators that lead to those of the checkpoints, oldest first; none if there is no room.
        proofs: of the accounts that the transactions spend of, or that the receipts are about.
        transactions: canonical signed bytes, those of one sender one behind the other in slot order.
        receipts: proofs that transactions were executed, with what came of them.
    """

    version: Literal[1]
    chain_id: Hash
    changes: Annotated[tuple[ValidatorChange, ...], msgspec.Meta(max_length=CHANGES_MAX)]
    proofs: Annotated[tuple[ProvedLeaf, ...], msgspec.Meta(max_length=PROOFS_MAX)]
    transactions: Annotated[tuple[RawTransaction, ...], msgspec.Meta(max_length=TRANSACTIONS_MAX)]
    receipts: Annotated[tuple[ReceiptProof, ...], msgspec.Meta(max_length=TRANSACTIONS_MAX)]


def write_container(container: Container) -> bytes:
    """Return the bytes of a container, without its changes of validators if they are too long with them.

    Raises:
        HandoverError: it is too long even so.
    """
    data = encode(container)
    if len(data) > CONTAINER_BYTES_MAX and container.changes:
        data = encode(msgspec.structs.replace(container, changes=()))
    if len(data) > CONTAINER_BYTES_MAX:
        raise HandoverError(
            f"the container would have {len(data)} bytes; at most {CONTAINER_BYTES_MAX} are allowed - hand over fewer "
            "payments at once"
        )
    return data


def read_container(data: bytes, chain_id: bytes) -> Container:
    """Read the bytes of a container of this network; nothing that is in it is checked here.

    Raises:
        HandoverError: what is wrong with it.
    """
    try:
        container = decode(Container, data, bytes_max=CONTAINER_BYTES_MAX)
    except RemoteProtocolError as error:
        raise HandoverError(f"this is no hand-over of payments: {error.reason}") from None
    if container.chain_id != chain_id:
        raise HandoverError(
            f"the hand-over is of another network, {container.chain_id.hex()[:16]}; this phone is on "
            f"{chain_id.hex()[:16]}"
        )
    return container
