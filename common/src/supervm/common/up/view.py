"""What a person sees while a network runs: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..cli.output import live_wanted, note

STATUS_ORDER = ("queued", "R0", "R1", "R3", "R4", "refused", "expired", "cancelled")
BAR_CELLS = 40
_STYLES = {
    "queued": "grey50",
    "R0": "blue",
    "R1": "cyan",
    "R3": "yellow",
    "R4": "green",
    "refused": "red",
    "expired": "magenta",
    "cancelled": "magenta",
}


@dataclass
class Picture:
    """What is known at one moment."""

    counts: Mapping[str, int] = field(default_factory=dict)
    total: int = 0
    nodes: Sequence[tuple[str, Mapping[str, Any]]] = ()
    elapsed_s: float = 0.0


class View:
    """Shows pictures: a live table on a terminal where ``rich`` is installed, plain lines elsewhere."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._live: Any = None
        self._last_line = ""

    def __enter__(self) -> View:
        if not self._quiet and live_wanted():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    @property
    def live(self) -> bool:
        """Whether a live table is shown."""
        return self._live is not None

    def say(self, text: str) -> None:
        """Print one line."""
        if self._live is not None:
            self._live.console.print(text, highlight=False, markup=False)
        elif not self._quiet:
            note(text)

    def show(self, picture: Picture) -> None:
        """Show the newest picture."""
        if self._live is not None:
            self._live.update(_table(picture), refresh=True)
            return
        parts = [f"{name} {picture.counts[name]}" for name in STATUS_ORDER if picture.counts.get(name)]
        line = f"{picture.elapsed_s:6.1f} s  payments: {', '.join(parts) or 'none yet'} of {picture.total}"
        text = line.split("s  ", 1)[1]
        if text != self._last_line and not self._quiet:
            self._last_line = text
            note(line)


def _table(picture: Picture) -> Any:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    tiers = Table(box=None, pad_edge=False)
    for column in ("node", "height", "certified", "peers", "what it holds"):
        tiers.add_column(column, justify="left" if column in ("node", "what it holds") else "right")
    for name, info in picture.nodes:
        tiers.add_row(
            name,
            _cell(info, "height"),
            _cell(info, "certified_height", "height"),
            _cell(info, "peers"),
            _holding(info),
        )
    bar = Text()
    for status in reversed(STATUS_ORDER):
        count = picture.counts.get(status, 0)
        if picture.total and count:
            bar.append("█" * max(1, BAR_CELLS * count // picture.total), style=_STYLES[status])
    legend = Text()
    for status in STATUS_ORDER:
        if picture.counts.get(status):
            legend.append(f"  {status} {picture.counts[status]}", style=_STYLES[status])
    title = Text(f"{picture.elapsed_s:6.1f} s  {picture.total} payments", style="bold")
    return Group(tiers, Text(), title, bar, legend)


def _cell(info: Mapping[str, Any], *names: str) -> str:
    for name in names:
        value = info.get(name)
        if isinstance(value, int):
            return str(value)
        if isinstance(value, list):
            return str(len(value))
    return ""


def _holding(info: Mapping[str, Any]) -> str:
    """The two or three figures that say most about this tier."""
    shown = (
        ("view", "view"),
        ("certificates_held", "certificates"),
        ("mempool", "in mempool"),
        ("pending", "pending"),
        ("proofs_cached", "proofs cached"),
        ("accounts", "accounts"),
    )
    parts = []
    for key, label in shown:
        value = info.get(key)
        if isinstance(value, list | dict):
            value = len(value)
        if isinstance(value, int):
            parts.append(f"{value} {label}" if label != "view" else f"view {value}")
    return ", ".join(parts)
