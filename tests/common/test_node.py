"""`run_node`: what ``supervm lN run`` does for every tier, as a real process."""

import importlib.util
import io
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing
from told import told

from supervm.common.driver.limits import limits_for
from supervm.common.errors import InputError
from supervm.common.exit_status import EXIT_HALTED, EXIT_STORAGE
from supervm.common.host.config import NodeConfig
from supervm.common.host.genesis_file import load_chain
from supervm.common.host.keyfile import make_key_file
from supervm.common.host.log import LibraryHandler, Log
from supervm.common.host.node import Node
from supervm.common.host.parent import PARENT_VARIABLE, parent_to_follow
from supervm.common.host.process import run_node
from supervm.common.host.profile import Profile
from supervm.common.services.once import call_sync
from supervm.protocol.base.codec import encode
from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.base.keys import SigningKey
from supervm.protocol.chain.genesis import make_genesis
from supervm.protocol.chain.validators import Validator

NODE = Path(__file__).with_name("small_node.py")
RSS_BYTES_MAX = 64 << 20


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("small_node", NODE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


small: Any = load()


class Place:
    """A node's folder and its processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "node"
        self.folder.mkdir(mode=0o700)
        self.genesis = folder / "genesis.cbor"
        key = SigningKey(b"\x01" * 32)
        self.genesis.write_bytes(
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
        make_key_file(self.folder / "node.key", b"\x02" * 32)
        self.processes: list[subprocess.Popen[str]] = []

    def spawn(self, workers: int = 0) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, str(NODE), str(self.folder), str(self.genesis), str(workers)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def start(self, workers: int = 0) -> dict[str, Any]:
        process = self.spawn(workers)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        ready: dict[str, Any] = json.loads(line)
        return ready

    def ask(self, request: Any) -> Any:
        return call_sync(self.folder / "node.sock", request)

    def end(self, number: int) -> tuple[int, str]:
        process = self.processes[-1]
        process.send_signal(number)
        errors = process.communicate(timeout=30)[1]
        return process.returncode, errors

    def logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "node.log").read_text().splitlines()]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    for process in place.processes:
        process.kill()
        process.communicate()


@pytest.mark.processes
def test_a_node_of_a_killed_up_stops_in_good_order(place: Place) -> None:
    starts_it = (
        "import os, subprocess, sys; os.environ['SUPERVM_PARENT'] = str(os.getpid()); "
        "subprocess.Popen(sys.argv[1:], start_new_session=True).wait()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", starts_it, sys.executable, str(NODE), str(place.folder), str(place.genesis), "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    place.processes.append(parent)
    assert parent.stdout is not None
    assert json.loads(parent.stdout.readline())["event"] == "ready"
    parent.kill()
    errors = parent.communicate(timeout=30)[1]  # returns when the node, too, has closed its output
    assert [json.loads(line)["event"] for line in errors.splitlines()] == ["stopping"]
    assert [line["event"] for line in place.logged()][-2:] == ["stopping", "stopped"]
    place.start()  # and nobody holds its folder


@pytest.mark.parametrize(("text", "parent"), [("", None), ("12", 12), ("x", None), ("-1", None), ("9" * 5000, None)])
def test_who_is_followed(text: str, parent: int | None) -> None:
    assert parent_to_follow({PARENT_VARIABLE: text}) == parent


@pytest.mark.processes
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_node_says_when_it_is_ready_and_stops_cleanly_on_a_signal(place: Place, number: int) -> None:
    ready = place.start(workers=1)
    assert ready["event"] == "ready"
    assert ready["tier"] == 3
    assert ready["node_id"].startswith("svmnode1")
    host, port = ready["listen"].rsplit(":", 1)
    socket.create_connection((host, int(port)), 5).close()
    assert place.ask(small.Note("hello")) == 1
    assert place.end(number) == (0, "")
    events = [line["event"] for line in place.logged()]
    assert events[0] == "ready"
    assert events[-1] == "stopped"
    assert next(line for line in place.logged() if line["event"] == "noted")["key"] == "0102"
    assert not (place.folder / "node.sock").exists()


@pytest.mark.parametrize("times", [1, 2])
def test_signals_while_a_node_starts_stop_it_once_it_is_up(
    place: Place, times: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Kills:
        name, vital = "kills", False

        def wanted(self, _config: NodeConfig) -> bool:
            return True

        async def run(self, _node: Node, *, task_status: trio.TaskStatus[None]) -> None:
            for _ in range(times):
                signal.raise_signal(signal.SIGTERM)
                await trio.testing.wait_all_tasks_blocked()
            task_status.started()

    entry = SimpleNamespace(name="kills", load=Kills)
    monkeypatch.setattr("supervm.common.services.service.entry_points", lambda **_: (entry,))
    config = NodeConfig(tier=3, directory=place.folder, genesis=place.genesis)
    assert run_node(config, small.PROFILE) == 0
    assert [line["event"] for line in place.logged()][:2] == ["ready", "stopping"]
    assert place.logged()[-1]["event"] == "stopped"
    assert json.loads(capsys.readouterr().out)["event"] == "ready"


@pytest.mark.processes
def test_what_was_answered_survives_a_kill_and_a_lost_log_is_noticed(place: Place) -> None:
    place.start()
    for number in range(5):
        place.ask(small.Note(str(number)))
    place.end(signal.SIGKILL)
    place.start()
    expected = [str(number) for number in range(5)]
    assert place.ask(small.Look()) == {"notes": expected, "log": expected, "log_lost": False}
    assert place.end(signal.SIGTERM) == (0, "")
    (place.folder / "promises.log").unlink()
    for _ in range(2):  # and it stays lost: a second start must not take an empty log for a promise never made
        place.start()
        assert place.ask(small.Look()) == {"notes": expected, "log": [], "log_lost": True}
        place.end(signal.SIGTERM)


@pytest.mark.processes
def test_halt_ends_the_process_with_its_own_status_and_the_reason_in_the_log(place: Place) -> None:
    place.start()
    with pytest.raises(Exception, match="closed the connection"):
        place.ask(small.Stop())
    process = place.processes[-1]
    errors = process.communicate(timeout=30)[1]
    assert process.returncode == EXIT_HALTED
    assert json.loads(errors)["reason"] == "a divergence, says the test"
    assert "Traceback" not in errors
    assert place.logged()[-1]["event"] == "halted"


@pytest.mark.parametrize(
    ("tier", "mend"),
    [
        (1, "Leave promises.log, incarnation and the keys where they are"),
        (2, "takes blocks or a snapshot from the validators"),
        (3, "it begins anew"),
        (4, "do not delete it: only it knows which payments were signed"),
    ],
)
def test_a_damaged_database_ends_a_node_for_good_with_the_mend_of_its_tier(
    place: Place, tier: int, mend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the exit status that tells an init system not to try again."""
    (place.folder / "node.sqlite").write_bytes(b"no database" * 500)
    config = NodeConfig(tier=tier, directory=place.folder, genesis=place.genesis)
    assert run_node(config, Profile(small.NoteCore, tables=small.TABLES, with_log=tier == 1)) == EXIT_STORAGE
    reason = place.logged()[-1]["reason"]
    assert place.logged()[-1]["event"] == "storage-failed"
    assert "node.sqlite is damaged: file is not a database; " in reason
    assert mend in reason
    assert "Traceback" not in capsys.readouterr().err


def test_rows_that_no_node_has_written_are_damage_too(place: Place) -> None:
    def build(_context: Any) -> Any:
        raise LocalProtocolError("the table epochs is damaged")

    config = NodeConfig(tier=2, directory=place.folder, genesis=place.genesis)
    assert run_node(config, Profile(build, tables=small.TABLES)) == EXIT_STORAGE
    assert "damaged, or another network's: the table epochs is damaged; stop the node" in place.logged()[-1]["reason"]


def test_what_keeps_a_node_from_starting_is_in_its_log(place: Place) -> None:
    """Nobody may be there to read standard error."""
    config = NodeConfig(tier=3, directory=place.folder, genesis=place.folder / "none.cbor")
    with pytest.raises(InputError, match="cannot be read"):
        run_node(config, small.PROFILE)
    assert place.logged()[-1]["event"] == "failed"
    assert "none.cbor: the genesis file cannot be read" in place.logged()[-1]["reason"]


@pytest.mark.parametrize(
    ("files", "connections", "strangers"),
    [(None, 4096, 256), (1 << 20, 4096, 256), (1024, 924, 256), (256, 156, 78), (64, 16, 8)],
)
def test_strangers_cannot_use_up_the_descriptors_that_the_node_needs(
    files: int | None, connections: int, strangers: int
) -> None:
    """Case 14: a small container allows 256."""
    limits = limits_for(files, peers=4)
    assert (limits.connections_max, limits.unauthenticated_max) == (connections, strangers)


def test_descriptors_that_were_closed_at_the_start_never_become_files(tmp_path: Path) -> None:
    """Case 04: what C libraries print to descriptor 2 must not land in a database, and printing is no error."""
    program = (
        "import os, sys; from supervm.common.host.streams import open_standard_streams as o; o(); "
        "fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT); print('x', flush=True); print('y', file=sys.stderr); "
        "sys.stdin.read(); os.write(fd, ' '.join([str(fd > 2), *(os.readlink(f'/proc/self/fd/{n}') for n in range(3))])"
        ".encode())"
    )
    command = 'exec "$0" -c "$1" "$2" <&- >&- 2>&-'
    done = subprocess.run(["sh", "-c", command, sys.executable, program, str(tmp_path / "out")], check=False)
    assert done.returncode == 0
    assert (tmp_path / "out").read_text() == "True /dev/null /dev/null /dev/null"


@pytest.mark.processes
def test_a_folder_has_one_owner(place: Place) -> None:
    place.start()
    second = place.spawn()
    assert "is in use by process" in second.communicate(timeout=30)[1]
    assert second.returncode != 0


@pytest.mark.processes
def test_an_idle_node_stays_small(place: Place) -> None:
    place.start()
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(str(place.folder / "node.sock"))
        control.sendall(b'{"type":"metrics"}\n')
        metrics = json.loads(control.makefile().readline())["ok"]
    assert 0 < metrics["rss_bytes"] <= RSS_BYTES_MAX, metrics
    assert metrics["peers"] == 0


def test_a_genesis_that_is_none_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "genesis.cbor"
    with pytest.raises(InputError, match="cannot be read: No such file"):
        load_chain(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(InputError, match="not a genesis file"):
        load_chain(path)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_log_writes_json_to_its_file_and_warnings_to_a_pipe(tmp_path: Path) -> None:
    stream = io.StringIO()
    log = Log(tmp_path / "node.log", "info", now_ms=lambda: 1_500, stream=stream)
    log(told("quiet", "debug"))
    log(told("peer-up", peer=b"\xab", agent="\x1b[2J\nforged"))
    log(told("odd", "warning", value=object))
    log.close()
    lines = (tmp_path / "node.log").read_text().splitlines()
    assert len(lines) == 2
    assert json.loads(lines[0]) == {
        "time": "1970-01-01T00:00:01.500+00:00",
        "level": "info",
        "event": "peer-up",
        "peer": "ab",
        "agent": "\x1b[2J\nforged",
    }
    assert "\x1b" not in lines[0]
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["odd"]


@pytest.mark.parametrize("no_colour", ["", "1"])
def test_a_terminal_shows_text_and_colour_only_where_it_is_wanted(
    no_colour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", no_colour)
    stream = Terminal()
    log = Log(None, "debug", now_ms=lambda: 0, stream=stream)
    log(told("bad", "error", why="a\nb"))
    text = '00:00:00.000 bad why="a\\nb"'
    assert stream.getvalue() == (f"{text}\n" if no_colour else f"\x1b[31m{text}\x1b[0m\n")


def test_a_log_goes_on_after_it_was_renamed_and_when_it_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "node.log"
    log = Log(path, "info", now_ms=lambda: 0, stream=io.StringIO())
    log(told("one"))
    path.rename(tmp_path / "node.log.1")
    log.reopen()
    log(told("two"))
    assert "two" in path.read_text()
    log.close()
    log(told("three"))
    Log(tmp_path / "no" / "folder", "info", now_ms=lambda: 0, stream=io.StringIO())(told("four"))


def test_what_libraries_log_becomes_an_event() -> None:
    import logging

    stream = io.StringIO()
    handler = LibraryHandler(Log(None, "info", now_ms=lambda: 0, stream=stream))
    handler.handle(logging.makeLogRecord({"name": "lib", "msg": "it %s", "args": ("broke",), "levelno": 40}))
    document = json.loads(stream.getvalue())
    assert (document["event"], document["level"], document["text"]) == ("library", "error", "it broke")
