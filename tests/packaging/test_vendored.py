"""What is not ours in the repository is exactly what its README says, with its licence beside it."""

import hashlib
import re
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "examples" / "browser"


def test_vendored_files_are_the_ones_that_are_listed() -> None:
    text = (FOLDER / "README.md").read_text()
    rows = re.findall(r"^\| `([0-9a-f]{64})` \| `(vendor/\S+)` \|$", text, re.MULTILINE)
    there = {
        path.relative_to(FOLDER).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (FOLDER / "vendor").rglob("*")
        if path.is_file()
    }
    assert {name: digest for digest, name in rows} == there
    for folder in (FOLDER / "vendor").iterdir():
        assert "MIT" in (folder / "LICENSE").read_text()
