"""The control socket: one JSON line per request and answer, for the owner only."""

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from told import told

from supervm.common.contract.core import Reply
from supervm.common.errors import CommonError
from supervm.common.services.client import call, open_control, watch
from supervm.common.services.control import EVENTS_WAITING_MAX, Control, Events
from supervm.common.services.lines import LINE_BYTES_MAX, NoOwner, RequestRefused, reachable, read_answer
from supervm.common.services.once import call_sync


class Add(msgspec.Struct, tag="add", tag_field="request", forbid_unknown_fields=True):
    one: int
    two: int = 0


class Later(msgspec.Struct, tag="later", tag_field="request"):
    pass


class Owner:
    """Answers `Add` at once and `Later` when it is told to."""

    def __init__(self, path: Path, requests: Any = Add | Later) -> None:
        self.path = path
        self.events = Events()
        self.later: list[Callable[[Reply], None]] = []
        self.asked = trio.Event()
        self.control = Control(
            path, requests=requests, command=self.command, metrics=lambda: {"steps": 7}, events=self.events
        )

    def command(self, request: Any, on_reply: Callable[[Reply], None]) -> None:
        if isinstance(request, Later):
            self.later.append(on_reply)
            self.asked.set()
        elif request.two == 0:
            on_reply(Reply(1, None, "two is 0; at least 1 is allowed"))
        else:
            on_reply(Reply(1, {"sum": request.one + request.two}))

    async def start(self, nursery: trio.Nursery) -> "Owner":
        await nursery.start(self.control.run)
        return self


async def raw(owner: Owner, data: bytes) -> list[Any]:
    """Send bytes, close the sending side, and read the answers."""
    stream = await trio.open_unix_socket(str(owner.path))
    async with stream:
        await stream.send_all(data)
        await stream.send_eof()
        received = b""
        with trio.fail_after(10):
            async for piece in stream:
                received += piece
    return [json.loads(line) for line in received.splitlines()]


async def test_only_the_owner_may_open_the_socket_and_it_goes_with_the_node(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    path = tmp_path / "node.sock"
    async with trio.open_nursery() as inner:
        await Owner(path).start(inner)
        mode = path.stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
        inner.cancel_scope.cancel()
    assert not path.exists()


async def test_a_socket_left_by_a_killed_process_is_replaced_and_nothing_else_is(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    path = tmp_path / "node.sock"
    left = trio.socket.socket(trio.socket.AF_UNIX)
    await left.bind(str(path))
    left.close()
    owner = await Owner(path).start(nursery)
    assert await call(owner.path, Add(1, 2)) == {"sum": 3}
    other = tmp_path / "file"
    other.write_text("precious")
    with pytest.RaisesGroup(pytest.RaisesExc(CommonError, match="cannot make the control socket")):
        async with trio.open_nursery() as inner:
            await Owner(other).start(inner)
    assert other.read_text() == "precious"
    nursery.cancel_scope.cancel()


async def test_requests_are_answered_and_refused_with_a_reason(tmp_path: Path, nursery: trio.Nursery) -> None:
    owner = await Owner(tmp_path / "node.sock").start(nursery)
    assert await call(owner.path, Add(2, 3)) == {"sum": 5}
    with pytest.raises(RequestRefused, match="at least 1 is allowed"):
        await call(owner.path, Add(2))
    assert await trio.to_thread.run_sync(call_sync, owner.path, Add(20, 3)) == {"sum": 23}
    async with await open_control(owner.path) as client:
        assert [await client.call(Add(n, 1)) for n in range(3)] == [{"sum": n + 1} for n in range(3)]
        assert await client.metrics() == {"steps": 7}
    nursery.cancel_scope.cancel()


async def test_pipelined_answers_come_in_the_order_of_the_requests(tmp_path: Path, nursery: trio.Nursery) -> None:
    owner = await Owner(tmp_path / "node.sock").start(nursery)
    answers: list[Any] = []

    async def ask() -> None:
        answers.extend(
            await raw(owner, b'{"request":"later"}\n{"request":"add","one":1,"two":1}\n{"type":"metrics"}\n')
        )
        done.set()

    done = trio.Event()
    nursery.start_soon(ask)
    with trio.fail_after(10):
        await owner.asked.wait()
        assert not answers
        owner.later[0](Reply(1, "at last"))
        await done.wait()
    assert answers == [{"ok": "at last"}, {"ok": {"sum": 2}}, {"ok": {"steps": 7}}]
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"nonsense",
        b"{}",
        b'{"request":"fly"}',
        b'{"request":"add"}',
        b'{"request":"add","one":"x"}',
        b'{"request":"add","one":1,"more":1}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"type":3}',
    ],
)
async def test_what_is_no_request_is_refused_and_the_connection_goes_on(
    line: bytes, tmp_path: Path, nursery: trio.Nursery
) -> None:
    owner = await Owner(tmp_path / "node.sock").start(nursery)
    bad, good = await raw(owner, line + b'\n{"request":"add","one":1,"two":1}\n')
    assert "the request cannot be read" in bad["error"]
    assert good == {"ok": {"sum": 2}}
    nursery.cancel_scope.cancel()


