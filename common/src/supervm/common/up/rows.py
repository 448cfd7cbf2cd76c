"""The payments file of `supervm up`: a CSV with the header ``from,to,amount,fee[,asset,fee_asset]`` (surface.md).

The last two columns may be left out: then everything is in the native asset. An asset is ``svm`` or empty for the
native one, 64 hexadecimal digits for one that was issued, or a name: a new network begins with an asset for each name.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from supervm.common.errors import InputError
from supervm.common.text.options import whole_number
from supervm.common.text.quoting import quoted
from supervm.common.text.textfile import decode_text
from supervm.protocol.base.codec import INT_MAX
from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.state.leaves import NATIVE_NAME, read_asset, write_asset

HEADER = ["from", "to", "amount", "fee"]
ASSET_HEADER = ["asset", "fee_asset"]
NAME_CHARS_MAX = 64
ASSET_CHARS_MAX = 32
RESERVED_PREFIX = "_"
"""Names that begin so belong to the network itself: the reserve and the payout accounts."""


@dataclass(frozen=True, slots=True)
class Row:
    """One payment: names of wallets and assets, whole numbers; `number` counts the file's rows from 1."""

    number: int
    source: str
    to: str
    amount: int
    fee: int
    asset: str = NATIVE_NAME
    fee_asset: str = NATIVE_NAME


@dataclass(frozen=True, slots=True)
class PaymentsFile:
    """Rows with the hash of the file they stand in: (hash, row number) names a payment for good."""

    rows: tuple[Row, ...]
    digest: str

    @property
    def names(self) -> list[str]:
        """Every name, in the order of first use."""
        return list(dict.fromkeys(name for row in self.rows for name in (row.source, row.to)))

    @property
    def assets(self) -> list[str]:
        """Every asset but the native one, by name or id, in the order of first use."""
        used = dict.fromkeys(asset for row in self.rows for asset in (row.asset, row.fee_asset))
        return [asset for asset in used if asset != NATIVE_NAME]


BUILT_IN = """from,to,amount,fee
alice,bob,2500000000,1000
bob,carol,1000000000,1000
carol,dave,750000000,2000
dave,alice,125000000,1000
alice,carol,300000000,1500
erin,alice,4200000000,1000
bob,erin,60000000,1000
carol,alice,1,1
dave,erin,99000000,3000
erin,bob,10000000,1000
"""
"""What `supervm up` sends when it is given no file."""


def read_payments(path: Path | None) -> PaymentsFile:
    """Read and check a payments file, or the built-in set.

    Raises:
        InputError: unreadable, or a line that is not a payment; file, line and what is allowed are named.
    """
    if path is None:
        return parse_payments(BUILT_IN.encode(), "the built-in payments")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    return parse_payments(data, str(path))


def parse_payments(data: bytes, name: str) -> PaymentsFile:
    """Read payments from the bytes of a CSV file; `name` is for messages.

    Raises:
        InputError: as `read_payments`.
    """
    lines = _lines(decode_text(data, name), name)
    _, header = next(lines, (1, None))
    columns = [cell.strip() for cell in header or []]
    if columns not in (HEADER, HEADER + ASSET_HEADER):
        found = quoted(",".join(header or []))
        raise InputError(
            f"{name}, line 1: the header is {found}; it must be {','.join(HEADER)!r}, or that with "
            f"{','.join(ASSET_HEADER)!r} after it"
        )
    rows: list[Row] = []
    for number, cells in lines:
        where = f"{name}, line {number}"
        if not cells:
            continue
        if len(cells) != len(columns):
            raise InputError(f"{where}: {len(cells)} columns; {','.join(columns)} are required")
        source, to = (_name(cell.strip(), where) for cell in cells[:2])
        amount, fee = (_grain(cell.strip(), column, where) for cell, column in zip(cells[2:4], HEADER[2:], strict=True))
        assets = [_asset(cell.strip(), where) for cell in cells[4:]]
        rows.append(Row(len(rows) + 1, source, to, amount, fee, *assets))
    if not rows:
        raise InputError(f"{name}: there are no payments in it")
    return PaymentsFile(tuple(rows), hashlib.blake2b(data, digest_size=16).hexdigest())


def _lines(text: str, name: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(text.splitlines())
    try:
        for cells in reader:
            yield reader.line_num, cells
    except csv.Error as error:
        raise InputError(f"{name}, line {reader.line_num}: this is not a line of a CSV file: {error}") from None


def _name(text: str, where: str) -> str:
    if not 0 < len(text) <= NAME_CHARS_MAX or not text.isprintable() or text.startswith(RESERVED_PREFIX):
        raise InputError(
            f"{where}: {quoted(text)} is no name; 1 to {NAME_CHARS_MAX} printable characters, not starting with "
            f"{RESERVED_PREFIX!r}, are allowed"
        )
    return text


def _grain(text: str, column: str, where: str) -> int:
    value = whole_number(text)
    if value is None or not 1 <= value <= INT_MAX:
        raise InputError(f"{where}: {column} is {quoted(text)}; a whole number from 1 to {INT_MAX} is required")
    return value


def is_asset_id(asset: str) -> bool:
    """Return whether an asset of a payments file is written as its id."""
    return len(asset) == 64 and not asset.strip("0123456789abcdef")


def _asset(text: str, where: str) -> str:
    """Return an asset as it is called: ``svm``, an id of 64 lower-case digits, or a name."""
    try:
        return write_asset(read_asset(text.lower()))
    except LocalProtocolError:
        pass
    if len(text) > ASSET_CHARS_MAX or not text.isprintable() or "," in text or ":" in text:
        raise InputError(
            f"{where}: {quoted(text)} is no asset; {NATIVE_NAME}, an id of 64 hexadecimal digits, or a name of 1 to "
            f"{ASSET_CHARS_MAX} printable characters without ',' and ':' are allowed"
        )
    return text
