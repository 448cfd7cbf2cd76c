"""``supervm sim fuzz`` and ``supervm sim replay`` (surface.md)."""

from __future__ import annotations

from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from time import monotonic
from typing import Any

import click

from supervm.common.cli.numbers import DecimalNumber, WholeNumber
from supervm.common.cli.output import emit, json_option
from supervm.common.errors import InputError
from supervm.common.text.quoting import quoted

from ..progress import ProgressLine

DEFAULT_SEEDS = 100


@click.command("fuzz", epilog="Example: supervm sim fuzz --minutes 30 --out failures")
@click.option(
    "--seeds",
    type=WholeNumber(1, 10_000_000),
    default=None,
    help=f"How many seeds [default: {DEFAULT_SEEDS}, or no limit with --minutes].",
)
@click.option("--minutes", type=DecimalNumber(0, min_open=True), default=None, help="How long.")
@click.option("--first", type=WholeNumber(0, 2**62), default=0, show_default=True, help="The first seed.")
@click.option(
    "--mutate",
    "mutation",
    metavar="RULE",
    default=None,
    help="Break a rule of the shipped code on purpose and end at the first finding; 'list' lists them, 'all' "
    "breaks each in turn.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("fuzz-failures"),
    show_default=True,
    help="Folder for failures; made when there is one.",
)
@click.option("--workers", type=WholeNumber(1, 1_024), default=None, help="Processes at a time [default: cores].")
@click.option("--no-minimise", is_flag=True, help="Keep failures as they were found.")
@json_option
def fuzz(
    seeds: int | None,
    minutes: float | None,
    first: int,
    mutation: str | None,
    out: Path,
    workers: int | None,
    no_minimise: bool,
    as_json: bool,
) -> None:
    """Hunt for violations with random faults and lies; failures are made small and written to files.

    Exits with 0 if nothing was found, 1 if something was. With --mutate it is the other way round: the rule is broken,
    and not to notice is the failure.
    """
    from .campaign import Campaign
    from .mutations import MUTATIONS

    if mutation == "list":
        rows = [{"name": item.name, "rule": item.rule} for item in MUTATIONS.values()]
        emit(rows, as_json=as_json, lines=[f"{row['name']:26} {row['rule']}" for row in rows])
        return
    if mutation == "all":
        _gate(seeds, workers, as_json)
        return
    if mutation is not None and mutation not in MUTATIONS:
        close = get_close_matches(mutation[:64], MUTATIONS)
        meant = f" (did you mean {' or '.join(close)}?)" if close else ""
        raise InputError(
            f"--mutate: there is no rule {quoted(mutation)}{meant}; allowed are list, all and the "
            f"{len(MUTATIONS)} names that `--mutate list` shows"
        )
    if minutes is not None and not isfinite(minutes):
        raise InputError("--minutes: a number of minutes is needed; without it and with --seeds there is no limit")
    if seeds is None and minutes is None:
        seeds = DEFAULT_SEEDS
    teller = _Teller(seeds)
    campaign = Campaign(
        seeds=seeds,
        seconds=None if minutes is None else minutes * 60,
        first=first,
        mutation=mutation,
        out=out,
        workers=workers,
        minimise=not no_minimise,
        tell=teller.line,
        progress=teller,
    )
    document = campaign.run().document()
    teller.close()
    emit(document, as_json=as_json, lines=_lines(document, mutation))
    found = bool(document["failures"])
    if (found or document["unreached"]) if mutation is None else not found:
        raise click.exceptions.Exit(1)


