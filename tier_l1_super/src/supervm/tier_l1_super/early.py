"""Messages of the next epoch that come before we are in it: consensus, and batches.

Validators enter an epoch as the certificate of its root reaches them, up to one message delay apart. Whoever is first
proposes and votes at once; without this buffer the others would miss it and the first view would end by time-out. It
holds little: what does not fit is said again.
"""

from __future__ import annotations

from supervm.protocol.wire.messages import BatchMessage, CertificateMessage, Message, ProposalMessage

MESSAGES_PER_PEER_MAX = 16
PEERS_MAX = 256
BYTES_MAX = 8 << 20
VOTE_BYTES = 256
"""Counted for a vote, and for what a message has besides its largest part."""
SIGNATURE_BYTES = 128
"""Counted for a signature in a certificate: its bytes and the objects around them."""


class EarlyMessages:
    """Messages of exactly one epoch, the next one."""

    def __init__(self) -> None:
        self._epoch = 0
        self._bytes = 0
        self._held: dict[bytes, list[Message]] = {}

    def keep(self, peer: bytes, epoch: int, message: Message, present: int) -> None:
        """Keep a message of `epoch` if that is the one after `present`, and there is room."""
        if epoch != present + 1:
            return
        if epoch != self._epoch:
            self._epoch, self._bytes, self._held = epoch, 0, {}
        size = _size(message)
        if self._bytes + size > BYTES_MAX or (peer not in self._held and len(self._held) >= PEERS_MAX):
            return
        held = self._held.setdefault(peer, [])
        if len(held) < MESSAGES_PER_PEER_MAX:
            held.append(message)
            self._bytes += size

    def forget(self, peer: bytes) -> None:
        """Drop what a peer that is gone has said."""
        self._bytes -= sum(map(_size, self._held.pop(peer, ())))

    def take(self, epoch: int) -> list[tuple[bytes, Message]]:
        """Return what is held of this epoch, in the order of its peers' first messages, and forget everything."""
        held = self._held if epoch == self._epoch else {}
        self._held, self._bytes = {}, 0
        return [(peer, message) for peer, messages in held.items() for message in messages]


def _size(message: Message) -> int:
    """Return about how many bytes a message takes here."""
    match message:
        case ProposalMessage(raw) | BatchMessage(raw):
            return VOTE_BYTES + len(raw)
        case CertificateMessage(certificates):
            return sum(VOTE_BYTES + SIGNATURE_BYTES * len(item.signatures) for item in certificates)
    return VOTE_BYTES
