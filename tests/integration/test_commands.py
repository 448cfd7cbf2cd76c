"""A network set up by hand, as docs/several-machines.md says, and the commands of a wallet's owner against it.

Everything goes through the ``supervm`` program: folders by ``init``, wallets by ``wallet``, the network by ``genesis``,
nodes by ``lN run``.
"""

from __future__ import annotations

import json
import resource
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hand_network import GRANT, Nodes, ask, run, until

from supervm.common.errors import CommonError
from supervm.common.exit_status import EXIT_STORAGE
from supervm.common.services.lines import SOCKET_FILE
from supervm.common.services.once import call_sync

pytestmark = [pytest.mark.processes, pytest.mark.timeout(280)]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Run one validator, one miner and one edge, all set up by hand, for the tests of this file in their order."""
    network = Nodes(tmp_path_factory.mktemp("by-hand"))
    network.set_up(validators=1)
    network.start(*network.names)
    yield network
    network.stop(number=signal.SIGKILL)


@pytest.fixture
def phone(nodes: Nodes) -> Path:
    return nodes.folder("phone")


def paid(folder: Path, to: str, amount: int, *more: object, status: int = 0) -> dict[str, Any]:
    return ask("pay", "--dir", folder, "--to", to, "--amount", amount, "--fee", 10, *more, status=status)


def rows(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask("queue", "--dir", folder, "list")["payments"]
    return found


def stored(folder: Path) -> list[tuple[int, str]]:
    """Amount and status of the payments on disk, read without the program."""
    with closing(sqlite3.connect(f"file:{folder / 'node.sqlite'}?mode=ro", uri=True)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return database.execute("SELECT amount, status FROM payments ORDER BY number").fetchall()


# --- wallets --------------------------------------------------------------------------------------------------------


def test_a_wallet_is_made_shown_exported_and_imported_elsewhere(nodes: Nodes, phone: Path, tmp_path: Path) -> None:
    address = nodes.addresses["phone"]
    assert ask("wallet", "address", "--dir", phone)["address"] == address
    assert ask("wallet", "show", "--dir", phone)["accounts"][0]["address"] == address
    words = ask("wallet", "export", "--dir", phone)["words"]
    assert len(words.split()) == 24
    (tmp_path / "words").write_text(words)
    taken = ask("wallet", "import", "--dir", tmp_path / "new", "--words-file", tmp_path / "words", "--test")
    assert taken["address"] == address
    assert words not in run("wallet", "show", "--dir", phone).stdout


def test_no_file_of_a_wallet_holds_its_words_or_may_be_read_by_others(nodes: Nodes, phone: Path) -> None:
    words = ask("wallet", "export", "--dir", phone)["words"].encode()
    for path in phone.iterdir():
        if path.is_file():
            assert words not in path.read_bytes(), path
    assert phone.stat().st_mode & 0o077 == 0
    for name in ("wallet.cbor", "node.key"):
        assert (phone / name).stat().st_mode & 0o077 == 0


def test_a_wrong_passphrase_and_a_second_wallet_are_refused_with_one_line(phone: Path) -> None:
    for done in (
        run("wallet", "show", "--dir", phone, SUPERVM_PASSPHRASE="wrong"),
        run("wallet", "new", "--dir", phone),
        run("init", "l4", "--dir", phone),
    ):
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.count("\n") == 1


# --- paying ---------------------------------------------------------------------------------------------------------


def test_without_a_node_a_payment_is_queued_cancelled_and_flushed(nodes: Nodes, phone: Path) -> None:
    """The command is the owner of the folder each time; what it did stays on disk."""
    to = nodes.addresses["other"]
    first, second = paid(phone, to, 100, "--offline"), paid(phone, to, 200, "--offline")
    assert first["status"] == second["status"] == "queued"
    assert stored(phone) == [(100, "queued"), (200, "queued")]
    assert ask("queue", "--dir", phone, "cancel", first["id"])["status"] == "cancelled"
    flushed = ask("queue", "--dir", phone, "flush", "--timeout", 40)
    assert (flushed["submitted"], flushed["edge"] is not None) == (1, True)


def test_with_a_node_payments_are_kept_flushed_and_proved(nodes: Nodes, phone: Path) -> None:
    to = nodes.addresses["other"]
    nodes.start("phone")
    try:
        assert paid(phone, to, 300)["status"] in ("queued", "R0", "R1", "R3", "R4")
        statuses = until(lambda: {row["amount"]: row["status"] for row in rows(phone)}, lambda it: it[300] == "R4")
        assert statuses == {100: "cancelled", 200: "R4", 300: "R4"}
        kept = paid(phone, to, 400, "--offline")
        assert kept["status"] == "queued"
        assert ask("queue", "--dir", phone, "cancel", "no-such-payment", status=1)["status"] is None
        proved = next(row for row in rows(phone) if row["status"] == "R4")
        assert "cancel" in ask("queue", "--dir", phone, "cancel", proved["id"], status=1)["reason"]
        assert [row["status"] for row in rows(phone) if row["amount"] == 400] == ["queued"]
        assert ask("queue", "--dir", phone, "flush")["submitted"] == 1
        spent = 200 + 300 + 400 + 3 * 10
        balance = until(lambda: ask("balance", "--dir", phone), lambda value: value["balance"] == GRANT - spent)
        assert (balance["proof_verified"], balance["age_s"] < 30) == (True, True)
        received = until(lambda: ask("balance", "--dir", phone, to), lambda value: value["balance"] == GRANT + 900)
        assert received["proof_verified"]
    finally:
        assert nodes.stop("phone") == [0]


def test_an_overdraft_is_refused_before_anything_is_signed(nodes: Nodes, phone: Path) -> None:
    refused = paid(phone, nodes.addresses["other"], 2 * GRANT, status=1)
    assert refused["status"] == "refused"
    assert "overdraft" in refused["reason"]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--to", "nobody"),
        ("--to", "svm1qqqq"),
        ("--amount", "0"),
        ("--amount", "1.5"),
        ("--fee", "-1"),
        ("--amount", str(2**63)),
        ("--from", "somebody"),
    ],
)
def test_wrong_usage_of_pay_is_one_line(nodes: Nodes, phone: Path, option: str, value: str) -> None:
    options = {"--to": nodes.addresses["other"], "--amount": "1", "--fee": "1", option: value}
    done = run("pay", "--dir", phone, "--offline", *[item for pair in options.items() for item in pair])
    assert done.returncode == (1 if option == "--from" else 2)
    assert (done.stdout + done.stderr).count("\n") == 1


# --- answers that anybody can check ---------------------------------------------------------------------------------


def test_an_answer_verifies_and_no_byte_of_it_may_change(nodes: Nodes, phone: Path, tmp_path: Path) -> None:
    answer, anchor = tmp_path / "answer", nodes.directory / "genesis.cbor"
    balance = ask("balance", "--dir", phone, "--answer", answer)
    checked = ask("verify", answer, "--anchor", anchor)
    assert (checked["valid"], checked["balance"], checked["height"]) == (True, balance["balance"], balance["height"])
    ask("l4", "export-anchor", anchor, "--out", tmp_path / "anchor")
    assert ask("verify", answer, "--anchor", tmp_path / "anchor")["valid"]
    good = answer.read_bytes()
    for position in range(0, len(good), max(1, len(good) // 12)):
        bad = bytearray(good)
        bad[position] ^= 1
        (tmp_path / "bad").write_bytes(bad)
        document = ask("verify", tmp_path / "bad", "--anchor", anchor, status=1)
        assert (document["valid"], bool(document["reason"])) == (False, True)
    late = int(time.time()) + 3_600
    assert ask("verify", answer, "--anchor", anchor, "--now", late, status=1)["code"] == "too-old"


def test_an_answer_is_not_valid_on_another_network(nodes: Nodes, phone: Path, tmp_path: Path) -> None:
    answer = tmp_path / "answer"
    ask("balance", "--dir", phone, "--answer", answer)
    other = tmp_path / "other.cbor"
    options = [
        item for name in ("validators", "miners", "alloc") for item in (f"--{name}", nodes.directory / f"{name}.csv")
    ]
    ask("genesis", "new", *options, "--out", other, "--test-network", "--name", "another")
    assert ask("verify", answer, "--anchor", other, status=1)["valid"] is False
    assert run("verify", answer, "--anchor", phone / "config.toml").returncode == 2


# --- what goes wrong on one machine ---------------------------------------------------------------------------------


def test_a_folder_has_one_owner(nodes: Nodes) -> None:
    """A second process in a folder that has an owner stops at once and says so."""
    done = run("l3", "run", "--config", nodes.folder("edge") / "config.toml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1


def test_a_full_disk_acknowledges_nothing(nodes: Nodes) -> None:
    """No file may grow beyond a bound, as on a full disk: what `pay` does not acknowledge is not in the queue."""
    folder, to = nodes.folder("other"), nodes.addresses["edge"]
    paid(folder, to, 1, "--offline")
    acknowledged = [(1, "queued")]
    for amount, limit in enumerate((0, 4_096, 32_768, 1 << 20), start=2):

        def bounded(limit: int = limit) -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        options = ("--to", to, "--amount", amount, "--fee", 1, "--offline", "--json")
        done = run("pay", "--dir", folder, *options, preexec=bounded)
        if done.returncode == 0:
            acknowledged.append((amount, "queued"))
        else:
            assert (done.returncode, done.stdout) == (2, "")
            assert done.stderr.count("\n") == 1
        assert stored(folder) == acknowledged
    assert len(acknowledged) in range(2, 5), "the tightest bound has to fail, the widest has to do"


def test_a_running_phone_whose_disk_is_full_stops_and_has_promised_nothing(nodes: Nodes) -> None:
    """The bound is put on the running process: the next payment is not answered, and the node ends by itself."""
    if not hasattr(resource, "prlimit"):
        pytest.skip("this system cannot bound the files of a running process")
    folder = nodes.folder("other")
    nodes.start("other")
    process = nodes.processes["other"]
    before = {row[0] for row in stored(folder)}
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, 0))
    row = {"to": nodes.addresses["edge"], "amount": 77, "fee": 1}
    with pytest.raises(CommonError):
        call_sync(folder / SOCKET_FILE, {"request": "pay", "row": row})
    assert process.wait(timeout=60) == EXIT_STORAGE
    nodes.stop("other")
    assert "Traceback" not in (folder / "errors").read_text()
    assert {row[0] for row in stored(folder)} == before


def test_a_hand_made_network_stops_cleanly_and_goes_on_where_it_was(nodes: Nodes, phone: Path) -> None:
    assert nodes.stop(*nodes.names) == [0] * len(nodes.names)
    for name in nodes.names:
        assert "Traceback" not in (nodes.folder(name) / "errors").read_text()
    nodes.start(*nodes.names)
    balance = until(lambda: run("balance", "--dir", phone, "--json"), lambda done: done.returncode == 0)
    assert json.loads(balance.stdout)["balance"] == GRANT - 930
