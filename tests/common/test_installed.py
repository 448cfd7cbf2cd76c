"""What is installed is read once in a process, and found as Python's own function finds it."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from supervm.common import installed
from supervm.common.installed import Entry, announce, entry_points, read_path, version_of

GROUPS = ["supervm.services", "supervm.commands", "console_scripts", "pytest11", "supervm.nobody"]


@pytest.mark.parametrize("group", GROUPS)
def test_it_finds_what_python_finds(group: str) -> None:
    by_python = importlib.metadata.entry_points(group=group)
    assert list(entry_points(group=group)) == [Entry(entry.name, entry.value, entry.group) for entry in by_python]


def test_every_version_is_the_one_that_python_tells() -> None:
    names = [distribution.metadata["Name"] for distribution in importlib.metadata.distributions()]
    assert len(names) > 5
    assert {name: version_of(name) for name in names} == {name: importlib.metadata.version(name) for name in names}
    assert version_of("no-such-distribution") is None


def test_a_name_narrows_it_down_and_loads() -> None:
    (entry,) = entry_points(group="supervm.services", name="control")
    assert entry.load() is importlib.metadata.entry_points(group="supervm.services")["control"].load()
    assert list(entry_points(group="supervm.services", name="no such service")) == []
    with pytest.raises(ImportError):
        Entry("gone", "supervm.common.nowhere:THING", "g").load()
    with pytest.raises(AttributeError):
        Entry("gone", "supervm.common.installed:THING", "g").load()
    assert Entry("deep", "supervm.common.installed:Entry.load [extra]", "g").load() is Entry.load


def test_a_program_may_announce_what_no_metadata_says_and_metadata_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "_announced", {})
    told = list(entry_points(group="supervm.services"))
    announce({"supervm.services": {"control": "nowhere:CONTROL", "own": "supervm.common.services.builtin:CONTROL"}})
    *others, own = entry_points(group="supervm.services")
    assert others == told
    assert (own.name, own.load().name) == ("own", "control")
    assert list(entry_points(group="supervm.services", name="own")) == [own]
    assert list(entry_points(group="supervm.transports", name="own")) == []


def test_the_first_of_two_counts_and_archives_and_eggs_are_read_too(tmp_path: Path) -> None:
    about, points = "Metadata-Version: 2.1\nName: Some.Thing\nVersion: {}\n\nVersion: 9\n", "[g]\n# no\nit = m{}:it\n"

    def lay(folder: str, version: int, files: tuple[str, str]) -> str:
        place = tmp_path / str(version) / folder
        place.mkdir(parents=True)
        (place / files[0]).write_text(about.format(version))
        (place / files[1]).write_text(points.format(version))
        return str(tmp_path / str(version))

    new = lay("some_thing-1.dist-info", 1, ("METADATA", "entry_points.txt"))
    old = lay("some_thing-2.egg-info", 2, ("PKG-INFO", "entry_points.txt"))
    archive = tmp_path / "3.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("some_thing-3.dist-info/METADATA", about.format(3))
        file.writestr("some_thing-3.dist-info/entry_points.txt", points.format(3))
    broken = tmp_path / "4" / "empty-4.dist-info"
    broken.mkdir(parents=True)
    for number, place in enumerate((new, old, str(archive)), 1):
        (found,) = read_path([str(tmp_path / "nothing"), str(broken.parent), place]).items()
        assert found[0] == "some-thing"
        assert (found[1].version, found[1].entries) == (str(number), (Entry("it", f"m{number}:it", "g"),))
    assert read_path([old, new])["some-thing"].version == "2"


COUNT = """
import supervm.common.installed as installed
read, own = [], installed.read_path
installed.read_path = lambda places: read.append(places) or own(places)
from supervm.common.cli.registry import COMMANDS_GROUP, offers, tier_options
from supervm.common.host.config import parse_peer
from supervm.common.services.service import find_services
offers(COMMANDS_GROUP, ()), tier_options(1), find_services(), [parse_peer(f"10.0.0.{end}:4101") for end in range(9)]
print(len(read))
"""


def test_they_are_read_once_in_a_process() -> None:
    done = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
