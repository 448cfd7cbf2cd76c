"""`bench link` over a socket: both drivers are real, and every message that was sent arrives."""

from __future__ import annotations

import trio

from supervm.common.bench.link_socket import WINDOW_BYTES, SocketPair, payments
from supervm.protocol.wire.frames import encode_message


async def test_all_messages_arrive_whatever_their_size(nursery: trio.Nursery) -> None:
    pair = await SocketPair.start(nursery)
    small, large = payments(1, 30), payments(200, 2)
    with trio.fail_after(20):
        assert await pair.rate(small, len(encode_message(small[0])), 500) > 0
        assert await pair.rate(large, len(encode_message(large[0])), 7) > 0
        assert await pair.rate(large, 2 * WINDOW_BYTES, 3) > 0
    assert pair._edge.got == 510
