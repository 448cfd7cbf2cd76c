"""A node that `supervm up` started ends with it: told by the system where it can, looked for where it cannot."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import trio

from supervm.common.host import parent

PROGRAM = """
import os, sys, trio
from supervm.common.host import parent
if {polls}:
    parent._descriptor_of = lambda process: None
    parent.LOOK_S = 0.01
mine = os.getppid()
print("here", flush=True)
trio.run(parent.parent_gone, mine)
print("alone", flush=True)
"""
BETWEEN = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", sys.argv[1]]).wait()
"""


@pytest.mark.processes
@pytest.mark.parametrize("polls", [False, True], ids=["told", "looking"])
def test_an_orphan_notices_at_once(polls: bool) -> None:
    between = subprocess.Popen(
        [sys.executable, "-c", BETWEEN, PROGRAM.format(polls=polls)], stdout=subprocess.PIPE, text=True
    )
    assert between.stdout is not None
    with between.stdout as said:
        assert said.readline() == "here\n"
        between.kill()
        assert said.readline() == "alone\n"
    between.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has descriptors of processes")
async def test_a_node_with_a_parent_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(parent.os, "getppid", lambda: asked.append(1) or os.getpid())
    with trio.move_on_after(5):
        await parent.parent_gone(os.getpid())
    assert len(asked) == 1


async def test_a_parent_that_is_gone_already_is_noticed() -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    with trio.fail_after(5):
        await parent.parent_gone(done.pid)
