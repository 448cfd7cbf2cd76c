"""The payments file of `supervm up`: a CSV with the header ``from,to,amount,fee`` (surface.md)."""

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

HEADER = ["from", "to", "amount", "fee"]
NAME_CHARS_MAX = 64
RESERVED_PREFIX = "_"
"""Names that begin so belong to the network itself: the reserve and the payout accounts."""


@dataclass(frozen=True, slots=True)
class Row:
    """One payment: names of wallets, integers in grain; `number` counts the file's rows from 1."""

    number: int
    source: str
    to: str
    amount: int
    fee: int


@dataclass(frozen=True, slots=True)
class PaymentsFile:
    """Rows with the hash of the file they stand in: (hash, row number) names a payment for good."""

    rows: tuple[Row, ...]
    digest: str

    @property
    def names(self) -> list[str]:
        """Every name, in the order of first use."""
        return list(dict.fromkeys(name for row in self.rows for name in (row.source, row.to)))


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
    if header is None or [cell.strip() for cell in header] != HEADER:
        found = quoted(",".join(header or []))
        raise InputError(f"{name}, line 1: the header is {found}; it must be {','.join(HEADER)!r}")
    rows: list[Row] = []
    for number, cells in lines:
        where = f"{name}, line {number}"
        if not cells:
            continue
        if len(cells) != len(HEADER):
            raise InputError(f"{where}: {len(cells)} columns; {','.join(HEADER)} are required")
        source, to = (_name(cell.strip(), where) for cell in cells[:2])
        amount, fee = (_grain(cell.strip(), column, where) for cell, column in zip(cells[2:], HEADER[2:], strict=True))
        rows.append(Row(len(rows) + 1, source, to, amount, fee))
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
