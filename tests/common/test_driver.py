"""The trio driver keeps the contract of core.py over real sockets, whatever peers do."""

import contextlib
import importlib.util
import random
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from supervm.common.contract import core as c
from supervm.common.contract.jobs import Job, VerifySignatures
from supervm.common.driver import Halted, Limits, ListenFailed, StorageFailed, TrioClock
from supervm.common.driver.admission import Admission
from supervm.common.driver.failures import NoAddress
from supervm.common.driver.peer import OutQueue
from supervm.common.driver.transports.acknowledged import Acknowledged
from supervm.common.driver.transports.tcp import join_address, split_address
from supervm.common.driver.workers import CHUNK_BYTES_MAX, CHUNK_ITEMS_MAX, JobQueue, JobRunner
from supervm.common.errors import InputError
from supervm.common.parts.buckets import Rate
from supervm.protocol.base.keys import SigningKey
from supervm.protocol.wire.consensus import VoteMessage
from supervm.protocol.wire.frames import encode_message
from supervm.protocol.wire.link import Goodbye, Heartbeat
from supervm.protocol.wire.payments import GetReceipt, Status, StatusItem, Submit


def load_tools() -> ModuleType:
    spec = importlib.util.spec_from_file_location("driver_tools", Path(__file__).with_name("driver_tools.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tools: Any = load_tools()
Node, ListStore, RawPeer = tools.Node, tools.ListStore, tools.RawPeer

BEAT = Heartbeat(1, 2, 3, 4)


def status(number: int, text: str = "") -> Status:
    return Status((StatusItem(number.to_bytes(32, "big"), 0, text),))


def numbers(node: Any) -> list[int]:
    return [
        int.from_bytes(event.message.items[0].transaction_id, "big")
        for event in node.core.of(c.Received)
        if isinstance(event.message, Status)
    ]


def test_verification_processes_without_trio_parallel_are_refused_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("supervm.common.driver.workers.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"2 verification processes need trio-parallel.*verify_workers = 0"):
        JobRunner(2, lambda *_: None, outstanding_max=10)
    JobRunner(0, lambda *_: None, outstanding_max=10)


class Here(Job, frozen=True):
    """Says in which thread it is done; its items could go to no other process."""

    IS_LOCAL: ClassVar[bool] = True

    @staticmethod
    def run(items: Sequence[Any]) -> list[Any]:
        return [(threading.get_ident(), item()) for item in items]

    @staticmethod
    def item_bytes(item: Any) -> int:
        return 1


@pytest.mark.parametrize("workers", [0, 1])
async def test_a_local_job_is_done_in_a_thread_of_this_process_beside_the_loop(workers: int) -> None:
    done: dict[int, list[Any]] = {}
    answered = trio.Event()

    def on_done(token: int, result: list[Any]) -> None:
        done[token] = result
        answered.set()

    runner = JobRunner(workers, on_done, outstanding_max=10)
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(runner.run)
            runner.add(7, b"lane", Here((lambda: "kept here",)))
            await answered.wait()
            nursery.cancel_scope.cancel()
    [(thread, value)] = done[7]
    assert value == "kept here"
    assert thread != threading.get_ident()


async def test_two_nodes_meet_exchange_messages_and_part_in_good_order(nursery: trio.Nursery) -> None:
    edge, phone = await Node(1, 3).start(nursery), await Node(2, 4, listen=False).start(nursery)
    assert isinstance(edge.core.events[0], c.Started)
    await phone.connect(edge)
    (up,) = phone.core.of(c.PeerUp)
    assert up == c.PeerUp(edge.id, 3, (), up.clock_offset_ms, edge.address, "127.0.0.1")
    assert edge.core.of(c.PeerUp)[0].address is None
    phone.do(lambda outbox: [outbox.send(edge.id, Submit((bytes([n]) * 200,))) for n in range(100)])
    await edge.core.until(lambda: len(edge.core.of(c.Received)) == 100)
    assert [event.message.transactions[0][0] for event in edge.core.of(c.Received)] == list(range(100))
    await edge.driver.stop()
    down = await phone.core.until(lambda: phone.core.of(c.PeerDown))
    assert down == [c.PeerDown(edge.id, "the peer said shutdown: the node is stopping", "shutdown")]
    await phone.driver.stop()


async def test_bytes_that_went_out_are_counted_also_after_their_connection(nursery: trio.Nursery) -> None:
    edge = await Node(1, 3).start(nursery)
    phone = await Node(2, 4, listen=False).start(nursery)
    await phone.connect(edge)
    before = edge.driver.metrics()["sent_bytes"]
    assert before > 0  # handshake and Hello
    edge.do(lambda outbox: outbox.send(phone.id, status(1, "x" * 100)))
    await phone.core.until(lambda: numbers(phone) == [1])
    sent = edge.driver.metrics()["sent_bytes"]
    assert sent > before + 100
    await phone.driver.stop()
    await edge.core.until(lambda: edge.core.of(c.PeerDown) and not edge.driver.metrics()["connections"])
    assert edge.driver.metrics()["sent_bytes"] >= sent


async def test_a_gated_send_waits_for_its_write_and_an_ungated_one_does_not(nursery: trio.Nursery) -> None:
    may_commit = threading.Event()
    store = ListStore(lambda _records: may_commit.wait(20))
    edge = await Node(1, 3, store=store).start(nursery)
    phone = await Node(2, 4, listen=False).start(nursery)
    await phone.connect(edge)
    replies: list[c.Reply] = []

    def promise(outbox: Any) -> None:
        outbox.send(phone.id, status(1), after=outbox.persist("a"))
        outbox.send(phone.id, status(2))

    edge.do(promise)
    for number in range(3, 20):
        edge.do(lambda outbox, n=number: outbox.send(phone.id, status(n), after=outbox.persist(f"r{n}")))
    edge.core._on = lambda core, _now, event: (
        isinstance(event, c.Command) and core.outbox.reply(event.token, "written", after=core.outbox.persist("reply"))
    )
    edge.driver.command(None, replies.append)
    await phone.core.until(lambda: numbers(phone) == [2])
    assert not edge.core.of(c.Durable)
    assert not replies
    may_commit.set()
    await phone.core.until(lambda: len(numbers(phone)) == 19)
    assert numbers(phone) == [2, 1, *range(3, 20)]
    assert [reply.value for reply in replies] == ["written"]
    tokens = [event.token for event in edge.core.of(c.Durable)]
    assert tokens == sorted(tokens)
    assert len(tokens) == 19
    assert sum(len(commit) for commit in store.commits) == 19
    assert len(store.commits) <= 2, "what was asked for while a write was under way is one write"
    nursery.cancel_scope.cancel()


async def test_a_failed_write_ends_the_driver_and_nothing_that_waited_leaves(nursery: trio.Nursery) -> None:
    def fail(_records: Sequence[Any]) -> None:
        raise OSError(28, "No space left on device")

    phone = await Node(2, 4).start(nursery)
    edge = Node(1, 3, store=ListStore(fail))
    with pytest.RaisesGroup(pytest.RaisesExc(StorageFailed, match="No space left")):
        async with trio.open_nursery() as inner:
            await edge.start(inner)
            await edge.connect(phone)
            edge.do(lambda outbox: outbox.send(phone.id, status(1), after=outbox.persist("a")))
            await trio.sleep_forever()
    await phone.core.until(lambda: phone.core.of(c.PeerDown))
    assert not numbers(phone)
    assert not edge.core.of(c.Durable)
    nursery.cancel_scope.cancel()


async def test_halt_ends_the_driver_at_once_with_its_reason() -> None:
    def on(core: Any, _now_us: int, event: c.Input) -> None:
        core.outbox.halt("the roots differ")

    node = Node(1, 1, on)
    with pytest.raises(Halted, match="the roots differ"):
        await node.driver.run()
    assert len(node.core.events) == 1


async def test_an_address_in_use_is_one_clear_error(nursery: trio.Nursery) -> None:
    first = await Node(1, 3).start(nursery)
    second = Node(2, 3)
    second.driver._listen = first.address
    with pytest.raises(ListenFailed, match=f"cannot listen on {first.address}"):
        await second.driver.run()
    nursery.cancel_scope.cancel()


async def test_ticks_come_at_the_deadline_of_a_stepped_clock(autojump_clock: trio.testing.MockClock) -> None:
    def on(core: Any, now_us: int, event: c.Input) -> None:
        if isinstance(event, c.Durable):
            return
        core.outbox.persist("x")
        core.deadline_us = now_us + 1_500_000 if len(core.of(c.Tick)) < 4 else None

    node = Node(1, 1, on, listen=False, clock=TrioClock(1_000_000), threaded_commits=False)
    async with trio.open_nursery() as nursery:
        await node.start(nursery)
        await node.core.until(lambda: len(node.core.of(c.Tick)) == 4)
        await trio.sleep(100)
        assert len(node.core.of(c.Tick)) == 4
        await node.driver.stop()
    times = [at for at, event in zip(node.core.times_us, node.core.events, strict=True) if isinstance(event, c.Tick)]
    assert times == [1_000_000 + 1_500_000 * n for n in (1, 2, 3, 4)]


async def test_an_earlier_deadline_takes_the_place_of_a_later_one(autojump_clock: trio.testing.MockClock) -> None:
    def on(core: Any, now_us: int, event: c.Input) -> None:
        core.deadline_us = {c.Started: 60_000_000, c.Command: 5_000_000}.get(type(event))

    node = Node(1, 1, on, listen=False, clock=TrioClock(0), threaded_commits=False)
    async with trio.open_nursery() as nursery:
        await node.start(nursery)
        await trio.sleep(1)
        node.driver.command(None, lambda _reply: None)
        await node.core.until(lambda: node.core.of(c.Tick))
        assert trio.current_time() == pytest.approx(5)
        node.driver.stop_now()


def signed(count: int, bad: Sequence[int] = ()) -> list[tuple[bytes, bytes, bytes]]:
    key = SigningKey(b"\x05" * 32)
    items = []
    for number in range(count):
        message = number.to_bytes(200, "big")
        items.append((key.public, message, key.sign(message) if number not in bad else bytes(64)))
    return items


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.processes)])
async def test_signatures_are_checked_and_results_keep_the_order_of_their_lane(workers: int) -> None:
    node = Node(1, 1, listen=False, workers=workers)
    sizes = [700, 1, 0, 3, 64, 65]
    tokens: dict[int, int] = {}
    async with trio.open_nursery() as nursery:
        await node.start(nursery)
        for size in sizes:
            for lane in (b"a", b"b"):
                node.do(lambda outbox, n=size, of=lane: tokens.setdefault(outbox.verify(of, signed(n, bad=[n - 1])), n))
        await node.core.until(lambda: len(node.core.of(c.WorkDone)) == 12)
        await node.driver.stop()
    for start in (0, 1):  # tokens were given to the lanes in turn
        lane_tokens = list(tokens)[start::2]
        assert [event.token for event in node.core.of(c.WorkDone) if event.token in lane_tokens] == lane_tokens
    for event in node.core.of(c.WorkDone):
        size = tokens[event.token]
        assert event.result == [True] * (size - 1) + [False] * (size > 0)
    assert node.driver.metrics()["verified"] == 2 * sum(sizes)
    assert node.driver.metrics()["verifying"] == 0


