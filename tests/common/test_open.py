"""`open_node`: nodes inside another trio program, which stays what it was."""

import json
import logging
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from told import told

from supervm.common.contract import core as c
from supervm.common.contract.events import Event
from supervm.common.contract.tables import PrimaryKey, Table, TableRow
from supervm.common.driver import Halted, StorageFailed
from supervm.common.driver.events import PeerUp
from supervm.common.errors import InputError
from supervm.common.host.config import NodeConfig, PeerAddress
from supervm.common.host.events import Ready, ServiceFailed, Stopped
from supervm.common.host.keyfile import make_key_file
from supervm.common.host.node import Node
from supervm.common.host.open import open_node
from supervm.common.host.profile import NodeContext, Profile, find_profile
from supervm.common.services.builtin import BROWSERS, CONTROL, HOUSEKEEPING, SENSORS
from supervm.common.services.client import ControlClient, call, watch
from supervm.common.services.lan import LAN
from supervm.common.services.lines import SOCKET_FILE, NoOwner, RequestRefused
from supervm.common.services.service import find_services
from supervm.protocol.base.codec import encode
from supervm.protocol.base.keys import SigningKey
from supervm.protocol.chain.genesis import make_genesis
from supervm.protocol.chain.validators import Validator


class NoteRow(TableRow, frozen=True):
    id: PrimaryKey[int]
    text: str


NOTES = Table("notes", NoteRow)
TABLES = (NOTES,)


class Note(msgspec.Struct, tag="note", tag_field="request", forbid_unknown_fields=True):
    text: str


class Order(msgspec.Struct, tag="order", tag_field="request"):
    what: str


class Broken(Exception):
    pass


class NoteCore:
    """Dials its peers, writes notes down before it says so, and does as it is ordered."""

    deadline_us: int | None = None

    def __init__(self, context: NodeContext) -> None:
        self._context = context
        self._outbox = c.Outbox()
        self._count = NOTES.count(context.store)

    def step(self, _now_us: int, event: c.Input) -> list[c.Effect]:
        if isinstance(event, c.Started):
            for peer in self._context.config.peers:
                self._outbox.dial(peer.address, peer.node_id)
        elif isinstance(event, c.Command):
            self._answer(event.token, event.request)
        return self._outbox.drain()

    def _answer(self, token: int, request: Any) -> None:
        if isinstance(request, Note):
            record = NOTES.put(NoteRow(self._count, request.text))
            self._count += 1
            after = self._outbox.persist(record)
            self._outbox.publish(told("noted", text=request.text, key=b"\x01"))
            self._outbox.reply(token, {"notes": self._count, "pair": (1, 2)}, after=after)
        elif request.what == "halt":
            self._outbox.halt("a divergence, says the test")
        elif request.what == "break":
            raise Broken("two and two are five")
        elif request.what == "refuse":
            self._outbox.refuse(token, "not today")


PROFILE = Profile(NoteCore, requests=Note | Order, tables=TABLES)


class Failing:
    """A service that fails before or after it is up."""

    def __init__(self, error: Exception, *, vital: bool = False, late: bool = False) -> None:
        self.name, self.vital, self._error, self._late = "failing", vital, error, late

    def wanted(self, _config: NodeConfig) -> bool:
        return True

    async def run(self, node: Node, *, task_status: trio.TaskStatus[None]) -> None:
        if self._late:
            task_status.started()
            await node.ready.wait()
        raise self._error


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., NodeConfig]:
    genesis = tmp_path / "genesis.cbor"
    key = SigningKey(b"\x01" * 32)
    genesis.write_bytes(
        encode(
            make_genesis(
                name="test",
                time_ms=1,
                validators=(Validator(1, key.public, key.public, 1, key.public),),
                miners=(),
                allocations=(),
            )[0]
        )
    )

    def make(number: int = 2, **values: Any) -> NodeConfig:
        folder = tmp_path / f"node{number}"
        folder.mkdir(mode=0o700)
        make_key_file(folder / "node.key", bytes([number]) * 32)
        return NodeConfig(tier=3, directory=folder, genesis=genesis, **values)

    return make


