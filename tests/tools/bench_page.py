"""Puts measured rows into the tables of docs/benchmarks.md, and the curves beside it.

    supervm bench --json > rows.json
    python tests/tools/bench_page.py rows.json

A table of the page stands between ``<!-- rows: NAME -->`` and ``<!-- end -->``, and has the rows whose names begin with
``NAME.``, but not those that split one message's time (``.us.``). A table of which the files have no row stays as it
is, and so does a picture; so any part can be measured again by itself. A figure in the text that has the name of a row
behind it, ``852<!-- network.rate -->`` or ``0.15<!-- network.rate ratio -->``, is that row's. Several files may be
given; of rows with one name the last counts.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from supervm.common.bench.plots import write_plots

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "benchmarks.md"
PICTURES = DOCS / "pictures"
TABLE = re.compile(r"(<!-- rows: ([a-z]+) -->\n)(.*?)(<!-- end -->\n)", re.DOTALL)

FIGURE = re.compile(r"[0-9][0-9.,]*<!-- ([a-z0-9_.]+)( limit| ratio)? -->")


def number(value: float | None) -> str:
    """Return a figure as the page shows it: thousands apart, no more digits than were measured."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def table(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the lines of a table."""
    lines = ["| row | value | unit | limit | ratio | n |", "|---|--:|---|--:|--:|--:|"]
    lines += [
        f"| `{row['name']}` | {number(row['value'])} | {row['unit']} | {number(row['limit'])} | "
        f"{number(row['ratio'])} | {row['n']} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def with_rows(page: str, rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the page with its tables, and the figures in its text, made anew from rows."""
    listed = list(rows)

    def replaced(found: re.Match[str]) -> str:
        own = [row for row in listed if row["name"].partition(".")[0] == found[2] and ".us." not in row["name"]]
        return found[0] if not own else f"{found[1]}\n{table(own)}\n{found[4]}"

    named = {row["name"]: row for row in listed}

    def figure(found: re.Match[str]) -> str:
        field = (found[2] or " value").strip()
        row = named.get(found[1])
        if row is None or row[field] is None:
            return found[0]
        return f"{number(row[field])}<!-- {found[1]}{found[2] or ''} -->"

    return FIGURE.sub(figure, TABLE.sub(replaced, page))


def main(files: list[str]) -> int:
    """Read the files and write page and pictures."""
    if not files:
        print(__doc__, file=sys.stderr)
        return 2
    rows = {row["name"]: row for file in files for row in json.loads(Path(file).read_text(encoding="utf-8"))}
    PAGE.write_text(with_rows(PAGE.read_text(encoding="utf-8"), rows.values()), encoding="utf-8")
    for path in write_plots(rows.values(), PICTURES):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
