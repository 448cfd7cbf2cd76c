"""Playing a case again: the same violation and the same digest, or the code has changed."""

from __future__ import annotations

from .case import Case
from .mutations import mutated
from .run import Outcome, run_seed


def replay(case: Case) -> Outcome:
    """Play a case."""
    with mutated(case.mutation):
        return run_seed(case.seed, config=case.config, replay=case.choices)


def same(case: Case, outcome: Outcome) -> bool:
    """Return whether a replay gave what the case says: the first violation's rule, and the digest."""
    first = outcome.violations[0].name if outcome.violations else None
    wanted = case.violation.name if case.violation is not None else None
    return first == wanted and outcome.digest == case.digest