async def test_a_line_without_an_end_is_bounded(tmp_path: Path, nursery: trio.Nursery) -> None:
    owner = await Owner(tmp_path / "node.sock").start(nursery)
    try:
        answers = await raw(owner, b"x" * (LINE_BYTES_MAX + (1 << 20)))
        assert "more than" in answers[0]["error"]
    except trio.BrokenResourceError:
        pass  # it was closed while the rest was being sent
    assert await call(owner.path, Add(1, 1)) == {"sum": 2}
    nursery.cancel_scope.cancel()


async def test_an_answer_that_is_no_json_is_an_error_and_not_the_end(tmp_path: Path, nursery: trio.Nursery) -> None:
    owner = await Owner(tmp_path / "node.sock").start(nursery)

    async def answer() -> None:
        await owner.asked.wait()
        owner.later[0](Reply(1, {"what": object()}))

    nursery.start_soon(answer)
    with trio.fail_after(10), pytest.raises(RequestRefused, match="cannot be written as JSON"):
        await call(owner.path, Later())
    nursery.cancel_scope.cancel()


async def test_a_node_without_requests_still_tells_its_metrics(tmp_path: Path, nursery: trio.Nursery) -> None:
    owner = await Owner(tmp_path / "node.sock", requests=None).start(nursery)
    assert await raw(owner, b'{"type":"metrics"}\n{"request":"add"}\n') == [
        {"ok": {"steps": 7}},
        {"error": "this node takes no requests but metrics and watch"},
    ]
    nursery.cancel_scope.cancel()


async def test_events_reach_whoever_watches_and_are_lost_rather_than_waited_for(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    owner = await Owner(tmp_path / "node.sock").start(nursery)
    owner.events(told("before"))
    with trio.fail_after(20):
        async with watch(owner.path) as events:
            owner.events(told("height", height=1))
            first = await anext(events)
            assert first == {"event": "height", "level": "info", "fields": {"height": 1}, "lost": 0}
            for number in range(2 * EVENTS_WAITING_MAX):
                owner.events(told("many", "debug", n=number))
            seen = [await anext(events) for _ in range(EVENTS_WAITING_MAX)]
            owner.events(told("after"))
            while (event := await anext(events))["event"] == "many":
                seen.append(event)
            assert [event["fields"]["n"] for event in seen] == list(range(len(seen)))
            assert event["lost"] == 2 * EVENTS_WAITING_MAX - len(seen) > 0
    nursery.cancel_scope.cancel()


async def test_nobody_there_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "node.sock"
    for ask in (lambda: call(path, Add(1)), lambda: open_control(path)):
        with pytest.raises(NoOwner, match="no node answers on"):
            await ask()
    with pytest.raises(NoOwner, match="no node answers on"):
        call_sync(path, Add(1))
    with pytest.raises(NoOwner):
        async with watch(path):
            pass


async def test_a_socket_deep_in_the_tree_works_all_the_same(tmp_path: Path, nursery: trio.Nursery) -> None:
    folder = tmp_path / ("deep" * 20) / ("deeper" * 10)
    folder.mkdir(parents=True)
    owner = await Owner(folder / "node.sock").start(nursery)
    assert await call(owner.path, Add(1, 2)) == {"sum": 3}
    assert await trio.to_thread.run_sync(call_sync, owner.path, Add(1, 2)) == {"sum": 3}
    nursery.cancel_scope.cancel()


def test_short_paths_are_used_as_they_are() -> None:
    with reachable(Path("/x/node.sock")) as name:
        assert name == "/x/node.sock"


@pytest.mark.parametrize(("line", "match"), [(b"x", "cannot be read"), (b"{}", "neither"), (b"[]", "neither")])
def test_answers_that_are_none_are_errors(line: bytes, match: str) -> None:
    with pytest.raises(CommonError, match=match):
        read_answer(line)
