"""What is installed is read once in a process, and found as Python's own function finds it."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest

from supervm.common.installed import entry_points

GROUPS = ["supervm.services", "supervm.commands", "console_scripts", "supervm.nobody"]


@pytest.mark.parametrize("group", GROUPS)
def test_it_finds_what_python_finds(group: str) -> None:
    assert list(entry_points(group=group)) == list(importlib.metadata.entry_points(group=group))


def test_a_name_narrows_it_down() -> None:
    assert [entry.name for entry in entry_points(group="supervm.services", name="control")] == ["control"]
    assert list(entry_points(group="supervm.services", name="no such service")) == []


COUNT = """
import importlib.metadata
asked, own = [], importlib.metadata.entry_points
importlib.metadata.entry_points = lambda **given: asked.append(given) or own(**given)
from supervm.common.cli.registry import COMMANDS_GROUP, offers, tier_options
from supervm.common.host.config import parse_peer
from supervm.common.services.service import find_services
offers(COMMANDS_GROUP, ()), tier_options(1), find_services(), [parse_peer(f"10.0.0.{end}:4101") for end in range(9)]
print(len(asked))
"""


def test_they_are_read_once_in_a_process() -> None:
    done = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
