"""What installed distributions announce by entry points, and their versions, read once in a process.

A distribution that is installed is a folder ``NAME-VERSION.dist-info`` on the path with a few small text files in it,
which are read here. Python's own `importlib.metadata` reads the same, but it comes with its parsers of mail and of
archives: 2.3 MiB and 10 ms of every node and of every command. It is asked only for what lies in other forms on the
path: archives and eggs. What is installed while a process runs is found by the next one.

A package of an app may hold modules without the metadata of their distributions: Android's is made so. Such a program
says itself what its distributions would (`announce`), before it asks for anything.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Final

_SUFFIX: Final = ".dist-info"
_RARE: Final = (".egg-info", ".egg-link", ".egg")
_HEAD_CHARS: Final = 4096
"""Name and version stand at the top of their file; what follows may be a whole manual."""
_OWN_NAME: Final = re.compile(r"^Name:\s*(\S+)\s*$", re.MULTILINE)
_OWN_VERSION: Final = re.compile(r"^Version:\s*(\S+)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry point.

    Attributes:
        name: by which it is found, for example ``l4``.
        value: where the object is, ``module:attribute``.
        group: of which kind it is, for example ``supervm.profiles``.
    """

    name: str
    value: str
    group: str

    def load(self) -> Any:
        """Import the object.

        Raises:
            ImportError: the module is not there, or breaks.
            AttributeError: it has no such object.
        """
        module, _, path = self.value.partition("[")[0].partition(":")
        found: Any = import_module(module.strip())
        for attribute in path.strip().split(".") if path.strip() else ():
            found = getattr(found, attribute)
        return found


@dataclass(frozen=True, slots=True)
class _Distribution:
    version: str
    entries: tuple[Entry, ...]


_announced: dict[tuple[str, str], Entry] = {}


def announce(entries: Mapping[str, Mapping[str, str]]) -> None:
    """Let `entry_points` find what no metadata says; where metadata says something, that counts.

    Args:
        entries: group -> name -> ``module:object``, as in the metadata.
    """
    for group, values in entries.items():
        for name, value in values.items():
            _announced[group, name] = Entry(name, value, group)


def entry_points(*, group: str, name: str | None = None) -> Iterable[Entry]:
    """Return what was announced under `group` when the process first asked for anything, or by `announce` since.

    Args:
        group: as in the distributions' metadata, for example ``supervm.commands``.
        name: only entries of this name; None: all.
    """
    told = [entry for found in _everything().values() for entry in found.entries if entry.group == group]
    known = {entry.name for entry in told}
    told += [entry for entry in _announced.values() if entry.group == group and entry.name not in known]
    return [entry for entry in told if name in (None, entry.name)]


def version_of(name: str) -> str | None:
    """Return the version of the distribution `name`; None if it is not installed as one."""
    found = _everything().get(_normal(name))
    return None if found is None else found.version


@cache
def _everything() -> dict[str, _Distribution]:
    return read_path(sys.path)


def read_path(places: Sequence[str]) -> dict[str, _Distribution]:
    """Return the distributions on a search path by their normal names; of one that is there twice the first counts."""
    found: dict[str, _Distribution] = {}
    for place in places:
        try:
            names = os.listdir(place or ".")
        except NotADirectoryError:
            rare = True  # an archive
        except OSError:
            continue
        else:
            rare = any(name.endswith(_RARE) for name in names)
        for name, distribution in _by_python(place) if rare else _in_folder(place or ".", names):
            found.setdefault(name, distribution)
    return found


def _in_folder(place: str, names: Iterable[str]) -> Iterator[tuple[str, _Distribution]]:
    for folder in names:
        if not folder.endswith(_SUFFIX):
            continue
        about = _text(os.path.join(place, folder, "METADATA"), _HEAD_CHARS).partition("\n\n")[0]
        version = _OWN_VERSION.search(about)
        name = _OWN_NAME.search(about)
        if name is not None and version is not None:
            entries = tuple(_parse(_text(os.path.join(place, folder, "entry_points.txt"))))
            yield _normal(name[1]), _Distribution(version[1], entries)


def _by_python(place: str) -> Iterator[tuple[str, _Distribution]]:
    from importlib.metadata import distributions  # here: see above

    for distribution in distributions(path=[place]):
        entries = tuple(Entry(entry.name, entry.value, entry.group) for entry in distribution.entry_points)
        yield _normal(distribution.metadata["Name"] or ""), _Distribution(distribution.version, entries)


def _text(path: str, chars_max: int = -1) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(chars_max)
    except OSError:
        return ""


def _parse(text: str) -> Iterator[Entry]:
    group = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1]
        elif line and not line.startswith("#"):
            name, _, value = line.partition("=")
            yield Entry(name.strip(), value.strip(), group)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
