"""Messages between phones, edges and miners, numbers 10 to 29: payments up, news and proofs down."""

from __future__ import annotations

from typing import Annotated

import msgspec

from ..base.codec import Hash, Key, Uint
from ..light.forks import FORK_BYTES_MAX
from .fields import FORWARD_MAX, Blob, Message, RawTransaction, Text

TAGS = range(10, 30)

CHANGES_MAX = 16
"""Most changes of validators in one answer; the asker goes on from the last."""

LEVEL_R0, LEVEL_R1, LEVEL_R3, LEVEL_REFUSED, LEVEL_EXPIRED = 0, 1, 3, 10, 11
"""Levels of `StatusItem`; R4 is never told, it is proved."""


class Submit(Message, tag=10, frozen=True):
    """Transactions on their way up: `transactions` are their canonical signed bytes."""

    transactions: Annotated[tuple[RawTransaction, ...], msgspec.Meta(max_length=FORWARD_MAX)]


class StatusItem(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What the sender of the message says about one transaction.

    Attributes:
        transaction_id: the transaction's.
        level: one of the `LEVEL_...` below.
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

    A subscription adds to those of the connection and ends with it.
    """

    accounts: Annotated[tuple[Key, ...], msgspec.Meta(max_length=FORWARD_MAX)]


class Unsubscribe(Message, tag=13, frozen=True):
    """End this connection's subscriptions of these `accounts`."""

    accounts: Annotated[tuple[Key, ...], msgspec.Meta(max_length=FORWARD_MAX)]


class GetAccounts(Message, tag=14, frozen=True):
    """Ask once for proofs of `accounts`; a request never names a height (decisions.md).

    Without any, an L3 answers with its newest checkpoint alone.
    """

    accounts: Annotated[tuple[Key, ...], msgspec.Meta(max_length=FORWARD_MAX)]


class AccountProofs(Message, tag=15, frozen=True):
    """What accounts are proved to be.

    Attributes:
        checkpoint: a `CertifiedCheckpoint`.
        proofs: (account, `TrieProof` under its state root) of each; with none the checkpoint is the news.
    """

    checkpoint: Blob
    proofs: Annotated[tuple[tuple[Key, Blob], ...], msgspec.Meta(max_length=FORWARD_MAX)]


class GetReceipt(Message, tag=16, frozen=True):
    """Ask for the receipt of the executed transaction `transaction_id`, with its proof."""

    transaction_id: Hash


class ReceiptAnswer(Message, tag=17, frozen=True):
    """The receipt of `transaction_id`: `proof` is a `light.ReceiptProof`, empty if the sender knows none."""

    transaction_id: Hash
    proof: Blob


class EdgeRegistration(Message, tag=18, frozen=True):
    """An edge tells its miner where its share is paid: `record` is a signed `edge.EdgeRecord`."""

    record: Blob


class GetValidatorChanges(Message, tag=19, frozen=True):
    """Ask for the changes of validators above `after_height`: the sender knows those up to it."""

    after_height: Uint


class ValidatorChanges(Message, tag=20, frozen=True):
    """`changes` of validators (`light.ValidatorChange`), oldest first; none if the sender knows no newer one."""

    changes: Annotated[tuple[Blob, ...], msgspec.Meta(max_length=CHANGES_MAX)]


class ForkMessage(Message, tag=21, frozen=True):
    """Two certified checkpoints that no one chain contains (`fork`: a `forks.CheckpointFork`), so that others stop."""

    fork: Annotated[bytes, msgspec.Meta(max_length=FORK_BYTES_MAX)]
