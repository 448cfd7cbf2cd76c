"""``supervm doctor``: what is missing or wrong on this machine, and the mend (surface.md)."""

from __future__ import annotations

from pathlib import Path

import click

from ..host.config import load_any_config
from ..host.doctor import ADVICE, OK, WRONG, check_media, check_network, examine
from ..host.home import home_directory
from .output import columns, emit, json_option


@click.command(epilog="Example: supervm doctor --tier l3 --json")
@click.option("--tier", type=click.Choice(["l1", "l2", "l3", "l4"]), help="Also check what this tier needs.")
@click.option(
    "--config",
    "config_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also look at this node: its genesis file against the clock, and what it tells if it runs.",
)
@json_option
def doctor(tier: str | None, config_file: Path | None, as_json: bool) -> int:
    """Check this machine: Python, libsodium, SQLite, hardware, clock, limits, disk, installed profiles.

    Exit status 1 if something is wrong; advice alone is 0.
    """
    config = None if config_file is None else load_any_config(config_file)
    number = int(tier[1]) if tier else config.tier if config is not None else None
    findings = examine(home_directory(), number)
    if config is not None:
        findings += [*check_media(config), *check_network(config)]
    wrong = sum(finding.state == WRONG for finding in findings)
    advice = sum(finding.state == ADVICE for finding in findings)
    document = {
        "ok": not wrong,
        "tier": None if number is None else f"l{number}",
        "findings": [
            {"name": finding.name, "state": finding.state, "found": finding.found, "mend": finding.mend or None}
            for finding in findings
        ],
    }
    lines = columns(
        [(finding.state if finding.state != OK else "ok", finding.name, finding.found) for finding in findings]
    )
    mends = [f"{finding.name}: {finding.mend}" for finding in findings if finding.mend]
    total = f"{wrong} wrong, {advice} advice, {len(findings) - wrong - advice} ok"
    emit(document, as_json=as_json, lines=[*lines, *(["", "what to do:"] if mends else []), *mends, "", total])
    return 1 if wrong else 0
