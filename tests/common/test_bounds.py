"""Bounds of a node that a peer can run into, each tripped once (docs/network.md, Bounds, says where the others are)."""

from __future__ import annotations

import importlib.util
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from chain_tools import GENESIS_TIME_MS, test_key
from hypothesis import given
from hypothesis import strategies as st
from reach_node import CHAIN_ID, ReachNode
from reach_samples import sample_record

from supervm.common.contract import core as c
from supervm.common.driver import Limits
from supervm.common.driver.admission import ADDRESSES_MAX, Admission
from supervm.common.driver.transports.tcp import split_address
from supervm.common.parts.buckets import Rate
from supervm.common.parts.reach.part import SEEN_MAX
from supervm.common.storage.memory import MemoryStore
from supervm.common.testing.hand import HandDriver
from supervm.protocol.base.codec import encode
from supervm.protocol.base.keys import SigningKey, verify
from supervm.protocol.wire.frames import encode_message
from supervm.protocol.wire.payments import GetReceipt, Status, StatusItem
from supervm.protocol.wire.reach import Observed, RecordPut


def load_tools() -> Any:
    spec = importlib.util.spec_from_file_location("driver_tools", Path(__file__).with_name("driver_tools.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tools: Any = load_tools()
Node, ListStore, RawPeer = tools.Node, tools.ListStore, tools.RawPeer


def status(number: int, text: str = "") -> Status:
    return Status((StatusItem(number.to_bytes(32, "big"), 0, text),))


def id_of(number: int) -> bytes:
    return SigningKey(bytes([number]) * 32).public


async def raw_peer(node: Any, number: int, *, host: str = "127.0.0.1") -> Any:
    """A phone of the test's own, up at `node`, coming from a loopback address."""
    to, port = split_address(node.address)
    stream = await trio.open_tcp_stream(to, port, local_address=host)
    peer = RawPeer(stream, node, 4, time.time_ns() // 1000, number)
    await peer.shake()
    await node.core.until(lambda: node.driver._links.is_up(id_of(number)))
    return peer


# --- connections have run out -----------------------------------------------------------------------------------------


def full(networks: Sequence[str], connections_max: int = 4, **needed: bool) -> Admission[int]:
    """Connections from these addresses, all up, in this order."""
    admission: Admission[int] = Admission(Limits(connections_max=connections_max, per_address_max=0))
    for key, address in enumerate(networks):
        admission.enter(key, address)
        assert admission.up(key, is_needed=needed.get(f"k{key}", False)) is None
    return admission


def test_the_youngest_of_the_most_crowded_network_goes_for_one_of_another() -> None:
    admission = full(["20.1.0.1", "20.1.0.2", "30.1.0.1", "20.1.9.9"])
    assert admission.refusal("20.1.0.3") == "4 connections are open"  # it would crowd its own network only
    assert admission.refusal("40.1.0.1") is None
    assert admission.enter(9, "40.1.0.1") is None
    assert admission.connections == 5  # until it has proven who it is
    assert admission.up(9) == 3
    assert admission.connections == 4
    admission.enter(10, "50.1.0.1")
    assert admission.up(10) == 1
    assert admission.refusal("60.1.0.1") == "4 connections are open"  # one each: nobody has two more


def test_a_newcomer_that_proves_nothing_pushes_nobody_out() -> None:
    admission = full(["20.1.0.1", "20.1.0.2", "20.1.0.3", "20.1.0.4"])
    assert admission.enter(9, "40.1.0.1") is None
    assert admission.enter(10, "50.1.0.1") == 9  # the one that waits goes first
    admission.leave(10)
    assert (admission.connections, admission.unauthenticated) == (4, 0)


def test_who_is_needed_stays() -> None:
    admission = full(["20.1.0.1"] * 4, k3=True, k2=True)
    admission.enter(9, "40.1.0.1")
    assert admission.up(9) == 1
    assert full(["20.1.0.1"] * 4, k3=True, k2=True, k1=True).refusal("40.1.0.1") is not None


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=80))
def test_networks_share_what_there_is(steps: list[tuple[int, bool]]) -> None:
    """Never more than the bound are up, and no network is kept out while another has two more."""
    admission: Admission[int] = Admission(Limits(connections_max=6, per_address_max=0))
    up: dict[int, int] = {}
    for key, (network, leaves) in enumerate(steps):
        mine = [other for other, of in up.items() if of == network]
        if leaves and mine:
            admission.leave(mine[0])
            del up[mine[0]]
            continue
        counts = [sum(of == other for of in up.values()) for other in range(6)]
        expected = len(up) < 6 or max(counts) >= counts[network] + 2
        address = f"20.{network}.0.1"
        assert (admission.refusal(address) is None) is expected
        if expected:
            assert admission.enter(key, address) is None
            victim = admission.up(key)
            up[key] = network
            if victim is not None:
                crowd = [other for other, of in up.items() if of == up[victim]]
                assert victim == max(crowd)
                del up[victim]
        assert admission.connections == len(up) <= 6


async def test_a_machine_that_has_all_connections_makes_room_for_another(nursery: trio.Nursery) -> None:
    node = await Node(1, 3, limits=Limits(connections_max=3)).start(nursery)
    greedy = [await raw_peer(node, 20 + number, host="127.0.0.2") for number in range(3)]
    other = await raw_peer(node, 40, host="127.0.0.3")
    with trio.fail_after(10):
        await greedy[2].until_closed()
    assert greedy[2].connection.parting.code == "full"
    assert [node.driver._links.is_up(id_of(number)) for number in (20, 21, 22, 40)] == [True, True, False, True]
    for peer in (*greedy, other):
        await peer.stream.aclose()
    nursery.cancel_scope.cancel()


def test_handshakes_are_counted_for_so_many_addresses_at_most() -> None:
    admission: Admission[int] = Admission(Limits(handshakes=Rate(1, 1)))
    for number in range(ADDRESSES_MAX + 10):
        admission.handshake_us(f"20.{number >> 8}.{number & 255}.1", 0)
    assert len(admission._handshakes) == ADDRESSES_MAX
    assert admission.handshake_us(f"20.{ADDRESSES_MAX >> 8}.9.1", 0) > 0  # the newest are remembered


# --- memory -----------------------------------------------------------------------------------------------------------


async def test_frames_that_do_not_come_to_an_end_are_bounded_together(nursery: trio.Nursery) -> None:
    node = await Node(1, 3, limits=Limits(partial_bytes_all_max=400_000)).start(nursery)
    peers = [await raw_peer(node, 20 + number) for number in range(3)]
    for peer, sent in zip(peers, (150_000, 210_000, 150_000), strict=True):
        peer.session.send_frame(bytes(900_000))
        await peer.stream.send_all(peer.connection.bytes_to_send(peer.now_us)[:sent])
    await node.core.until(lambda: node.core.of(c.PeerDown))
    [down] = node.core.of(c.PeerDown)
    assert (down.peer, "does not come to an end" in down.reason) == (id_of(21), True)  # the longest
    assert node.driver._links.is_up(id_of(20))
    assert node.driver._links.is_up(id_of(22))
    for peer in peers:
        await peer.stream.aclose()
    nursery.cancel_scope.cancel()


async def test_what_waits_to_be_sent_is_bounded_for_all_peers_together(nursery: trio.Nursery) -> None:
    bounds = Limits(queue_bytes_max=64 << 20, queued_bytes_all_max=24 << 20)
    node = await Node(1, 3, limits=bounds).start(nursery)
    slow, slower = await raw_peer(node, 20), await raw_peer(node, 21)
    text = "x" * 250
    node.do(lambda outbox: [outbox.send(id_of(20), status(n, text)) for n in range(30_000)])
    with trio.fail_after(20):
        while node.driver._links.is_up(id_of(21)):
            node.do(lambda outbox: [outbox.send(id_of(21), status(n, text)) for n in range(2_000)])
            await trio.lowlevel.checkpoint()
    assert "too many for all" in node.core.of(c.PeerDown)[0].reason
    assert node.driver._links.is_up(id_of(20))
    for peer in (slow, slower):
        await peer.stream.aclose()
    nursery.cancel_scope.cancel()


# --- turns and work ---------------------------------------------------------------------------------------------------


async def test_a_peer_with_much_to_say_does_not_keep_others_from_being_heard(nursery: trio.Nursery) -> None:
    quiet_bytes: list[tuple[int, bytes]] = []

    def on(core: Any, _now_us: int, event: c.Input) -> None:
        if isinstance(event, c.Received) and event.peer == id_of(20) and quiet_bytes:
            fd, data = quiet_bytes.pop()
            os.write(fd, data)  # another peer speaks while the first message of the loud one is taken

    node = await Node(1, 3, on, limits=Limits(deliver_max=4)).start(nursery)
    loud, quiet = await raw_peer(node, 20), await raw_peer(node, 21)
    quiet.session.send_frame(encode_message(GetReceipt(bytes(32))))
    quiet_bytes.append((quiet.stream.socket.fileno(), quiet.connection.bytes_to_send(quiet.now_us)))
    await loud.send(*(encode_message(GetReceipt(n.to_bytes(32, "big"))) for n in range(400)))
    received = await node.core.until(lambda: heard if len(heard := node.core.of(c.Received)) == 401 else None)
    assert [event.peer for event in received].index(id_of(21)) < 100
    for peer in (loud, quiet):
        await peer.stream.aclose()
    nursery.cancel_scope.cancel()


async def test_no_peer_is_read_while_the_disk_is_behind(nursery: trio.Nursery) -> None:
    disk = threading.Event()

    def on(core: Any, _now_us: int, event: c.Input) -> None:
        if isinstance(event, c.Received):
            core.outbox.persist(("row",))

    store = ListStore(lambda _records: disk.wait(20) and None)
    node = await Node(1, 3, on, store=store, limits=Limits(waiting_records_max=3, read_bytes=100)).start(nursery)
    peer = await raw_peer(node, 20)
    for number in range(40):
        await peer.send(encode_message(GetReceipt(number.to_bytes(32, "big"))))
    with trio.fail_after(20):
        while node.driver.metrics()["waiting_records"] < 3:
            await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert len(node.core.of(c.Received)) < 10
        disk.set()
        await node.core.until(lambda: len(node.core.of(c.Received)) == 40)
    await peer.stream.aclose()
    nursery.cancel_scope.cancel()


async def test_no_peer_is_read_while_too_many_signatures_are_under_way(nursery: trio.Nursery) -> None:
    def on(core: Any, _now_us: int, event: c.Input) -> None:
        if isinstance(event, c.Received):
            core.outbox.verify(b"lane", [(bytes(32), b"m", bytes(64))] * 300)

    node = await Node(1, 3, on, limits=Limits(signatures_max=1_000, read_bytes=100)).start(nursery)
    peer = await raw_peer(node, 20)
    most = 0
    for number in range(30):
        await peer.send(encode_message(GetReceipt(number.to_bytes(32, "big"))))
    with trio.fail_after(30):
        while len(node.core.of(c.WorkDone)) < 30:
            most = max(most, node.driver.metrics()["verifying"])
            await trio.lowlevel.checkpoint()
    assert most < 3_000  # of 9,000: those of one read beyond the bound
    await peer.stream.aclose()
    nursery.cancel_scope.cancel()


# --- what is cheap comes first ----------------------------------------------------------------------------------------

NOW_US = (GENESIS_TIME_MS + 1_000) * 1_000


def record(name: str, **changes: Any) -> bytes:
    known: dict[str, Any] = {
        "chain_id": CHAIN_ID,
        "endpoints": ("20.5.0.1:7003",),
        "expires_ms": GENESIS_TIME_MS + 3 * 3_600_000,
    }
    return encode(sample_record(name, **known | changes))


@pytest.mark.parametrize(
    ("raw", "checks"),
    [
        (b"x", 0),
        (bytes(4_000), 0),
        (record("edge5")[:-1], 0),
        (record("edge5", chain_id=bytes(32)), 0),
        (record("edge5", expires_ms=GENESIS_TIME_MS), 0),
        (record("edge5", expires_ms=GENESIS_TIME_MS + 10**12), 0),
        (record("edge5", endpoints=("20.5.0.1:7003", "20.5.0.1:7003")), 0),
        (record("known"), 0),
        (record("edge5"), 1),
    ],
    ids=["no record", "zeros", "cut", "of another network", "ended", "too long", "twice", "known already", "right"],
)
def test_a_record_is_checked_for_all_that_is_cheap_before_its_signature(raw: bytes, checks: int) -> None:
    counted: list[bytes] = []

    def check(key: bytes, message: bytes, signature: bytes) -> bool:
        counted.append(key)
        return verify(key, message, signature)

    store = MemoryStore(ReachNode.declared_tables())
    node = HandDriver(ReachNode(test_key("me"), (), (), store, check), store, now_us=NOW_US)
    peer = test_key("teller").public
    node.up(peer, 3, features=("reach1",))
    node.receive(peer, RecordPut((record("known"),)))
    counted.clear()
    node.receive(peer, RecordPut((raw,)))
    assert len(counted) == checks


def test_what_neighbours_see_is_remembered_of_so_many() -> None:
    store = MemoryStore(ReachNode.declared_tables())
    node = HandDriver(ReachNode(test_key("me"), (), (), store), store, now_us=NOW_US)
    for number in range(SEEN_MAX + 5):
        peer = test_key(f"edge{number}").public
        node.up(peer, 3, features=("reach1",))
        node.receive(peer, Observed(f"20.1.2.{number}:0"))
    assert len(node.core.reach.info(NOW_US)["seen_at"]) == SEEN_MAX


# --- faults that are planted are noticed ------------------------------------------------------------------------------


def first_network(self: Admission[int], _network: str) -> str | None:
    """Any network makes room, not the most crowded."""
    return next(iter(self._up), None)


def nobody(_self: Admission[int], _network: str) -> str | None:
    """Who came first stays, whoever it is: as before there was a rule."""
    return None


UP = Admission.up


def needed_or_not(self: Admission[int], key: int, *, is_needed: bool = False) -> int | None:
    """Nobody is protected."""
    return UP(self, key, is_needed=is_needed and False)


@pytest.mark.parametrize(
    ("place", "fault", "test"),
    [
        ("_crowded", first_network, test_the_youngest_of_the_most_crowded_network_goes_for_one_of_another),
        ("_crowded", nobody, test_the_youngest_of_the_most_crowded_network_goes_for_one_of_another),
        ("_crowded", nobody, test_networks_share_what_there_is),
        ("up", needed_or_not, test_who_is_needed_stays),
    ],
)
def test_a_planted_fault_is_noticed(monkeypatch: pytest.MonkeyPatch, place: str, fault: Any, test: Any) -> None:
    test()
    monkeypatch.setattr(Admission, place, fault)
    with pytest.raises(AssertionError):
        test()
