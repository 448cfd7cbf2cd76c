"""A lost write-ahead log begins anew only where nothing it held can bind any more (consensus.md 2.2, 2.8, amnesia)."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from supervm.common.contract.records import Append, Prune, Record
from supervm.common.contract.tables import PrimaryKey, Table, TableRow
from supervm.common.host.config import NodeConfig
from supervm.common.host.durable import INCARNATION_FILE, PROMISES_FILE, open_store
from supervm.common.storage.memory import MemoryStore
from supervm.common.storage.sql import SqlStore
from supervm.protocol.base.errors import LocalProtocolError


class EpochRow(TableRow, frozen=True):
    number: PrimaryKey[int]
    epoch: bytes


EPOCHS = Table("epochs", EpochRow)
ENTERED = EPOCHS.put(EpochRow(1, b"entered"))
BEGIN: list[Record] = [ENTERED, Prune((b"kept",), begin=True), Append(b"first vote")]


def config_of(folder: Path) -> NodeConfig:
    return NodeConfig(tier=1, directory=folder, genesis=folder / "genesis.cbor")


def opened(folder: Path) -> tuple[SqlStore, bool]:
    return open_store(config_of(folder), [EPOCHS], with_log=True)


def look(folder: Path) -> tuple[bool, list[bytes], bool]:
    """Whether the log is lost, what it holds, and whether the tables have entered the epoch."""
    store, lost = opened(folder)
    try:
        return lost, store.log(), EPOCHS.get(store, 1) is not None
    finally:
        store.close()


@pytest.fixture(params=["missing", "damaged", "a stranger's"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder whose node had promised three things and has lost its log."""
    store, lost = opened(tmp_path)
    assert not lost
    for number in range(3):
        store.commit([Append(b"%d" % number)])
    store.close()
    promises = tmp_path / PROMISES_FILE
    if request.param == "missing":
        promises.unlink()
    elif request.param == "damaged":
        raw = bytearray(promises.read_bytes())
        raw[len(raw) // 2] ^= 1
        promises.write_bytes(raw)
    else:
        (tmp_path / INCARNATION_FILE).write_text("ab" * 16 + "\n")
    return tmp_path


def test_a_lost_log_stays_lost_until_it_is_begun_anew(folder: Path) -> None:
    for _ in range(2):
        assert look(folder) == (True, [], False)
    store, _ = opened(folder)
    for records in ([Append(b"x")], [Prune(())], [ENTERED, Append(b"x"), Prune((), begin=True)]):
        with pytest.raises(LocalProtocolError, match="without a write-ahead log"):
            store.commit(records)
    assert EPOCHS.get(store, 1) is None
    store.commit([ENTERED])
    store.close()
    assert look(folder) == (True, [], True)


def test_a_log_that_is_begun_is_like_any_other(folder: Path) -> None:
    before = (folder / INCARNATION_FILE).read_text()
    store, _ = opened(folder)
    assert store.log_path is None
    store.commit(BEGIN)
    assert store.log_path == folder / PROMISES_FILE  # which backups copy from now on
    store.commit([Append(b"second vote")])
    store.commit([Prune((b"compacted",)), Append(b"third")])
    store.close()
    assert look(folder) == (False, [b"compacted", b"third"], True)
    assert (folder / INCARNATION_FILE).read_text() != before
    (folder / PROMISES_FILE).unlink()
    assert look(folder) == (True, [], True)


def test_the_old_log_is_a_strangers_when_it_turns_up_again(tmp_path: Path) -> None:
    """Somebody finds the file and puts it back beside the new incarnation: an observer once more, and no old votes."""
    store, _ = opened(tmp_path)
    store.commit([Append(b"old vote")])
    store.close()
    found = (tmp_path / PROMISES_FILE).read_bytes()
    (tmp_path / PROMISES_FILE).unlink()
    store, lost = opened(tmp_path)
    assert lost
    store.commit(BEGIN)
    store.close()
    (tmp_path / PROMISES_FILE).write_bytes(found)
    assert look(tmp_path) == (True, [], True)


def crash_at(folder: Path, step: int) -> bool:
    """Begin a log in a child process that dies before the line number `step` of it; return whether it came so far."""
    pid = os.fork()
    if pid == 0:
        store, _ = opened(folder)
        left = [step]

        def trace(frame: FrameType, event: str, _: Any) -> Any:
            if frame.f_code.co_name not in ("begin_log", "commit", "_write_tables", "rewrite", "create_private_file"):
                return None
            if event == "line":
                left[0] -= 1
                if left[0] == 0:
                    os._exit(9)
            return trace

        sys.settrace(trace)
        store.commit(BEGIN)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9


def test_a_crash_at_any_line_leaves_an_observer_or_a_new_log(folder: Path) -> None:
    """Never a log that looks whole in a node that may still be in the epoch whose votes it has lost."""
    outcomes: dict[tuple[bool, bool], int] = {}
    copy = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    for step in range(1, 500):
        for path in folder.iterdir():
            path.unlink()
        for name, data in copy.items():
            (folder / name).write_bytes(data)
        crashed = crash_at(folder, step)
        lost, log, entered = look(folder)
        assert entered or lost
        assert log in ([], [b"kept", b"first vote"])
        assert not (lost and log)
        outcomes[lost, entered] = outcomes.get((lost, entered), 0) + 1
        if not crashed:
            assert (lost, log, entered) == (False, [b"kept", b"first vote"], True)
            break
        if lost:  # the next start learns again, and then it has its log
            store, _ = opened(folder)
            store.commit(BEGIN)
            store.close()
            assert look(folder) == (False, [b"kept", b"first vote"], True)
    assert {(True, False), (True, True), (False, True)} == set(outcomes)


def test_a_store_in_memory_without_a_log_takes_none_either() -> None:
    store = MemoryStore([EPOCHS], with_log=False)
    with pytest.raises(LocalProtocolError):
        store.commit([Prune(())])
    assert EPOCHS.get(store, 1) is None
