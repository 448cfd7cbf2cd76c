"""Put together what goes into the package: the entry scripts and the sources of the members that a phone has.

``python3 stage.py`` writes it to ``build/source`` beside this file, anew each time; buildozer.spec takes it from there.
Python's standard library is all it needs.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MEMBERS = ("protocol", "common", "tier_l4_mobile")
"""Members of the workspace that a phone has."""


def stage(target: Path) -> int:
    """Write everything to `target`, in place of what was there; return how many files there are."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(HERE / "source", target, ignore=shutil.ignore_patterns("__pycache__"))
    for member in MEMBERS:
        shutil.copytree(
            ROOT / member / "src" / "supervm" / member,
            target / "supervm" / member,
            # what a compiler made for this machine is of no use on a phone
            ignore=shutil.ignore_patterns("__pycache__", "*.so", "*.pyd", "*.so.*"),
        )
    return sum(path.is_file() for path in target.rglob("*"))


if __name__ == "__main__":
    count = stage(HERE / "build" / "source")
    sys.stdout.write(f"{count} files in {HERE / 'build' / 'source'}\n")
