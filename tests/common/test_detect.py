"""Which tier fits a machine (network.md 2)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from supervm.common.cli import main
from supervm.common.host.detect import GIB, Hardware, as_labelled, choose_tier, measure

TB = 10**12


@pytest.mark.parametrize(
    ("cores", "memory_gib", "disk_bytes", "tier"),
    [
        (32, 128, 2 * TB, 1),
        (31, 128, 2 * TB, 2),
        (32, 127, 2 * TB, 2),
        (32, 128, 2 * TB - 1, 2),
        (16, 64, TB // 2, 2),
        (15, 64, TB // 2, 3),
        (16, 63, TB // 2, 3),
        (16, 64, TB // 2 - 1, 3),
        (4, 8, TB // 10, 3),
        (3, 8, TB // 10, 4),
        (4, 7, TB // 10, 4),
        (4, 8, TB // 10 - 1, 4),
        (1, 0, 0, 4),
    ],
)
def test_each_threshold_counts(cores: int, memory_gib: int, disk_bytes: int, tier: int) -> None:
    found, why = choose_tier(Hardware(cores, memory_gib * GIB, disk_bytes, 0))
    assert found == tier
    assert why


def test_a_gpu_raises_no_tier() -> None:
    assert choose_tier(Hardware(2, 4 * GIB, 0, 8))[0] == 4


def test_a_machine_sold_as_128_gib_counts_as_128_gib() -> None:
    measured = Hardware(32, 125 * GIB, int(1.97 * TB), 0)
    assert choose_tier(measured)[0] == 2
    assert choose_tier(as_labelled(measured))[0] == 1
    assert choose_tier(as_labelled(Hardware(32, 96 * GIB, 2 * TB, 0)))[0] == 2


def test_this_machine_is_measured_even_before_its_home_exists(tmp_path: Path) -> None:
    hardware = measure(tmp_path / "not" / "there")
    assert hardware.cores >= 1
    assert hardware.memory_bytes > 0
    assert hardware.disk_bytes > 0


def test_options_describe_another_machine(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["detect", "--cores", "64", "--memory-gib", "256", "--disk-gib", "4000", "--gpu", "2", "--json"]
    assert main(arguments) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["tier"] == "l1"
    assert document["hardware"] == {"cores": 64, "memory_gib": 256.0, "disk_gib": 4000.0, "gpu": 2}
    assert document["why"].startswith("meets L1")


def test_a_given_size_is_taken_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", "--cores", "4", "--memory-gib", "7", "--disk-gib", "500", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tier"] == "l4"


def test_without_options_it_answers_for_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detect"]) == 0
    assert capsys.readouterr().out[:2] in ("l1", "l2", "l3", "l4")


@pytest.mark.parametrize("option", ["--cores=0", "--memory-gib=-1", "--disk-gib=x", "--gpu=-1"])
def test_impossible_machines_are_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", option]) == 2
    assert option.split("=")[0] in capsys.readouterr().err
