"""What a machine says of its memory and power, read from files as Linux shows them; and that it reaches the core."""

from __future__ import annotations

from pathlib import Path

import pytest

from supervm.common.contract.core import Sensed
from supervm.common.host.config import NodeConfig
from supervm.common.host.sensors import read_sensed
from supervm.common.services.builtin import SENSORS

MEMINFO = "MemTotal:        2048 kB\nMemFree:          1024 kB\n"


def machine(folder: Path, **supplies: dict[str, str]) -> Path:
    power = folder / "power_supply"
    power.mkdir()
    for name, files in supplies.items():
        (power / name).mkdir()
        for file, text in files.items():
            (power / name / file).write_text(text + "\n")
    (folder / "meminfo").write_text(MEMINFO)
    return power


BATTERY = {"type": "Battery", "capacity": "42", "status": "Discharging"}


@pytest.mark.parametrize(
    ("supplies", "percent", "charging"),
    [
        ({}, None, True),  # no battery: nothing is taken from one
        ({"BAT0": BATTERY}, 42, False),
        ({"BAT0": BATTERY, "AC": {"type": "Mains", "online": "1"}}, 42, True),
        ({"BAT0": BATTERY, "AC": {"type": "Mains", "online": "0"}}, 42, False),
        ({"BAT0": {**BATTERY, "status": "Charging"}}, 42, True),
        ({"BAT0": BATTERY, "BAT1": {**BATTERY, "capacity": "80"}}, 61, False),
        ({"mouse": {**BATTERY, "scope": "Device"}}, None, True),
        ({"BAT0": {"type": "Battery"}}, None, False),  # it says nothing of itself
        ({"BAT0": {**BATTERY, "capacity": "much"}}, None, False),
    ],
)
def test_power(tmp_path: Path, supplies: dict[str, dict[str, str]], percent: int | None, charging: bool) -> None:
    power = machine(tmp_path, **supplies)
    assert read_sensed(power, tmp_path / "meminfo") == Sensed(2048 * 1024, percent, charging)


@pytest.mark.parametrize("text", ["", "MemTotal: many kB", "MemTotal:", "MemFree: 1 kB"])
def test_what_cannot_be_read_is_not_known(tmp_path: Path, text: str) -> None:
    (tmp_path / "meminfo").write_text(text)
    assert read_sensed(tmp_path / "nothing", tmp_path / "meminfo") == Sensed()


@pytest.mark.parametrize(
    ("tier", "options", "wanted"),
    [
        (4, {"find_peers": True}, True),
        (4, {"find_peers": False}, False),
        (4, {}, False),
        (3, {"find_peers": True}, False),
    ],
)
def test_only_phones_that_find_peers_look(tmp_path: Path, tier: int, options: dict[str, bool], wanted: bool) -> None:
    config = NodeConfig(tier, tmp_path, tmp_path / "genesis.cbor", tier_options=options)
    assert SENSORS.wanted(config) is wanted