@pytest.mark.processes
async def test_a_killed_worker_is_replaced_and_no_result_is_lost() -> None:
    import multiprocessing

    node = Node(1, 1, listen=False, workers=1)
    async with trio.open_nursery() as nursery:
        await node.start(nursery)
        node.do(lambda outbox: outbox.verify(b"", signed(1)))
        await node.core.until(lambda: len(node.core.of(c.WorkDone)) == 1)
        (worker,) = multiprocessing.active_children()
        node.do(lambda outbox: outbox.verify(b"", signed(2000)))
        worker.kill()
        await node.core.until(lambda: len(node.core.of(c.WorkDone)) == 2)
        assert node.core.of(c.WorkDone)[1].result == [True] * 2000
        await node.driver.stop()


WORKER_PROGRAM = """
import multiprocessing, sys, trio
sys.path.insert(0, sys.argv[1])
if __name__ == "__main__":
    from driver_tools import Node
    async def main():
        node = Node(1, 1, listen=False, workers=1)
        async with trio.open_nursery() as nursery:
            await node.start(nursery)
            node.do(lambda outbox: outbox.verify(b"", [(bytes(32), b"", bytes(64))]))
            await node.core.until(lambda: len(node.core.events) > 2)
            print(multiprocessing.active_children()[0].pid, flush=True)
            await trio.sleep_forever()
    trio.run(main)
"""


