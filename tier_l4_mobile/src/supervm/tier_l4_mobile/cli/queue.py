"""``supervm queue``: the payments on their way (surface.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from supervm.common.cli.numbers import WholeNumber
from supervm.common.cli.output import columns, emit, json_option

from ..messages import ROWS_MAX, Cancel, Flush, Info, MobileRequest, QueueList
from ..wallet.payments import FATES, PROGRESS, QUEUED
from .access import (
    Ask,
    NoOwner,
    RequestRefused,
    ask_offline,
    ask_owner,
    directory_option,
    passphrase_option,
    pause,
    run_owner,
)


class ListGroup(click.Group):
    """A group whose options are its sub-commands' too, with ``list`` where none is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read ``--dir DIR`` before or after the sub-command's name, as surface.md writes it before."""
        moved: list[str] = []
        while args and args[0].startswith("--") and args[0] not in ("--help",):
            name = args.pop(0)
            moved.append(name)
            if "=" not in name and name != "--json" and args:
                moved.append(args.pop(0))
        if not args or args[0] not in (*self.commands, "--help", "-h"):
            args = ["list", *args] if moved or args else args
        return super().parse_args(ctx, [*args[:1], *moved, *args[1:]])


@click.group(cls=ListGroup, epilog="Example: supervm queue --dir phone list --status queued --json")
def queue() -> None:
    """List, flush or cancel payments; without a sub-command: list."""


@queue.command("list", epilog="Example: supervm queue --dir phone list --limit 20")
@directory_option
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice((*PROGRESS, *FATES)),
    help="Only this status; may be given several times.",
)
@click.option("--from", "source", default="", help="Only this account: an address or a name.")
@click.option("--limit", type=WholeNumber(1, ROWS_MAX), default=100, show_default=True, help="Only the newest.")
@passphrase_option
@json_option
def list_(
    directory: Path, statuses: tuple[str, ...], source: str, limit: int, passphrase_file: Path | None, as_json: bool
) -> None:
    """List payments, newest last."""
    answer = _ask(directory, QueueList(statuses, source, limit), passphrase_file)
    rows = [
        (
            payment["id"],
            payment["status"],
            str(payment["amount"]),
            payment["asset"] or "",
            str(payment["fee"]),
            payment["fee_asset"],
            payment["to"] if payment["kind"] == "transfer" else payment["kind"],
            payment["reason"] or "",
        )
        for payment in answer["payments"]
    ]
    emit(answer, as_json=as_json, lines=[*columns(rows, right=(2, 4)), f"{len(rows)} of {answer['total']} payments"])


@queue.command(epilog="Example: supervm queue --dir phone flush")
@directory_option
@click.option(
    "--timeout",
    type=WholeNumber(1, 3600),
    default=10,
    show_default=True,
    help="Seconds to wait for an edge where no node runs.",
)
@passphrase_option
@json_option
def flush(directory: Path, timeout: int, passphrase_file: Path | None, as_json: bool) -> int:
    """Release what waits and submit everything unfinished again; exit status 1 when no edge took it."""
    try:
        answer = ask_owner(directory, Flush())
    except NoOwner:
        answer = _flush_as_owner(directory, passphrase_file, timeout)
    line = f"{answer['submitted']} of {answer['open']} open payments were submitted"
    emit(answer, as_json=as_json, lines=[line if answer["edge"] else f"no edge is connected; {line}"])
    return 0 if answer["edge"] or not answer["open"] else 1


@queue.command(epilog="Example: supervm queue --dir phone cancel 3f0c...")
@directory_option
@click.argument("identity", metavar="ID")
@passphrase_option
@json_option
def cancel(directory: Path, identity: str, passphrase_file: Path | None, as_json: bool) -> int:
    """Cancel the payment ID, which must never have been released; exit status 1 when that is too late."""
    try:
        shown = _ask(directory, Cancel(identity), passphrase_file)
    except RequestRefused as error:
        emit({"id": identity, "status": None, "reason": str(error)}, as_json=as_json, lines=[str(error)])
        return 1
    emit(
        {"id": shown["id"], "status": shown["status"], "reason": shown["reason"]},
        as_json=as_json,
        lines=[f"{shown['status']}: {shown['id']}"],
    )
    return 0


def _ask(directory: Path, request: MobileRequest, passphrase_file: Path | None) -> Any:
    try:
        return ask_owner(directory, request)
    except NoOwner:
        return ask_offline(directory, request, passphrase_file)


def _flush_as_owner(directory: Path, passphrase_file: Path | None, timeout_s: int) -> Any:
    answer: dict[str, Any] = {"submitted": 0, "open": 0, "edge": None}

    async def work(ask: Ask) -> bool:
        answer.update(await ask(Flush()))
        while answer["open"] and not answer["edge"]:
            await pause()
            answer["edge"] = (await ask(Info()))["edge"]
        while answer["open"] and (await ask(QueueList((QUEUED,), limit=1)))["total"]:
            await pause()
        return True

    run_owner(directory, work, passphrase_file, timeout_s=timeout_s)
    if answer["edge"]:
        answer["submitted"] = answer["open"]
    return answer
