"""``supervm balance``: a balance that this device has checked itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from supervm.common.cli.numbers import WholeNumber
from supervm.common.cli.output import emit, json_option
from supervm.common.errors import InputError
from supervm.protocol.base.address import decode_address
from supervm.protocol.state.leaves import NATIVE_NAME, read_asset

from ..config import mobile_options
from ..messages import ALL_ASSETS, Balance
from ..wallet.payments import in_words
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
    "--asset",
    help="Only this asset: svm, or the 64 hex digits of its id [default: svm and everything else that is held].",
)
@click.option(
    "--answer",
    "answer_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write the proof, for `supervm verify`; of one asset [default: svm].",
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
    directory: Path,
    address: str,
    asset: str | None,
    answer_file: Path | None,
    timeout: int,
    passphrase_file: Path | None,
    as_json: bool,
) -> int:
    """Show what ADDRESS (default: the wallet's account 0) has, with the height and age of the proof.

    Every asset that is shown is proved; that there are no others nothing proves. Ask for one with --asset to have it
    proved, or proved to be absent.

    Exit status 1 when it could not be proved now; what is shown then is the last proof, if there is one.
    """
    if address and address not in mobile_options(config_of(directory)).names:
        decode_address(address)
    if asset is None:
        asset = ALL_ASSETS if answer_file is None else NATIVE_NAME
    elif answer_file is not None or asset != ALL_ASSETS:
        read_asset(asset)
    request = Balance(address, answer_file is not None, asset)
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
        _write(answer_file, bytes.fromhex(answer_hex))
    emit(value, as_json=as_json, lines=_lines(value))
    return 0 if value["proof_verified"] else 1


def _write(path: Path, answer: bytes) -> None:
    try:
        path.write_bytes(answer)
    except OSError as error:
        raise InputError(f"{path}: the answer cannot be written: {error.strerror}") from error


def _lines(value: dict[str, Any]) -> list[str]:
    if value["balance"] is None:
        line = f"no proof: {value['reason']}"
    else:
        proved = "proved" if value["proof_verified"] else "NOT proved now"
        age = "dated ahead of this machine's clock" if value["age_s"] is None else f"{value['age_s']:.1f} s old"
        line = f"{in_words(value['balance'], read_asset(value['asset']))}, {proved} at height {value['height']}, {age}"
        if value["reason"]:
            line += f" ({value['reason']})"
    held = value.get("holdings") or ()
    amounts = [(in_words(item["balance"], read_asset(item["asset"])), item["height"]) for item in held]
    return [line, *(f"{amount}, proved at height {height}" for amount, height in amounts)]


def _as_owner(directory: Path, request: Balance, passphrase_file: Path | None, timeout_s: int) -> Any:
    async def work(ask: Ask) -> Any:
        await connected(ask)
        return await ask(request)

    return run_owner(directory, work, passphrase_file, timeout_s=timeout_s) or ask_offline(
        directory, request, passphrase_file
    )
