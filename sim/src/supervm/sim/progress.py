"""Progress of a command on standard error: one line that is redrawn on a terminal, else one now and then."""

from __future__ import annotations

from time import monotonic

import click

from supervm.common.cli.output import colour_wanted, note

TOLD_EVERY_S = 10.0
"""Seconds between two lines where there is no terminal."""
DRAWN_EVERY_S = 0.2
"""Seconds between two drawings on a terminal."""


class ProgressLine:
    """The line.

    Attributes:
        began_s: when it was made, on the monotonic clock.
    """

    def __init__(self) -> None:
        self._live = colour_wanted()
        self.began_s = self._told_s = monotonic()

    def is_due(self) -> bool:
        """Return whether it is time to show something new."""
        return monotonic() - self._told_s >= (DRAWN_EVERY_S if self._live else TOLD_EVERY_S)

    def show(self, text: str) -> None:
        """Show a text in place of the one before."""
        self._told_s = monotonic()
        if self._live:
            click.echo(f"\r\x1b[K{text}", err=True, nl=False)
        else:
            note(text)

    def line(self, text: str) -> None:
        """Print a line that stays."""
        self.close()
        note(text)

    def close(self) -> None:
        """End the line."""
        if self._live:
            click.echo("\r\x1b[K", err=True, nl=False)
