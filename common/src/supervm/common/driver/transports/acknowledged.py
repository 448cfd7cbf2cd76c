"""Noticing that a peer's machine no longer acknowledges what it is sent (network.md 3).

`TCP_USER_TIMEOUT` would be the short way, but Linux also counts a receiver that keeps its window closed, although it
acknowledges every probe; and a node that waits for its disk closes its window on purpose (`Links`). So the system is
asked: data is out, and no acknowledgement of any kind has come since we first saw that.
"""

from __future__ import annotations

import socket
import sys
from struct import Struct
from typing import Final

import trio

_INFO = Struct("=24x I 28x I")  # struct tcp_info: tcpi_unacked, tcpi_last_ack_recv in ms
_HAS_INFO: Final = sys.platform == "linux" and hasattr(socket, "TCP_INFO")


def read_unacknowledged(stream: trio.SocketStream) -> tuple[int, int]:
    """Return how many segments are out unacknowledged, and how many ms ago an acknowledgement last came.

    (0, 0) where the system does not tell; there the peer's silence ends the connection later.

    Raises:
        OSError: the socket is closed.
    """
    if not _HAS_INFO:
        return 0, 0
    info = stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size)
    if isinstance(info, int) or len(info) < _INFO.size:
        return 0, 0
    unacknowledged, since_ms = _INFO.unpack(info)
    return unacknowledged, since_ms


class Acknowledged:
    """Judges one connection from what is read now and then.

    Args:
        patience_s: how long data may stay unacknowledged.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._since_s: float | None = None

    def is_lost(self, now_s: float, unacknowledged: int, since_ack_ms: int) -> bool:
        """Return whether data has been out for longer than allowed without any acknowledgement.

        Args:
            now_s: time of a steady clock.
            unacknowledged: segments that are out.
            since_ack_ms: how long ago an acknowledgement last came.
        """
        if not unacknowledged:
            self._since_s = None
            return False
        # An acknowledgement that is older than the data itself says nothing: the link was idle before.
        if self._since_s is None or since_ack_ms < (now_s - self._since_s) * 1000:
            self._since_s = now_s
            return False
        return now_s - self._since_s >= self._patience_s
