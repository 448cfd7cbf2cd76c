"""What the code keeps to: sizes of functions, with listed exceptions that may only shrink, and no floats in agreement.

`ratchets.json` lists what is above a limit, with its present value: a function that grows fails here, and so does one
that has shrunk while its entry has not. `python tests/packaging/test_ratchets.py` writes the list from the code; a
commit that makes an entry larger, or adds one, has to say why.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
from ratchets import MEMBERS, floats, functions, sources

LISTED = Path(__file__).with_name("ratchets.json")
LIMITS = {"complexity": 15, "lines": 70, "arguments": 9}
"""Ways through a function, its lines without the docstring, its arguments."""
OUTSIDE = ("bench", "cli", "cli.py", "config.py", "commands.py", "profile.py")
"""Modules of a tier that are not its core: they measure, show numbers to people and join paths."""
PIXELS = "tier_l4_mobile/app/kit/"
"""Widgets: they have places and colours, and get amounts as words. The screens themselves make no floats."""
MONEY_AND_CORES = (
    "protocol",
    "tier_l1_super",
    "tier_l2_miner",
    "tier_l3_edge",
    "tier_l4_mobile",
)


@cache
def measured() -> dict[str, object]:
    """Return everything that is above a limit, and every place that makes a float where none belongs."""
    found = [item for name, tree in sources(*MEMBERS) for item in functions(name, tree)]
    above: dict[str, object] = {
        what: {item.name: getattr(item, what) for item in found if getattr(item, what) > limit}
        for what, limit in LIMITS.items()
    }
    wings = ("contract", "parts", "link", "wallet")
    shared = ((name, tree) for name, tree in sources("common") if name.split("/")[1] in wings)
    cores = [*sources(*MONEY_AND_CORES), *shared]
    above["floats"] = dict(
        sorted(
            count_by_module(
                place
                for name, tree in cores
                if name.split("/")[1] not in OUTSIDE and not name.startswith(PIXELS)
                for place in floats(name, tree)
            ).items()
        )
    )
    return above


def count_by_module(places: object) -> dict[str, int]:
    """Return how many places there are in each module."""
    counts: dict[str, int] = {}
    for place in places:  # type: ignore[attr-defined]
        module = place.split(":")[0]
        counts[module] = counts.get(module, 0) + 1
    return counts


@pytest.mark.parametrize("what", [*LIMITS, "floats"])
def test_nothing_grows_beyond_what_is_listed(what: str) -> None:
    listed, found = json.loads(LISTED.read_text(encoding="utf-8"))[what], measured()[what]
    assert isinstance(found, dict)
    limit = LIMITS.get(what, 0)
    problems = [
        f"{name}: {what} {found.get(name, f'at most {limit}')}, listed {listed.get(name, f'not: {limit} are allowed')}"
        for name in sorted({*listed, *found})
        if listed.get(name) != found.get(name)
    ]
    assert not problems, "make it smaller, or lower the entry in ratchets.json:\n" + "\n".join(problems)


if __name__ == "__main__":
    LISTED.write_text(json.dumps(measured(), indent=1, sort_keys=True) + "\n", encoding="utf-8")
