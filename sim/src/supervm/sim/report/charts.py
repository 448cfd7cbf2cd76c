"""Small charts as inline SVG; every text is escaped, colours are CSS variables of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import ceil, log10
from typing import Any

WIDTH = 860
TIER_COLOURS = ("var(--l1)", "var(--l2)", "var(--l3)", "var(--l4)")

_LAND = (
    # coarse outlines, longitude and latitude in degrees; enough to know a continent by its shape
    "-168,66 -156,71 -128,70 -110,68 -95,72 -82,70 -80,63 -94,59 -92,56 -82,53 -79,52 -77,58 -70,61 -64,58 -56,52 "
    "-66,49 -61,46 -70,43 -76,36 -81,31 -80,26 -83,29 -90,30 -97,27 -97,21 -91,18 -87,21 -88,16 -84,15 -83,9 -78,8 "
    "-85,10 -95,15 -105,20 -112,30 -117,33 -124,40 -124,48 -132,55 -140,60 -152,59 -162,56 -158,59 -166,62",
    "-78,8 -72,12 -62,10 -52,5 -50,0 -35,-6 -39,-15 -41,-22 -48,-26 -53,-34 -58,-38 -65,-42 -69,-51 -74,-52 -73,-42 "
    "-71,-30 -70,-18 -76,-14 -81,-5 -80,1",
    "-17,15 -16,22 -9,32 -5,36 10,37 20,32 32,31 43,12 51,12 48,5 40,-3 40,-15 35,-20 32,-28 26,-34 18,-34 12,-18 "
    "13,-8 9,2 8,5 -4,5 -8,4 -13,8",
    "-9,37 -9,43 -1,44 -4,48 3,51 8,54 8,57 11,56 14,54 21,55 24,59 30,60 22,61 25,65 21,64 17,60 13,56 7,58 5,61 "
    "14,68 26,71 41,67 34,65 44,66 60,69 70,73 100,77 113,74 140,73 160,70 180,69 178,63 163,60 156,51 155,58 142,59 "
    "135,54 141,50 135,43 129,41 129,35 126,38 121,40 118,38 122,31 119,25 110,21 106,19 109,12 105,9 100,13 103,2 "
    "98,9 97,17 91,22 87,21 80,15 80,9 77,8 73,18 70,22 61,25 57,27 50,30 56,24 59,22 52,16 44,12 39,21 34,28 36,36 "
    "27,37 26,41 23,38 19,41 13,45 16,40 12,42 8,44 3,42 0,39 -5,36",
    "114,-22 122,-18 130,-12 136,-12 136,-16 141,-11 146,-19 153,-26 150,-37 146,-39 138,-35 131,-31 124,-33 115,-34",
    "-45,60 -53,66 -58,75 -70,77 -58,82 -30,83 -20,75 -22,70 -38,65",
    "-5,50 1,51 0,54 -3,58 -6,57 -3,54",
    "131,32 136,34 141,36 142,42 145,44 141,45 139,38 133,35",
    "44,-25 47,-25 50,-15 44,-18",
    "96,5 104,-3 106,-6 98,1",
    "109,1 117,6 118,1 115,-4 110,-2",
    "131,-1 141,-3 147,-8 139,-8 133,-4",
    "167,-46 174,-41 178,-38 174,-36 173,-42",
    "-24,65 -14,65 -18,63",
)


def number(value: float | None) -> str:
    """Return a figure for people: three significant digits, thousands apart."""
    if value is None:
        return "–"
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:,.{max(0, 2 - int(log10(abs(value))) if abs(value) >= 1 else 2)}f}"


def size(octets: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if octets < 1000 or unit == "GB":
            return f"{octets:,.0f} {unit}" if unit == "B" else f"{octets:,.1f} {unit}"
        octets /= 1000
    return ""


def _svg(height: float, body: Sequence[str], label: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(label)}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(body)}</svg>'
    )


def _text(x: float, y: float, text: str, *, anchor: str = "start", kind: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{escape(text)}</text>'


def _ceiling(value: float) -> float:
    """Return the next 1, 2, 2.5 or 5 times a power of ten."""
    if value <= 0:
        return 1.0
    power: float = 10.0 ** int(ceil(log10(value)) - 1)
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= value * 0.999999)


def bars(rows: Sequence[tuple[str, float, str]], label: str, colours: Sequence[str] = ("var(--l2)",)) -> str:
    """Draw horizontal bars: (name, value, what stands behind the bar)."""
    most = max((value for _, value, _ in rows), default=0) or 1
    body = []
    for place, (name, value, shown) in enumerate(rows):
        y = 8 + place * 26
        length = (WIDTH - 340) * value / most
        body.append(_text(188, y + 14, name, anchor="end"))
        body.append(
            f'<rect x="196" y="{y}" width="{max(length, 1):.1f}" height="18" rx="3" '
            f'fill="{colours[place % len(colours)]}"><title>{escape(f"{name}: {shown}")}</title></rect>'
        )
        body.append(_text(204 + length, y + 14, shown, kind="dim"))
    return _svg(16 + 26 * len(rows), body, label)


def ranges(rows: Sequence[tuple[str, Mapping[str, Any]]], label: str, unit: str = "ms") -> str:
    """Draw p50, p90 and p99 of each row as a dot and whiskers on one scale."""
    known = [(name, row) for name, row in rows if row.get("n")]
    if not known:
        return '<p class="dim">Nothing was measured.</p>'
    end = _ceiling(max(row["p99"] for _, row in known))
    left, span = 150, WIDTH - 290

    def place_x(value: float) -> float:
        return left + span * value / end

    height = 40 + 34 * len(known)
    body = []
    for step in range(6):
        x = left + span * step / 5
        body.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="6" y2="{height - 24}" class="grid"/>')
        mark = f"{number(end * step / 5)} {unit if step == 5 else ''}"
        body.append(_text(x, height - 8, mark, anchor="middle", kind="dim"))
    for place, (name, row) in enumerate(known):
        y = 24 + place * 34
        p50, p90, p99 = (place_x(row[quantile]) for quantile in ("p50", "p90", "p99"))
        colour = TIER_COLOURS[place % 4]
        figures = ", ".join(f"{quantile} {number(row[quantile])}" for quantile in ("p50", "p90", "p99"))
        tip = f"{name}: {figures} {unit}, n {row['n']}"
        body.append(f"<g><title>{escape(tip)}</title>")
        body.append(_text(left - 10, y + 5, name, anchor="end"))
        body.append(f'<line x1="{p50:.1f}" x2="{p99:.1f}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="2"/>')
        body.append(
            f'<rect x="{p50:.1f}" y="{y - 7}" width="{max(p90 - p50, 1):.1f}" height="14" rx="4" fill="{colour}" '
            'opacity="0.35"/>'
        )
        body.append(f'<circle cx="{p50:.1f}" cy="{y}" r="6" fill="{colour}"/>')
        body.append(
            f'<line x1="{p99:.1f}" x2="{p99:.1f}" y1="{y - 6}" y2="{y + 6}" stroke="{colour}" stroke-width="2"/>'
        )
        body.append(_text(p99 + 8, y + 5, f"{number(row['p50'])} · {number(row['p99'])}", kind="dim"))
        body.append("</g>")
    return _svg(height, body, label)


def timeline(samples: Sequence[Mapping[str, Any]], faults: Sequence[Mapping[str, Any]], label: str) -> str:
    """Draw highest and lowest height and the skipped views over time, with faults as bands above."""
    if len(samples) < 2:
        return '<p class="dim">The run is too short for a timeline.</p>'
    span_s = samples[-1]["at_s"] or 1
    base = samples[0]
    skipped = [row["view"] - base["view"] - (row["height_max"] - base["height_max"]) for row in samples]
    most = _ceiling(max(max(row["height_max"] - base["height_min"] for row in samples), 1))
    skip_most = max(*skipped, 1)
    left, right, top = 56.0, WIDTH - 16.0, 14.0 + 20 * min(len(faults), 12)
    bottom = top + 230

    def x_of(at_s: float) -> float:
        return left + (right - left) * at_s / span_s

    def line(values: Sequence[float], scale: float) -> str:
        return " ".join(
            f"{x_of(row['at_s']):.1f},{bottom - (bottom - top) * value / scale:.1f}"
            for row, value in zip(samples, values, strict=True)
        )

    body = []
    for place, fault in enumerate(faults[:12]):
        start = x_of(min(fault["at_s"], span_s))
        end = x_of(span_s if fault["end_s"] is None else min(fault["end_s"], span_s))
        head = 8 + 20 * place
        body.append(
            f'<rect x="{start:.1f}" y="{head}" width="{max(end - start, 3):.1f}" height="{bottom - head:.0f}" '
            'class="band"/>'
        )
        text = f"{fault['kind']}: {fault['text']}"
        at = min(start + 4, WIDTH - 6.4 * len(text[:60]))
        body.append(_text(max(left, at), head + 13, text[:60], kind="fault"))
    for step in range(6):
        y = bottom - (bottom - top) * step / 5
        body.append(f'<line x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        body.append(_text(left - 6, y + 4, number(most * step / 5), anchor="end", kind="dim"))
        at_s = span_s * step / 5
        body.append(_text(x_of(at_s), bottom + 18, f"{number(at_s)} s", anchor="middle", kind="dim"))
    skips = line([float(value) for value in skipped], max(skip_most, most / 2))
    body.append(f'<polyline points="{skips}" class="line" stroke="var(--bad)" stroke-dasharray="2 3"/>')
    for key, colour in (("height_min", "var(--l3)"), ("height_max", "var(--l1)")):
        values = [float(row[key] - base["height_min"]) for row in samples]
        body.append(f'<polyline points="{line(values, most)}" class="line" stroke="{colour}"/>')
    names = (("furthest validator", "var(--l1)"), ("slowest running", "var(--l3)"), ("views skipped", "var(--bad)"))
    for place, (name, colour) in enumerate(names):
        body.append(f'<rect x="{left + 190 * place}" y="{bottom + 32}" width="14" height="4" fill="{colour}"/>')
        body.append(_text(left + 20 + 190 * place, bottom + 38, name, kind="dim"))
    return _svg(bottom + 48, body, label)


def world(
    cities: Mapping[str, Sequence[float]], flows: Sequence[Mapping[str, Any]], used: Sequence[str], label: str
) -> str:
    """Draw the regions and the bytes between them; line width and opacity grow with the traffic."""
    height = 420

    def place(lat: float, lon: float) -> tuple[float, float]:
        return (lon + 180) / 360 * WIDTH, (84 - lat) / 142 * height

    body = []
    for outline in _LAND:
        points = [pair.split(",") for pair in outline.split()]
        drawn = " ".join("{:.1f},{:.1f}".format(*place(float(lat), float(lon))) for lon, lat in points)
        body.append(f'<polygon points="{drawn}" class="land"/>')
    pairs: dict[tuple[str, str], float] = {}
    inside: dict[str, float] = {}
    for flow in flows:
        one, other = sorted((flow["from"], flow["to"]))
        if one == other:
            inside[one] = inside.get(one, 0) + flow["bytes"]
        else:
            pairs[one, other] = pairs.get((one, other), 0) + flow["bytes"]
    most = max(pairs.values(), default=0) or 1
    for (one, other), octets in sorted(pairs.items(), key=lambda item: item[1]):
        (x1, y1), (x2, y2) = place(*cities[one]), place(*cities[other])
        bow = 0.18 * abs(x2 - x1) + 8
        share = octets / most
        body.append(
            f'<path d="M{x1:.1f},{y1:.1f} Q{(x1 + x2) / 2:.1f},{(y1 + y2) / 2 - bow:.1f} {x2:.1f},{y2:.1f}" '
            f'class="flow" stroke-width="{0.6 + 4 * share:.2f}" opacity="{0.2 + 0.6 * share:.2f}">'
            f"<title>{escape(f'{one} – {other}: {size(octets)}')}</title></path>"
        )
    for name in used:
        x, y = place(*cities[name])
        body.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" class="city">'
            f"<title>{escape(f'{name}: {size(inside.get(name, 0))} inside the region')}</title></circle>"
        )
        at_edge = x > WIDTH - 130
        body.append(_text(x - 9 if at_edge else x + 9, y - 7, name, anchor="end" if at_edge else "start", kind="place"))
    return _svg(height, body, label)
