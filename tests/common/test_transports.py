"""The seam between links and media: addresses, traits, pipes in memory, and who begins where both ends dial."""

import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import trio
import trio.testing

from supervm.common.contract import core as c
from supervm.common.driver import Limits, ListenFailed, TrioClock
from supervm.common.driver.failures import NoAddress
from supervm.common.driver.transports import TcpTransport, Traits, Transports, installed
from supervm.common.driver.transports import registry as registry_module
from supervm.common.driver.transports.memory import MemoryNet, MemoryTransport
from supervm.protocol.wire.payments import Submit


def load_tools() -> ModuleType:
    spec = importlib.util.spec_from_file_location("driver_tools", Path(__file__).with_name("driver_tools.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tools: Any = load_tools()


def memory_node(net: MemoryNet, number: int, tier: int, traits: Traits | None = None, **options: Any) -> Any:
    """Return a node that is found at ``memory:<number>``."""
    return tools.Node(
        number,
        tier,
        listen=f"memory:{number}",
        clock=TrioClock(10**15),
        threaded_commits=False,
        transports=[MemoryTransport(net, traits)],
        **options,
    )


@asynccontextmanager
async def running(*nodes: Any) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        for node in nodes:
            await node.start(nursery)
        yield
        nursery.cancel_scope.cancel()


LIMITS = Limits()


@pytest.mark.parametrize(
    ("address", "scheme", "rest"),
    [
        ("127.0.0.1:80", "tcp", "127.0.0.1:80"),
        ("[::1]:80", "tcp", "[::1]:80"),
        ("host:80", "tcp", "host:80"),
        ("tcp:[::1]:80", "tcp", "[::1]:80"),
        ("memory:one", "memory", "one"),
        ("memory:a:b", "memory", "a:b"),
        ("nonsense", "tcp", "nonsense"),
    ],
)
def test_an_address_is_a_scheme_and_a_rest_or_of_tcp(address: str, scheme: str, rest: str) -> None:
    found, rest_found = Transports([TcpTransport(LIMITS), MemoryTransport(MemoryNet())]).of(address)
    assert (found.scheme, rest_found) == (scheme, rest)


def test_an_address_of_no_transport_says_which_there_are() -> None:
    with pytest.raises(NoAddress, match="'ble:aa:bb' is of no transport of this node; it has tcp"):
        Transports([TcpTransport(LIMITS)]).of("ble:aa:bb")


def test_transports_of_others_are_found_and_a_broken_one_says_so_when_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Entry:
        def __init__(self, name: str, error: Exception | None) -> None:
            self.name, self.error = name, error

        def load(self) -> Any:
            if self.error is not None:
                raise self.error
            return lambda limits: MemoryTransport(MemoryNet(), scheme=self.name)

    monkeypatch.setattr(
        registry_module, "entry_points", lambda group: [Entry("mem", None), Entry("bad", ImportError("no bleak"))]
    )
    found = installed(LIMITS)
    assert found.of("mem:x")[0].scheme == "mem"
    assert found.of("tcp:127.0.0.1:1")[0].scheme == "tcp"
    with pytest.raises(NoAddress, match="bad cannot be used: ImportError: no bleak"):
        found.of("bad:x")


def test_timers_and_sizes_follow_from_traits() -> None:
    fast, radio = Traits(), Traits(mtu_bytes=223, bitrate_bps=1_200, cost=0, metered=True)
    assert (fast.heartbeat_us, fast.send_bytes(LIMITS), fast.record_bytes_max) == (10_000_000, 256 << 10, 65_519)
    assert (fast.unauthenticated_s(LIMITS), fast.goodbye_s(LIMITS)) == (10.0, 1.0)
    assert (radio.heartbeat_us, radio.send_bytes(LIMITS), radio.record_bytes_max) == (240_000_000, 150, 223)
    assert (radio.unauthenticated_s(LIMITS), radio.goodbye_s(LIMITS)) == (30.0, 2.0)
    assert Traits(bitrate_bps=1_200, duty_cycle=0.1).unauthenticated_s(LIMITS) == 300.0
    assert Traits(cost=1).heartbeat_us == 240_000_000


def test_what_tcp_can_dial() -> None:
    tcp = TcpTransport(LIMITS)
    assert [tcp.can_dial(text) for text in ("h:1", "[::1]:2", "h", "h:99999")] == [True, True, False, False]


async def test_nodes_meet_over_memory_under_a_stepped_clock(autojump_clock: trio.testing.MockClock) -> None:
    net = MemoryNet()
    edge, phone = memory_node(net, 1, 3), memory_node(net, 2, 4)
    async with running(edge, phone):
        assert edge.address == "memory:1"
        await phone.connect(edge)
        (up,) = phone.core.of(c.PeerUp)
        assert (up.peer, up.address, up.remote) == (edge.id, "memory:1", "1")
        phone.do(lambda outbox: [outbox.send(edge.id, Submit((bytes(640),) * 90)) for _ in range(40)])
        await edge.core.until(lambda: len(edge.core.of(c.Received)) == 40)
        await trio.sleep(1_000)  # nobody waits for it
        phone.driver.stop_now()
        down = await edge.core.until(lambda: edge.core.of(c.PeerDown))
        assert down[0].reason == "the peer closed the connection"
        edge.do(lambda outbox: outbox.dial("memory:nobody", None))
        await edge.core.until(lambda: edge.core.of(c.DialFailed))
        assert edge.core.of(c.DialFailed) == [c.DialFailed("memory:nobody", "nobody serves nobody")]


async def test_small_records_carry_large_frames(autojump_clock: trio.testing.MockClock) -> None:
    net, traits = MemoryNet(), Traits(mtu_bytes=200, bitrate_bps=9_600)
    edge, phone = memory_node(net, 1, 3, traits), memory_node(net, 2, 4, traits)
    async with running(edge, phone):
        await phone.connect(edge)
        phone.do(lambda outbox: outbox.send(edge.id, Submit((bytes(600),) * 16)))
        await edge.core.until(lambda: edge.core.of(c.Received))
        assert edge.core.of(c.Received)[0].message == Submit((bytes(600),) * 16)


async def test_where_both_ends_dial_the_lower_id_begins(autojump_clock: trio.testing.MockClock) -> None:
    net = MemoryNet()
    nodes = memory_node(net, 1, 1), memory_node(net, 2, 1)
    async with running(*nodes):
        for node, other in (nodes, nodes[::-1]):
            node.do(lambda outbox, to=other: outbox.dial("memory:meet/here", to.id))
        low, high = sorted(nodes, key=lambda node: node.id)
        for node, other in ((low, high), (high, low)):
            await node.core.until(lambda node=node, other=other: node.driver._links.is_up(other.id))
            (link,) = node.driver._links._table.peers.values()
            assert link.connection.dialled
            assert link.connection.initiator is (node is low)
        low.do(lambda outbox: outbox.dial("memory:meet/there", None))
        high.do(lambda outbox: outbox.dial("memory:meet/there", None))
        await low.core.until(lambda: low.core.of(c.DialFailed))
        assert "node id" in low.core.of(c.DialFailed)[0].reason


async def test_a_name_is_served_once(autojump_clock: trio.testing.MockClock) -> None:
    net = MemoryNet()
    with pytest.RaisesGroup(pytest.RaisesExc(ListenFailed, match="cannot listen on memory:1: in use")):
        async with running(memory_node(net, 1, 3), memory_node(net, 1, 3)):
            await trio.sleep_forever()


async def test_a_killed_pipe_ends_both_ends(autojump_clock: trio.testing.MockClock) -> None:
    net = MemoryNet()
    edge, phone = memory_node(net, 1, 3), memory_node(net, 2, 4)
    async with running(edge, phone):
        await phone.connect(edge)
        net.pipes[0].kill()
        for node in (edge, phone):
            down = await node.core.until(lambda node=node: node.core.of(c.PeerDown))
            assert down[0].reason == "the connection is lost: the pipe was killed"
