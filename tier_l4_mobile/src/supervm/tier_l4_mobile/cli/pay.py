"""``supervm pay``: one payment, through the node that runs in the folder or by becoming its owner."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import click

from supervm.common.cli.numbers import WholeNumber
from supervm.common.cli.output import emit, json_option
from supervm.protocol.base.address import decode_address

from ..messages import Pay, PaymentRow, ShowPayment
from ..wallet.payments import CANCELLED, EXPIRED, PROGRESS, QUEUED, REFUSED
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


@click.command(epilog="Example: supervm pay --dir phone --to svm1... --amount 1000 --fee 10")
@directory_option
@click.option("--to", required=True, help="Address of the receiver.")
@click.option("--amount", type=WholeNumber(1, 2**63 - 1), required=True, help="Grain to pay.")
@click.option("--fee", type=WholeNumber(1, 2**63 - 1), required=True, help="Grain for the network.")
@click.option("--from", "source", default="", help="Address or name of the paying account [default: account 0].")
@click.option("--validity", type=WholeNumber(5, 7 * 86_400), help="Seconds it may take [default: as configured].")
@click.option("--offline", is_flag=True, help="Only queue it; a running node keeps it until `supervm queue flush`.")
@click.option(
    "--timeout",
    type=WholeNumber(1, 3600),
    default=10,
    show_default=True,
    help="Seconds to wait for an edge where no node runs.",
)
@passphrase_option
@json_option
def pay(
    directory: Path,
    to: str,
    amount: int,
    fee: int,
    source: str,
    validity: int | None,
    offline: bool,
    timeout: int,
    passphrase_file: Path | None,
    as_json: bool,
) -> int:
    """Pay AMOUNT grain; it is on disk before it leaves, and its status is followed with `supervm queue list`.

    Exit status 1 and the reason when the wallet refuses it, for example because the proved balance is too small.
    """
    decode_address(to)
    # The key makes it one payment even if the node takes it and ends before it has answered.
    row = PaymentRow(
        to=to,
        amount=amount,
        fee=fee,
        source=source,
        key=f"pay:{secrets.token_hex(16)}",
        validity_ms=validity and validity * 1000,
    )
    try:
        try:
            shown = ask_owner(directory, Pay(row, offline))
        except NoOwner:
            if offline:
                shown = ask_offline(directory, Pay(row), passphrase_file)
            else:
                shown = _pay_as_owner(directory, row, passphrase_file, timeout)
    except RequestRefused as error:
        document = {"id": None, "status": REFUSED, "reason": str(error)}
        emit(document, as_json=as_json, lines=[f"refused: {error}"])
        return 1
    document = {"id": shown["id"], "status": shown["status"], "reason": shown["reason"]}
    line = f"{shown['status']}: {shown['id']}" + (f" ({shown['reason']})" if shown["reason"] else "")
    emit(document, as_json=as_json, lines=[line])
    return 1 if shown["status"] in (REFUSED, EXPIRED, CANCELLED) else 0


def _pay_as_owner(directory: Path, row: PaymentRow, passphrase_file: Path | None, timeout_s: int) -> Any:
    queued: list[Any] = []

    async def work(ask: Ask) -> Any:
        shown = await ask(Pay(row))
        queued.append(shown)
        while PROGRESS.get(shown["status"]) == PROGRESS[QUEUED]:
            await pause()
            shown = await ask(ShowPayment(f"row-{shown['number']}"))
            queued[0] = shown
        return shown

    shown = run_owner(directory, work, passphrase_file, timeout_s=timeout_s)
    if shown is None and not queued:  # the disk took longer than the time-out; the key makes this the same payment
        shown = ask_offline(directory, Pay(row), passphrase_file)
    return shown or queued[0]
