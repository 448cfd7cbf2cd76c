"""A failure as a file: everything that is needed to play it again (JSON)."""

from __future__ import annotations

from pathlib import Path

import msgspec

from supervm.common.errors import InputError

from ..errors import SimulationError
from ..exact import Choice
from ..invariants import Violation
from .classes import check_classes
from .config import Config
from .run import Outcome

CASE_VERSION = 1
CASE_BYTES_MAX = 64 << 20


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A run that can be repeated.

    Attributes:
        version: of this layout, `CASE_VERSION`.
        seed: root of every draw that is not a choice.
        mutation: the rule that was broken on purpose, or None.
        config: sizes, times and classes of faults.
        choices: every decision; what is not listed has its harmless default.
        violation: the first broken rule; None for a run without.
        digest: of the trace up to there, as hexadecimal.
        choices_before: decisions of the run that this one was made from.
    """

    version: int
    seed: int
    mutation: str | None
    config: Config
    choices: tuple[Choice, ...]
    violation: Violation | None
    digest: str
    choices_before: int


def case_of(outcome: Outcome, mutation: str | None, choices_before: int | None = None) -> Case:
    """Return the case of a run."""
    first = outcome.violations[0] if outcome.violations else None
    count = len(outcome.choices) if choices_before is None else choices_before
    return Case(CASE_VERSION, outcome.seed, mutation, outcome.config, outcome.choices, first, outcome.digest, count)


def write_case(path: Path, case: Case) -> None:
    """Write a case as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(case), indent=1) + b"\n")


def read_case(path: Path) -> Case:
    """Read a case.

    Raises:
        InputError: there is none, or of another version, or with classes of faults that there are not.
    """
    try:
        data = path.read_bytes()
        case = msgspec.json.decode(data, type=Case)
    except OSError as error:
        raise InputError(f"{path}: the file cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise InputError(f"{path}: this is not a case that `supervm sim fuzz` has written: {error}") from error
    if case.version != CASE_VERSION:
        raise InputError(f"{path}: the case has version {case.version}; this program reads version {CASE_VERSION}")
    try:
        check_classes(case.config.classes)
    except SimulationError as error:
        raise InputError(f"{path}: {error}") from None
    return case
