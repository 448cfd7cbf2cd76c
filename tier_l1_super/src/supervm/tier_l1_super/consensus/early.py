"""Messages of the next epoch that come before we are in it: consensus, and batches.

Validators enter an epoch as the certificate of its root reaches them, up to one message delay apart. Whoever is first
proposes and votes at once; without this buffer the others would miss it and the first view would end by time-out. It
holds little, the same of each peer, and only of those that have a say (`has_say`): what does not fit is said
again. Batches may take half of it, so that no miner crowds out the votes.
"""

from __future__ import annotations

from supervm.protocol.wire.chain import BatchMessage
from supervm.protocol.wire.consensus import CertificateMessage, ProposalMessage
from supervm.protocol.wire.fields import Message

from ..ground import Ground

MESSAGES_PER_PEER_MAX = 16
PEERS_MAX = 256
BYTES_MAX = 8 << 20
PEER_BYTES_MAX = 2 << 20
"""Of one peer: a proposal with a full body and what goes before it, or a batch."""
BATCH_BYTES_MAX = BYTES_MAX // 2
VOTE_BYTES = 256
"""Counted for a vote, and for what a message has besides its largest part."""
SIGNATURE_BYTES = 128
"""Counted for a signature in a certificate: its bytes and the objects around them."""


def has_say(ground: Ground, peer: bytes, message: Message) -> bool:
    """Return whether a peer has, or may soon have, a say in the next epoch with such a message."""
    if isinstance(message, BatchMessage):
        return peer in ground.chain.payout_of_miner
    proposed = ground.ledger.proposed or ground.ledger.epoch.validators
    return peer in ground.seat.rules.validators.index_of_node or any(
        member.node_id == peer for member in proposed.members
    )


class EarlyMessages:
    """Messages of exactly one epoch, the next one."""

    def __init__(self) -> None:
        self._epoch = 0
        self._bytes = 0
        self._batch_bytes = 0
        self._held: dict[bytes, list[Message]] = {}
        self._bytes_of: dict[bytes, int] = {}

    def keep(self, peer: bytes, epoch: int, message: Message, present: int) -> None:
        """Keep a message of `epoch` if that is the one after `present`, and there is room."""
        if epoch != present + 1:
            return
        if epoch != self._epoch:
            self._clear()
            self._epoch = epoch
        size = _size(message)
        batch_size = size if isinstance(message, BatchMessage) else 0
        held = self._held.get(peer, [])
        if (
            self._bytes + size > BYTES_MAX
            or self._batch_bytes + batch_size > BATCH_BYTES_MAX
            or self._bytes_of.get(peer, 0) + size > PEER_BYTES_MAX
            or len(held) >= MESSAGES_PER_PEER_MAX
            or (not held and len(self._held) >= PEERS_MAX)
        ):
            return
        held.append(message)
        self._held[peer] = held
        self._bytes += size
        self._batch_bytes += batch_size
        self._bytes_of[peer] = self._bytes_of.get(peer, 0) + size

    def forget(self, peer: bytes) -> None:
        """Drop what a peer that is gone has said."""
        for message in self._held.pop(peer, ()):
            self._bytes -= _size(message)
            self._batch_bytes -= _size(message) if isinstance(message, BatchMessage) else 0
        self._bytes_of.pop(peer, None)

    def take(self, epoch: int) -> list[tuple[bytes, Message]]:
        """Return what is held of this epoch, in the order of its peers' first messages, and forget everything."""
        held = self._held if epoch == self._epoch else {}
        self._clear()
        return [(peer, message) for peer, messages in held.items() for message in messages]

    def _clear(self) -> None:
        self._bytes = self._batch_bytes = 0
        self._held, self._bytes_of = {}, {}


def _size(message: Message) -> int:
    """Return about how many bytes a message takes here."""
    match message:
        case ProposalMessage(raw) | BatchMessage(raw):
            return VOTE_BYTES + len(raw)
        case CertificateMessage(certificates):
            return sum(VOTE_BYTES + SIGNATURE_BYTES * len(item.signatures) for item in certificates)
    return VOTE_BYTES
