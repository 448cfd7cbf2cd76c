"""Serial lines, and radio modems behind them: the scheme ``serial``."""

from .transport import SerialTransport

__all__ = ["SerialTransport"]
