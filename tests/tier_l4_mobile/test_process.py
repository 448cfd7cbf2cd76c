"""A running L4 process: it owns its folder, commands reach it over its socket, SIGKILL loses nothing acknowledged."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from chain_tools import test_key
from click.testing import CliRunner
from phone_folder import PASSPHRASE, make_phone

from supervm.common.errors import InputError
from supervm.common.host.config import CONFIG_FILE
from supervm.common.services.lines import SOCKET_FILE
from supervm.common.services.once import call_sync
from supervm.protocol.base.address import encode_address
from supervm.tier_l4_mobile.cli.balance import balance
from supervm.tier_l4_mobile.cli.pay import pay
from supervm.tier_l4_mobile.cli.queue import queue
from supervm.tier_l4_mobile.cli.wallet import wallet

BOB = encode_address(test_key("bob").public, test=False)
PROGRAM = "import sys; from supervm.tier_l4_mobile.cli.run import l4; sys.exit(l4(standalone_mode=False))"

pytestmark = pytest.mark.processes


def start(folder: Path, *options: str, program: str = PROGRAM) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", program, "run", "--config", str(folder / CONFIG_FILE), *options]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout as lines:  # the only line that a node prints
        assert json.loads(lines.readline())["event"] == "ready"
    return process


def run(command, *args: object) -> tuple[int, dict]:
    result = CliRunner().invoke(command, [*map(str, args), "--json"], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.return_value or 0, json.loads(result.stdout)


def test_commands_reach_the_owner_and_a_killed_one_loses_nothing_acknowledged(tmp_path, monkeypatch):
    monkeypatch.setenv("SUPERVM_PASSPHRASE", PASSPHRASE)
    folder = tmp_path / "phone"
    folder.mkdir()
    (folder / "names.txt").write_text("home\nshop\n")
    make_phone(folder, accounts=2, names="names.txt")
    process = start(folder)
    try:
        ids = []
        for name in ("home", "shop", "home"):
            args = ("--dir", folder, "--to", BOB, "--amount", 5, "--fee", 1, "--from", name)
            ids.append(run(pay, *args)[1]["id"])
        status, value = run(balance, "--dir", folder)
        assert (status, value["proof_verified"]) == (1, False)
        assert run(pay, "--dir", folder, "--to", BOB, "--amount", 5, "--fee", 1, "--from", "nobody")[0] == 1
        process.kill()
        assert process.wait(20) == -signal.SIGKILL
        listed = run(queue, "--dir", folder, "list")[1]
        assert [payment["id"] for payment in listed["payments"]] == ids
        process = start(folder)
        assert run(queue, "--dir", folder, "cancel", ids[1])[1]["status"] == "cancelled"
        assert run(queue, "--dir", folder, "flush")[0] == 1
        assert run(queue, "--dir", folder, "list", "--from", "home")[1]["total"] == 2
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


RSS_BYTES_MAX = 39 << 20
"""What a passive phone takes with room for another machine; watches, cars and controllers have 40 MiB to give."""
LATE = (
    "importlib.metadata",  # with the parsers of mail and of archives, 2 MiB
    "email",
    "zipfile",
    "asyncio",
    "multiprocessing",
    "concurrent.futures.process",
    "kivy",
    "PIL",
    "segno",
    "zxingcpp",
    "mnemonic",
    "psutil",
    "rich",
    "sqlalchemy",
    "apscheduler",
    "trio_parallel",
    "supervm.protocol.state.trie",  # the whole state is no business of a phone
    "supervm.protocol.state.tree_state",
    "supervm.protocol.chain.block",
    "supervm.tier_l4_mobile.app",
    "supervm.tier_l4_mobile.scanned",
    "supervm.tier_l4_mobile.handover.checks",
    "supervm.tier_l4_mobile.handover.container",
    "supervm.tier_l4_mobile.handover.fountain",
    "supervm.tier_l4_mobile.handover.frames",
    "supervm.tier_l4_mobile.handover.giver",
    "supervm.tier_l4_mobile.handover.payment_request",
    "supervm.tier_l4_mobile.handover.qr",
    "supervm.tier_l4_mobile.handover.taker",
)
"""What a passive phone that follows, pays and answers has no need of, so that nobody loads it unawares."""
TELLING = """
import os, sys
from supervm.tier_l4_mobile.cli.run import l4
status = l4(standalone_mode=False)
with open(os.environ["MODULES_FILE"], "w") as file:
    file.write(" ".join(sorted(sys.modules)))
sys.exit(status)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in another way")
def test_a_passive_phone_is_small_and_still_pays(tmp_path, monkeypatch):
    monkeypatch.setenv("SUPERVM_PASSPHRASE", PASSPHRASE)
    monkeypatch.setenv("MODULES_FILE", str(tmp_path / "modules.txt"))
    folder = tmp_path / "watch"
    make_phone(folder, mode="passive")
    process = start(folder, program=TELLING)
    try:
        shown = run(pay, "--dir", folder, "--to", BOB, "--amount", 5, "--fee", 1)[1]
        assert shown["status"] == "queued"
        rss_bytes = call_sync(folder / SOCKET_FILE, {"request": "metrics"})["rss_bytes"]
        assert rss_bytes <= RSS_BYTES_MAX, f"{rss_bytes / (1 << 20):.1f} MiB"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        loaded = (tmp_path / "modules.txt").read_text().split()
        assert "supervm.tier_l4_mobile.node" in loaded
        assert [name for name in LATE if name in loaded] == []
    finally:
        process.kill()
        process.wait()


def test_a_node_that_starts_locked_is_opened_locked_and_given_another_passphrase(tmp_path, monkeypatch):
    monkeypatch.setenv("SUPERVM_PASSPHRASE", PASSPHRASE)
    folder = tmp_path / "phone"
    make_phone(folder, accounts=2)
    process = start(folder, "--locked")
    try:
        args = ("--dir", folder, "--to", BOB, "--amount", 5, "--fee", 1)
        status, paid = run(pay, *args)
        assert (status, paid["status"]) == (1, "refused")
        assert "wallet is locked" in paid["reason"] or "never unlocked" in paid["reason"]
        assert run(wallet, "unlock", "--dir", folder) == (0, {"locked": False, "locks_in_s": None})
        assert run(pay, *args)[0] == 0
        assert run(wallet, "lock", "--dir", folder) == (0, {"locked": True, "locks_in_s": None})
        assert "wallet is locked" in run(pay, *args)[1]["reason"]
        (tmp_path / "new").write_text("battery staple\n")
        assert run(wallet, "passwd", "--dir", folder, "--new-passphrase-file", tmp_path / "new")[1] == {"changed": True}
        status, refused = run(wallet, "unlock", "--dir", folder)
        assert status == 1
        assert "does not open" in refused["refused"]
        assert run(wallet, "unlock", "--dir", folder, "--passphrase-file", tmp_path / "new")[0] == 0
        command_line = Path(f"/proc/{process.pid}/cmdline")
        told = [(folder / "node.log").read_text(), command_line.read_text() if command_line.exists() else ""]
        assert not any(word in text for text in told for word in ("battery", "staple"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
    with pytest.raises(InputError, match="no node runs there"):
        run(wallet, "lock", "--dir", folder)
    with pytest.raises(InputError, match="no terminal to ask for the new passphrase"):
        run(wallet, "passwd", "--dir", folder)