@pytest.mark.processes
def test_workers_die_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(WORKER_PROGRAM)
    with subprocess.Popen(
        [sys.executable, str(program), str(Path(__file__).parent)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        assert worker.is_running()
        parent.kill()
    worker.wait(timeout=20)


WORKS = st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.integers(0, 600), st.integers(0, 3000)))


@given(WORKS, st.randoms())
def test_chunks_are_bounded_cover_everything_and_answers_keep_lane_order(
    works: list[tuple[bytes, int, int]], rng: random.Random
) -> None:
    queue = JobQueue()
    answered: list[tuple[int, list[bool]]] = []
    for token, (lane, count, size) in enumerate(works):
        answered += queue.add(token, lane, VerifySignatures([(bytes([n % 2]), bytes(size), b"") for n in range(count)]))
    chunks = []
    while (chunk := queue.take()) is not None:
        assert 0 < len(chunk.items) <= CHUNK_ITEMS_MAX
        assert sum(len(message) for _, message, _ in chunk.items[:-1]) <= CHUNK_BYTES_MAX
        chunks.append(chunk)
    rng.shuffle(chunks)  # workers may finish in any order
    for chunk in chunks:
        answered += queue.finish(chunk, [key[0] == 1 for key, _, _ in chunk.items])
    assert queue.outstanding == 0
    assert sorted(token for token, _ in answered) == list(range(len(works)))
    for lane in (b"a", b"b", b"c"):
        tokens = [token for token, _ in answered if works[token][0] == lane]
        assert tokens == sorted(tokens)
    for token, result in answered:
        assert result == [n % 2 == 1 for n in range(works[token][1])]


