"""All four tiers with the guestbook: copies of the shipped packages in which one line of each has been changed.

What a test starts with `environment` is the shipped program in every other respect.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]
TIERS = {1: "tier_l1_super", 2: "tier_l2_miner", 3: "tier_l3_edge", 4: "tier_l4_mobile"}
PLAIN = "MORE: Final[tuple[Callable[[Shell], Part], ...]] = ()\n"
CHANGED = PLAIN.replace("()", "(Guestbook,)")
IMPORT = "from collections.abc import Callable\n"


def environment(folder: Path) -> dict[str, str]:
    """Copy the tiers into `folder`, change their line, and return the environment that puts the copies first."""
    for member in TIERS.values():
        package = folder / "supervm" / member
        shutil.copytree(
            ROOT / member / "src" / "supervm" / member, package, ignore=shutil.ignore_patterns("__pycache__")
        )
        file = package / "more.py"
        text = file.read_text(encoding="utf-8")
        assert text.count(PLAIN) == 1, file
        text = text.replace(IMPORT, f"{IMPORT}from guestbook import Guestbook\n").replace(PLAIN, CHANGED)
        file.write_text(text, encoding="utf-8")
    return {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{Path(__file__).parent}"}
