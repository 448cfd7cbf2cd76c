"""What real nodes use, looked at from outside: memory and time of a process, files and database of a folder. Linux."""

from __future__ import annotations

import os
import sqlite3
import statistics
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

LOG = "promises.log"
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """One look at one node.

    Attributes:
        rss: bytes of memory in use, shared pages included.
        anonymous: those of them that are of no file.
        pss: shared pages counted by their part.
        cpu_s: CPU time since the process began.
        written: bytes that the process had written to disk.
        database: bytes of pages in use, wherever they are.
        promises: bytes of a validator's write-ahead log, which is compacted every 256 blocks.
        other: bytes of all other files but the database's journal.
    """

    rss: int
    anonymous: int
    pss: int
    cpu_s: float
    written: int
    database: int
    promises: int
    other: int

    @property
    def disk(self) -> int:
        """Bytes that stay on disk: all but the log."""
        return self.database + self.other

    def document(self) -> dict[str, float]:
        """As JSON."""
        return asdict(self)


def pid_of(folder: Path) -> int:
    """Return the process that has a node's folder."""
    return int((folder / "lock").read_text())


def look(folder: Path) -> Usage:
    """Look at a node that runs.

    Raises:
        OSError: it has just ended.
        ValueError: it is just starting.
    """
    pid = pid_of(folder)
    status = _fields(Path(f"/proc/{pid}/status"))
    rollup = _fields(Path(f"/proc/{pid}/smaps_rollup"))
    times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    written = _fields(Path(f"/proc/{pid}/io"))["write_bytes"]
    return Usage(
        1024 * status["VmRSS"],
        1024 * status["RssAnon"],
        1024 * rollup["Pss"],
        (int(times[11]) + int(times[12])) / _TICKS_PER_S,
        written,
        *folder_bytes(folder),
    )


def folder_bytes(folder: Path) -> tuple[int, int, int]:
    """Return the bytes of a folder's database in use, of its log, and of all other files but the journal."""
    database = folder / "node.sqlite"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        pages, free, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
    sizes = {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}
    other = sum(length for name, length in sizes.items() if database.name not in name and name != LOG)
    return (pages - free) * size, sizes.get(LOG, 0), other


def _fields(path: Path) -> dict[str, int]:
    """Return the lines ``name: number`` of a file of /proc."""
    found = {}
    for line in path.read_text().splitlines():
        name, _, value = line.partition(":")
        first = value.split()[:1]
        if first and first[0].isdigit():
            found[name] = int(first[0])
    return found


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return by how much y grows with x: least squares."""
    return statistics.linear_regression(*zip(*points, strict=True)).slope
