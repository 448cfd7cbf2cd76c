"""Addresses of serial lines: ``/dev/ttyUSB0?baud=9600&bps=1200&frame_bytes=200&duty_ppm=10000``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ....link.serial.pace import HOUR_US, Line
from ...failures import NoAddress
from ..contract import Traits

BITS_PER_BYTE: Final = 10
"""Of a byte on the cable: a start bit, eight, a stop bit."""
BOUNDS: Final = {
    "baud": (50, 12_000_000),
    "bps": (10, 10_000_000),
    "frame_bytes": (32, 1_024),
    "duty_ppm": (1, 1_000_000),
}
"""What may stand behind the ``?``, and the least and most of each."""
BAUD: Final = 9_600
FRAME_BYTES: Final = 200
"""Longest frame unless the address says otherwise; modems for LoRa take up to 255."""
SLOW_BPS: Final = 8_000
"""Below that rate sending counts as dear: heartbeats come every 240 s."""


@dataclass(frozen=True, slots=True)
class SerialAddress:
    """Where a line is, and what it is like.

    Attributes:
        path: of its device.
        baud: symbols per second on the cable.
        line: rate, duty cycle and frames; the same has to be told to both ends.
    """

    path: str
    baud: int
    line: Line

    @property
    def traits(self) -> Traits:
        """What links over it are like; they are streams, so there is no longest piece."""
        is_dear = self.line.is_limited or self.line.bitrate_bps < SLOW_BPS
        return Traits(
            bitrate_bps=self.line.bitrate_bps, cost=int(is_dear), duty_cycle=self.line.duty_ppm / BOUNDS["duty_ppm"][1]
        )


def read_address(address: str) -> SerialAddress:
    """Read an address without its scheme.

    Raises:
        NoAddress: no path, a word that means nothing here, a number beyond its bounds, or too little time for a frame.
    """
    path, _, query = address.partition("?")
    if not path.startswith("/") or "\0" in path:
        raise NoAddress(
            f"serial:{address!r:.120}: the path of a device is needed, for example serial:/dev/ttyUSB0?baud=9600"
        )
    values: dict[str, int] = {}
    for item in query.split("&") if query else ():
        name, _, text = item.partition("=")
        least, most = BOUNDS.get(name, (0, -1))
        if name in values or not (text.isascii() and text.isdigit()) or not least <= int(text[:12]) <= most:
            known = ", ".join(f"{word}={low}..{high}" for word, (low, high) in BOUNDS.items())
            raise NoAddress(f"serial:{path}: {item!r:.60} is not allowed; there may be {known}, each once, joined by &")
        values[name] = int(text)
    baud = values.get("baud", BAUD)
    line = Line(
        values.get("bps", baud * 8 // BITS_PER_BYTE),
        values.get("duty_ppm", BOUNDS["duty_ppm"][1]),
        values.get("frame_bytes", FRAME_BYTES),
    )
    if line.full_us * BOUNDS["duty_ppm"][1] > HOUR_US * line.duty_ppm:
        raise NoAddress(
            f"serial:{path}: a frame of {line.frame_bytes_max} bytes takes longer at {line.bitrate_bps} bit/s than the "
            f"{line.duty_ppm} millionths of an hour that are allowed"
        )
    return SerialAddress(path, baud, line)
