"""`supervm doctor`: what is missing or wrong, and the mend (surface.md)."""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from pathlib import Path

import msgspec
import pytest
from chain_tools import make_test_chain

from supervm.common.cli import main
from supervm.common.host import doctor
from supervm.common.host.config import NodeConfig, PeerAddress
from supervm.common.host.detect import Hardware
from supervm.common.host.doctor import ADVICE, OK, WRONG, Finding, check_media, examine
from supervm.protocol.base.codec import encode


def test_every_check_answers_and_only_troubles_have_a_mend(tmp_path: Path) -> None:
    findings = examine(tmp_path / "home", None)
    assert [finding.name for finding in findings] == [
        "python",
        "libsodium",
        "sqlite",
        "profiles",
        "hardware",
        "memory",
        "open files",
        "clock",
        "home",
        "fsync",
    ]
    for finding in findings:
        assert finding.state in (OK, ADVICE, WRONG)
        assert bool(finding.mend) is (finding.state != OK)
    assert not (tmp_path / "home").exists()


def test_memory_is_read_from_the_system_or_by_psutil_or_said_to_be_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "meminfo"
    monkeypatch.setattr(doctor, "_MEMORY", file)
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert doctor.check_memory().state == OK
    assert "unknown here; psutil" in doctor.check_memory().found
    monkeypatch.undo()
    monkeypatch.setattr(doctor, "_MEMORY", file)
    assert (doctor.available_bytes() or 0) > 1 << 20
    file.write_text("MemTotal:  9000 kB\nMemAvailable:    2048 kB\n")
    assert doctor.available_bytes() == 2 << 20
    assert doctor.check_memory().state == WRONG


def test_something_wrong_is_exit_status_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SUPERVM_HOME", str(tmp_path / "file"))
    (tmp_path / "file").write_text("")
    assert main(["doctor", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    home = next(finding for finding in document["findings"] if finding["name"] == "home")
    assert home["state"] == "wrong"
    assert "SUPERVM_HOME" in home["mend"]


def test_a_node_whose_genesis_is_ahead_of_the_clock_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its tier is known from its configuration; a node that does not run is no fault."""
    monkeypatch.setenv("SUPERVM_HOME", str(tmp_path))
    assert main(["init", "l4", "--dir", str(tmp_path / "phone")]) == 0
    genesis = msgspec.structs.replace(make_test_chain(4).chain.genesis, time_ms=2**50)
    (tmp_path / "phone" / "genesis.cbor").write_bytes(encode(genesis))
    capsys.readouterr()
    assert main(["doctor", "--config", str(tmp_path / "phone" / "config.toml"), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["tier"] == "l4"
    found = {finding["name"]: finding for finding in document["findings"]}
    assert "behind the genesis file" in found["genesis"]["mend"]
    assert (found["node"]["state"], found["node"]["found"][-11:]) == ("ok", "not running")


def test_advice_alone_is_exit_status_0(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = [Finding("disk", ADVICE, "slow", "a faster one")]
    monkeypatch.setattr("supervm.common.cli.doctor.examine", lambda *_: found)
    assert main(["doctor"]) == 0
    assert "disk: a faster one" in capsys.readouterr().out


def test_a_missing_profile_is_wrong_only_for_its_tier(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_l3(name: str) -> str:
        if name != "supervm-tier-l3-edge":
            raise doctor.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(doctor, "version", only_l3)
    assert doctor.check_profiles(None).state == OK
    assert doctor.check_profiles(3).state == OK
    missing = doctor.check_profiles(1)
    assert (missing.state, missing.mend) == (WRONG, "install supervm-tier-l1-super")


def test_an_old_sqlite_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    assert doctor.check_sqlite().state == WRONG


def test_another_libsodium_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supervm.protocol.base.keys.verify", lambda *_: True)
    finding = doctor.check_libsodium()
    assert finding.state == WRONG
    assert "PyNaCl" in finding.mend


def test_a_clock_before_the_installation_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert doctor.check_clock().state == WRONG


@pytest.mark.parametrize(("soft", "state"), [(256, WRONG), (512, ADVICE), (1024, OK)])
def test_few_open_files_are_said(monkeypatch: pytest.MonkeyPatch, soft: int, state: str) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (soft, 4096))
    assert doctor.check_open_files().state == state


@pytest.mark.parametrize(("rate", "state"), [(5.0, WRONG), (100.0, ADVICE), (4000.0, OK)])
def test_a_slow_disk_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rate: float, state: str) -> None:
    monkeypatch.setattr(doctor, "fsync_rate", lambda _: rate)
    assert doctor.check_home(tmp_path)[-1].state == state


def test_hardware_below_the_tier_is_advice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "measure", lambda _: _hardware())
    assert doctor.check_hardware(tmp_path, 1).state == ADVICE
    assert doctor.check_hardware(tmp_path, 4).state == OK
    assert doctor.check_hardware(tmp_path, None).state == OK


def _hardware() -> Hardware:
    return Hardware(2, 1 << 30, 1 << 36, 0)


def config_of(tmp_path: Path, *addresses: str, lan: bool = False) -> NodeConfig:
    peers = tuple(PeerAddress(None, address) for address in addresses)
    return NodeConfig(tier=4, directory=tmp_path, genesis=tmp_path, peers=peers, tier_options={"lan": lan})


def test_a_node_of_tcp_alone_is_asked_for_no_extra(tmp_path: Path) -> None:
    assert check_media(config_of(tmp_path, "127.0.0.1:4301")) == []


def test_media_that_a_node_is_to_use_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = tmp_path / "ttyUSB0"
    device.touch()
    config = config_of(tmp_path, f"serial:{device}?baud=9600", f"serial:{tmp_path / 'none'}", lan=True)
    assert [(item.name, item.state) for item in check_media(config)] == [
        ("lan", OK),
        ("serial lines", OK),
        ("serial lines", WRONG),
    ]
    assert check_media(config)[2].found == f"{tmp_path / 'none'} is not there"
    for module in ("zeroconf", "serial"):
        monkeypatch.setitem(sys.modules, module, None)
    assert [item.mend for item in check_media(config)[:2]] == [
        "install supervm-common[lan]",
        "install supervm-common[serial]",
    ]
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)
    assert [item.found for item in check_media(config)][2:] == [
        f"{device} cannot be used",
        f"{tmp_path / 'none'} is not there",
    ]
