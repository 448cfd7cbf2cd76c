"""``supervm app`` where it cannot be shown: one line that says what is missing and what brings it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from supervm.tier_l4_mobile.cli import app as command


@pytest.fixture
def linux(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A Linux with all libraries and a screen."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(command, "_loads", lambda library: True)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DISPLAY", ":0")
    return monkeypatch


def told() -> str:
    with pytest.raises(command.InputError) as error:
        command.check_display()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_machine_with_everything_is_fine(linux: pytest.MonkeyPatch) -> None:
    command.check_display()


def test_what_is_missing_is_named_with_what_brings_it(linux: pytest.MonkeyPatch) -> None:
    linux.setattr(command, "_loads", lambda library: library != "libEGL.so.1")
    assert "needs libegl1: on Debian, apt-get install libgl1 libegl1 libgl1-mesa-dri" in told()
    linux.setattr(command, "_loads", lambda library: False)
    assert "needs libgl1 and libegl1:" in told()
    linux.delenv("DISPLAY")
    linux.setattr(command, "_loads", lambda library: True)
    assert "no screen here" in told()
    linux.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install 'supervm-tier-l4-mobile[app]'" in told()


def test_the_command_ends_with_one_line_and_leaves_no_folder(tmp_path: Path) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("other systems always have a screen")
    names = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    run = [sys.executable, "-m", "supervm.common.cli", "app", "--dir", str(tmp_path / "phone")]
    done = subprocess.run(run, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith("supervm: ")
    assert not tmp_path.joinpath("phone").exists()
