"""``supervm pay``: one payment, through the node that runs in the folder or by becoming its owner."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import click
from msgspec.structs import replace

from supervm.common.cli.numbers import WholeNumber
from supervm.common.cli.output import emit, json_option
from supervm.protocol.base.address import decode_address
from supervm.protocol.state.leaves import NATIVE_NAME, read_asset

from ..messages import Issue, Pay, PaymentRow, ShowPayment
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

OVER = (REFUSED, EXPIRED, CANCELLED)
"""Statuses of what comes to nothing."""


@click.command(epilog="Example: supervm pay --dir phone --to svm1... --amount 1000 --fee 10")
@directory_option
@click.option("--to", required=True, help="Address of the receiver.")
@click.option(
    "--amount", type=WholeNumber(1, 2**63 - 1), required=True, help="How much to pay; grain if the asset is svm."
)
@click.option("--asset", default=NATIVE_NAME, show_default=True, help="What to pay: svm, or an asset's 64 hex digits.")
@click.option("--fee", type=WholeNumber(1, 2**63 - 1), required=True, help="For the network, on top of the amount.")
@click.option("--fee-asset", default=NATIVE_NAME, show_default=True, help="What the fee is paid in.")
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
    asset: str,
    fee: int,
    fee_asset: str,
    source: str,
    validity: int | None,
    offline: bool,
    timeout: int,
    passphrase_file: Path | None,
    as_json: bool,
) -> int:
    """Pay AMOUNT; it is on disk before it leaves, and its status is followed with `supervm queue list`.

    Exit status 1 and the reason when the wallet refuses it, for example because the proved balance is too small, or the
    edge does not take the fee.
    """
    decode_address(to)
    read_asset(asset), read_asset(fee_asset)
    # The key makes it one payment even if the node takes it and ends before it has answered.
    row = PaymentRow(
        to=to,
        amount=amount,
        fee=fee,
        asset=asset,
        fee_asset=fee_asset,
        source=source,
        key=f"pay:{secrets.token_hex(16)}",
        validity_ms=validity and validity * 1000,
    )
    try:
        shown = queue_one(directory, Pay(row, offline), passphrase_file, timeout)
    except RequestRefused as error:
        document = {"id": None, "status": REFUSED, "reason": str(error)}
        emit(document, as_json=as_json, lines=[f"refused: {error}"])
        return 1
    document = {"id": shown["id"], "status": shown["status"], "reason": shown["reason"]}
    line = f"{shown['status']}: {shown['id']}" + (f" ({shown['reason']})" if shown["reason"] else "")
    emit(document, as_json=as_json, lines=[line])
    return 1 if shown["status"] in OVER else 0


def queue_one(directory: Path, request: Pay | Issue, passphrase_file: Path | None, timeout_s: int) -> Any:
    """Give one payment or issue to the node in the folder, or become its owner; return how it stands then.

    Raises:
        RequestRefused: the wallet says what is wrong with it.
    """
    try:
        return ask_owner(directory, request)
    except NoOwner:
        own = replace(request, offline=False)  # only a running node keeps a payment
        if request.offline:
            return ask_offline(directory, own, passphrase_file)
        return _pay_as_owner(directory, own, passphrase_file, timeout_s)


def _pay_as_owner(directory: Path, request: Pay | Issue, passphrase_file: Path | None, timeout_s: int) -> Any:
    queued: list[Any] = []

    async def work(ask: Ask) -> Any:
        shown = await ask(request)
        queued.append(shown)
        while PROGRESS.get(shown["status"]) == PROGRESS[QUEUED]:
            await pause()
            shown = await ask(ShowPayment(f"row-{shown['number']}"))
            queued[0] = shown
        return shown

    shown = run_owner(directory, work, passphrase_file, timeout_s=timeout_s)
    if shown is None and not queued:  # the disk took longer than the time-out; the key makes this the same payment
        shown = ask_offline(directory, request, passphrase_file)
    return shown or queued[0]
