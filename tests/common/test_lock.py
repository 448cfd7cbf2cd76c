"""A directory has one owner process, and the lock ends with it."""

import os
import signal
import subprocess
import sys

import pytest

from supervm.common.errors import InputError
from supervm.common.storage import DirectoryLock

HOLD = """
import sys
from pathlib import Path
from supervm.common.storage.lock import DirectoryLock
lock = DirectoryLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_owner_is_refused_with_the_directory_and_the_holder(tmp_path):
    with DirectoryLock(tmp_path), pytest.raises(InputError) as caught:
        DirectoryLock(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert f"process {os.getpid()};" in str(caught.value)
    with DirectoryLock(tmp_path):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_release_may_be_called_twice(tmp_path):
    lock = DirectoryLock(tmp_path)
    lock.release()
    lock.release()
    with DirectoryLock(tmp_path):
        pass


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(InputError, match=r"cannot use the directory .*none: No such file"):
        DirectoryLock(tmp_path / "none")


def test_a_killed_owner_leaves_a_file_and_no_lock(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=f"in use by process {child.pid};"):
            DirectoryLock(tmp_path)
        child.send_signal(signal.SIGKILL)
    assert (tmp_path / "lock").exists()
    DirectoryLock(tmp_path).release()
