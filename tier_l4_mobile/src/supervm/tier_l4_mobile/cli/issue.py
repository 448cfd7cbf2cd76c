"""``supervm issue``: a new asset, through the node that runs in the folder or by becoming its owner."""

from __future__ import annotations

import secrets
from pathlib import Path

import click

from supervm.common.cli.numbers import WholeNumber
from supervm.common.cli.output import emit, json_option
from supervm.protocol.state.leaves import NATIVE_NAME, read_asset

from ..messages import Issue, IssueRow
from ..wallet.payments import REFUSED
from .access import RequestRefused, directory_option, passphrase_option
from .pay import OVER, queue_one


@click.command(epilog="Example: supervm issue --dir phone --supply 1000000 --fee 10 --name gold")
@directory_option
@click.option(
    "--supply", type=WholeNumber(1, 2**63 - 1), required=True, help="All there will ever be, in its smallest unit."
)
@click.option("--fee", type=WholeNumber(1, 2**63 - 1), required=True, help="For the network.")
@click.option("--fee-asset", default=NATIVE_NAME, show_default=True, help="What the fee is paid in.")
@click.option("--name", default="", help="What people are to call it; a note of at most 256 bytes that no rule reads.")
@click.option("--from", "source", default="", help="Address or name of the issuing account [default: account 0].")
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
def issue(
    directory: Path,
    supply: int,
    fee: int,
    fee_asset: str,
    name: str,
    source: str,
    validity: int | None,
    offline: bool,
    timeout: int,
    passphrase_file: Path | None,
    as_json: bool,
) -> int:
    """Issue a new asset, all of it to the issuing account, and show its id.

    The id is that of the transaction. While that has not left this device it may have to be signed again, for example
    because a payment before it was cancelled, and then the asset has another id: see `supervm queue list`.

    Exit status 1 and the reason when the wallet refuses it.
    """
    read_asset(fee_asset)
    # The key makes it one asset even if the node takes it and ends before it has answered.
    row = IssueRow(
        supply=supply,
        fee=fee,
        fee_asset=fee_asset,
        source=source,
        key=f"issue:{secrets.token_hex(16)}",
        validity_ms=validity and validity * 1000,
        payload_hex=name.encode(errors="replace").hex(),
    )
    try:
        shown = queue_one(directory, Issue(row, offline), passphrase_file, timeout)
    except RequestRefused as error:
        document = {"id": None, "asset": None, "supply": supply, "status": REFUSED, "reason": str(error)}
        emit(document, as_json=as_json, lines=[f"refused: {error}"])
        return 1
    document = {
        "id": shown["id"],
        "asset": shown["asset"],
        "supply": shown["amount"],
        "status": shown["status"],
        "reason": shown["reason"],
    }
    line = f"{shown['status']}: asset {shown['asset'] or 'without an id until it can be signed, ' + shown['id']}"
    emit(document, as_json=as_json, lines=[line + (f" ({shown['reason']})" if shown["reason"] else "")])
    return 1 if shown["status"] in OVER else 0
