"""What this machine says of its memory and its power: read from the files in which Linux shows them, nothing else.

What cannot be read is not known, and is said so: Android keeps these files from apps, and other systems have none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ..contract.core import Sensed

POWER: Final = Path("/sys/class/power_supply")
MEMORY: Final = Path("/proc/meminfo")
_FED: Final = ("Charging", "Full", "Not charging")
"""States of a battery that nothing is taken from; "not charging" is one that is full enough."""
_TEXT_BYTES_MAX: Final = 1 << 16


def read_sensed(power: Path = POWER, memory: Path = MEMORY) -> Sensed:
    """Return what the machine says; whether its connection is metered it does not.

    Args:
        power: the folder with a folder for each battery and plug.
        memory: the file with a line ``MemTotal:``.
    """
    batteries: list[Path] = []
    plugs: list[Path] = []
    try:
        supplies = sorted(power.iterdir())
    except OSError:
        return Sensed(_memory_bytes(memory))
    for supply in supplies:
        kind, scope = _text(supply / "type"), _text(supply / "scope")
        if kind == "Battery" and scope != "Device":  # a mouse has one, too
            batteries.append(supply)
        elif kind in ("Mains", "USB", "Wireless"):
            plugs.append(supply)
    charges = [charge for charge in (_number(battery / "capacity") for battery in batteries) if charge is not None]
    states = [_text(battery / "status") for battery in batteries]
    is_fed = any(_text(plug / "online") == "1" for plug in plugs) or any(state in _FED for state in states)
    return Sensed(
        _memory_bytes(memory),
        min(100, sum(charges) // len(charges)) if charges else None,
        is_fed or not batteries,
    )


def _memory_bytes(path: Path) -> int | None:
    for line in _text(path).splitlines():
        name, _, rest = line.partition(":")
        amount = rest.split()
        if name == "MemTotal" and len(amount) == 2 and amount[0].isdecimal() and amount[1] == "kB":
            return int(amount[0]) * 1024
    return None


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 3 else None


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_TEXT_BYTES_MAX).decode("ascii", "replace").strip()
    except OSError:
        return ""
