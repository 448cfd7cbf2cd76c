"""Messages between phones, edges and miners, numbers 10 to 29: payments up, news and proofs down."""

from __future__ import annotations

from typing import Annotated

import msgspec

from ..base.codec import Hash, Key, Positive, Uint
from ..light.forks import FORK_BYTES_MAX
from ..money.transaction import RawTransaction
from ..state.leaves import AssetId, LeafId
from .fields import FORWARD_MAX, Blob, Message, Text

TAGS = range(10, 30)
"""18 is not in use; in version 1 it was an edge's registration."""

CHANGES_MAX = 16
"""Most changes of validators in one answer; the asker goes on from the last."""

FEE_ASSETS_MAX = 64
"""Most assets that one node takes fees in."""

LEVEL_R0, LEVEL_R1, LEVEL_R3, LEVEL_REFUSED, LEVEL_EXPIRED = 0, 1, 3, 10, 11
"""Levels of `StatusItem`; R4 is never told, it is proved."""


class Submit(Message, tag=10, frozen=True):
    """Transactions on their way up: `transactions` are their canonical signed bytes."""

    transactions: Annotated[tuple[RawTransaction, ...], msgspec.Meta(max_length=FORWARD_MAX)]


class StatusItem(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What the sender of the message says about one transaction.

    Attributes:
        transaction_id: the transaction's.
        level: one of the `LEVEL_...` above.
        reason: why it is refused or has expired, or empty; ``busy`` at the front means that a later try may do better.
    """

    transaction_id: Hash
    level: Annotated[int, msgspec.Meta(ge=0, le=20)]
    reason: Text


class Status(Message, tag=11, frozen=True):
    """News of transactions on their way down; `items` are claims of the sender, never proof (architecture.md 3)."""

    items: Annotated[tuple[StatusItem, ...], msgspec.Meta(max_length=FORWARD_MAX)]


class Subscribe(Message, tag=12, frozen=True):
    """Ask to be sent checkpoints with proofs of these `accounts`, now and whenever a block touches them.

    What an account holds of other assets comes with it: at first what the sender knows of, then what a block changes.
    A subscription adds to those of the connection and ends with it.
    """

    accounts: Annotated[tuple[Key, ...], msgspec.Meta(max_length=FORWARD_MAX)]


class Unsubscribe(Message, tag=13, frozen=True):
    """End this connection's subscriptions of these `accounts`."""

    accounts: Annotated[tuple[Key, ...], msgspec.Meta(max_length=FORWARD_MAX)]


class GetLeaves(Message, tag=14, frozen=True):
    """Ask once for proofs of these `leaves` of the state, by id; a request never names a height (decisions.md).

    Without any, an L3 answers with its newest checkpoint alone.
    """

    leaves: Annotated[tuple[LeafId, ...], msgspec.Meta(max_length=FORWARD_MAX)]


class LeafProofs(Message, tag=15, frozen=True):
    """What leaves of the state are proved to be.

    Attributes:
        checkpoint: a `CertifiedCheckpoint`.
        proofs: (leaf id, `TrieProof` under its state root) of each; with none the checkpoint is the news.
    """

    checkpoint: Blob
    proofs: Annotated[tuple[tuple[LeafId, Blob], ...], msgspec.Meta(max_length=FORWARD_MAX)]


class GetReceipt(Message, tag=16, frozen=True):
    """Ask for the receipt of the executed transaction `transaction_id`, with its proof."""

    transaction_id: Hash


class ReceiptAnswer(Message, tag=17, frozen=True):
    """The receipt of `transaction_id`: `proof` is a `light.ReceiptProof`, empty if the sender knows none."""

    transaction_id: Hash
    proof: Blob


class GetValidatorChanges(Message, tag=19, frozen=True):
    """Ask for the changes of validators above `after_height`: the sender knows those up to it."""

    after_height: Uint


class ValidatorChanges(Message, tag=20, frozen=True):
    """`changes` of validators (`light.ValidatorChange`), oldest first; none if the sender knows no newer one."""

    changes: Annotated[tuple[Blob, ...], msgspec.Meta(max_length=CHANGES_MAX)]


class ForkMessage(Message, tag=21, frozen=True):
    """Two certified checkpoints that no one chain contains (`fork`: a `forks.CheckpointFork`), so that others stop."""

    fork: Annotated[bytes, msgspec.Meta(max_length=FORK_BYTES_MAX)]


class FeeTerms(Message, tag=22, frozen=True):
    """What the sender takes for its work, said after Hello and whenever it changes; the last one holds.

    Attributes:
        payout: account that an edge's share is paid to, for `via` of transactions; empty of a miner.
        fees: (asset, least fee in it) of every asset that fees are taken in, ascending by asset.
    """

    payout: Annotated[bytes, msgspec.Meta(max_length=32)]
    fees: Annotated[tuple[tuple[AssetId, Positive], ...], msgspec.Meta(max_length=FEE_ASSETS_MAX)]
