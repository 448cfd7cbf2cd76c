"""A side on plain trio TCP, without any encryption: what the machine and the event loop allow."""

from __future__ import annotations

import os
import sys

import trio

from .talk import FULL, QUICK, Frames, Sizes, answer, connect_often, converse

READ_BYTES = 256 << 10


async def serve() -> None:
    """Listen on loopback until standard input ends."""
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, _answer, [listener])
        print(listener.socket.getsockname()[1], flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)
        nursery.cancel_scope.cancel()


async def _answer(stream: trio.SocketStream) -> None:
    frames = Frames(lambda: stream.receive_some(READ_BYTES), stream.send_all)
    try:
        await answer(frames.say, frames.hear)
    except (EOFError, trio.BrokenResourceError):
        await stream.aclose()


async def talk(where: str, sizes: Sizes) -> None:
    """Connect, talk, and print what that has shown."""
    stream: trio.SocketStream

    async def connect() -> None:
        nonlocal stream
        stream = await trio.open_tcp_stream("127.0.0.1", int(where))

    async def end() -> None:
        await stream.aclose()

    connect_s = await connect_often(connect, end, sizes.connections)
    frames = Frames(lambda: stream.receive_some(READ_BYTES), stream.send_all)
    print((await converse(connect_s, frames.say, frames.hear, sizes)).line(), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        trio.run(serve)
    else:
        trio.run(talk, sys.argv[2], QUICK if "--quick" in sys.argv else FULL)
    os._exit(0)  # the thread that reads standard input would be waited for
