"""The clients of an edge: what each subscribes, what a step gives it, and that nothing it is sent goes back in height.

A client never goes below the highest header it has seen, so per connection nothing is sent under a lower height than
was sent before. A client may have seen a higher one elsewhere; one that asks again for what it was just sent gets the
cached answer and a fresh one after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from supervm.common.contract.core import Outbox
from supervm.protocol.wire.fields import FORWARD_MAX, Message
from supervm.protocol.wire.payments import LeafProofs

from .cache import CachedProof, SharedCheckpoint

ANSWER_BYTES_MAX = 512 * 1024
"""Most bytes of proofs in one message."""
AGAIN_US = 10_000_000
"""A question repeated within this time says that the cached answer did not help."""


@dataclass(slots=True)
class Client:
    """What is known of one client connection.

    Attributes:
        accounts: account that it subscribes -> how many proofs of the account's holdings it has yet to pay for.
        served: leaf id -> when it was last answered from the cache.
        floor: highest height that it was sent.
        out: what this step sends it.
    """

    accounts: dict[bytes, int] = field(default_factory=dict)
    served: dict[bytes, int] = field(default_factory=dict)
    floor: int = 0
    out: dict[bytes, CachedProof] = field(default_factory=dict)


class Clients:
    """Clients by node id.

    Args:
        outbox: where answers go.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._clients: dict[bytes, Client] = {}
        self._answered: dict[bytes, None] = {}  # those with something in `out`

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._clients)

    def get(self, peer: bytes) -> Client | None:
        """Return what is known of a client, or None."""
        return self._clients.get(peer)

    def meet(self, peer: bytes) -> Client:
        """Return what is known of a client that asks, from now on something."""
        client = self._clients.get(peer)
        if client is None:
            client = self._clients[peer] = Client()
        return client

    def forget(self, peer: bytes) -> None:
        """A connection ended."""
        self._clients.pop(peer, None)

    def tell(self, message: Message) -> None:
        """Send a message to every client."""
        for peer in self._clients:
            self._outbox.send(peer, message)

    def give(self, peer: bytes, leaf_id: bytes, entry: CachedProof) -> None:
        """Send a proof to a client, if it is still there, when the step ends."""
        client = self._clients.get(peer)
        if client is not None:
            client.out[leaf_id] = entry
            self._answered[peer] = None

    def serve(self, now_us: int, peer: bytes, client: Client, leaf_id: bytes, entry: CachedProof) -> bool:
        """Answer from the cache; return whether the same answer was given a moment ago and did not help."""
        client.out[leaf_id] = entry
        self._answered[peer] = None
        before_us = client.served.pop(leaf_id, None)
        client.served[leaf_id] = now_us
        if len(client.served) > FORWARD_MAX:
            del client.served[next(iter(client.served))]
        return before_us is not None and now_us - before_us <= AGAIN_US

    def send_bare(self, newest: SharedCheckpoint) -> None:
        """Send the newest checkpoint, without proofs, to clients that subscribe something and have not seen it."""
        for peer, client in self._clients.items():
            if client.accounts and client.floor < newest.header.height:
                client.floor = newest.header.height
                self._outbox.send(peer, LeafProofs(newest.data, ()))

    def flush(self) -> None:
        """Send this step's answers."""
        for peer in self._answered:
            client = self._clients.get(peer)
            if client is not None and client.out:
                self._send_out(peer, client)
        self._answered.clear()

    def _send_out(self, peer: bytes, client: Client) -> None:
        """Send a client's answers, one checkpoint after the other, lowest first and none below what it has seen."""
        by_checkpoint: dict[bytes, list[tuple[bytes, bytes]]] = {}
        entries = sorted(client.out.items(), key=lambda item: item[1].height)
        client.out = {}
        for leaf_id, entry in entries:
            if entry.height >= client.floor:
                client.floor = entry.height
                by_checkpoint.setdefault(entry.checkpoint.data, []).append((leaf_id, entry.proof))
        for data, proofs in by_checkpoint.items():
            part: list[tuple[bytes, bytes]] = []
            size = 0
            for leaf_id, proof in proofs:
                if len(part) == FORWARD_MAX or size + len(proof) > ANSWER_BYTES_MAX:
                    self._outbox.send(peer, LeafProofs(data, tuple(part)))
                    part, size = [], 0
                part.append((leaf_id, proof))
                size += len(proof)
            self._outbox.send(peer, LeafProofs(data, tuple(part)))
