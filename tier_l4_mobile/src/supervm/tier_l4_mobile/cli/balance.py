"""``supervm balance``: a balance that this device has checked itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from supervm.common.cli.numbers import WholeNumber
from supervm.common.cli.output import emit, json_option
from supervm.common.errors import InputError
from supervm.protocol.base.address import decode_address

from ..config import mobile_options
from ..messages import Balance
from .access import (
    Ask,
    NoOwner,
    RequestRefused,
    ask_offline,
    ask_owner,
    config_of,
    connected,
    directory_option,
    passphrase_option,
    run_owner,
)


@click.command(epilog="Example: supervm balance --dir phone svm1... --answer bob.answer --json")
@directory_option
@click.argument("address", default="")
@click.option(
    "--answer",
    "answer_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write the proof, for `supervm verify`.",
)
@click.option(
    "--timeout",
    type=WholeNumber(1, 3600),
    default=10,
    show_default=True,
    help="Seconds to wait for an edge where no node runs.",
)
@passphrase_option
@json_option
def balance(
    directory: Path, address: str, answer_file: Path | None, timeout: int, passphrase_file: Path | None, as_json: bool
) -> int:
    """Show the balance of ADDRESS (default: the wallet's account 0) with its height and age.

    Exit status 1 when it could not be proved now; what is shown then is the last proof, if there is one.
    """
    if address and address not in mobile_options(config_of(directory)).names:
        decode_address(address)
    request = Balance(address, answer_file is not None)
    try:
        try:
            value = ask_owner(directory, request)
        except NoOwner:
            value = _as_owner(directory, request, passphrase_file, timeout)
    except RequestRefused as error:
        emit(
            {"balance": None, "height": None, "age_s": None, "proof_verified": False, "reason": str(error)},
            as_json=as_json,
            lines=[str(error)],
        )
        return 1
    answer_hex = value.pop("answer_hex", None)
    if answer_file is not None and answer_hex is not None:
        try:
            answer_file.write_bytes(bytes.fromhex(answer_hex))
        except OSError as error:
            raise InputError(f"{answer_file}: the answer cannot be written: {error.strerror}") from error
    if value["balance"] is None:
        line = f"no proof: {value['reason']}"
    else:
        proved = "proved" if value["proof_verified"] else "NOT proved now"
        age = "dated ahead of this machine's clock" if value["age_s"] is None else f"{value['age_s']:.1f} s old"
        line = f"{value['balance']} grain, {proved} at height {value['height']}, {age}"
        if value["reason"]:
            line += f" ({value['reason']})"
    emit(value, as_json=as_json, lines=[line])
    return 0 if value["proof_verified"] else 1


def _as_owner(directory: Path, request: Balance, passphrase_file: Path | None, timeout_s: int) -> Any:
    async def work(ask: Ask) -> Any:
        await connected(ask)
        return await ask(request)

    return run_owner(directory, work, passphrase_file, timeout_s=timeout_s) or ask_offline(
        directory, request, passphrase_file
    )
