"""What Linux says of a process: CPU time, how often it woke up, what it wrote, and the memory that is its own.

Everything comes from ``/proc/PID``, read once at the beginning and once at the end of what is measured; so looking
costs the processes nothing while they are looked at. Wake-ups are the voluntary context switches of all threads: each
is one time that a thread had nothing to do and was woken again.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError

PROC = Path("/proc")
_FIELD = re.compile(r"^(\w+):\s+(\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used since it began, or between two looks at it; or the sum over several processes.

    Attributes:
        cpu_s: seconds of CPU, in the process and in the kernel for it.
        wakeups: voluntary context switches of all its threads.
        written_bytes: bytes that it made dirty on disks, in whole pages.
    """

    cpu_s: float = 0.0
    wakeups: int = 0
    written_bytes: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.cpu_s + other.cpu_s, self.wakeups + other.wakeups, self.written_bytes + other.written_bytes)

    def __sub__(self, other: Usage) -> Usage:
        return Usage(self.cpu_s - other.cpu_s, self.wakeups - other.wakeups, self.written_bytes - other.written_bytes)


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a process in bytes.

    Attributes:
        rss: resident; pages shared with other processes count in full.
        pss: resident; a page shared by n processes counts as 1/n.
    """

    rss: int = 0
    pss: int = 0

    def __add__(self, other: Memory) -> Memory:
        return Memory(self.rss + other.rss, self.pss + other.pss)


def parse_cpu_ticks(stat: str) -> int:
    """Return user and system ticks from ``/proc/PID/stat``, whatever the program is called."""
    fields = stat[stat.rindex(")") + 1 :].split()
    return int(fields[11]) + int(fields[12])


def parse_fields(text: str) -> dict[str, int]:
    """Return the whole numbers of a file of lines ``name: number``: ``status``, ``io``, ``smaps_rollup``."""
    return {name: int(number) for name, number in _FIELD.findall(text)}


def check_proc() -> None:
    """Raise `InputError` where there is no ``/proc`` to read."""
    if not (PROC / "self" / "io").exists():
        raise InputError(f"this benchmark reads {PROC}/PID, which only Linux has")


def usage_of(pid: int, *, alone: bool = False) -> Usage:
    """Return what a process and, unless `alone`, its children have used since each began; nothing of those gone."""
    return sum((_usage(each) for each in ([pid] if alone else _tree(pid))), Usage())


def memory_of(pid: int) -> Memory:
    """Return the memory of a process and its children."""
    return sum((_memory(each) for each in _tree(pid)), Memory())


def memory_peak_of(pid: int) -> int:
    """Return the most bytes that a process, without its children, has had resident since it began."""
    return parse_fields((PROC / str(pid) / "status").read_text())["VmHWM"] << 10


def _usage(pid: int) -> Usage:
    folder = PROC / str(pid)
    try:
        ticks = parse_cpu_ticks((folder / "stat").read_text())
        written = parse_fields((folder / "io").read_text())["write_bytes"]
        wakeups = 0
        for thread in (folder / "task").iterdir():
            wakeups += parse_fields((thread / "status").read_text())["voluntary_ctxt_switches"]
    except (FileNotFoundError, ProcessLookupError):
        return Usage()
    return Usage(ticks / os.sysconf("SC_CLK_TCK"), wakeups, written)


def _memory(pid: int) -> Memory:
    try:
        fields = parse_fields((PROC / str(pid) / "smaps_rollup").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return Memory()
    return Memory(fields["Rss"] << 10, fields["Pss"] << 10)


def _tree(pid: int) -> list[int]:
    """Return a process and all below it."""
    found, place = [pid], 0
    while place < len(found):
        for thread in sorted((PROC / str(found[place]) / "task").glob("*/children")):
            try:
                found += map(int, thread.read_text().split())
            except (FileNotFoundError, ProcessLookupError):
                continue
        place += 1
    return found


def folder_bytes(folder: Path) -> int:
    """Return the sum of the sizes of all files below a folder; one that goes meanwhile counts nothing."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(parent, name)).st_size
            except FileNotFoundError:
                continue
    return total