@pytest.fixture
def config(make: Callable[..., NodeConfig]) -> NodeConfig:
    return make()


def logged(config: NodeConfig) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (config.directory / "node.log").read_text().splitlines()]


def names(config: NodeConfig) -> list[str]:
    return [line["event"] for line in logged(config)]


async def test_a_node_runs_beside_others_and_prints_and_changes_nothing(
    make: Callable[..., NodeConfig], capfd: pytest.CaptureFixture[str]
) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)], logging.getLogger().handlers[:]
    first, second, seen = make(2, listen="127.0.0.1:0"), make(3), []

    def sink(event: Event) -> None:
        seen.append(type(event))
        if isinstance(event, PeerUp):
            linked.set()

    linked = trio.Event()
    with trio.fail_after(20):
        async with open_node(first, profile=PROFILE) as one:
            peers = (PeerAddress(one.node_id, one.listens[0]),)
            dials = NodeConfig(tier=3, directory=second.directory, genesis=second.genesis, peers=peers)
            async with open_node(dials, profile=PROFILE, sink=sink) as two:
                await linked.wait()
                assert (one.metrics()["peers"], two.metrics()["peers"], two.listens) == (1, 1, [])
                after = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
                assert (after, logging.getLogger().handlers[:]) == before
            assert seen[0] is Ready
            assert seen[-1] is Stopped
    assert capfd.readouterr() == ("", "")
    assert (names(first)[0], names(first)[-1], names(second)[-1]) == ("ready", "stopped", "stopped")


async def test_requests_are_those_of_the_control_socket_and_so_are_answers_and_errors(config: NodeConfig) -> None:
    with trio.fail_after(20):
        async with open_node(config, profile=PROFILE) as node:
            assert await node.request(Note("one")) == {"notes": 1, "pair": [1, 2]}
            assert await node.request({"request": "note", "text": "two"}) == {"notes": 2, "pair": [1, 2]}
            assert await call(config.directory / SOCKET_FILE, Note("three")) == {"notes": 3, "pair": [1, 2]}
            async with ControlClient(config.directory, node.control_pair()) as client:
                assert await client.call(Note("four")) == {"notes": 4, "pair": [1, 2]}
                assert (await client.metrics()).keys() == node.metrics().keys()
            for wrong, match in (
                (Order("refuse"), "^not today$"),
                ({"request": "fly"}, "cannot be read"),
                (Note(3), "cannot be read"),  # type: ignore[arg-type]
                ({"request": "note", "text": "", "more": 1}, "cannot be read"),
            ):
                with pytest.raises(RequestRefused, match=match) as told:
                    await node.request(wrong)
                with pytest.raises(RequestRefused) as answered:
                    await call(config.directory / SOCKET_FILE, wrong)
                assert str(told.value) == str(answered.value)


async def test_events_come_to_whoever_watches_and_end_with_the_node(config: NodeConfig) -> None:
    with trio.fail_after(20):
        async with open_node(config, profile=PROFILE) as node:
            with node.events() as events:
                async with watch(config.directory / SOCKET_FILE) as lines:
                    await node.request(Note("one"))
                    assert (await anext(lines))["fields"]["text"] == "one"
                noted = await anext(events)
                fields = {"text": "one", "key": b"\x01"}
                assert noted == {"event": "noted", "level": "info", "fields": fields, "lost": 0}
                await node.close()
                assert [event["event"] async for event in events] == ["stopped"]
            with pytest.raises(NoOwner, match="does not run"):
                await node.request(Note("two"))


async def test_what_the_body_raises_comes_out_as_it_is_and_the_node_is_stopped(config: NodeConfig) -> None:
    for error in (Broken("mine"), RequestRefused("mine"), ExceptionGroup("mine", [Broken(), Broken()])):
        with pytest.raises(type(error)) as told:
            async with open_node(config, profile=PROFILE):
                raise error
        assert told.value is error
    assert names(config) == ["ready", "stopped"] * 3


