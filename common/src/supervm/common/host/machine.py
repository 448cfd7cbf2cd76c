"""What a node asks of the machine and the process that it runs in: version, memory, descriptors."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import Final

from ..installed import version_of

_FILES_WANTED: Final = 16_384


def agent() -> str:
    """Return what Hello says of this program, 32 characters at most."""
    version = version_of("supervm-common")
    return "supervm" if version is None else f"supervm/{version}"[:32]


def resident_bytes() -> int:
    """Return the memory of this process now, or at its largest where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def file_limit() -> int | None:
    """Return how many descriptors this process may have open; None without a bound."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def raise_file_limit() -> None:
    """Ask for as many descriptors as connections may be open; the system may refuse."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, _FILES_WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            return
