"""One end of a data channel in a process of its own: `serve` echoes and counts, `talk` does what the test looks at.

``serve [HOST]`` prints ``ready webrtc:host:port`` and, for each connection, ``open``, what it got, and how it ended.
A connection's first byte says what is wanted: ``e`` echo everything, ``s`` swallow everything, ``h`` read nothing more.
``talk ADDRESS WHAT`` dials and prints one line of figures.
"""

import sys
import time

import trio

from supervm.common.driver import Limits
from supervm.common.driver.transports import TcpTransport
from supervm.common.driver.transports.contract import Pipe, Transport
from supervm.common.driver.transports.webrtc import WebRtcTransport

BULK_BYTES = 1 << 20
READ_BYTES = 64 << 10


def say(*words: object) -> None:
    print(*words, flush=True)


def transport_of(scheme: str) -> Transport:
    return TcpTransport(Limits()) if scheme == "tcp" else WebRtcTransport(Limits())


async def converse(pipe: Pipe) -> None:
    count = 0
    say("open")
    try:
        wanted = (await pipe.receive_some(1))[:1]
        while data := b"" if wanted == b"h" else await pipe.receive_some(READ_BYTES):
            count += len(data)
            if wanted == b"e":
                await pipe.send_all(data)
        if wanted == b"h":
            await trio.sleep_forever()
        say("end", count)
    except (trio.BrokenResourceError, OSError) as error:
        say("broken", count, str(error).replace(" ", "_"))
    finally:
        with trio.CancelScope(shield=True):
            await pipe.aclose()


async def watch(pipe: Pipe) -> str:
    """Ask now and then as a driver does; return why the pipe is lost."""
    while not (why := pipe.lost(trio.current_time())):
        await trio.sleep(0.2)
    return why


async def serve(scheme: str, host: str) -> None:
    async with trio.open_nursery() as nursery:

        def admit(pipe: Pipe) -> None:
            nursery.start_soon(converse, pipe)

        names = await nursery.start(transport_of(scheme).serve, f"{host}:0", admit)
        say("ready", names[0] if names[0].startswith(scheme) else f"{scheme}:{names[0]}")


async def exchange(pipe: Pipe, message: bytes) -> None:
    """Send a message and read as much back."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pipe.send_all, message)
        missing = len(message)
        while missing:
            missing -= len(await pipe.receive_some(READ_BYTES))


async def talk(address: str, what: str, count: int) -> None:
    scheme, _, rest = address.partition(":")
    transport = transport_of(scheme)
    if what == "connect":  # the first one loads what is needed
        await (await transport.dial(rest)).aclose()
    begin = time.perf_counter()
    pipe = await transport.dial(rest)
    connect_ms = (time.perf_counter() - begin) * 1_000
    begin = time.perf_counter()
    if what == "echo":
        await pipe.send_all(b"e")
        for _ in range(count):
            await exchange(pipe, bytes(200))
    elif what == "both":
        await pipe.send_all(b"e")
        for _ in range(count):
            await exchange(pipe, bytes(range(256)) * (BULK_BYTES // 256))
    elif what == "bulk":
        await pipe.send_all(b"s")
        for _ in range(count):
            await pipe.send_all(bytes(BULK_BYTES))
    elif what == "held":  # the other end reads nothing: sending has to stop at its window
        await pipe.send_all(b"h")
        with trio.move_on_after(2):
            await pipe.send_all(bytes(8 * BULK_BYTES))
        say("held", pipe.carrier.flow.sent if isinstance(transport, WebRtcTransport) else 0, pipe.lost(0.0))
    elif what == "killed":
        await pipe.send_all(b"e" + bytes(100))
        say("talking")
        begin = time.perf_counter()
        why = await watch_sending(pipe)
        say("lost", int((time.perf_counter() - begin) * 1_000), why.replace(" ", "_"))
    seconds = time.perf_counter() - begin
    begin = time.perf_counter()
    await pipe.aclose()
    say("done", f"{connect_ms:.1f}", f"{seconds:.4f}", f"{(time.perf_counter() - begin) * 1_000:.1f}")


async def watch_sending(pipe: Pipe) -> str:
    """Send a little now and then, as heartbeats are; return why the pipe is lost."""
    async with trio.open_nursery() as nursery:

        async def beat() -> None:
            while True:
                await pipe.send_all(bytes(20))
                await trio.sleep(0.3)

        async def drain() -> None:
            while await pipe.receive_some(READ_BYTES):
                pass

        nursery.start_soon(beat)
        nursery.start_soon(drain)
        why = await watch(pipe)
        nursery.cancel_scope.cancel()
    return why


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        trio.run(serve, sys.argv[2], sys.argv[3])
    else:
        trio.run(talk, sys.argv[2], sys.argv[3], int(sys.argv[4]))
