"""``supervm sim``: scenarios that ship, and running one (surface.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from supervm.common.cli.numbers import WholeNumber
from supervm.common.cli.output import columns, emit, json_option, note

from .fuzz.cli import fuzz, replay
from .progress import ProgressLine

if TYPE_CHECKING:
    from .run import Moment


@click.group(epilog="Example: supervm sim run partition-heal --out report")
def sim() -> None:
    """Simulate whole networks: the shipped code of all tiers under virtual time, links, disks and adversaries.

    The same seed always gives the same run. A scenario's expectations decide the exit status.
    """


sim.add_command(fuzz)
sim.add_command(replay)


@sim.command("list", epilog="Example: supervm sim list --json")
@json_option
def list_command(as_json: bool) -> None:
    """List the scenarios that ship, each with the question that it answers."""
    from .scenario import library_names, load_named

    rows: list[dict[str, Any]] = []
    for name in library_names():
        scenario = load_named(name)
        rows.append(
            {
                "name": name,
                "question": scenario.question,
                "claim": scenario.claim,
                "simulated_s": scenario.duration_us / 1e6,
                "nodes": sum(plan.count for plan in scenario.tiers),
            }
        )
    table = [("name", "nodes", "s", "question")]
    table += [(row["name"], str(row["nodes"]), f"{row['simulated_s']:g}", row["question"]) for row in rows]
    emit(rows, as_json=as_json, lines=columns(table, right=(1, 2)))


@sim.command("show", epilog="Example: supervm sim show wal-crash > mine.toml")
@click.argument("name")
@json_option
def show_command(name: str, as_json: bool) -> None:
    """Print the file of the scenario NAME, to read or to start your own from."""
    from .scenario.schema import library_text, load_named

    text = library_text(name)
    scenario = load_named(name)
    document = {"name": name, "question": scenario.question, "claim": scenario.claim, "text": text}
    emit(document, as_json=as_json, lines=text.splitlines())


@sim.command("run", epilog="Example: supervm sim run global-baseline --set tiers.l4.count=100 --seeds 4 --out report")
@click.argument("name", metavar="NAME|FILE.toml")
@click.option("--engine", type=click.Choice(["exact", "scale"]), default=None, help="Engine [default: the file's].")
@click.option("--seed", type=WholeNumber(0, 2**63 - 1), default=1, show_default=True, help="Root of every draw.")
@click.option(
    "--seeds",
    type=WholeNumber(1, 10_000),
    default=1,
    show_default=True,
    help="Run so many seeds from --seed on, one process each, on all cores.",
)
@click.option("--set", "changes", multiple=True, metavar="TABLE.KEY=VALUE", help="Change one key; may be repeated.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for result.json and report.html.")
@click.option("--real-crypto", is_flag=True, help="Check every signature anew; slower, and the trace is the same.")
@json_option
def run_command(
    name: str,
    engine: str | None,
    seed: int,
    seeds: int,
    changes: tuple[str, ...],
    out: Path | None,
    real_crypto: bool,
    as_json: bool,
) -> None:
    """Run a scenario that ships, or one from a file.

    Exits with 0 if every expectation holds, 1 if one does not, 2 if the scenario cannot be read.
    """
    from .run import check_selections, jobs_of, merge, run_jobs
    from .scenario.schema import read_scenario, scenario_text

    if engine is not None:
        changes = (*changes, f'scenario.engine="{engine}"')
    text, source = scenario_text(name)
    scenario = read_scenario(text, source, changes)
    jobs = jobs_of(scenario, text, changes, range(seed, seed + seeds), real=real_crypto)
    for job in jobs:  # a wrong value of a sweep is the user's to mend, and before hours of work
        check_selections(read_scenario(job.text, job.source, job.changes), job.seed)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    teller = _Teller(scenario.name, len(jobs))
    results = list(run_jobs(jobs, teller))
    teller.close()
    document = merge(results)
    if out is not None:
        from .report.page import render

        (out / "result.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        (out / "report.html").write_text(render(scenario, document), encoding="utf-8")
        note(f"wrote {out / 'result.json'} and {out / 'report.html'}")
    emit(document, as_json=as_json, lines=_lines(document))
    if not document["ok"]:
        raise click.exceptions.Exit(1)


def _lines(document: dict[str, Any]) -> list[str]:
    lines = [
        f"{document['scenario']}: seed {document['seed']}, {document['simulated_s']:g} s simulated in "
        f"{document['wall_s']:.1f} s, {document['events']} events, digest {document['digest'][:16]}"
    ]
    for run in document.get("runs", []):
        label = f" {run['variant']}" if run["variant"] else ""
        failed = ", ".join(row["name"] for row in run["expect"] if not row["ok"])
        lines.append(f"  seed {run['seed']}{label}: {f'failed: {failed}' if failed else 'ok'}")
    rows = [("", "expectation", "target", "value")]
    for row in document["expect"]:
        value = "not measured" if row["value"] is None else f"{row['value']:.6g}"
        rows.append(("ok" if row["ok"] else "NO", row["name"], f"{row['target']:g}", value))
    if len(rows) > 1:
        lines += columns(rows, right=(2, 3))
    else:
        lines.append("the scenario expects nothing")
    latency = document["metrics"].get("latency_ms", {})
    shown = [f"{level.upper()} {row['p50']:.0f} / {row['p99']:.0f}" for level, row in latency.items() if row["n"]]
    if shown:
        lines.append(f"ms until the phone knows, p50 / p99: {', '.join(shown)}")
    return lines


class _Teller(ProgressLine):
    """How far the runs of a scenario are."""

    def __init__(self, title: str, runs: int) -> None:
        super().__init__()
        self._title, self._runs = title, runs
        self._finished = 0

    def __call__(self, moment: Moment) -> None:
        """Take what a run says of itself."""
        is_end = moment.done_us >= moment.total_us
        self._finished += is_end
        if not is_end and not self.is_due():
            return
        wall_s = max(moment.wall_s, 1e-6)
        pace = moment.done_us / 1e6 / wall_s
        left_s = (moment.total_us - moment.done_us) / 1e6 / pace if pace else 0.0
        text = (
            f"{self._title}: {moment.done_us / 1e6:.1f} of {moment.total_us / 1e6:g} s, "
            f"{moment.events / wall_s:,.0f} events/s, {pace:.2f} simulated s/s, {left_s:.0f} s left"
        )
        if self._runs > 1:
            text = f"{self._title}: {self._finished} of {self._runs} runs, the last took {wall_s:.1f} s"
        self.show(text)
