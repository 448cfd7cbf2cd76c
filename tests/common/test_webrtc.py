"""Data channels between real processes and real drivers on loopback; what carries offers is not trusted."""

import importlib.util
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import trio

pytest.importorskip("aiortc", reason="needs supervm-common[webrtc]")

from supervm.common.contract import core as c
from supervm.common.driver import Limits, ListenFailed
from supervm.common.driver.failures import NoAddress
from supervm.common.driver.transports.contract import Pipe
from supervm.common.driver.transports.webrtc import WebRtcTransport
from supervm.common.driver.transports.webrtc.bridge import Bridge
from supervm.common.driver.transports.webrtc.flow import WINDOW_BYTES
from supervm.common.driver.transports.webrtc.http import by_http
from supervm.common.driver.transports.webrtc.pipe import ChannelPipe
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.wire.payments import Submit

NODE = Path(__file__).with_name("webrtc_node.py")
LIMITS = Limits(dial_s=20.0)


def load_tools() -> ModuleType:
    spec = importlib.util.spec_from_file_location("driver_tools", Path(__file__).with_name("driver_tools.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tools: Any = load_tools()


# --- two processes ----------------------------------------------------------------------------------------------------


class Process:
    """One end in a process of its own; its lines are read as they come."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", str(NODE), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self, word: str) -> list[str]:
        """Return the rest of the next line that begins with a word."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.split()[0] == word:
                return line.split()[1:]
        pytest.fail(f"it never said {word}: {self.process.communicate()[1]}")

    def end(self) -> None:
        """Kill it if it still runs, and read what is left."""
        self.process.kill()
        self.process.communicate()


@contextmanager
def server() -> Iterator[tuple[Process, str]]:
    process = Process("serve", "webrtc", "127.0.0.1")
    try:
        yield process, process.line("ready")[0]
    finally:
        process.end()


@pytest.mark.processes
def test_two_processes_echo_and_send_a_mebibyte_both_ways_and_close() -> None:
    with server() as (serving, address):
        for what, count, total in (("echo", 50, 10_000), ("both", 1, 1 << 20)):
            talking = Process("talk", address, what, str(count))
            talking.line("done")
            assert talking.process.wait(timeout=30) == 0
            talking.end()
            assert int(serving.line("end")[0]) == total


@pytest.mark.processes
def test_a_sender_stops_at_the_window_of_who_reads_nothing() -> None:
    with server() as (_, address):
        talking = Process("talk", address, "held", "0")
        sent = int(talking.line("held")[0])
        talking.end()
        assert WINDOW_BYTES - 16_384 < sent <= WINDOW_BYTES


@pytest.mark.processes
def test_a_killed_process_is_noticed_long_before_ice_does() -> None:
    with server() as (serving, address):
        talking = Process("talk", address, "killed", "0")
        talking.line("talking")
        serving.process.send_signal(signal.SIGKILL)
        waited_ms, why = talking.line("lost")
        assert int(waited_ms) < 15_000  # 4 s by its own clock; ICE would take 33
        assert why == "the_peer_answers_nothing"
        talking.line("done")
        assert talking.process.wait(timeout=30) == 0
        talking.end()


# --- drivers ----------------------------------------------------------------------------------------------------------


def webrtc_node(number: int, tier: int, transport: WebRtcTransport | None = None, **options: Any) -> Any:
    return tools.Node(
        number,
        tier,
        listen=options.pop("listen", False),
        limits=LIMITS,
        transports=[transport or WebRtcTransport(LIMITS)],
        **options,
    )


@asynccontextmanager
async def running(*nodes: Any) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        for node in nodes:
            await node.start(nursery)
        yield
        nursery.cancel_scope.cancel()


async def test_nodes_talk_over_a_channel_and_part() -> None:
    edge, phone = webrtc_node(1, 3, listen="webrtc:127.0.0.1:0"), webrtc_node(2, 4)
    async with running(edge, phone):
        assert edge.address.startswith("webrtc:127.0.0.1:")
        await phone.connect(edge)
        phone.do(lambda outbox: [outbox.send(edge.id, Submit((bytes(640),) * 90)) for _ in range(10)])
        await edge.core.until(lambda: len(edge.core.of(c.Received)) == 10)
        phone.do(lambda outbox: outbox.hang_up(edge.id, "bye", "enough"))
        down = await edge.core.until(lambda: edge.core.of(c.PeerDown))
        assert down[0].reason == "the peer said bye: enough"


@pytest.mark.parametrize("bound", [True, False])
async def test_who_ends_both_channels_itself_is_found_out_by_noise(
    bound: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A carrier of offers puts itself between the two ends, with a key of its own towards each.

    Without the two keys in the prologue nobody notices: that is what they are for.
    """
    if not bound:
        monkeypatch.setattr(ChannelPipe, "prologue_extra", b"")
    edge = webrtc_node(1, 3, listen="webrtc:127.0.0.1:0")
    between = WebRtcTransport(LIMITS)

    async def copy(source: Pipe, target: Pipe) -> None:
        try:
            while data := await source.receive_some(65_536):
                await target.send_all(data)
            await target.aclose()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    async with trio.open_nursery() as nursery:
        await edge.start(nursery)

        def admit(pipe: Pipe) -> None:
            nursery.start_soon(relay, pipe)

        async def relay(inner: Pipe) -> None:
            outer = await between.dial(edge.address.removeprefix("webrtc:"))
            async with trio.open_nursery() as copying:
                copying.start_soon(copy, inner, outer)
                copying.start_soon(copy, outer, inner)
            await inner.aclose()
            await outer.aclose()

        (address,) = await nursery.start(WebRtcTransport(LIMITS).serve, "127.0.0.1:0", admit)
        phone = webrtc_node(2, 4)
        await phone.start(nursery)
        phone.do(lambda outbox: outbox.dial(address, edge.id))
        await phone.core.until(lambda: phone.core.of(c.DialFailed) or phone.core.of(c.PeerUp))
        assert bool(phone.core.of(c.PeerUp)) is not bound
        if bound:
            assert "does not authenticate" in phone.core.of(c.DialFailed)[0].reason
            assert not edge.core.of(c.PeerUp)
        nursery.cancel_scope.cancel()


async def test_an_offer_goes_by_whatever_carries_it() -> None:
    """A signal of somebody's own, as by a neighbour that both ends know: addresses are what it says they are."""
    admitted: list[Pipe] = []
    answering_end = WebRtcTransport(LIMITS)

    class Carried:
        remote, hosts = "", ("127.0.0.1",)

        async def answer(self, offer: str) -> str:
            return await answering.answer(offer, "", ("127.0.0.1",), candidates=True)

    @asynccontextmanager
    async def by_neighbour(address: str) -> AsyncIterator[Carried]:
        assert address == "somebody"
        yield Carried()

    async with answering_end.answering(admitted.append) as answering:
        pipe = await WebRtcTransport(LIMITS, by_neighbour).dial("somebody")
        await pipe.send_all(b"hello")
        with trio.fail_after(5):
            while not admitted:
                await trio.lowlevel.checkpoint()
            assert await admitted[0].receive_some(10) == b"hello"
        assert admitted[0].admission_key is None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pipe.aclose)
            assert await admitted[0].receive_some(10) == b""
            nursery.start_soon(admitted[0].aclose)


async def test_nobody_there_and_no_address_are_said() -> None:
    transport = WebRtcTransport(LIMITS)
    assert [transport.can_dial(text) for text in ("h:1", "h")] == [True, False]
    with pytest.raises(OSError, match=r"127\.0\.0\.1"):
        await transport.dial("127.0.0.1:1")
    with pytest.raises(NoAddress):
        await transport.dial("nowhere")
    with pytest.raises(ListenFailed, match="cannot listen on webrtc:nowhere"):
        await transport.serve("nowhere", lambda pipe: None)
    assert not transport.bridge.running


async def test_a_node_without_the_libraries_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("aiortc", "h11"):
        with monkeypatch.context() as patched:
            patched.setitem(sys.modules, library, None)
            transport = WebRtcTransport(LIMITS)
            with pytest.raises(ListenFailed, match=r"install supervm-common\[webrtc\]"):
                await transport.serve("127.0.0.1:0", lambda pipe: None)
            assert transport._made is None or not transport.bridge.running


def test_a_node_that_has_no_such_address_loads_none_of_it() -> None:
    program = (
        "import sys; from supervm.common.driver import Limits; from supervm.common.driver.transports import installed; "
        "installed(Limits()).of('webrtc:127.0.0.1:1'); "
        "print([name for name in ('asyncio', 'aiortc', 'h11', 'concurrent') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- offers over HTTP -------------------------------------------------------------------------------------------------


async def ask(address: str, raw: bytes) -> bytes:
    host, _, port = address.removeprefix("webrtc:").rpartition(":")
    async with await trio.open_tcp_stream(host, int(port)) as stream:
        await stream.send_all(raw)
        answer = bytearray()
        with trio.fail_after(10):
            while data := await stream.receive_some(65_536):
                answer += data
    return bytes(answer)


def post(body: bytes, kind: str = "application/sdp", method: str = "POST", path: str = "/webrtc") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nhost: here\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


REFUSED = [
    (post(b"", path="/"), 404),
    (post(b"", method="GET"), 405),
    (post(b"", method="HEAD"), 405),
    (b"HEAD / HTTP/1.0\r\n\r\n", 404),
    (b"GET /webrtc HTTP/1.1\r\n\r\n", 400),  # without a host
    (b"CONNECT here:1 HTTP/1.1\r\nhost: here\r\n\r\n", 404),
    (b"GET / HTTP/1.1\r\nhost: here\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n", 404),
    (post(b"", method="OPTIONS"), 405),  # what a browser asks on behalf of a page of another origin
    (post(b"v=0", kind="text/plain"), 415),  # what it sends without asking
    (post(b"nonsense"), 400),
    (post(b"v=0\r\n\xff"), 400),
    (post(b"v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"), 400),
    (b"nonsense\r\n\r\n", 400),
    (post(bytes(40_000)), 413),
]


async def test_what_is_no_offer_is_refused_and_the_server_lives() -> None:
    async with trio.open_nursery() as nursery:
        (address,) = await nursery.start(WebRtcTransport(LIMITS).serve, "127.0.0.1:0", lambda pipe: None)
        for raw, status in REFUSED:
            assert (await ask(address, raw)).startswith(f"HTTP/1.1 {status} ".encode()), raw[:80]
        async with by_http(address.removeprefix("webrtc:")) as exchange:
            with pytest.raises(OSError, match=r"takes no offer: .*begin with v=0"):
                await exchange.answer("hello")
        nursery.cancel_scope.cancel()


async def test_one_client_has_few_connections_opening() -> None:
    transport = WebRtcTransport(LIMITS)
    async with trio.open_nursery() as nursery:
        (address,) = await nursery.start(transport.serve, "127.0.0.1:0", lambda pipe: None)
        found: list[OSError] = []
        dialler = WebRtcTransport(LIMITS)
        dialler.bridge.enter()
        pipes = [ChannelPipe(dialler.bridge, "", ("127.0.0.1",), 4.0) for _ in range(10)]
        for pipe in pipes:
            offer = await dialler.bridge.call(pipe.carrier.offer)
            try:
                async with by_http(address.removeprefix("webrtc:")) as exchange:
                    await exchange.answer(offer)  # and then nothing: it never opens
            except OSError as error:
                found.append(error)
        assert len(found) == 2
        assert "too many connections are opening" in str(found[0])
        for pipe in pipes:
            await pipe.end(orderly=False)
        await dialler.bridge.leave()
        nursery.cancel_scope.cancel()
    assert not transport.bridge.running


async def test_no_offer_however_mangled_harms_the_answering_end() -> None:
    rng = random.Random(11)
    taken = 0
    codes: list[str] = []
    transport = WebRtcTransport(LIMITS)
    async with transport.answering(lambda pipe: None) as answering:
        pipe = ChannelPipe(transport.bridge, "", ("127.0.0.1",), 4.0)
        lines = (await transport.bridge.call(pipe.carrier.offer)).splitlines()
        await pipe.end(orderly=False)
        for round_ in range(120):
            mangled = list(lines)
            for _ in range(rng.randrange(1, 4)):
                at = rng.randrange(len(mangled))
                how = rng.randrange(4)
                if how == 0:
                    del mangled[at]
                elif how == 1:
                    mangled.insert(at, rng.choice(lines))
                elif how == 2:
                    mangled[at] = mangled[at][: rng.randrange(len(mangled[at]) + 1)]
                else:
                    cut = rng.randrange(len(mangled[at]) + 1)
                    mangled[at] = (
                        mangled[at][:cut] + rng.choice(["-1", "99999999999", ":", " ", "x", "\0"]) + mangled[at][cut:]
                    )
            text = "\r\n".join(mangled) + "\r\n"
            try:
                await answering.answer(text, str(round_), ("127.0.0.1",), candidates=True)
                taken += 1
            except RemoteProtocolError as error:
                codes.append(error.code)
                if error.code == "busy":
                    break
    assert taken > 5
    assert {*codes} <= {"malformed", "busy"}
    assert codes.count("malformed") > 5
    assert not transport.bridge.running
    assert list(transport.bridge.errors) == []


# --- the thread -------------------------------------------------------------------------------------------------------


async def test_the_thread_gives_results_errors_and_cancellation_and_survives_callbacks() -> None:
    import asyncio

    bridge = Bridge()
    bridge.enter()
    ended: list[str] = []

    async def three() -> int:
        await asyncio.sleep(0)
        return 3

    async def bad() -> None:
        raise KeyError("of the callee")

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("cleaned up")

    def broken() -> None:
        raise ZeroDivisionError("of a callback")

    assert await bridge.call(three) == 3
    with pytest.raises(KeyError, match="of the callee"):
        await bridge.call(bad)
    with trio.move_on_after(0.01) as scope:
        await bridge.call(forever)
    assert scope.cancelled_caught
    assert ended == ["cleaned up"]
    bridge.soon(broken)
    assert await bridge.call(three) == 3
    assert list(bridge.errors) == ["of a callback"]
    await bridge.leave()
    assert not bridge.running
    bridge.enter()  # and again
    assert await bridge.call(three) == 3
    await bridge.leave()
