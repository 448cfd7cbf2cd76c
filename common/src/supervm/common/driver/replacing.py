"""Which of two connections to one peer is kept.

Of two connections between the same two nodes made at about the same time, both ends keep the one that the lower node
id began (decisions.md, Links). A later one replaces an earlier one: its dialler would not dial if it still had the
other.
"""

from __future__ import annotations

from supervm.protocol.base.errors import RemoteProtocolError

from .peer import PeerLink
from .table import LinkTable

SIMULTANEOUS_US = 3_000_000
"""Connections that came up within this time of each other count as dialled at the same time."""


class Replacing:
    """Judges connections that come while there is another one.

    Args:
        table: the node's connections.
    """

    def __init__(self, table: LinkTable) -> None:
        self._table = table

    def check(self, link: PeerLink) -> None:
        """Look at a connection whose peer has just said Hello.

        Raises:
            RemoteProtocolError: there is another one, and that is the one to keep.
        """
        connection = link.connection
        if not link.up and connection.peer_hello is not None and connection.peer_id is not None and self._is_second(
            link, connection.peer_id
        ):
            raise RemoteProtocolError(
                "another connection between the two nodes is kept", penalty=0, code="duplicate")

    def up(self, link: PeerLink) -> None:
        """Put a connection that is up in the place of an older one, if there is one."""
        old = self._table.peers.get(link.connection.peer_id or b"")
        if old is not None:
            self._table.drop(old, "duplicate", "a newer connection between the two nodes is kept")
        self._table.up(link)

    def _is_second(self, link: PeerLink, peer: bytes) -> bool:
        old, initiator = self._table.peers.get(peer), link.connection.initiator
        node = self._table.node
        return (
            old is not None
            and old.connection.initiator != initiator
            and node.clock.now_us() - old.up_at_us < SIMULTANEOUS_US
            and initiator != (node.identity.node_key.public < peer)
        )