def test_one_lane_with_many_signatures_does_not_hold_up_another() -> None:
    queue = JobQueue()
    queue.add(1, b"flood", VerifySignatures([(b"", b"", b"")] * 10_000))
    queue.add(2, b"vote", VerifySignatures([(b"", b"", b"")]))
    chunk = queue.take()
    assert chunk is not None
    assert [token for token, _ in queue.finish(chunk, [False] * len(chunk.items))] == [2]


class Square(Job, frozen=True):
    """A job of another kind, whose order does not matter."""

    ITEM_COST_US: ClassVar[int] = 1
    IS_ORDERED: ClassVar[bool] = False

    @staticmethod
    def run(items: Sequence[int]) -> list[int]:
        return [item * item for item in items]

    @staticmethod
    def item_bytes(item: int) -> int:
        return 8


def test_a_job_of_another_kind_shares_no_chunk_and_waits_for_nobody_if_its_order_does_not_matter() -> None:
    queue = JobQueue()
    queue.add(1, b"lane", VerifySignatures([(b"", b"", b"")]))
    queue.add(2, b"lane", Square([1, 2, 3]))
    assert queue.add(3, b"lane", Square([])) == [(3, [])]
    assert queue.add(4, b"lane", VerifySignatures([])) == [], "the one before it is not answered"
    checks, squares = queue.take(), queue.take()
    assert checks is not None
    assert squares is not None
    assert (checks.kind, squares.kind, queue.take()) == (VerifySignatures, Square, None)
    assert queue.finish(squares, squares.kind.run(squares.items)) == [(2, [1, 4, 9])]
    assert queue.finish(checks, [False]) == [(1, [False]), (4, [])]
    assert queue.outstanding == 0


