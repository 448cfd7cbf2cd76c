"""Which tier fits a machine (network.md 2): L1 >= 32 cores, 128 GiB, 2 TB; L2 >= 16, 64, 500 GB; L3 >= 4, 8, 100 GB."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .home import nearest_folder

GIB: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Hardware:
    """What of a machine decides its tier.

    Attributes:
        cores: processors this process may use.
        memory_bytes: main memory.
        disk_bytes: size of the file system that holds the nodes.
        gpus: graphics processors fit for computing; they raise no tier.
    """

    cores: int
    memory_bytes: int
    disk_bytes: int
    gpus: int


@dataclass(frozen=True, slots=True)
class Need:
    """The least hardware of a tier."""

    tier: int
    cores: int
    memory_bytes: int
    disk_bytes: int


NEEDS: Final = (
    Need(1, 32, 128 * GIB, 2 * 10**12),
    Need(2, 16, 64 * GIB, 500 * 10**9),
    Need(3, 4, 8 * GIB, 100 * 10**9),
)
"""Highest tier first; whatever meets none of them is an L4."""

LABEL_SLACK: Final = 16
"""A machine sold as N reports a little less (firmware, file system); up to 1/16 less still counts as N."""


def shortfalls(hardware: Hardware, need: Need) -> list[str]:
    """Return what `hardware` lacks of `need`, each as text; empty if nothing."""
    lacks = []
    if hardware.cores < need.cores:
        lacks.append(f"{hardware.cores} of {need.cores} cores")
    if hardware.memory_bytes < need.memory_bytes:
        lacks.append(f"{hardware.memory_bytes / GIB:.1f} of {need.memory_bytes / GIB:.0f} GiB memory")
    if hardware.disk_bytes < need.disk_bytes:
        lacks.append(f"{hardware.disk_bytes / 10**9:.0f} of {need.disk_bytes // 10**9} GB disk")
    return lacks


def choose_tier(hardware: Hardware) -> tuple[int, str]:
    """Return the highest tier (1..4) that `hardware` is enough for, and why it is that one."""
    missing = ""
    for need in NEEDS:
        lacks = shortfalls(hardware, need)
        if not lacks:
            need_text = f"{need.cores} cores, {need.memory_bytes // GIB} GiB, {need.disk_bytes // 10**9} GB"
            why = f"meets L{need.tier}: {need_text}"
            return need.tier, why + (f"; {missing}" if missing else "")
        missing = f"for L{need.tier} it has {', '.join(lacks)}"
    return 4, missing


def as_labelled(hardware: Hardware) -> Hardware:
    """Return measured `hardware` with memory and disk raised by what measuring misses (`LABEL_SLACK`)."""
    return Hardware(
        hardware.cores,
        hardware.memory_bytes + hardware.memory_bytes // LABEL_SLACK,
        hardware.disk_bytes + hardware.disk_bytes // LABEL_SLACK,
        hardware.gpus,
    )


def measure(home: Path) -> Hardware:
    """Read this machine's hardware, a container's limits included; `home` need not exist yet."""
    return Hardware(_cores(), memory_bytes(), shutil.disk_usage(nearest_folder(home)).total, _gpus())


def memory_bytes() -> int:
    """Return the main memory, or what a container may have of it."""
    found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = _read_limit(Path("/sys/fs/cgroup/memory.max"))
    return min(found, limit[0]) if limit else found


def _cores() -> int:
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    quota = _read_limit(Path("/sys/fs/cgroup/cpu.max"))
    if len(quota) == 2 and quota[1] > 0:
        cores = min(cores, max(1, quota[0] // quota[1]))
    return cores


def _read_limit(path: Path) -> list[int]:
    """Return the numbers of a cgroup v2 file; empty if there is no limit ("max") or no such file."""
    try:
        words = path.read_text().split()
    except OSError:
        return []
    return [int(word) for word in words] if all(word.isdigit() for word in words) else []


def _gpus() -> int:
    try:
        return len(list(Path("/proc/driver/nvidia/gpus").iterdir()))
    except OSError:
        return 0
