"""The program: lazy listing, exit statuses, one line per wrong usage (surface.md)."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import click
import pytest

from supervm.common.cli import program as program_module
from supervm.common.cli.output import colour_wanted, columns, live_wanted
from supervm.common.cli.program import EXIT_BUG, EXIT_INPUT, EXIT_INTERRUPTED, EXIT_NO, EXIT_OK, main
from supervm.common.cli.registry import BENCHMARKS_GROUP, COMMANDS_GROUP, OPTIONS_GROUP, PROFILES, Offer, offers
from supervm.common.commands import BENCHMARKS, COMMANDS
from supervm.common.errors import CommonError, InputError
from supervm.protocol.base.errors import RemoteProtocolError

HEAVY = ("trio", "sqlalchemy", "apscheduler", "rich", "nacl", "cbor2", "psutil", "msgspec", "trio_parallel")


def test_help_lists_every_command_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom supervm.common.cli import main\nassert main(['--help']) == 0\n"
        f"sys.exit(','.join(name for name in {HEAVY!r} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == ""
    for offer in offers(COMMANDS_GROUP, COMMANDS).values():
        assert f"  {offer.name} " in done.stdout


@pytest.mark.parametrize("offer", offers(COMMANDS_GROUP, COMMANDS).values(), ids=lambda offer: offer.name)
def test_every_command_loads_and_its_help_has_an_example(offer: Offer) -> None:
    def check(command: click.Command) -> None:
        if isinstance(command, click.Group):
            for sub in command.commands.values():
                check(sub)
        else:
            assert command.epilog is not None, command.name
            assert command.epilog.startswith("Example: supervm "), command.name

    check(offer.load())


def test_every_benchmark_loads() -> None:
    assert all(callable(offer.load()) for offer in offers(BENCHMARKS_GROUP, BENCHMARKS).values())


def test_entry_points_name_tuples_of_offers() -> None:
    for group in (COMMANDS_GROUP, BENCHMARKS_GROUP):
        for entry in entry_points(group=group):
            assert all(isinstance(offer, Offer) for offer in entry.load()), entry
    for entry in entry_points(group=OPTIONS_GROUP):
        assert entry.name in PROFILES


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "needs a command"),
        (["fee"], "supervm fee needs a command: split"),
        (["nonsense"], "there is no command 'nonsense'; there are "),
        (["sim-of-nothing", "--help"], "there is no command"),
        (["--nonsense"], "--nonsense"),
        (["fee", "split"], "Missing argument 'AMOUNT'"),
        (["fee", "split", "ten"], "'ten' is not a valid integer"),
        (["fee", "split", "--", "-1"], "a fee of -1 grain is not allowed"),
        (["fee", "split", "9", "--shares", f"{'9' * 5000},0,0,0"], "are not allowed: four whole numbers"),
        (["fee", "split", "9", "--shares", "1_0000,0,0,0"], "are not allowed: four whole numbers"),
        (["init", "l3", "--dir", "x", "--listen", f"h:{'9' * 5000}"], "is not an address"),
        (["up", "--timeout", "nan"], "--timeout nan is not allowed"),
        (["genesis", "show", "/nowhere/at/all"], "/nowhere/at/all"),
        (["bench", "nonsense"], "there is no benchmark 'nonsense'; there are"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == EXIT_INPUT
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("supervm: ")
    assert said in err
    assert err.count("\n") == 1


def test_what_the_output_cannot_write_is_escaped_and_json_stays_json(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "supervm.common.cli", "init", "l4", "--json", "--dir", b"caf\xc3\xa9\xff"]
    for encoding in ("utf-8:strict", "ascii:strict"):
        folder = tmp_path / encoding
        folder.mkdir()
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "1"},
            capture_output=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (EXIT_OK, b"")
        assert json.loads(done.stdout)["directory"] == "caf\u00e9\udcff"


def test_a_closed_standard_output_is_no_bug() -> None:
    command = 'exec "$0" -m supervm.common.cli fee split 7 >&-'
    done = subprocess.run(["sh", "-c", command, sys.executable], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (EXIT_OK, b"")


def test_a_command_of_a_profile_that_is_not_installed_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("supervm.common.cli.registry.entry_points", lambda **_: ())
    for name, home in PROFILES.items():
        assert main([name, "run"]) == EXIT_INPUT
        line = f"supervm: supervm {name} needs {home}, which is not installed here"
        assert capsys.readouterr().err.startswith(line)


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (InputError("in\nput"), EXIT_INPUT, "supervm: in put\n"),
        (CommonError("common"), EXIT_INPUT, "supervm: common\n"),
        (RemoteProtocolError("remote"), EXIT_INPUT, "supervm: remote\n"),
        (PermissionError(13, "Not allowed", "/some/file"), EXIT_INPUT, "supervm: /some/file: Not allowed\n"),
        (ExceptionGroup("tasks", [InputError("one"), InputError("two")]), EXIT_INPUT, "supervm: one\n"),
        (KeyboardInterrupt(), EXIT_INTERRUPTED, "interrupted\n"),
        (BaseExceptionGroup("tasks", [KeyboardInterrupt()]), EXIT_INTERRUPTED, "interrupted\n"),
        (ZeroDivisionError("bug"), EXIT_BUG, "ZeroDivisionError: bug\n"),
        (ExceptionGroup("tasks", [InputError("one"), ZeroDivisionError("bug")]), EXIT_BUG, "ZeroDivisionError: bug"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_a_bug_of_ours_shows_a_traceback(
    error: BaseException, status: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(program_module.program, "main", fail)
    assert main([]) == status
    err = capsys.readouterr().err
    assert said in err
    assert ("Traceback" in err) is (status == EXIT_BUG)


@pytest.mark.parametrize(("returned", "status"), [(None, EXIT_OK), (0, EXIT_OK), (1, EXIT_NO)])
def test_a_command_answers_by_what_it_returns(
    returned: int | None, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program_module.program, "main", lambda **_: returned)
    assert main([]) == status


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    reader = subprocess.Popen(["true"], stdin=subprocess.PIPE)
    reader.wait()
    code = "import sys, time\nfrom supervm.common.cli import main\nsys.stdin.read()\nsys.exit(main(['--help']))"
    done = subprocess.run(
        [sys.executable, "-c", code], stdin=subprocess.DEVNULL, stdout=reader.stdin, stderr=subprocess.PIPE, text=True
    )
    assert "Traceback" not in done.stderr
    assert reader.stdin is not None
    reader.stdin.close()


def test_version_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == EXIT_OK
    assert capsys.readouterr().out.startswith("supervm 0.")


def test_no_colour_off_a_terminal_or_with_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert colour_wanted(Terminal())
    assert not colour_wanted(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colour_wanted(Terminal())


def test_bars_need_a_terminal_and_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supervm.common.cli.output.colour_wanted", lambda _: True)
    assert live_wanted()
    monkeypatch.setattr("supervm.common.cli.output.find_spec", lambda _: None)
    assert not live_wanted()


def test_a_benchmark_whose_package_is_missing_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    monkeypatch.delitem(sys.modules, "supervm.common.bench.footprint", raising=False)
    assert main(["bench", "footprint", "--quick"]) == EXIT_INPUT
    assert (
        "footprint needs psutil, which is not installed here: install supervm-common[full]" in capsys.readouterr().err
    )


def test_columns_align() -> None:
    assert columns([("a", "10"), ("bbb", "2")], right=(1,)) == ["a    10", "bbb   2"]


def test_bench_lists_and_measures_with_ratios(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--list", "--json"]) == EXIT_OK
    assert {row["name"] for row in json.loads(capsys.readouterr().out)} >= {offer.name for offer in BENCHMARKS}
    assert main(["bench", "receipts", "codec", "link", "commit", "--quick", "--rounds", "1", "--json"]) == EXIT_OK
    out, err = capsys.readouterr()
    rows = json.loads(out)
    assert "receipts" in err
    assert {row["name"].split(".")[0] for row in rows} == {"receipts", "codec", "link", "commit"}
    for row in rows:
        assert set(row) == {"name", "value", "unit", "limit", "ratio", "n"}
        assert row["ratio"] == pytest.approx(row["value"] / row["limit"], rel=0.01)


def test_bench_draws_and_shows_the_rows_of_an_earlier_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rows = [
        {"name": name, "value": value, "unit": "s", "limit": None, "ratio": None, "n": 1}
        for name, value in (("start.accounts1000.cpu", 0.5), ("start.accounts9000.cpu", 2.0), ("help.wall", 0.1))
    ]
    file = tmp_path / "rows.json"
    file.write_text(json.dumps(rows))
    assert main(["bench", "--rows", str(file), "--plots", str(tmp_path / "out"), "--json"]) == EXIT_OK
    out, err = capsys.readouterr()
    assert json.loads(out) == rows
    assert err == f"wrote {tmp_path / 'out' / 'bench-accounts.svg'}\n"
    assert main(["bench", "help", "--rows", str(file), "--json"]) == EXIT_OK
    assert json.loads(capsys.readouterr().out) == rows[2:]
    file.write_text("[1]")
    assert main(["bench", "--rows", str(file)]) == EXIT_INPUT
    assert "this is no document of `supervm bench --json`" in capsys.readouterr().err