def test_a_full_queue_drops_what_may_be_dropped_and_refuses_the_rest() -> None:
    queue = OutQueue(40)
    assert queue.put(bytes(16), droppable=True) == "queued"
    assert queue.put(bytes(16), droppable=False) == "queued"
    assert queue.put(b"x", droppable=True) == "dropped"
    assert queue.put(bytes(12), droppable=False) == "queued"  # in the place of the first
    assert queue.put(bytes(12), droppable=False) == "full"
    assert queue.bytes == 36
    assert queue.dropped == 2
    queue.close(b"bye")
    assert queue.put(b"late", droppable=False) == "dropped"
    assert queue.take(1) == [bytes(16)]
    assert queue.take(1000) == [bytes(12), b"bye"]
    assert queue.bytes == 0


async def test_a_peer_that_does_not_read_is_closed_and_the_others_are_served(nursery: trio.Nursery) -> None:
    edge = await Node(1, 3, limits=Limits(queue_bytes_max=1 << 20)).start(nursery)
    other = await Node(2, 4, listen=False).start(nursery)
    await other.connect(edge)
    host, port = split_address(edge.address)
    stream = await trio.open_tcp_stream(host, port)
    slow = await RawPeer(stream, edge, 4, time.time_ns() // 1000).shake()
    slow_id = SigningKey(b"\x4d" * 32).public
    await edge.core.until(lambda: edge.driver._links.is_up(slow_id))
    sent = 0
    with trio.fail_after(20):
        while edge.driver._links.is_up(slow_id):
            edge.do(lambda outbox: [outbox.send(slow_id, status(n, "x" * 200)) for n in range(200)])
            sent += 1
            await trio.lowlevel.checkpoint()
    assert "wait for the peer to read" in edge.core.of(c.PeerDown)[0].reason
    assert edge.driver.metrics()["too_slow"] == 1
    edge.do(lambda outbox: outbox.send(other.id, status(7)))
    await other.core.until(lambda: numbers(other) == [7])
    await slow.stream.aclose()
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("readings", "lost_at"),
    [
        (
            [(0.0, 0, 9_000), (0.5, 1, 9_500), (1.0, 1, 10_000), (2.5, 1, 11_500)],
            2.5,
        ),  # idle before: counted from the send
        (
            [(0.0, 1, 0), (0.5, 1, 400), (1.0, 1, 0), (2.9, 1, 1_900), (3.0, 1, 2_000)],
            3.0,
        ),  # from the last sign of life
        ([(float(n), 3, 100) for n in range(9)], None),  # acknowledged all the time
        ([(0.0, 1, 0), (1.5, 0, 0), (2.5, 1, 1_000), (4.0, 1, 2_500)], None),
    ],
)
def test_data_counts_as_lost_after_two_seconds_without_an_acknowledgement(
    readings: list[tuple[float, int, int]], lost_at: float | None
) -> None:
    judge = Acknowledged(2.0)
    lost = [now_s for now_s, out, since_ms in readings if judge.is_lost(now_s, out, since_ms)]
    assert lost == ([] if lost_at is None else [lost_at])


