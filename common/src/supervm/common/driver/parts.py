"""What a driver is given: who it is on its links, and who listens to its events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from supervm.protocol.base.keys import SigningKey


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

    def __call__(self, name: str, fields: Mapping[str, Any], level: str, /) -> None:
        """Take one event."""


def ignore(_name: str, _fields: Mapping[str, Any], _level: str, /) -> None:
    """Take an event that nobody wants."""