async def test_a_cancelled_body_is_a_clean_stop(config: NodeConfig) -> None:
    with trio.fail_after(20), trio.CancelScope() as scope:
        async with open_node(config, profile=PROFILE) as node:
            assert await node.request(Note("kept"))
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert names(config)[-1] == "stopped"
    assert not (config.directory / SOCKET_FILE).exists()
    async with open_node(config, profile=PROFILE) as node:  # and nobody holds its folder
        assert (await node.request(Note("more")))["notes"] == 2


async def test_a_stop_cannot_be_left_half_way(config: NodeConfig) -> None:
    with trio.fail_after(20):
        async with open_node(config, profile=PROFILE) as node:
            await node.request(Note("one"))
            with trio.CancelScope() as scope:
                scope.cancel()
                await node.close()
            assert names(config)[-1] == "stopped"


async def test_a_start_can_be_cancelled(config: NodeConfig) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        async with open_node(config, profile=PROFILE):
            pytest.fail("it is up")
    async with open_node(config, profile=PROFILE) as node:
        assert node.ready.is_set()


async def test_a_request_of_a_node_that_stops_is_not_waited_for(config: NodeConfig) -> None:
    with trio.fail_after(20):
        async with open_node(config, profile=PROFILE) as node, trio.open_nursery() as nursery:

            async def ask() -> None:
                with pytest.raises(NoOwner, match="stopped before it answered"):
                    await node.request(Order("nothing"))

            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            await node.close()
            await node.closed()


async def test_a_core_that_halts_ends_the_block_with_its_reason(config: NodeConfig) -> None:
    with trio.fail_after(20), pytest.raises(Halted, match="a divergence, says the test"):
        async with open_node(config, profile=PROFILE) as node:
            await node.request(Order("halt"))
    assert names(config)[-1] == "halted"


@pytest.mark.parametrize("way", ["request", "caught", "socket"])
async def test_a_core_that_breaks_off_ends_the_block_whoever_asked(config: NodeConfig, way: str) -> None:
    async def run() -> None:
        async with open_node(config, profile=PROFILE) as node:
            if way == "socket":
                await call(config.directory / SOCKET_FILE, Order("break"))
            elif way == "request":
                await node.request(Order("break"))
            else:
                with pytest.raises(RuntimeError):
                    await node.request(Order("break"))
                await trio.sleep_forever()

    with trio.fail_after(20), pytest.raises(RuntimeError, match="the node broke off") as told:
        await run()
    assert isinstance(told.value.__cause__, Broken)
    assert [line["reason"] for line in logged(config) if line["event"] == "crashed"] == ["Broken: two and two are five"]
    assert names(config)[-1] == "crashed"


async def test_a_folder_a_file_and_an_address_that_cannot_be_used_are_input_errors(
    config: NodeConfig, make: Callable[..., NodeConfig]
) -> None:
    async with open_node(config, profile=PROFILE):
        with pytest.raises(InputError, match="is in use by process"):
            async with open_node(config, profile=PROFILE):
                pytest.fail("two nodes in one folder")
    bad = NodeConfig(tier=3, directory=config.directory, genesis=config.directory / "none")
    with pytest.raises(InputError, match="genesis file cannot be read"):
        async with open_node(bad, profile=PROFILE):
            pytest.fail("no genesis")
    deaf = make(3, listen="192.0.2.1:1")
    with pytest.raises(Exception, match=r"cannot listen on 192\.0\.2\.1:1") as told:
        async with open_node(deaf, profile=PROFILE):
            pytest.fail("no such address")
    assert not isinstance(told.value, BaseExceptionGroup)
    assert names(deaf) == ["failed"]


async def test_a_damaged_database_says_what_its_owner_can_do(config: NodeConfig) -> None:
    (config.directory / "node.sqlite").write_bytes(b"no database" * 500)
    with pytest.raises(StorageFailed, match=r"is damaged: file is not a database; .*it begins anew"):
        async with open_node(config, profile=PROFILE):
            pytest.fail("it cannot be read")
    assert names(config) == ["storage-failed"]


# --- services ---------------------------------------------------------------------------------------------------------