def _gate(seeds: int | None, workers: int | None, as_json: bool) -> None:
    """Break every rule in turn, but those that only a model or a test notices; exit with 1 if one is not noticed."""
    from .gate import Noticed, play
    from .mutations import FOUND, MUTATIONS
    from .mutations.table import SEEDS_MAX, elsewhere

    line = ProgressLine()

    def tell(noticed: Noticed) -> None:
        if line.is_due():
            line.show(f"fuzz: {noticed.name} {noticed.rule or 'NOT noticed'}")

    played = [name for name in MUTATIONS if name in FOUND or not elsewhere(name)]
    results = play(played, seeds_max=seeds or SEEDS_MAX, workers=workers, tell=tell)
    line.close()
    rows = [
        {
            "name": item.name,
            "seed": item.seed,
            "rule": item.rule,
            "detail": item.detail,
            "runs": item.runs,
            "cpu_s": item.cpu_s,
        }
        for item in results
    ]
    missed = [item.name for item in results if item.seed is None]
    lines = [
        f"{item.name:26} {item.rule:6} seed {item.seed}  {MUTATIONS[item.name].rule}"
        for item in results
        if item.seed is not None
    ]
    lines += [f"{name:26} NOT noticed  {MUTATIONS[name].rule}" for name in missed]
    emit(rows, as_json=as_json, lines=[*lines, f"{len(results) - len(missed)} of {len(results)} are noticed"])
    if missed:
        raise click.exceptions.Exit(1)


def _lines(document: dict[str, Any], mutation: str | None) -> list[str]:
    failures, cpu_s = document["failures"], document["cpu_s"]
    lines = [
        f"{document['runs']} runs, {document['repeated']} of them twice; {len(failures)} findings; "
        f"CPU time of a run: median {cpu_s['median']:.2f} s, longest {cpu_s['max']:.2f} s; all {cpu_s['total']:.0f} s"
    ]
    if mutation is not None:
        found = f"noticed in seed {failures[0]['seed']} ({failures[0]['rule']})" if failures else "NOT noticed"
        lines.append(f"broken rule {mutation}: {found}")
    reached = document["reached"]
    lines.append(f"states reached: {sum(1 for runs in reached.values() if runs)} of {len(reached)}")
    missing = [name for name, runs in reached.items() if not runs]
    if missing:
        lines.append(f"not reached: {', '.join(missing)}")
    return lines


@click.command("replay", epilog="Example: supervm sim replay fuzz-failures/s5-17.json")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@json_option
def replay(file: Path, as_json: bool) -> None:
    """Play a failure from FILE again.

    Exits with 0 if it gives the same violation and the same digest, 1 if not: then the code is another one.
    """
    from .case import read_case
    from .mutations import MUTATIONS
    from .replay import replay as play
    from .replay import same

    case = read_case(file)
    if case.mutation is not None and case.mutation not in MUTATIONS:
        raise InputError(f"{file}: the case breaks the rule {case.mutation!r}, which this version does not know")
    outcome = play(case)
    is_same = same(case, outcome)
    expected = None if case.violation is None else case.violation.name
    document = {
        "file": str(file),
        "seed": case.seed,
        "mutation": case.mutation,
        "same": is_same,
        "expected": expected,
        "digest": outcome.digest,
        "digest_expected": case.digest,
        "simulated_s": outcome.simulated_s,
        "violations": [{"rule": item.name, "at_us": item.at_us, "detail": item.detail} for item in outcome.violations],
        "choices": [
            {"kind": item.kind, "subject": item.subject, "at_us": item.at_us, "value": item.value}
            for item in outcome.choices
        ],
    }
    lines = [f"seed {case.seed}, {len(case.choices)} choices, {outcome.simulated_s:g} s simulated"]
    lines += [f"  {item.at_us:>18} us  {item.kind} {item.subject} = {item.value}" for item in outcome.choices]
    lines += [f"{item.name} at {item.at_us} us: {item.detail}" for item in outcome.violations] or ["nothing was broken"]
    lines.append("the same as in the file" if is_same else f"NOT the same: expected {expected}, {case.digest[:16]}")
    emit(document, as_json=as_json, lines=lines)
    if not is_same:
        raise click.exceptions.Exit(1)


class _Teller(ProgressLine):
    """How far the campaign is, and a line for each finding."""

    def __init__(self, seeds: int | None) -> None:
        super().__init__()
        self._seeds = seeds

    def __call__(self, runs: int, failures: int) -> None:
        """Take how far it is."""
        if not self.is_due():
            return
        of = "" if self._seeds is None else f" of {self._seeds}"
        pace = runs / max(monotonic() - self.began_s, 1e-6)
        self.show(f"fuzz: {runs}{of} runs, {failures} findings, {pace:.1f} runs/s")
