"""WebRTC data channels: where only UDP joins two nodes, and for browsers (network.md 3).

Theory of operation. A data channel is SCTP over DTLS over ICE over UDP, and aiortc does all of it, on asyncio. So there
is one asyncio thread (`bridge`), which exists while somebody uses it; in it live the connections (`carrier`), and a
`ChannelPipe` is what the node's own loop sees of one. Two ends find each other by an offer and an answer (`description`
says which are taken), which somebody carries between them: a `Signal`. The signal that comes with it is one request of
HTTP (`signal`, `http`), as a browser can make it.

What is there besides bytes is `flow`: a window, so that no end holds more than it takes; word that what was sent came;
an end in good order. Nobody's STUN server is asked, and a stranger's offer makes a node send to nobody but him.

No module of this package but this one and `transport` is imported before the first connection, and aiortc not before
either: a node that has no such address does not notice that they are there.
"""

from __future__ import annotations

from .transport import WebRtcTransport, make

__all__ = ["WebRtcTransport", "make"]
