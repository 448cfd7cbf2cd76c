"""docs/benchmarks.md: a table for every benchmark, pictures that are there, and the script that renews both."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import bench_page
import pytest

from supervm.common.bench.plots import FIGURES
from supervm.common.commands import BENCHMARKS
from supervm.sim.commands import BENCHMARKS as SIM_BENCHMARKS
from supervm.tier_l4_mobile.commands import BENCHMARKS as PHONE_BENCHMARKS

PAGE = bench_page.PAGE.read_text(encoding="utf-8")
ROW = {"name": "codec.x", "value": 12_345.6, "unit": "frames/s", "limit": None, "ratio": None, "n": 5}


def test_every_benchmark_has_its_table_and_its_rows_are_its_own() -> None:
    tables = {match[2]: match[3] for match in bench_page.TABLE.finditer(PAGE)}
    assert {*tables} == {offer.name for offer in (*BENCHMARKS, *PHONE_BENCHMARKS, *SIM_BENCHMARKS)}
    for name, text in tables.items():
        rows = re.findall(r"^\| `([a-z0-9_]+)\.", text, re.MULTILINE)
        assert rows, name
        assert {*rows} == {name}


def test_every_picture_is_there_and_is_shown() -> None:
    shown = set(re.findall(r"\(pictures/([a-z-]+\.svg)\)", PAGE))
    assert shown == {*FIGURES}
    for name in shown:
        root = ET.parse(bench_page.PICTURES / name).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"


def test_rows_go_into_their_table_and_nowhere_else() -> None:
    page = "a\n<!-- rows: codec -->\nold\n<!-- end -->\nb\n<!-- rows: trie -->\nkept\n<!-- end -->\n"
    made = bench_page.with_rows(page, [ROW])
    assert "old" not in made
    assert "| `codec.x` | 12,346 | frames/s | - | - | 5 |\n" in made
    assert made.endswith("<!-- rows: trie -->\nkept\n<!-- end -->\n")
    assert bench_page.with_rows(made, [ROW]) == made


def test_figures_in_the_text_are_those_of_the_tables() -> None:
    page = "0.1<!-- codec.x --> of 7<!-- codec.x limit --> and 1.5<!-- other.row --> and 5"
    assert bench_page.with_rows(page, [ROW]) == page.replace("0.1", "12,346")
    cells = re.findall(r"^\| `([a-z0-9_.]+)` \| ([^|]+) \| [^|]+ \| ([^|]+) \| ([^|]+) \|", PAGE, re.MULTILINE)
    shown = {name: dict(zip(("", " limit", " ratio"), figures, strict=True)) for name, *figures in cells}
    found = re.findall(r"([0-9][0-9.,]*)<!-- ([a-z0-9_.]+)( limit| ratio|) -->", PAGE)
    assert len(found) > 10
    for text, name, field in found:
        assert text == shown[name][field], name


@pytest.mark.parametrize(("value", "text"), [(None, "-"), (0.12346, "0.1235"), (12.0, "12"), (999.94, "999.9")])
def test_figures_are_short(value: float | None, text: str) -> None:
    assert bench_page.number(value) == text


def test_the_script_renews_page_and_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_page, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(bench_page, "PICTURES", tmp_path / "pictures")
    (tmp_path / "page.md").write_text("<!-- rows: start -->\n<!-- end -->\n")
    rows = [{**ROW, "name": f"start.accounts{count}.cpu", "value": count / 1_000} for count in (1_000, 10_000)]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    assert bench_page.main([str(tmp_path / "rows.json")]) == 0
    assert (tmp_path / "page.md").read_text().count("`start.accounts") == 2
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["bench-accounts.svg"]
    assert bench_page.main([]) == 2
