"""What commands print: one JSON document or lines for people on stdout, everything else on stderr (surface.md)."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from typing import Any, TextIO, TypeVar

import click

_F = TypeVar("_F", bound=Callable[..., Any])


def json_option(function: _F) -> _F:
    """Give a command the ``--json`` flag, as its argument `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")(function)


def emit(document: Any, *, as_json: bool, lines: Iterable[str]) -> None:
    """Print the result of a command: `document` as JSON, or `lines` for a person."""
    if as_json:
        encoding = getattr(sys.stdout, "encoding", None) or "ascii"
        unicode_too = encoding.lower().replace("-", "") == "utf8"
        click.echo(json.dumps(document, indent=2, ensure_ascii=not unicode_too))
        return
    for line in lines:
        click.echo(line)


def note(text: str) -> None:
    """Print one line of progress or advice on standard error."""
    click.echo(text, err=True)


def colour_wanted(stream: TextIO | None = None) -> bool:
    """Return whether colour and live displays may be used: only on a terminal, never under ``NO_COLOR``."""
    stream = stream or sys.stderr
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def live_wanted(stream: TextIO | None = None) -> bool:
    """Return whether bars and live tables are shown: where colour may be used and ``rich`` is installed."""
    return colour_wanted(stream) and find_spec("rich") is not None


def columns(rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> list[str]:
    """Return `rows` as lines with aligned columns; the columns named in `right` are aligned to the right."""
    if not rows:
        return []
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  ".join(
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


class Progress:
    """A bar on a terminal where ``rich`` is installed, plain lines elsewhere.

    Args:
        title: what is going on.
        total: how many steps there are.
        quiet: print nothing at all.
    """

    def __init__(self, title: str, total: int, *, quiet: bool = False) -> None:
        self._title = title
        self._total = total
        self._done = 0
        self._quiet = quiet
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Progress:
        if not self._quiet and live_wanted():
            from rich.console import Console
            from rich.progress import Progress as Bar

            self._bar = Bar(console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(self._title, total=self._total)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def step(self, text: str) -> None:
        """Say that the step `text` begins."""
        self._done += 1
        if self._bar is not None:
            self._bar.update(self._task, description=text, completed=self._done - 1)
        elif not self._quiet:
            note(f"{self._title} {self._done}/{self._total}: {text}")

    def detail(self, text: str) -> None:
        """Say what the present step is doing."""
        if self._bar is not None:
            self._bar.update(self._task, description=text)
        elif not self._quiet:
            note(f"  {text}")
