"""`supervm up` as its user sees it: exit statuses, the JSON document, Ctrl-C, and a second run in the same folder."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supervm.common.cli.registry import COMMANDS_GROUP
from supervm.common.up import session
from supervm.common.up.payments import FUNDING_FEE_GRAIN, FUNDING_GRAIN
from supervm.common.up.rows import BUILT_IN
from supervm.protocol.money.fees import split_fee

pytestmark = [pytest.mark.processes, pytest.mark.timeout(280)]

SUPERVM = (sys.executable, "-m", "supervm.common.cli")
RUN_TIMEOUT_S = 120
HEADER = "from,to,amount,fee\n"


def run(*args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SUPERVM, *map(str, args)], capture_output=True, text=True, timeout=RUN_TIMEOUT_S, stdin=subprocess.DEVNULL
    )


def up(*args: object) -> tuple[int, dict[str, Any]]:
    """Run to the end with --json; standard output is exactly one document, standard error no traceback."""
    done = run("up", "--exit-when-done", "--json", *args)
    assert "Traceback" not in done.stderr
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def rows_of(text: str) -> list[tuple[str, str, int, int]]:
    return [(row["from"], row["to"], int(row["amount"]), int(row["fee"])) for row in csv.DictReader(text.splitlines())]


def expected(rows: list[tuple[str, str, int, int]]) -> dict[str, int]:
    balances = {name: FUNDING_GRAIN for row in rows for name in row[:2]}
    for source, to, amount, fee in rows:
        balances[source] -= amount + fee
        balances[to] += amount
    return balances


def check_document(document: dict[str, Any], rows: list[tuple[str, str, int, int]]) -> None:
    """The shape and the sums that surface.md promises, for rows that are all executed."""
    assert {"network", "payments", "balances", "fees", "supply", "checkpoint"} <= document.keys()
    payments = document["payments"]
    assert [(item["from"], item["to"], item["amount"], item["fee"]) for item in payments] == rows
    for item in payments:
        assert {"id", "from", "to", "amount", "fee", "status", "reason", "proof_verified", "latency_ms"} <= item.keys()
        assert (item["status"], item["reason"], item["proof_verified"]) == ("R4", None, True)
        assert bytes.fromhex(item["id"])
        assert len(item["id"]) == 64
        assert {"r0", "r1", "r3", "r4"} <= item["latency_ms"].keys()
        assert item["latency_ms"]["r4"] > 0
    assert len({item["id"] for item in payments}) == len(payments)
    assert document["balances"] == expected(rows)


def check_fees(document: dict[str, Any], fees: list[int]) -> None:
    """The five parts sum to the total, and each tier has the sum of its parts."""
    parts = [sum(part) for part in zip(*map(split_fee, fees), strict=True)]
    assert document["fees"] == {
        "l1": parts[0],
        "l2": parts[1],
        "l3": parts[2],
        "l4": parts[3],
        "treasury": 0,
        "total": sum(fees),
    }


def leftovers(directory: Path) -> list[str]:
    """Command lines of processes that still run for a folder (Linux)."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:
            continue
        if str(directory) in line and "supervm.common.cli" in line:
            found.append(line)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hold a network that has sent the built-in payments, for the tests that go on with it in the order of the file."""
    return tmp_path_factory.mktemp("up") / "net"


def test_the_built_in_payments_are_all_proved_and_the_document_is_as_promised(folder: Path) -> None:
    status, document = up("--dir", folder, "--l1", 4, "--l2", 1, "--l3", 1, "--l4", 2)
    assert status == 0
    rows = rows_of(BUILT_IN)
    assert document["network"] == {"l1": 4, "l2": 1, "l3": 1, "l4": 2, "processes": 8}
    check_document(document, rows)
    check_fees(document, [row[3] for row in rows])
    assert document["checkpoint"]["height"] > 0
    assert 3 <= document["checkpoint"]["signers"] <= 4
    assert len(bytes.fromhex(document["checkpoint"]["state_root"])) == 32
    assert leftovers(folder) == []


def test_a_second_run_sends_nothing_twice_and_funds_names_that_are_new(folder: Path, tmp_path: Path) -> None:
    first = rows_of(BUILT_IN)
    again, document = up("--dir", folder)
    assert again == 0
    check_document(document, first)
    check_fees(document, [row[3] for row in first])
    ids = [item["id"] for item in document["payments"]]
    more = tmp_path / "more.csv"
    more.write_text(HEADER + "alice,zoe,1000,7\nzoe,yan,400,5\nyan,alice,3,2\n")
    rows = rows_of(more.read_text())
    status, document = up("--dir", folder, "--payments", more)
    assert status == 0
    balances = expected([*first, *rows])
    assert document["balances"] == {name: balances[name] for name in ("alice", "zoe", "yan")}
    check_fees(document, [*(row[3] for row in first), *(row[3] for row in rows), *[FUNDING_FEE_GRAIN] * 2])
    assert not {item["id"] for item in document["payments"]} & set(ids)


def test_another_size_for_a_network_that_is_there_is_refused(folder: Path) -> None:
    done = run("up", "--dir", folder, "--l1", 7)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--l1 4" in done.stderr
    assert done.stderr.count("\n") == 1


def test_rows_that_no_wallet_signs_are_refused_with_a_reason_and_the_exit_status_is_0(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(HEADER + f"poor,rich,{FUNDING_GRAIN},1\nrich,poor,5,1\npoor,rich,{2**62},{2**61}\npoor,rich,7,1\n")
    status, document = up("--payments", file, "--l1", 1, "--l4", 1)
    assert status == 0
    statuses = [(item["status"], item["proof_verified"]) for item in document["payments"]]
    assert statuses == [("refused", False), ("R4", True), ("refused", False), ("R4", True)]
    reasons = [item["reason"] for item in document["payments"]]
    assert "overdraft" in reasons[0]
    assert "overdraft" in reasons[2] or "together" in reasons[2]
    assert document["balances"] == {"poor": FUNDING_GRAIN - 3, "rich": FUNDING_GRAIN + 1}
    check_fees(document, [1, 1])


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "header"),
        ("a,b,c\n", "header"),
        (HEADER, "no payments"),
        (HEADER + "alice,bob,1\n", "line 2: 3 columns"),
        (HEADER + "alice,bob,1,1\nalice,bob,0,1\n", "line 3: amount"),
        (HEADER + "alice,bob,1.5,1\n", "amount"),
        (HEADER + "alice,bob,1,-1\n", "fee"),
        (HEADER + f"alice,bob,{2**63},1\n", "amount"),
        (HEADER + "_reserve,bob,1,1\n", "'_reserve'"),
        (HEADER + ",bob,1,1\n", "''"),
        (HEADER + "alice,\x1b[31m,1,1\n", "x1b"),
    ],
)
def test_a_wrong_file_is_one_line_and_exit_status_2(tmp_path: Path, text: str, what: str) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(text)
    done = run("up", "--payments", file, "--exit-when-done", "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert str(file) in done.stderr
    assert what in done.stderr
    assert done.stderr.count("\n") == 1
    assert "\x1b" not in done.stderr


def test_a_file_that_is_not_there_or_not_text_is_one_line_and_exit_status_2(tmp_path: Path) -> None:
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00")
    for file in (tmp_path / "missing.csv", binary, tmp_path):
        done = run("up", "--payments", file)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.count("\n") == 1
        assert "Traceback" not in done.stderr


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    done = run("up", "--dir", tmp_path)
    assert done.returncode == 2
    assert "letter.txt" in done.stderr
    assert done.stderr.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} <= {"letter.txt", "lock"}


# --- a run that is cut short ----------------------------------------------------------------------------------------


class Background:
    """`supervm up --json` that runs until it is told to stop; its progress lines are read as they come."""

    def __init__(self, *args: object) -> None:
        self.process = subprocess.Popen(
            [*SUPERVM, "up", "--json", *map(str, args)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def until(self, text: str) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if text in line:
                return
        raise AssertionError(f"it ended with {self.process.wait()} and without saying {text!r}")

    def end(self, number: int) -> tuple[int, dict[str, Any]]:
        self.process.send_signal(number)
        output, errors = self.process.communicate(timeout=RUN_TIMEOUT_S)
        assert "Traceback" not in errors
        return self.process.returncode, json.loads(output)


@pytest.fixture
def background() -> Iterator[list[Background]]:
    """Hold what is started, and stop at the end what still runs."""
    started: list[Background] = []
    yield started
    for item in started:
        if item.process.poll() is None:
            item.process.send_signal(signal.SIGINT)
            item.process.communicate(timeout=RUN_TIMEOUT_S)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_after_the_last_fate_prints_the_document_and_exits_with_0(
    tmp_path: Path, number: int, background: list[Background]
) -> None:
    background.append(Background("--dir", tmp_path / "net", "--l1", 1, "--l4", 1))
    background[0].until("Ctrl-C ends it")
    done = run("up", "--dir", tmp_path / "net")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    status, document = background[0].end(number)
    assert status == 0
    check_document(document, rows_of(BUILT_IN))
    assert leftovers(tmp_path) == []


def test_ctrl_c_before_the_last_fate_prints_what_is_known_and_exits_with_1_and_a_second_run_ends_it(
    tmp_path: Path, background: list[Background]
) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text(HEADER + "".join(f"alice,bob,{number},1\n" for number in range(1, 3_001)))
    background.append(Background("--dir", tmp_path / "net", "--payments", rows, "--l1", 1, "--l4", 1))
    background[0].until("all nodes are up")
    status, document = background[0].end(signal.SIGINT)
    assert len(document["payments"]) == 3_000
    statuses = Counter(item["status"] for item in document["payments"])
    assert status == (0 if statuses == {"R4": 3_000} else 1)
    assert statuses.keys() <= {"queued", "R0", "R1", "R3", "R4"}
    assert leftovers(tmp_path) == []
    status, document = up("--dir", tmp_path / "net", "--payments", rows)
    assert status == 0
    check_document(document, rows_of(rows.read_text()))
    check_fees(document, [1] * 3_000)


def test_nodes_that_are_killed_are_started_again_and_every_payment_is_proved_once(
    tmp_path: Path, background: list[Background]
) -> None:
    """As the quick start says: one node of each tier is killed with SIGKILL while payments are on their way."""
    rows = tmp_path / "rows.csv"
    rows.write_text(HEADER + "".join(f"alice,bob,{number},1\nbob,alice,1,2\n" for number in range(1, 1_001)))
    background.append(Background("--dir", tmp_path / "net", "--payments", rows, "--exit-when-done"))
    background[0].until("all nodes are up")
    for name in ("l1-2", "l2-0", "l3-0", "l4-0"):
        ready = (tmp_path / "net" / name / "node.out").read_text().splitlines()[0]
        os.kill(json.loads(ready)["pid"], signal.SIGKILL)
    output, errors = background[0].process.communicate(timeout=RUN_TIMEOUT_S)
    assert (background[0].process.returncode, "Traceback" in errors) == (0, False), errors
    check_document(json.loads(output), rows_of(rows.read_text()))
    check_fees(json.loads(output), [1, 2] * 1_000)
    assert leftovers(tmp_path) == []


def test_timeout_stops_a_run_that_takes_longer_and_exits_with_1(tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text(HEADER + "".join(f"alice,bob,{number},1\n" for number in range(1, 40_001)))
    status, document = up("--dir", tmp_path / "net", "--payments", rows, "--l1", 1, "--l4", 1, "--timeout", 6)
    assert status == 1
    statuses = Counter(item["status"] for item in document["payments"])
    assert statuses.total() == 40_000
    assert statuses["R4"] < 40_000
    assert leftovers(tmp_path) == []


def test_a_node_that_no_start_can_mend_ends_the_run_with_its_summary_and_the_mend(tmp_path: Path) -> None:
    """It is not started six times: exit status 1, what is known of the payments, and which node, why, what to do."""
    status, _ = up("--dir", tmp_path / "net", "--l1", 1, "--l4", 1)
    assert status == 0
    (tmp_path / "net" / "l2-0" / "node.sqlite").write_bytes(b"no database" * 500)
    payments = tmp_path / "more.csv"
    payments.write_text("from,to,amount,fee\nalice,bob,1,1\n")
    done = run("up", "--dir", tmp_path / "net", "--payments", payments, "--exit-when-done", "--timeout", 60, "--json")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert document["payments"][0]["status"] != "R4"
    assert document["checkpoint"]["height"] >= 1
    last = done.stderr.splitlines()[-1]
    assert last == f"supervm: {document['problems'][-1]}"
    assert last.startswith("supervm: l2-0 ended with 4, which a new start cannot mend: ")
    assert "move node.sqlite, node.sqlite-wal and node.sqlite-shm out of" in last
    assert "Traceback" not in done.stderr
    assert leftovers(tmp_path) == []


def test_no_timeout_shorter_than_a_second_and_no_network_of_nothing() -> None:
    for args in (("--timeout", "0"), ("--l1", "0"), ("--l4", "-1"), ("--l2", "x"), ("--nonsense",)):
        done = run("up", *args)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert "Traceback" not in done.stderr


def test_without_a_folder_nothing_is_left_behind(tmp_path: Path) -> None:
    done = subprocess.run(
        [*SUPERVM, "up", "--l1", "1", "--l4", "1", "--exit-when-done", "--timeout", "100"],
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0
    assert "10 payments: 10 proved" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_tier_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = session.offers(COMMANDS_GROUP, ())
    monkeypatch.setattr(session, "offers", lambda *_: {name: offer for name, offer in found.items() if name != "l3"})
    with pytest.raises(session.InputError, match="l3 is missing: install supervm-tier-l3-edge"):
        session.check_profiles()


def test_the_program_is_on_the_path_of_its_environment() -> None:
    assert shutil.which("supervm", path=str(Path(sys.executable).parent))
