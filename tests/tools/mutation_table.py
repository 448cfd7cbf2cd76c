"""Play every switch of the mutation gate and write anew where it was noticed: `found.py` and docs/simulator.md.

Without arguments every switch is played, first at the seed that noticed it before; with names these, from seed 0 on.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from supervm.sim.fuzz.gate import Noticed, play
from supervm.sim.fuzz.mutations import FOUND, MUTATIONS
from supervm.sim.fuzz.mutations import found as found_module
from supervm.sim.fuzz.mutations.table import HEAD

DOCS = Path(__file__).resolve().parents[2] / "docs" / "simulator.md"
OPEN = "No seed is known yet for: "
FIRST = '''"""Where each switch was noticed last: written by tests/tools/mutation_table.py."""

from __future__ import annotations

from typing import Final

FOUND: Final[dict[str, tuple[int, str]]] = {
'''
LAST = '''}
"""Switch -> (seed, rule of `supervm.sim.invariants.RULES`)."""
'''


def main(names: list[str]) -> None:
    """Play, and write both files."""
    known = dict(FOUND)

    def tell(noticed: Noticed) -> None:
        print(f"{noticed.name:24} {noticed.seed} {noticed.rule} {noticed.runs} runs, {noticed.cpu_s:.1f} s")
        if noticed.seed is not None:
            known[noticed.name] = noticed.seed, noticed.rule
            write_found(known)

    play(names or list(MUTATIONS), hinted=not names, tell=tell)
    importlib.reload(found_module)
    write_docs()


def write_found(known: dict[str, tuple[int, str]]) -> None:
    """Write the hints, in the order of the switches."""
    rows = [f'    "{name}": ({known[name][0]}, "{known[name][1]}"),\n' for name in MUTATIONS if name in known]
    Path(found_module.__file__).write_text(FIRST + "".join(rows) + LAST, encoding="utf-8")


def write_docs() -> None:
    """Put the table that the code gives in the place of the one in the docs."""
    from supervm.sim.fuzz import mutations
    from supervm.sim.fuzz.mutations import table

    found = dict(found_module.FOUND)
    mutations.FOUND.clear()
    mutations.FOUND.update(found)
    table.FOUND = mutations.FOUND
    text = DOCS.read_text(encoding="utf-8").splitlines()
    first = text.index(HEAD[0])
    last = next(place for place in range(first, len(text)) if not text[place].startswith("|"))
    text[first:last] = table.lines()
    place = next(place for place, line in enumerate(text) if line.startswith(OPEN))
    text[place] = table.open_line()
    DOCS.write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
