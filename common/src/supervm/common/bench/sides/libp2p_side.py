"""A side on py-libp2p: TCP, Noise, yamux. Run by an interpreter that has it and nothing of ours but this folder.

With ``--no-dial-timer`` the host does not wait 250 ms for a second address after it has dialled the only one
(``_HAPPY_EYEBALLS_DELAY`` of ``libp2p.network.swarm`` in 0.8.1).
"""

from __future__ import annotations

import os
import sys
from typing import Any

import trio

from .talk import FULL, QUICK, Frames, Sizes, answer, connect_often, converse

PROTOCOL: Any = "/bench/1"
READ_BYTES = 256 << 10


def _host() -> Any:
    from libp2p import create_yamux_muxer_option, new_host

    return new_host(muxer_opt=create_yamux_muxer_option(), muxer_preference="YAMUX")


async def serve() -> None:
    """Listen on loopback until standard input ends."""
    from multiaddr import Multiaddr

    host = _host()

    async def take(stream: Any) -> None:
        frames = Frames(lambda: stream.read(READ_BYTES), stream.write)
        try:
            await answer(frames.say, frames.hear)
        except Exception:  # whatever it raises when the other end has gone
            await stream.reset()

    host.set_stream_handler(PROTOCOL, take)
    async with host.run(listen_addrs=[Multiaddr("/ip4/127.0.0.1/tcp/0")]):
        print(host.get_addrs()[0], flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)
        os._exit(0)


async def talk(where: str, sizes: Sizes) -> None:
    """Connect, talk, and print what that has shown."""
    from libp2p.peer.peerinfo import info_from_p2p_addr
    from multiaddr import Multiaddr

    host = _host()
    async with host.run(listen_addrs=[]):
        info = info_from_p2p_addr(Multiaddr(where))
        connect_s = await connect_often(
            lambda: host.connect(info), lambda: host.disconnect(info.peer_id), sizes.connections
        )
        stream = await host.new_stream(info.peer_id, [PROTOCOL])
        frames = Frames(lambda: stream.read(READ_BYTES), stream.write)
        print((await converse(connect_s, frames.say, frames.hear, sizes)).line(), flush=True)
        os._exit(0)


if __name__ == "__main__":
    if "--no-dial-timer" in sys.argv:
        from libp2p.network import swarm

        sys.argv.remove("--no-dial-timer")
        swarm._HAPPY_EYEBALLS_DELAY = 0
    if sys.argv[1] == "serve":
        trio.run(serve)
    else:
        trio.run(talk, sys.argv[2], QUICK if "--quick" in sys.argv else FULL)
