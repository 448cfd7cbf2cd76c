"""``supervm handover``: payments that go from phone to phone, as files or as pictures (transactions.md 8)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

import click

from supervm.common.cli.numbers import WholeNumber
from supervm.common.cli.output import columns, emit, json_option
from supervm.common.errors import InputError
from supervm.protocol.state.leaves import read_asset

from ..errors import MobileError
from ..messages import (
    CONTAINER_BYTES_MAX,
    ROWS_MAX,
    HandoverDrop,
    HandoverExport,
    HandoverList,
    HandoverTake,
    MobileRequest,
)
from ..wallet.payments import in_words
from .access import NoOwner, RequestRefused, ask_offline, ask_owner, directory_option, passphrase_option
from .queue import ListGroup

FRAMES_PERCENT: Final = 160
"""How many pictures are written, in percent of the blocks: enough where a third of them is lost."""
FRAMES_MORE: Final = 8
"""And so many more."""
PICTURES_MAX: Final = 10_000
"""Most pictures that are read from a folder."""


@click.group(cls=ListGroup, epilog="Example: supervm handover --dir phone list")
def handover() -> None:
    """Give payments to another phone, take some from one, or list them; without a sub-command: list."""


@handover.command("list", epilog="Example: supervm handover --dir phone list --json")
@directory_option
@click.option("--limit", type=WholeNumber(1, ROWS_MAX), default=100, show_default=True, help="Only the newest.")
@passphrase_option
@json_option
def list_(directory: Path, limit: int, passphrase_file: Path | None, as_json: bool) -> None:
    """List own payments that were handed over, and those of others that were taken."""
    answer = _ask(directory, HandoverList(limit), passphrase_file)
    emit(
        answer,
        as_json=as_json,
        lines=[
            *columns([_given(payment) for payment in answer["given"]], right=(2,)),
            *columns([_taken(promise) for promise in answer["taken"]], right=(2,)),
            f"{len(answer['given'])} handed over, {len(answer['taken'])} taken",
        ],
    )


@handover.command(epilog="Example: supervm handover --dir phone export 3f0c... --file payment.svmh")
@directory_option
@click.argument("identities", metavar="ID...", nargs=-1, required=True)
@click.option("--file", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write the hand-over here.")
@click.option(
    "--qr", "pictures", type=click.Path(file_okay=False, path_type=Path), help="Write PNG files of QR codes here."
)
@passphrase_option
@json_option
def export(
    directory: Path,
    identities: tuple[str, ...],
    file: Path | None,
    pictures: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> int:
    """Hand over the payments ID: own ones for another phone to bring, or the proofs of those that this phone brought.

    An own payment is released by this and cannot be cancelled any more. It is settled when its proof is here: brought
    back by the other phone, or by an edge.

    Exit status 1 and the reason when one of them cannot be handed over now.
    """
    if file is None and pictures is None:
        raise InputError("nowhere to write to: --file FILE or --qr DIR, or both, are needed")
    if pictures is not None:
        _check_pictures(pictures)
    try:
        answer = _ask(directory, HandoverExport(identities), passphrase_file)
    except RequestRefused as error:
        emit({"bytes": None, "reason": str(error)}, as_json=as_json, lines=[str(error)])
        return 1
    container = bytes.fromhex(answer.pop("container_hex"))
    written: list[str] = []
    if file is not None:
        _write(file, container)
        written.append(str(file))
    if pictures is not None:
        written += _write_pictures(pictures, container)
    document = answer | {"reason": None, "files": written}
    count = len(answer["payments"]), len(answer["promises"])
    what = f"{count[0]} own payments and {count[1]} of others in {len(container)} bytes"
    emit(document, as_json=as_json, lines=[what, *written])
    return 0


@handover.command(epilog="Example: supervm handover --dir phone take --file payment.svmh")
@directory_option
@click.option("--file", "file", type=click.Path(dir_okay=False, path_type=Path), help="The hand-over.")
@click.option(
    "--qr", "pictures", type=click.Path(file_okay=False, path_type=Path), help="Folder with pictures of its QR codes."
)
@passphrase_option
@json_option
def take(directory: Path, file: Path | None, pictures: Path | None, passphrase_file: Path | None, as_json: bool) -> int:
    """Take what another phone handed over: payments to bring to an edge, or proofs of own payments.

    A payment that was taken is promised, not settled, until it is proved. Exit status 1 and the reason when the
    hand-over is forged, damaged or of another network, or when nothing in it could be used.
    """
    if (file is None) == (pictures is None):
        raise InputError("one of --file FILE and --qr DIR is needed")
    container = _read(file, CONTAINER_BYTES_MAX) if file is not None else _read_pictures(_folder(pictures))
    try:
        answer = _ask(directory, HandoverTake(container.hex()), passphrase_file)
    except RequestRefused as error:
        emit({"promises": [], "payments": [], "notes": [str(error)]}, as_json=as_json, lines=[str(error)])
        return 1
    emit(
        answer,
        as_json=as_json,
        lines=[
            *(_in_words(promise) for promise in answer["promises"]),
            *(f"own payment {payment['id']} is {payment['status']}" for payment in answer["payments"]),
            *answer["notes"],
        ],
    )
    return 0 if answer["promises"] or answer["payments"] or not answer["notes"] else 1


@handover.command(epilog="Example: supervm handover --dir phone drop 3f0c...")
@directory_option
@click.argument("identity", metavar="ID")
@passphrase_option
@json_option
def drop(directory: Path, identity: str, passphrase_file: Path | None, as_json: bool) -> int:
    """Forget the payment ID of somebody else; what was submitted already may be executed all the same."""
    try:
        answer = _ask(directory, HandoverDrop(identity), passphrase_file)
    except RequestRefused as error:
        emit({"id": identity, "status": None, "reason": str(error)}, as_json=as_json, lines=[str(error)])
        return 1
    emit(answer, as_json=as_json, lines=[f"forgotten: {answer['id']}, which was {answer['status']}"])
    return 0


def _ask(directory: Path, request: MobileRequest, passphrase_file: Path | None) -> Any:
    try:
        return ask_owner(directory, request)
    except NoOwner:
        return ask_offline(directory, request, passphrase_file)


# --- words ------------------------------------------------------------------------------------------------------------


def _given(payment: dict[str, Any]) -> tuple[str, ...]:
    amount, asset = str(payment["amount"]), payment["asset"] or ""
    return ("given", payment["id"], amount, asset, payment["status"], payment["reason"] or "")


def _taken(promise: dict[str, Any]) -> tuple[str, ...]:
    return ("taken", promise["id"], str(promise["amount"]), promise["asset"], promise["status"], _how(promise))


def _in_words(promise: dict[str, Any]) -> str:
    amount = in_words(promise["amount"], read_asset(promise["asset"]))
    return f"{promise['id']}: {amount} from {promise['from']}: {promise['status']}, {_how(promise)}"


def _how(promise: dict[str, Any]) -> str:
    """Say what is certain of a payment of somebody else."""
    if promise["settled"]:
        return f"settled at height {promise['height']}" + (
            ", before it was handed over" if promise["was_settled_before"] else ""
        )
    if promise["reason"]:
        return str(promise["reason"])
    if promise["covered"]:
        return f"not settled; the balance proved at height {promise['balance_height']} covers it"
    return "not settled; that its payer can pay is not proved here"


# --- files ------------------------------------------------------------------------------------------------------------


def _folder(path: Path | None) -> Path:
    assert path is not None
    return path


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise InputError(f"{path}: it cannot be written: {error.strerror}") from error


def _read(path: Path, bytes_max: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(bytes_max + 1)
    except OSError as error:
        raise InputError(f"{path}: it cannot be read: {error.strerror}") from error
    if len(data) > bytes_max:
        raise InputError(f"{path}: it has more than {bytes_max} bytes, which are the most that are allowed")
    return data


def _check_pictures(folder: Path) -> None:
    """Find out what would fail before a payment is released for it."""
    from ..handover.qr import png_of

    try:
        png_of(b"SV")
        folder.mkdir(parents=True, exist_ok=True)
    except MobileError as error:
        raise InputError(str(error)) from None
    except OSError as error:
        raise InputError(f"{folder}: the folder cannot be made: {error.strerror}") from error


def _write_pictures(folder: Path, container: bytes) -> list[str]:
    from ..handover.frames import frame_count, frames_of
    from ..handover.qr import png_of

    blocks = frame_count(len(container))
    count = blocks * FRAMES_PERCENT // 100 + FRAMES_MORE
    paths = [folder / f"frame-{number:05}.png" for number in range(count)]
    for path, frame in zip(paths, islice(frames_of(container), count), strict=True):
        _write(path, png_of(frame))
    return [str(path) for path in paths]


def _read_pictures(folder: Path) -> bytes:
    from ..handover.frames import FrameReader

    reader = FrameReader()
    faults: list[str] = []
    for frame in _frames(_pictures(folder)):
        try:
            if reader.take(frame):
                assert reader.container is not None
                return reader.container
        except MobileError as error:
            faults.append(str(error))
    have, need = reader.progress
    missing = f"{need - have} more of {need} are needed" if need else "no frame of a hand-over is in them"
    raise InputError(f"{folder}: the pictures are not enough: {missing}" + (f"; {faults[-1]}" if faults else ""))


def _pictures(folder: Path) -> Sequence[Path]:
    try:
        found = sorted(path for path in folder.iterdir() if path.is_file())
    except OSError as error:
        raise InputError(f"{folder}: the folder cannot be read: {error.strerror}") from error
    return found[:PICTURES_MAX]


def _frames(paths: Sequence[Path]) -> Iterator[bytes]:
    """Yield what the codes in pictures say; a file that is no picture is one that was lost."""
    from ..handover.qr import PICTURE_BYTES_MAX, PictureError, codes_in, needs

    try:
        needs()
    except PictureError as error:
        raise InputError(str(error)) from None
    for path in paths:
        try:
            yield from codes_in(_read(path, PICTURE_BYTES_MAX))
        except PictureError:
            continue
