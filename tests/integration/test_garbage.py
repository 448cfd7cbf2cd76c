"""Garbage on every listening port of a running network of processes: payments go on, and memory stays bounded.

One validator and one miner of the genesis do not run; the test speaks in their names, so that hostile contents also
arrive where only a validator or a miner is listened to.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from process_network import ProcessNetwork, running
from raw_client import RawClient

from supervm.common.host.keyfile import NODE_KEY_FILE, load_key_file
from supervm.common.services.client import watch
from supervm.common.up.layout import Counts
from supervm.protocol.base.keys import SigningKey
from supervm.protocol.wire.directions import ACCEPTS
from supervm.protocol.wire.fields import Message
from supervm.protocol.wire.frames import encode_message
from supervm.protocol.wire.link import Hello
from supervm.sim.fuzz.wild import MESSAGES, Wild

pytestmark = [pytest.mark.processes, pytest.mark.timeout(280)]

NAMES = [f"name{index}" for index in range(8)]
GROWTH_BYTES_MAX = 32 << 20
SILENT = 1_000
SILENT_KEPT_MAX = 256
SILENT_S_MAX = 10.0
WELCOME_TIMES = 8
ABSENT = {1: "l1-3", 2: "l2-1"}


@pytest.fixture
def network(tmp_path: Path) -> ProcessNetwork:
    return ProcessNetwork(tmp_path, Counts(4, 2, 1, 2), NAMES)


def present(network: ProcessNetwork) -> list[str]:
    return [name for name in network.nodes if name not in ABSENT.values()]


def listening(network: ProcessNetwork) -> dict[str, int]:
    return {name: network.layout.nodes[name]["port"] for name in present(network) if not name.startswith("l4")}


async def rss(network: ProcessNetwork) -> dict[str, int]:
    return {name: (await network.metrics(name))["rss_bytes"] for name in present(network)}


def welcome(sender_tier: int, receiver_tier: int) -> list[type[Message]]:
    """Kinds that the receiver takes from this sender, in a fixed order."""
    kinds = ACCEPTS.get((sender_tier, receiver_tier), frozenset())
    return [kind for kind in MESSAGES if kind in kinds and kind is not Hello]


def unwelcome(sender_tier: int, receiver_tier: int) -> list[type[Message]]:
    """Kinds that it does not take, `Hello` after Hello included."""
    taken = welcome(sender_tier, receiver_tier)
    return [kind for kind in MESSAGES if kind not in taken]


class Paying:
    """Payments that go on and on in the background, until told to stop; each has to be proved."""

    def __init__(self, network: ProcessNetwork) -> None:
        self._network = network
        self._rng = random.Random(4)
        self._stop = False
        self.proved = 0

    async def some(self, count: int) -> None:
        rows = [(*self._rng.sample(NAMES, 2), self._rng.randrange(1, 1_000), 1 + self.proved) for _ in range(count)]
        run = self._network.payments(rows)
        with trio.fail_after(60):
            await run.run()
        assert run.counts() == {"R4": count}
        self.proved += count

    async def on_and_on(self) -> None:
        while not self._stop:
            await self.some(20)

    def stop(self) -> None:
        self._stop = True


async def check_growth(network: ProcessNetwork, before: dict[str, int]) -> None:
    after = await rss(network)
    growth = {name: after[name] - before[name] for name in after}
    assert max(growth.values()) <= GROWTH_BYTES_MAX, growth


async def finish(network: ProcessNetwork, paying: Paying) -> None:
    """Money still flows and is exact, the nodes stop cleanly, and none complained of more than its peers."""
    await paying.some(20)
    first, *others = [(await network.call(name, {"request": "info"}))["fees"] for name in ("l1-0", "l1-1", "l1-2")]
    assert others == [first, first]
    await network.terminate()
    assert {code for name in present(network) for code in network.stopped_with[name]} == {0}
    assert network.complaints() == []


# --- bytes ----------------------------------------------------------------------------------------------------------


async def throw(port: int, *pieces: bytes) -> None:
    """Connect, write, and read until the other end closes, which it does at the latest after 10 s."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        with suppress(trio.BrokenResourceError):
            for piece in pieces:
                await stream.send_all(piece)
            await stream.send_eof()
            while await stream.receive_some(65_536):
                pass


