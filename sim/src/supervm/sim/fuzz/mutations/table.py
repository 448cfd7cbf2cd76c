"""The mutation table of docs/simulator.md: rule, planted fault, what notices it, from which seed on."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...invariants import RULES
from ...model import payment_faults, simplex_faults
from . import FOUND, MUTATIONS

SEEDS_MAX = 200
"""Seeds within which a broken rule must be noticed."""
_MODELS = (("Simplex", simplex_faults.FAULTS), ("payment", payment_faults.FAULTS))
HEAD = ("| rule | planted fault | noticed by | seed |", "|---|---|---|--:|")


def _place(rule: str) -> tuple[tuple[int, ...], str]:
    """Return where a rule stands: by the number of its section, texts without one last."""
    inner = rule[rule.rfind("(") + 1 :] if rule.endswith(")") else ""
    number = re.search(r"\d+(\.\d+)*", inner if not inner.startswith(("decisions", "economics")) else "")
    return (tuple(int(part) for part in number.group().split(".")) if number else (99,)), rule


def rows() -> Iterator[tuple[str, str, str, str]]:
    """Yield every planted fault that is noticed, by fuzzing or by a model, by the place of its rule in the design."""
    found = [
        (MUTATIONS[name].rule, name, by, f"{seed} (long lane)" if MUTATIONS[name].is_costly else str(seed))
        for name, (seed, by) in FOUND.items()
    ]
    found += [
        (item.rule, item.name, f"the model's {item.model}", "all states")
        for item in MUTATIONS.values()
        if item.model and item.name not in FOUND
    ]
    found += [
        (item.rule, item.name, "{2} ({0})".format(*item.test_id.partition("::")), "")
        for item in MUTATIONS.values()
        if item.test
    ]
    for model, faults in _MODELS:
        for fault in faults:
            found.append((fault.rule, f"model: {fault.name}", f"{model} model, case {fault.case}", "all states"))
    yield from sorted(found, key=lambda row: (_place(row[0]), row[1]))


def elsewhere(name: str) -> bool:
    """Return whether a model or a test notices a switch, and no seed need be known."""
    return bool(MUTATIONS[name].model or MUTATIONS[name].test)


def lines() -> list[str]:
    """Return the table in Markdown."""
    return [*HEAD, *(f"| {rule} | {name} | {by} | {seed} |" for rule, name, by, seed in rows())]


def open_line() -> str:
    """Return the sentence that names the switches for which no seed is known yet."""
    names = [f"`{name}`" for name in MUTATIONS if name not in FOUND and not elsewhere(name)]
    return f"No seed is known yet for: {', '.join(names) or 'none'}."


def check() -> list[str]:
    """Return what is wrong with the table: a rule or a switch that does not exist, or a seed out of bounds."""
    wrong = [f"there is no switch {name}" for name in FOUND if name not in MUTATIONS]
    known = {fault.name for _, faults in _MODELS for fault in faults}
    wrong += [f"the models know no fault {item.model}" for item in MUTATIONS.values() if item.model not in known | {""}]
    wrong += [f"{name} is noticed by {by}, which is no rule" for name, (_, by) in FOUND.items() if by not in RULES]
    return wrong + [f"{name} needs seed {seed}" for name, (seed, _) in FOUND.items() if seed >= SEEDS_MAX]