def test_the_services_that_every_node_has_are_found_by_entry_point() -> None:
    found, damaged = find_services()
    assert found == [BROWSERS, CONTROL, HOUSEKEEPING, LAN, SENSORS]
    assert not damaged
    config = NodeConfig(tier=3, directory=Path("x"), genesis=Path("y"), housekeeping={"enabled": False})
    assert [service.wanted(config) for service in found] == [False, True, False, False, False]


@pytest.mark.parametrize("late", [False, True])
async def test_a_service_that_fails_is_logged_and_the_node_goes_on(config: NodeConfig, late: bool) -> None:
    failed = trio.Event()

    def sink(event: Event) -> None:
        if isinstance(event, ServiceFailed):
            assert (event, event.level) == (ServiceFailed("failing", "no luck"), "error")
            failed.set()

    services = (Failing(Broken("no luck"), late=late), CONTROL)
    with trio.fail_after(20):
        async with open_node(config, profile=PROFILE, services=services, sink=sink):
            await failed.wait()
            assert (await call(config.directory / SOCKET_FILE, Note("one")))["notes"] == 1
    assert names(config)[-1] == "stopped"


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    ("error", "vital", "event"),
    [(InputError("no luck"), True, "failed"), (StorageFailed("no luck"), False, "storage-failed")],
)
async def test_a_service_that_is_vital_or_finds_the_disk_failed_ends_the_node(
    config: NodeConfig, late: bool, error: Exception, vital: bool, event: str
) -> None:
    with trio.fail_after(20), pytest.raises(type(error), match="no luck"):
        async with open_node(config, profile=PROFILE, services=[Failing(error, vital=vital, late=late)]):
            await trio.sleep_forever()
    assert names(config)[-1] == event


async def test_a_control_socket_that_cannot_be_made_ends_the_start(config: NodeConfig) -> None:
    (config.directory / SOCKET_FILE).write_text("precious")
    with pytest.raises(InputError, match="cannot make the control socket"):
        async with open_node(config, profile=PROFILE):
            pytest.fail("nobody could talk to it")
    assert (config.directory / SOCKET_FILE).read_text() == "precious"


async def test_a_service_that_cannot_be_loaded_does_not_take_the_node_down(
    config: NodeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load() -> None:
        raise ImportError("no module of that name")

    entries = (SimpleNamespace(name="odd", load=load), SimpleNamespace(name="control", load=lambda: CONTROL))
    monkeypatch.setattr("supervm.common.services.service.entry_points", lambda **_: entries)
    async with open_node(config, profile=PROFILE):
        assert (config.directory / SOCKET_FILE).exists()
    assert logged(config)[0]["event"] == "service-failed"
    assert (logged(config)[0]["service"], logged(config)[0]["reason"]) == ("odd", "no module of that name")


async def test_without_services_nobody_else_can_talk_to_the_node(config: NodeConfig) -> None:
    async with open_node(config, profile=PROFILE, services=()) as node:
        assert not (config.directory / SOCKET_FILE).exists()
        async with ControlClient(config.directory, node.control_pair()) as client:
            assert (await client.call(Note("one")))["notes"] == 1


async def test_a_log_takes_what_libraries_say_in_its_own_nodes_tasks_only(make: Callable[..., NodeConfig]) -> None:
    class Speaks(Failing):
        def __init__(self, text: str) -> None:
            super().__init__(Broken())
            self._text = text

        async def run(self, node: Node, *, task_status: trio.TaskStatus[None]) -> None:
            await trio.to_thread.run_sync(logging.getLogger("supervm.test").warning, self._text)
            task_status.started()

    first, second = make(2), make(3)
    async with (
        open_node(first, profile=PROFILE, services=[Speaks("one")]),
        open_node(second, profile=PROFILE, services=[Speaks("two")]),
    ):
        logging.getLogger("supervm.test").warning("of the program around")
    for config, text in ((first, "one"), (second, "two")):
        assert [line["text"] for line in logged(config) if line["event"] == "library"] == [text]


def test_a_tier_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supervm.common.host.profile.entry_points", lambda **_: ())
    with pytest.raises(InputError, match="tier 3 is not installed here: install supervm-tier-l3-edge"):
        find_profile(3)
