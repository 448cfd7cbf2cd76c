"""docs/network.md, Bounds: values are those of the code, tests are there, and no bound of the driver is left out."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from supervm.common.driver.limits import Limits

ROOT = Path(__file__).resolve().parents[2]


class Row(NamedTuple):
    """A row of the table."""

    bound: str
    value: str
    where: str
    tests: list[str]


def rows() -> list[Row]:
    text = (ROOT / "docs" / "network.md").read_text(encoding="utf-8")
    section = text.partition("\n## Bounds\n")[2].partition("\n## ")[0]
    found = []
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and "`tests/" in line:
            assert len(cells) == 4, line
            found.append(Row(cells[0], cells[1], cells[2].strip("`"), re.findall(r"`(tests/[^`]+)`", cells[3])))
    return found


ROWS = rows()


@cache
def functions(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("row", [row for row in ROWS if row.where], ids=lambda row: row.bound)
def test_the_value_is_that_of_the_code(row: Row) -> None:
    module, _, name = row.where.partition(":")
    found: object = importlib.import_module(module)
    for part in name.split("."):
        if found is Limits:
            found = next(field.default for field in dataclasses.fields(Limits) if field.name == part)
        else:
            found = getattr(found, part)
    assert str(found) == row.value


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.bound)
def test_the_tests_are_there(row: Row) -> None:
    assert row.tests
    for test in row.tests:
        path, _, name = test.partition("::")
        assert (ROOT / path).is_file(), test
        assert not name or name in functions(path), test


def test_every_bound_of_the_driver_stands_there() -> None:
    named = {row.where.rpartition(".")[2] for row in ROWS if ":Limits." in row.where}
    bounds = {field.name for field in dataclasses.fields(Limits) if "_max" in field.name}
    assert bounds - named == set()
