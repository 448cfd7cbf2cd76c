"""Finding the nodes of one's own LAN by multicast DNS (RFC 6762 and 6763): the service ``lan``.

It tells the node who is there (`parts.reach.lan`), and decides nothing.
"""

from .service import LAN

__all__ = ["LAN"]
