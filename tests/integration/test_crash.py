"""A node that breaks off because of a bug says so: in its log, with a traceback, and with an exit status of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from chain_tools import make_test_chain

from supervm.common.exit_status import EXIT_BUG
from supervm.common.host.keyfile import NODE_KEY_FILE, make_key_file
from supervm.common.services.lines import SOCKET_FILE, NoOwner
from supervm.common.services.once import call_sync
from supervm.protocol.base.codec import encode

pytestmark = pytest.mark.processes


def test_an_error_inside_a_core_is_a_bug_and_never_looks_like_wrong_usage(tmp_path: Path) -> None:
    """Even an error of a kind that elsewhere means wrong input (exit status 2) is logged and shows its traceback."""
    (tmp_path / "genesis.cbor").write_bytes(encode(make_test_chain(1).chain.genesis))
    make_key_file(tmp_path / NODE_KEY_FILE, bytes(range(32)))
    command = [sys.executable, str(Path(__file__).with_name("broken_node.py")), str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "ready"
        with pytest.raises(NoOwner):
            call_sync(tmp_path / SOCKET_FILE, {"request": "break"})
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == EXIT_BUG
    assert "two and two are five" in errors
    assert "Traceback" in errors
    last = json.loads((tmp_path / "node.log").read_text().splitlines()[-1])
    assert (last["level"], last["event"]) == ("error", "crashed")
    assert last["reason"] == "LocalProtocolError: two and two are five"
