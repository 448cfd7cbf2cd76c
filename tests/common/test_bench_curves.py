"""The curves: axes that hold what is drawn, documents that are well-formed, and rows that find their lines."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from supervm.common.bench.curves import Panel, Series, axis, figure, mark_text
from supervm.common.bench.plots import FIGURES, points_of, write_plots

NAMESPACE = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize(
    ("values", "is_log", "low", "high", "marks"),
    [
        ([0.0, 24_000.0], False, 0, 25_000, 6),
        ([0.67], False, 0, 0.8, 5),
        ([0.0], False, 0, 1, 2),
        ([1e3, 1e6], True, 1e3, 1e6, 4),
        ([44.0, 263.0], True, 20, 500, 5),
        ([7.0], True, 5, 10, 2),
        ([1.0], True, 1, 2, 2),
        ([0.003, 900.0], True, 0.001, 1_000, 7),
    ],
)
def test_an_axis_ends_at_marks_around_all_values(
    values: list[float], is_log: bool, low: float, high: float, marks: int
) -> None:
    found = axis(values, is_log=is_log)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert len(found.marks) == marks
    for value in values:
        assert -1e-9 <= found.place(value) <= 1 + 1e-9
    assert (found.place(found.low), found.place(found.high)) == pytest.approx((0, 1))


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (0.5, "0.5"), (12.5, "12.5"), (1_000, "1k"), (2.5e6, "2.5M")])
def test_marks_are_short(value: float, text: str) -> None:
    assert mark_text(value) == text


def test_a_figure_is_one_document_and_what_was_not_measured_is_left_out() -> None:
    empty = Panel("nothing", "x", [Series("a", [])])
    full = Panel("<some> & more", "x", [Series("b", []), Series("c", [(10, 1), (1, 100)])])
    assert figure([empty]) == ""
    assert figure([]) == ""
    text = figure([empty, full])
    root = ET.fromstring(text)
    assert root.attrib["width"] == "430"
    assert "nothing" not in text
    assert next(root.iter(f"{NAMESPACE}text")).text == "<some> & more"
    (line,) = root.iter(f"{NAMESPACE}polyline")
    assert line.attrib["points"] == "62.0,40.0 406.0,226.0"  # ascending in x, whatever the order
    assert len(list(root.iter(f"{NAMESPACE}circle"))) == 2
    for banned in ("<script", "http://", "https://"):
        assert banned not in text.replace("http://www.w3.org/2000/svg", "")


def test_a_figure_is_as_high_as_its_rows_of_panels() -> None:
    panel = Panel("t", "x", [Series("a", [(1, 1), (2, 2)])], x_log=False, y_log=False)
    root = ET.fromstring(figure([panel] * 3))
    assert (root.attrib["width"], root.attrib["height"]) == ("860", "580")


def row(name: str, value: float, limit: float | None = None) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": "x", "limit": limit, "ratio": None, "n": 1}


def test_rows_find_their_lines_by_name(tmp_path: Path) -> None:
    rows = {"a.at10": 4.0, "a.at100": 2.0, "a.at5.more": 9.0, "b.at7": 1.0, "a.at80pct": 3.0}
    assert points_of(rows, r"a\.at([0-9]+)", lambda value: 8 / value) == [(10, 2), (100, 4)]
    document = [
        row("network.rate", 2_000),
        row("network.latency_p50.at80pct", 300),
        row("network.latency_p50.at10", 200),
        row("trie.update1000.of1000", 500_000, 1_000_000),
        row("trie.update1000.of10000", 250_000, 1_000_000),
        row("codec.heartbeat.encode", 1),
    ]
    written = write_plots(document, tmp_path / "new")
    assert sorted(path.name for path in written) == ["bench-accounts.svg", "bench-load.svg"]
    accounts = (tmp_path / "new" / "bench-accounts.svg").read_text()
    assert accounts.count("<polyline") == 2
    assert "bare hashing" in accounts
    assert (tmp_path / "new" / "bench-load.svg").read_text().count("<circle") == 2


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_can_be_empty(name: str) -> None:
    assert figure(FIGURES[name]({}, {})) == ""
