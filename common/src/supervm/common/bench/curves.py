"""Curves as SVG files that stand alone: readable on a light and on a dark page, without scripts or other files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

PANEL_WIDTH, PANEL_HEIGHT = 430, 290
PANELS_PER_ROW = 2
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 24, 40, 64
_LEGEND_GAP, _CHARACTER = 38, 7
_STYLE = """
text{font:12px system-ui,sans-serif;fill:#24292f}.dim{fill:#57606a}.head{font-weight:600;font-size:13px}
.page{fill:#fff}.grid{stroke:#d0d7de}.s0{stroke:#0969da}.s1{stroke:#bc4c00}.s2{stroke:#1a7f37}
.s3{stroke:#8250df}.line{fill:none;stroke-width:2}.dot{stroke:none}.f0{fill:#0969da}.f1{fill:#bc4c00}
.f2{fill:#1a7f37}.f3{fill:#8250df}
@media (prefers-color-scheme:dark){text{fill:#e6edf3}.dim{fill:#9da7b1}.page{fill:#0d1117}.grid{stroke:#30363d}
.s0{stroke:#58a6ff}.s1{stroke:#f0883e}.s2{stroke:#3fb950}.s3{stroke:#bc8cff}
.f0{fill:#58a6ff}.f1{fill:#f0883e}.f2{fill:#3fb950}.f3{fill:#bc8cff}}
""".replace("\n", "")
SERIES_MAX = 4
"""Lines in one panel, one for each colour."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Series:
    """One line: what it is called, and its points."""

    name: str
    points: Sequence[Point]


@dataclass(frozen=True, slots=True)
class Panel:
    """One pair of axes.

    Attributes:
        title: what is shown.
        x: what the horizontal axis is.
        series: lines, at most `SERIES_MAX`; those without points are left out.
        x_log: whether the horizontal axis goes by factors; values must be above 0 then.
        y_log: the same for the vertical one.
    """

    title: str
    x: str
    series: Sequence[Series]
    x_log: bool = True
    y_log: bool = True


@dataclass(frozen=True, slots=True)
class Axis:
    """A scale from 0 to 1 with marks on it.

    Attributes:
        low: value at 0.
        high: value at 1.
        is_log: whether it goes by factors.
        marks: values that are named.
    """

    low: float
    high: float
    is_log: bool
    marks: tuple[float, ...]

    def place(self, value: float) -> float:
        """Return where a value lies."""
        if self.is_log:
            return (log10(value) - log10(self.low)) / (log10(self.high) - log10(self.low))
        return (value - self.low) / (self.high - self.low)


def axis(values: Sequence[float], *, is_log: bool) -> Axis:
    """Return an axis that holds all values, at least one of them, and ends at a mark."""
    return _log_axis(min(values), max(values)) if is_log else _linear_axis(max(values))


def _log_axis(low: float, high: float) -> Axis:
    first, last = floor(log10(low) + 1e-9), ceil(log10(high) - 1e-9)
    last = max(last, first + 1)
    steps = (1,) if last - first > 2 else (1, 2, 5)
    marks = [step * 10.0**power for power in range(first, last) for step in steps] + [10.0**last]
    start = max((mark for mark in marks if mark <= low * 1.000001), default=marks[0])
    end = min((mark for mark in marks if mark >= high * 0.999999 and mark > start), default=marks[-1])
    return Axis(start, end, True, tuple(mark for mark in marks if start <= mark <= end))


def _linear_axis(high: float) -> Axis:
    if high <= 0:
        return Axis(0, 1, False, (0, 1))
    power = 10.0 ** floor(log10(high / 5))
    step = next(size * power for size in (1, 2, 2.5, 5, 10) if size * power * 5 >= high * 0.999999)
    count = ceil(high / step - 1e-6)
    return Axis(0, step * count, False, tuple(step * number for number in range(count + 1)))


def mark_text(value: float) -> str:
    """Return a mark for people: thousands and millions by a letter."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def figure(panels: Sequence[Panel]) -> str:
    """Return the SVG of panels, two in a row; a panel in which nothing was measured is left out.

    Returns:
        The document; empty if all are left out.
    """
    drawn = [panel for panel in panels if any(series.points for series in panel.series)]
    if not drawn:
        return ""
    columns = min(PANELS_PER_ROW, len(drawn))
    rows = ceil(len(drawn) / columns)
    width, height = columns * PANEL_WIDTH, rows * PANEL_HEIGHT
    body = [f'<rect class="page" width="{width}" height="{height}"/>']
    for place, panel in enumerate(drawn):
        row, column = divmod(place, columns)
        body.append(f'<g transform="translate({column * PANEL_WIDTH} {row * PANEL_HEIGHT})">{_panel(panel)}</g>')
    label = escape("; ".join(panel.title for panel in drawn))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-label="{label}"><style>{_STYLE}</style>{"".join(body)}</svg>\n'
    )


def _panel(panel: Panel) -> str:
    shown = [series for series in panel.series if series.points][:SERIES_MAX]
    points = [point for series in shown for point in series.points]
    x_axis = axis([x for x, _ in points], is_log=panel.x_log)
    y_axis = axis([y for _, y in points], is_log=panel.y_log)
    width, height = PANEL_WIDTH - _LEFT - _RIGHT, PANEL_HEIGHT - _TOP - _BOTTOM

    def at(point: Point) -> tuple[float, float]:
        return _LEFT + width * x_axis.place(point[0]), _TOP + height * (1 - y_axis.place(point[1]))

    bottom = _TOP + height
    parts = [_text(_LEFT, 22, panel.title, kind="head")]
    for mark in y_axis.marks:
        y = at((x_axis.low, mark))[1]
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_LEFT + width}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(_LEFT - 6, y + 4, mark_text(mark), anchor="end", kind="dim"))
    for mark in x_axis.marks:
        x = at((mark, y_axis.low))[0]
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 4}"/>')
        parts.append(_text(x, bottom + 18, mark_text(mark), anchor="middle", kind="dim"))
    parts.append(_text(_LEFT + width / 2, bottom + 34, panel.x, anchor="middle", kind="dim"))
    left = _LEFT
    for number, series in enumerate(shown):
        places = [at(point) for point in sorted(series.points)]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline class="line s{number}" points="{line}"/>')
        parts += [f'<circle class="dot f{number}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>' for x, y in places]
        parts.append(f'<rect class="f{number}" x="{left}" y="{bottom + 47}" width="14" height="4"/>')
        parts.append(_text(left + 19, bottom + 53, series.name))
        left += _LEGEND_GAP + _CHARACTER * len(series.name)
    return "".join(parts)


def _text(x: float, y: float, text: str, *, anchor: str = "start", kind: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{escape(text)}</text>'
