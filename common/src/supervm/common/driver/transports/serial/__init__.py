"""Serial lines, and radio modems behind them: the scheme ``serial``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...limits import Limits
    from .transport import SerialTransport


def make(limits: Limits) -> SerialTransport:
    """Return the transport; what a line takes is imported when one is opened."""
    from .transport import SerialTransport

    return SerialTransport(limits)
