"""The checks behind ``supervm doctor``; each says what it found and, if that is not right, the mend.

A check never changes the machine: the only thing written is one small file in the home folder, removed at once, because
nothing else tells whether the folder can be written and how fast a write becomes durable.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..errors import CommonError
from .detect import NEEDS, as_labelled, measure, shortfalls
from .home import nearest_folder

if TYPE_CHECKING:
    from .config import NodeConfig

OK: Final = "ok"
ADVICE: Final = "advice"
WRONG: Final = "wrong"

PYTHON_MIN: Final = (3, 11)
SQLITE_MIN: Final = (3, 35, 0)
"""The first SQLite with RETURNING; Debian 11 has 3.34, Debian 12 has 3.40."""
FILES_MIN: Final = 512
"""Open files: 256 unauthenticated connections, peers, databases and what a runtime needs."""
FILES_GOOD: Final = 1_024
DISK_FREE_MIN_BYTES: Final = 200 << 20
MEMORY_MIN_BYTES: Final = 128 << 20
FSYNC_MIN_PER_S, FSYNC_GOOD_PER_S = 10, 200
_FSYNC_TRIES = 20
_MEMORY = Path("/proc/meminfo")
_PROFILES: Final = {
    1: "supervm-tier-l1-super",
    2: "supervm-tier-l2-miner",
    3: "supervm-tier-l3-edge",
    4: "supervm-tier-l4-mobile",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's answer.

    Attributes:
        name: what was looked at.
        state: `OK`, `ADVICE` (it works, not well) or `WRONG`.
        found: what is there.
        mend: what to do; empty if nothing.
    """

    name: str
    state: str
    found: str
    mend: str = ""


def examine(home: Path, tier: int | None) -> list[Finding]:
    """Return every check's finding.

    Args:
        home: the folder that holds nodes and wallets; it need not exist yet.
        tier: 1..4 adds what that tier needs; None checks what every tier needs.
    """
    return [
        check_python(),
        check_libsodium(),
        check_sqlite(),
        check_profiles(tier),
        check_hardware(home, tier),
        check_memory(),
        check_open_files(),
        check_clock(),
        *check_home(home),
    ]


def check_python() -> Finding:
    """CPython 3.11 or later."""
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < PYTHON_MIN:
        return Finding("python", WRONG, found, f"install Python {PYTHON_MIN[0]}.{PYTHON_MIN[1]} or later")
    return Finding("python", OK, found)


def check_libsodium() -> Finding:
    """The loaded libsodium answers crafted signatures as the rest of the network does (limits.md rule 2)."""
    from supervm.protocol.base.errors import LocalProtocolError
    from supervm.protocol.base.keys import ACCEPT_SET, check_accept_set

    try:
        check_accept_set()
    except LocalProtocolError as error:
        return Finding("libsodium", WRONG, "another accept set", str(error))
    return Finding("libsodium", OK, f"answers {len(ACCEPT_SET)} crafted signatures as the network does")


def check_sqlite() -> Finding:
    """SQLite is new enough and safe to use from several threads."""
    import sqlite3

    found = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info < SQLITE_MIN:
        return Finding("sqlite", WRONG, found, f"install SQLite {'.'.join(map(str, SQLITE_MIN))} or later")
    if sqlite3.threadsafety == 0:
        return Finding("sqlite", WRONG, f"{found}, not thread-safe", "install an SQLite built with SQLITE_THREADSAFE=1")
    return Finding("sqlite", OK, found)


def check_profiles(tier: int | None) -> Finding:
    """The profile of `tier` is installed; without a tier, any."""
    installed = []
    for number, name in _PROFILES.items():
        try:
            installed.append(f"l{number} {version(name)}")
        except PackageNotFoundError:
            if number == tier:
                return Finding("profiles", WRONG, ", ".join(installed) or "none", f"install {name}")
    if not installed:
        return Finding("profiles", WRONG, "none", f"install the profile of a tier, for example {_PROFILES[4]}")
    return Finding("profiles", OK, ", ".join(installed))


def check_hardware(home: Path, tier: int | None) -> Finding:
    """The machine meets the sizes of `tier` (network.md 2); smaller ones work, for trials."""
    hardware = measure(home)
    found = f"{hardware.cores} cores, {hardware.memory_bytes >> 20} MiB memory, {hardware.disk_bytes >> 30} GiB disk"
    for need in NEEDS:
        if need.tier == tier and (lacks := shortfalls(as_labelled(hardware), need)):
            return Finding("hardware", ADVICE, found, f"an L{tier} in service wants more: {', '.join(lacks)}")
    return Finding("hardware", OK, found)


def check_memory() -> Finding:
    """Some memory is free now."""
    free = available_bytes()
    if free is None:
        return Finding("memory", OK, "how much is available is unknown here; psutil (supervm-common[machine]) can tell")
    found = f"{free >> 20} MiB available"
    if free < MEMORY_MIN_BYTES:
        return Finding("memory", WRONG, found, f"free at least {MEMORY_MIN_BYTES >> 20} MiB")
    return Finding("memory", OK, found)


def available_bytes() -> int | None:
    """Return how much memory can be had without swapping, as the system says it; None if only psutil could tell."""
    try:
        for line in _MEMORY.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    except OSError:  # no Linux
        pass
    try:
        import psutil  # type: ignore[import-untyped,unused-ignore]  # no stubs
    except ImportError:
        return None
    return int(psutil.virtual_memory().available)


