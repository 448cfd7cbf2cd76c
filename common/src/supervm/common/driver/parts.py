"""What a driver is given: who it is on its links, and who listens to its events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from supervm.protocol.base.keys import SigningKey

from ..contract.events import Event


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this node is on its links.

    Attributes:
        node_key: its ed25519 key.
        static_private: its 32-byte X25519 link key.
        chain_id: the network.
    """

    node_key: SigningKey
    static_private: bytes
    chain_id: bytes


class EventSink(Protocol):
    """Takes what the core and the driver publish."""

    def __call__(self, event: Event, /) -> None:
        """Take one event."""


def ignore(_event: Event, /) -> None:
    """Take an event that nobody wants."""