def noise(rng: random.Random) -> Iterator[tuple[bytes, ...]]:
    """Random bytes of many lengths, and text of other protocols."""
    for size in (1, 2, 31, 34, 35, 100, 1_026, 4_096, 70_000, 1 << 20):
        yield (rng.randbytes(size),)
    yield (b"\x00\x20" + rng.randbytes(32),)  # looks like a first handshake message
    yield (b"\x00\x20" + bytes(32),)
    yield (b"\xff\xff" * 100,)
    yield (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",)
    yield tuple(bytes([byte]) for byte in rng.randbytes(50))


async def throw_noise(port: int, rng: random.Random) -> None:
    async with trio.open_nursery() as nursery:
        for pieces in noise(rng):
            nursery.start_soon(throw, port, *pieces)


async def throw_truncated(network: ProcessNetwork, port: int, rng: random.Random) -> None:
    """Handshakes and frames that stop in the middle, and records that were tampered with on the way."""
    hello = encode_message(Hello(1, 1, 0, (), 0, "x"))
    for cut in (1, 2, 20, 33):
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with RawClient(stream, network.chain) as client:
            await stream.send_all(client.connection.bytes_to_send(0)[:cut])
    for _ in range(5):
        async with await RawClient.connect(port, network.chain) as client:
            client.session.send_frame(hello + rng.randbytes(10_000))
            data = client.session.bytes_to_send(client.connection.deadline_us)
            await client.stream.send_all(data[: rng.randrange(1, len(data))])
        async with await RawClient.connect(port, network.chain) as client:
            client.session.send_frame(hello)
            tampered = bytearray(client.session.bytes_to_send(client.connection.deadline_us))
            tampered[rng.randrange(2, len(tampered))] ^= 1 << rng.randrange(8)
            await client.stream.send_all(tampered)
            await client.until_closed()


# --- messages -------------------------------------------------------------------------------------------------------


class Liar:
    """Sends wild messages to one port in one role; connects again whenever it is thrown out."""

    def __init__(self, network: ProcessNetwork, name: str, tier: int, wild: Wild) -> None:
        self._network = network
        self._port: int = network.layout.nodes[name]["port"]
        self._own, self._other = tier, int(name[1])
        self._wild = wild
        absent = ABSENT.get(tier)
        self._key: SigningKey | None = load_key_file(network.directory / absent / NODE_KEY_FILE) if absent else None
        self._client: RawClient | None = None
        self.sent = 0

    async def run(self) -> None:
        for kind in unwelcome(self._own, self._other):
            await self._say(encode_message(self._wild.message(kind)))
        for kind in welcome(self._own, self._other):
            for _ in range(WELCOME_TIMES):
                await self._say(encode_message(self._wild.message(kind)))
        if self._client is not None:
            await self._client.aclose()

    async def _say(self, frame: bytes) -> None:
        if self._client is not None and not self._is_open(self._client):
            await self._client.aclose()
            self._client = None
        if self._client is None:
            self._client = await RawClient.connect(self._port, self._network.chain, tier=self._own, key=self._key)
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await self._client.send_frames(frame)
        self.sent += 1

    def _is_open(self, client: RawClient) -> bool:
        """Read what is there; a node that has hung up is seen by its Goodbye or the end of the stream."""
        return client.read_available() and client.parting is None


async def throw_frames(network: ProcessNetwork, port: int, rng: random.Random) -> None:
    """Authenticated frames that are no messages: noise, wrong types, wrong tags, deep nests, huge counts."""
    frames = [
        b"\xc0",
        b"\x91\x0a",
        b"\x91\xcd\xff\xff",
        b"\x93\x0a\x90\x90",
        b"\x97\x01" + b"\xff" * 6,
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\x92\x0a\xc6\xff\xff\xff\xff",
        b"\x91" * 5_000,
        b"\x92\x0a" + b"\x91" * 900,
        b"\x92\x0a\xdc\x02\x01" + b"\xc4\x00" * 513,
        rng.randbytes(100),
        rng.randbytes(1 << 20),
        bytes(8 << 20),
    ]
    for frame in frames:
        async with await RawClient.connect(port, network.chain, tier=rng.choice((0, 3, 4))) as client:
            await client.send_frames(frame)
            await client.until_closed()


async def test_payments_go_on_while_every_port_gets_garbage(network: ProcessNetwork) -> None:
    chain = network.chain
    known = [
        chain.chain_id,
        chain.anchor.hash,
        bytes(32),
        *chain.first_state().accounts,
        *chain.validators.index_of_node,
        *(member.key for member in chain.validators.members),
        *(miner.node_id for miner in chain.genesis.miners),
    ]
    async with running(network, *present(network)):
        paying = Paying(network)
        await paying.some(100)
        before = await rss(network)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(paying.on_and_on)
            for number, (name, port) in enumerate(listening(network).items()):
                rng = random.Random(number)
                await throw_noise(port, rng)
                await throw_truncated(network, port, rng)
                await throw_frames(network, port, rng)
                for tier in range(5):
                    if f"l{tier}" == name[:2] == "l2":
                        continue  # miners do not talk to miners
                    liar = Liar(network, name, tier, Wild(rng, known))
                    await liar.run()
                    assert liar.sent > 20
            paying.stop()
        assert paying.proved >= 120
        await check_growth(network, before)
        await finish(network, paying)


# --- silence --------------------------------------------------------------------------------------------------------


async def keep_silent(port: int, closed: list[float]) -> None:
    """Connect, say nothing, and note after how many seconds the node closes."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    since = trio.current_time()
    async with stream:
        with suppress(trio.BrokenResourceError):
            assert await stream.receive_some(1) == b""
    closed.append(trio.current_time() - since)


async def test_a_thousand_silent_connections_leave_at_most_256_and_those_for_ten_seconds(
    network: ProcessNetwork,
) -> None:
    _allow_descriptors(4 * SILENT)
    async with running(network, *present(network)):
        paying = Paying(network)
        await paying.some(100)
        before = await rss(network)
        targets = {name: listening(network)[name] for name in ("l1-0", "l2-0", "l3-0")}
        closed: dict[str, list[float]] = {name: [] for name in targets}
        most = dict.fromkeys(targets, 0)

        async def count() -> None:
            async with watch(network.nodes["l1-1"].socket) as events:
                async for _ in events:
                    for name in targets:
                        most[name] = max(most[name], (await network.metrics(name))["unauthenticated"])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(paying.on_and_on)
            with trio.fail_after(90):
                async with trio.open_nursery() as counting:
                    counting.start_soon(count)
                    async with trio.open_nursery() as silence:
                        for name, port in targets.items():
                            for _ in range(SILENT):
                                silence.start_soon(keep_silent, port, closed[name])
                    counting.cancel_scope.cancel()
            paying.stop()
        for name, times in closed.items():
            assert len(times) == SILENT
            assert 100 < most[name] <= SILENT_KEPT_MAX
            kept = sum(time > SILENT_S_MAX / 2 for time in times)
            assert kept <= SILENT_KEPT_MAX
            assert SILENT_S_MAX - 1 < max(times) < 2.5 * SILENT_S_MAX  # the rest is the machine's own delay
        assert paying.proved > 100
        await check_growth(network, before)
        for name in targets:
            assert (await network.metrics(name))["unauthenticated"] == 0
        await finish(network, paying)


def _allow_descriptors(count: int) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        if hard < count:
            pytest.skip(f"this system allows {hard} open files; the test needs {count}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
