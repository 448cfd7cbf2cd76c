"""docs/architecture.md answers each of its questions with one file that exists."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "architecture.md"


def test_each_question_has_one_file_that_exists() -> None:
    rows = re.findall(r"^\| ([^|]+\?) \| ([^|]+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) >= 10
    assert len(dict(rows)) == len(rows), "a question stands there twice"
    for question, answer in rows:
        match = re.fullmatch(r"`([^`]+)`", answer)
        assert match is not None, f"{question}: {answer} is not one file"
        assert (ROOT / match[1]).is_file(), f"{question}: {match[1]} does not exist"