async def test_a_peer_that_is_busy_and_does_not_read_for_a_while_keeps_its_connection(nursery: trio.Nursery) -> None:
    # it closes its TCP window and goes on acknowledging; TCP_USER_TIMEOUT would end that
    node = await Node(
        1, 3, limits=Limits(unacknowledged_s=0.05, queue_bytes_max=64 << 20, queued_bytes_all_max=128 << 20)
    ).start(nursery)
    host, port = split_address(node.address)
    peer = await RawPeer(await trio.open_tcp_stream(host, port), node, 4, time.time_ns() // 1000).shake()
    peer_id = SigningKey(b"\x4d" * 32).public
    await node.core.until(lambda: node.driver._links.is_up(peer_id))
    node.do(lambda outbox: [outbox.send(peer_id, status(n, "x" * 250)) for n in range(40_000)])
    with trio.move_on_after(0.6):  # the loss that must not come
        await node.core.until(lambda: not node.driver._links.is_up(peer_id))
    assert node.driver._links.is_up(peer_id)
    got = 0
    with trio.fail_after(20):
        while got < 40_000:
            got += len(await peer.receive())
    await peer.stream.aclose()
    nursery.cancel_scope.cancel()


async def test_a_dial_that_finds_a_peer_that_is_up_says_who_it_was(nursery: trio.Nursery) -> None:
    low, high = sorted([await Node(1, 1).start(nursery), await Node(2, 1).start(nursery)], key=lambda node: node.id)
    await low.connect(high)
    high.do(lambda outbox: outbox.dial(low.address, None))
    await high.core.until(lambda: high.core.of(c.DialFailed))
    assert high.core.of(c.DialFailed)[0].peer == low.id
    assert not low.core.of(c.PeerDown)
    nursery.cancel_scope.cancel()


async def test_simultaneous_dials_keep_the_connection_of_the_lower_id_on_both_sides() -> None:
    for _ in range(5):
        async with trio.open_nursery() as nursery:
            one, two = await Node(1, 1).start(nursery), await Node(2, 1).start(nursery)
            one.do(lambda outbox, to=two: outbox.dial(to.address, to.id))
            two.do(lambda outbox, to=one: outbox.dial(to.address, to.id))
            for node in (one, two):
                await node.core.until(
                    lambda node=node: node.driver.metrics()["connections"] == 1 == node.driver.metrics()["peers"]
                )
            low, high = sorted((one, two), key=lambda node: node.id)
            for node, address in ((low, high.address), (high, None)):
                last = [event for event in node.core.events if isinstance(event, c.PeerUp | c.PeerMoved)][-1]
                assert last.address == address
            low.do(lambda outbox, to=high: outbox.send(to.id, BEAT))
            await high.core.until(lambda high=high: high.core.of(c.Received))
            nursery.cancel_scope.cancel()


async def test_a_second_dial_in_the_middle_loses_nothing_over_tcp(nursery: trio.Nursery) -> None:
    edge, phone = await Node(1, 3).start(nursery), await Node(2, 4, listen=False).start(nursery)
    await phone.connect(edge)
    for start in range(0, 20_000, 100):
        phone.do(
            lambda outbox, start=start: [
                outbox.send(edge.id, GetReceipt(n.to_bytes(32, "big"))) for n in range(start, start + 100)
            ]
        )
        edge.do(lambda outbox, start=start: [outbox.send(phone.id, status(n)) for n in range(start, start + 100)])
        if start == 10_000:
            phone.do(lambda outbox: outbox.dial(edge.address, edge.id))
        await trio.lowlevel.checkpoint()
    await edge.core.until(lambda: len(edge.core.of(c.Received)) == 20_000)
    await phone.core.until(lambda: len(numbers(phone)) == 20_000)
    asked = [int.from_bytes(event.message.transaction_id, "big") for event in edge.core.of(c.Received)]
    assert asked == numbers(phone) == list(range(20_000))
    for node in (edge, phone):
        await node.core.until(lambda node=node: node.core.of(c.PeerMoved))
        await node.core.until(lambda node=node: node.driver.metrics()["connections"] == 1)
        assert len(node.core.of(c.PeerUp)) == 1
        assert not node.core.of(c.PeerDown)
    nursery.cancel_scope.cancel()


async def test_dials_that_cannot_succeed_say_why(nursery: trio.Nursery) -> None:
    node, other = await Node(1, 3).start(nursery), await Node(2, 3).start(nursery)
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    closed = join_address(listener.socket.getsockname())
    await listener.aclose()
    stranger = SigningKey(b"\x09" * 32).public
    for address, peer, why in (
        (closed, None, "all attempts to connect"),
        ("nonsense", None, "host:port"),
        ("127.0.0.1:99999", None, "65535"),
        (other.address, stranger, "wrong-peer"),
        (node.address, None, "self-dial"),
    ):
        node.do(lambda outbox, to=address, who=peer: outbox.dial(to, who))
        await node.core.until(lambda to=address: [e for e in node.core.of(c.DialFailed) if e.address == to])
        assert why in node.core.of(c.DialFailed)[-1].reason
    assert not node.core.of(c.PeerUp)
    nursery.cancel_scope.cancel()


async def test_a_core_hangs_up_with_a_reason_that_arrives_behind_what_was_sent(nursery: trio.Nursery) -> None:
    edge, phone = await Node(1, 3).start(nursery), await Node(2, 4, listen=False).start(nursery)
    await phone.connect(edge)

    def leave(outbox: c.Outbox) -> None:
        outbox.send(phone.id, status(5))
        outbox.hang_up(phone.id, "silent", "no message for a while")
        outbox.send(phone.id, status(6))

    edge.do(leave)
    assert edge.core.of(c.PeerDown) == [c.PeerDown(phone.id, "no message for a while")]
    await phone.core.until(lambda: phone.core.of(c.PeerDown))
    assert numbers(phone) == [5]
    assert phone.core.of(c.PeerDown)[0].reason == "the peer said silent: no message for a while"
    nursery.cancel_scope.cancel()


async def test_frames_that_break_the_rules_end_only_their_own_connection(nursery: trio.Nursery) -> None:
    edge, phone = await Node(1, 3).start(nursery), await Node(2, 4, listen=False).start(nursery)
    await phone.connect(edge)
    host, port = split_address(edge.address)
    for number, (frame, code) in enumerate(
        (
            (b"\xc1 no msgpack", "malformed"),
            (encode_message(GetReceipt(bytes(32)))[:-1], "malformed"),
            (encode_message(VoteMessage(())), "direction"),
            (encode_message(Status(())), "direction"),
        )
    ):
        stream = await trio.open_tcp_stream(host, port)
        raw = await RawPeer(stream, edge, 4, time.time_ns() // 1000, 50 + number).shake()
        with trio.fail_after(10):
            await raw.send(frame)
            await raw.until_closed()
        assert isinstance(raw.connection.parting, Goodbye)
        assert raw.connection.parting.code == code
        await stream.aclose()
    # a record that does not authenticate: the link is dead, there is no goodbye
    stream = await trio.open_tcp_stream(host, port)
    raw = await RawPeer(stream, edge, 4, time.time_ns() // 1000, 60).shake()
    with trio.fail_after(10):
        await stream.send_all(b"\x00\x20" + bytes(32))
        await raw.until_closed()
    assert raw.connection.parting is None
    await stream.aclose()
    phone.do(lambda outbox: outbox.send(edge.id, Submit((b"still here" * 20,))))
    await edge.core.until(lambda: edge.core.of(c.Received))
    nursery.cancel_scope.cancel()


async def test_a_thousand_silent_connections_are_bounded_and_closed_and_honest_peers_get_through(
    mock_clock: trio.testing.MockClock,
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    try:
        async with trio.open_nursery() as nursery:
            edge = await Node(1, 3).start(nursery)
            host, port = split_address(edge.address)
            streams = []
            for _ in range(1_000):
                streams.append(await trio.open_tcp_stream(host, port))
                assert edge.driver.metrics()["unauthenticated"] <= 256
            phone = await Node(2, 4, listen=False).start(nursery)
            await phone.connect(edge)  # while the bound is full of silence
            await edge.core.until(lambda: edge.driver.metrics()["connections"] <= 257)
            mock_clock.jump(9)
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert edge.driver.metrics()["unauthenticated"] > 200
            mock_clock.jump(2)
            for stream in streams:
                with contextlib.suppress(trio.BrokenResourceError):
                    assert await stream.receive_some(1) == b""
                await stream.aclose()
            assert edge.driver.metrics()["unauthenticated"] == 0
            phone.do(lambda outbox: outbox.send(edge.id, Submit((b"hello" * 40,))))
            await edge.core.until(lambda: edge.core.of(c.Received))
            nursery.cancel_scope.cancel()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_random_bytes_and_broken_handshakes_do_nothing_to_the_node(nursery: trio.Nursery) -> None:
    edge = await Node(1, 3).start(nursery)
    host, port = split_address(edge.address)
    rng = random.Random(3)
    for length in (1, 2, 31, 33, 34, 100, 5_000, 200_000):
        for opening in (b"", b"\x00\x20", b"\xff\xff", b"\x00\x00", b"GET / HTTP/1.1\r\n\r\n"):
            stream = await trio.open_tcp_stream(host, port)
            try:
                await stream.send_all(opening + rng.randbytes(length))
                await stream.send_eof()
                with trio.fail_after(10):
                    while await stream.receive_some(65536):
                        pass
            except (trio.BrokenResourceError, OSError):
                pass
            await stream.aclose()
    phone = await Node(2, 4, listen=False).start(nursery)
    await phone.connect(edge)
    assert edge.driver.metrics()["unauthenticated"] == 0
    nursery.cancel_scope.cancel()


def test_admission_counts_and_bounds() -> None:
    limits = Limits(unauthenticated_max=2, per_address_max=3, connections_max=5)
    admission: Admission[int] = Admission(limits)
    assert admission.enter(1, "192.0.2.1") is None
    assert admission.enter(2, "192.0.2.1") is None
    assert admission.enter(3, "192.0.2.1") == 1  # the oldest goes, and is counted no more
    assert (admission.unauthenticated, admission.connections) == (2, 2)
    admission.up(2)
    admission.up(3)
    assert admission.enter(4, "192.0.2.1") is None
    assert admission.refusal("192.0.2.1") == "3 connections from 192.0.2.1 are open"
    assert admission.refusal("192.0.2.2") is None
    for key in (5, 6):
        admission.enter(key, "127.0.0.1")
    assert admission.unauthenticated == 2
    admission.up(5)
    admission.up(6)
    admission.enter(7, "127.0.0.1")
    admission.up(7)
    assert admission.refusal("127.0.0.1") == "5 connections are open"
    for key in range(8):
        admission.leave(key)
    assert (admission.unauthenticated, admission.connections) == (0, 0)
    assert admission.refusal("192.0.2.1") is None


def test_admission_counts_a_network_of_ipv6_as_one_address() -> None:
    """One machine has 2**64 addresses there: with a bound for each, it had as many handshakes as it liked."""
    admission: Admission[int] = Admission(Limits(per_address_max=2, handshakes=Rate(1, 2)))
    assert [admission.handshake_us(f"2001:db8::{number}", 0) for number in range(3)] == [0, 0, 1_000_000]
    assert admission.handshake_us("2001:db8:0:1::1", 0) == 0
    for key in range(2):
        admission.enter(key, f"2001:db8::{key}")
        admission.up(key)
    assert admission.refusal("2001:db8::9") == "2 connections from 2001:db8::/64 are open"
    assert admission.refusal("2001:db8:0:1::1") is None


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("127.0.0.1:1", ("127.0.0.1", 1)),
        ("[::1]:65535", ("::1", 65535)),
        ("name:0", ("name", 0)),
        ("", None),
        ("host", None),
        (":1", None),
        ("host:", None),
        ("host:65536", None),
        ("host:-1", None),
        ("host:x", None),
    ],
)
def test_addresses_are_host_and_port(text: str, parts: tuple[str, int] | None) -> None:
    if parts is None:
        with pytest.raises(NoAddress, match="host:port"):
            split_address(text)
    else:
        assert split_address(text) == parts
        assert join_address(parts) == text