def check_open_files() -> Finding:
    """Enough files and sockets may be open."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return Finding("open files", OK, "no limit on this system")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return Finding("open files", OK, "no limit")
    limit = "no limit" if hard == resource.RLIM_INFINITY else str(hard)
    mend = f"raise it to {FILES_GOOD} or more: ulimit -n {FILES_GOOD} (may be raised up to {limit})"
    if soft < FILES_MIN:
        return Finding("open files", WRONG, str(soft), mend)
    return Finding("open files", ADVICE, str(soft), mend) if soft < FILES_GOOD else Finding("open files", OK, str(soft))


def check_clock() -> Finding:
    """The wall clock is not older than this program's own files and walks in step with the steady clock."""
    started, started_wall = time.monotonic_ns(), time.time_ns()
    mend = "set the clock and keep it with an NTP service, for example systemd-timesyncd or chrony"
    if is_clock_before_installation():
        return Finding("clock", WRONG, f"{_iso(time.time())}, before this program was installed", mend)
    time.sleep(0.02)
    steady, wall = time.monotonic_ns() - started, time.time_ns() - started_wall
    if abs(steady - wall) > 500_000_000:
        return Finding("clock", WRONG, f"the wall clock jumped by {(wall - steady) // 1_000_000} ms meanwhile", mend)
    return Finding("clock", OK, f"{_iso(time.time())} UTC")


def is_clock_before_installation() -> bool:
    """Return whether the wall clock says a time more than a day before this program's own files were written."""
    return time.time() < Path(__file__).stat().st_mtime - 86_400


def check_network(config: NodeConfig) -> list[Finding]:
    """The clock is not behind the node's genesis file; a running node has nothing to tell its owner."""
    from ..services.lines import SOCKET_FILE, NoOwner
    from ..services.once import call_sync
    from .genesis_clock import genesis_problem

    problem = genesis_problem(config.genesis)
    findings = [
        Finding("genesis", OK, f"{config.genesis}: not dated ahead of the clock")
        if problem is None
        else Finding("genesis", WRONG, str(config.genesis), problem)
    ]
    try:
        info = call_sync(config.directory / SOCKET_FILE, {"request": "info"})
    except NoOwner:
        return [*findings, Finding("node", OK, f"{config.directory}: not running")]
    except CommonError as error:
        return [*findings, Finding("node", ADVICE, str(config.directory), f"it does not answer: {error}")]
    problems = info.get("problems", ()) if isinstance(info, dict) else ()
    if not problems:
        return [*findings, Finding("node", OK, f"{config.directory}: running")]
    return [*findings, *(Finding("node", WRONG, str(config.directory), text) for text in problems)]


def check_media(config: NodeConfig) -> list[Finding]:
    """What a configuration asks of media beside TCP is installed, and the devices of its serial lines can be used."""
    addresses = [*filter(None, [config.listen]), *(peer.address for peer in config.peers)]
    lines = [address.removeprefix("serial:") for address in addresses if address.startswith("serial:")]
    findings = []
    if config.tier_options.get("lan", False):
        findings.append(_check_extra("lan", "lan", "zeroconf", "zeroconf"))
    if lines:
        findings.append(_check_extra("serial lines", "serial", "serial", "pyserial"))
    for path in dict.fromkeys(line.partition("?")[0] for line in lines):
        if not os.path.exists(path):
            findings.append(
                Finding("serial lines", WRONG, f"{path} is not there", "plug it in, or name another device")
            )
        elif not os.access(path, os.R_OK | os.W_OK):
            mend = "let this user read and write it; most systems have a group for that, such as dialout"
            findings.append(Finding("serial lines", WRONG, f"{path} cannot be used", mend))
    return findings


def _check_extra(name: str, extra: str, module: str, distribution: str) -> Finding:
    if find_spec(module) is None:
        return Finding(name, WRONG, f"{distribution} is not installed", f"install supervm-common[{extra}]")
    return Finding(name, OK, f"{distribution} {version(distribution)}")


def check_home(home: Path) -> list[Finding]:
    """The home folder (or the nearest folder above it that exists) is writable, has room, and writes become durable."""
    place = nearest_folder(home)
    if not place.is_dir():
        return [Finding("home", WRONG, f"{place} is a file", "set SUPERVM_HOME to a folder")]
    if not os.access(place, os.W_OK | os.X_OK):
        return [Finding("home", WRONG, f"{place} cannot be written", "set SUPERVM_HOME to a folder of your own")]
    free = shutil.disk_usage(place).free
    found = f"{home}, {free >> 20} MiB free"
    findings = [Finding("home", OK, found)]
    if free < DISK_FREE_MIN_BYTES:
        return [Finding("home", WRONG, found, f"free at least {DISK_FREE_MIN_BYTES >> 20} MiB or set SUPERVM_HOME")]
    try:
        rate = fsync_rate(place)
    except OSError as error:
        return [Finding("home", WRONG, f"{place}: {error.strerror}", "set SUPERVM_HOME to a folder of your own")]
    speed = f"{rate:.0f} durable writes/s"
    if rate < FSYNC_MIN_PER_S:
        findings.append(Finding("fsync", WRONG, speed, "set SUPERVM_HOME to a faster disk"))
    elif rate < FSYNC_GOOD_PER_S:
        findings.append(Finding("fsync", ADVICE, speed, "confirmations will be slow: an SSD does thousands"))
    else:
        findings.append(Finding("fsync", OK, speed))
    return findings


def fsync_rate(folder: Path, tries: int = _FSYNC_TRIES) -> float:
    """Return how many small appends per second become durable in `folder`."""
    with tempfile.TemporaryFile(dir=folder) as file:
        started = time.perf_counter()
        for _ in range(tries):
            file.write(b"\0" * 256)
            file.flush()
            os.fsync(file.fileno())
        return tries / max(time.perf_counter() - started, 1e-9)


def _iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))
