"""``supervm up``: a whole four-tier network on this machine (surface.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..errors import CommonError, InputError
from .numbers import DecimalNumber, WholeNumber
from .output import columns, emit, json_option, note

_COUNT = WholeNumber(1, 64)


@click.command(epilog="Example: supervm up --payments examples/payments.csv --exit-when-done --json")
@click.option("--l1", type=_COUNT, help="Validators [default: 4].")
@click.option("--l2", type=_COUNT, help="Miners [default: 1].")
@click.option("--l3", type=_COUNT, help="Edges [default: 1].")
@click.option("--l4", type=_COUNT, help="Phones [default: 2].")
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the network; kept, and taken up again by the next run. Default: temporary.",
)
@click.option(
    "--payments",
    type=click.Path(dir_okay=False, path_type=Path),
    help="CSV with the header from,to,amount,fee. Default: a built-in set.",
)
@click.option(
    "--send-new",
    is_flag=True,
    help="With --dir: send the rows that are new although others, sent before, are gone from the file.",
)
@click.option("--exit-when-done", is_flag=True, help="Stop once every payment has its fate.")
@click.option("--timeout", "timeout_s", type=DecimalNumber(min=1), help="Seconds after which to stop in any case.")
@json_option
def up(
    l1: int | None,
    l2: int | None,
    l3: int | None,
    l4: int | None,
    directory: Path | None,
    payments: Path | None,
    send_new: bool,
    exit_when_done: bool,
    timeout_s: float | None,
    as_json: bool,
) -> None:
    """Run a whole network on this machine: one process per node, real sockets, real databases.

    Sends a file of payments through it and shows each one reaching a state that a phone has proved for itself.
    Exits with 0 when every payment is proved (R4) or refused with a reason, else with 1.
    """
    from ..up.layout import Counts
    from ..up.session import UpOptions, run_up

    counts = None
    if any(count is not None for count in (l1, l2, l3, l4)):
        standard = Counts()
        counts = Counts(l1 or standard.l1, l2 or standard.l2, l3 or standard.l3, l4 or standard.l4)
    try:
        document, ok = run_up(
            UpOptions(counts, directory, payments, exit_when_done, timeout_s, quiet=False, send_new=send_new)
        )
    except InputError:
        raise
    except CommonError as error:  # the input was right, the network did not do what was asked
        note(f"supervm: {error}")
        raise click.exceptions.Exit(1) from None
    emit(document, as_json=as_json, lines=_summary(document))
    if not ok:
        for text in document.get("problems", ()):
            note(f"supervm: {text}")
        raise click.exceptions.Exit(1)


def _summary(document: dict[str, Any]) -> list[str]:
    payments = document["payments"]
    lines = []
    shown = payments if len(payments) <= 50 else payments[:20]
    if shown:
        rows = [("from", "to", "amount", "fee", "status", "proved", "ms to R4", "reason")]
        for item in shown:
            latency = item["latency_ms"]["r4"]
            rows.append(
                (
                    item["from"],
                    item["to"],
                    str(item["amount"]),
                    str(item["fee"]),
                    item["status"],
                    "yes" if item["proof_verified"] else "no",
                    "" if latency is None else f"{latency:.0f}",
                    item["reason"] or "",
                )
            )
        lines += columns(rows, right=(2, 3, 6))
        if len(shown) < len(payments):
            lines.append(f"... and {len(payments) - len(shown)} more (--json prints all)")
        lines.append("")
    proved = sorted(item["latency_ms"]["r4"] for item in payments if item["latency_ms"]["r4"] is not None)
    done = sum(item["status"] == "R4" for item in payments)
    refused = sum(item["status"] == "refused" for item in payments)
    lines.append(
        f"{len(payments)} payments: {done} proved, {refused} refused, {len(payments) - done - refused} neither"
    )
    if proved:
        lines.append(f"time to proof: median {proved[len(proved) // 2]:.0f} ms, slowest {proved[-1]:.0f} ms")
    names = list(document["balances"].items())
    lines.append(
        "balances (each proved): "
        + ", ".join(f"{name} {grain}" for name, grain in names[:12])
        + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    )
    fees, checkpoint = document["fees"], document["checkpoint"]
    lines.append(f"fees: L1 {fees['l1']} + L2 {fees['l2']} + L3 {fees['l3']} + L4 {fees['l4']} = {fees['total']} grain")
    lines.append(
        f"checkpoint {checkpoint['height']}, signed by {checkpoint['signers']} of {document['network']['l1']}, "
        f"state root {checkpoint['state_root'][:16]}..., supply {document['supply']} grain"
    )
    return lines
