"""Strict reading of small CSV files that people write, with errors that name file, line and column."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from .options import whole_number
from .quoting import quoted
from .textfile import read_text


@dataclass(frozen=True, slots=True)
class CsvRow:
    """One row: where it stands and its values by column."""

    path: Path
    line: int
    values: dict[str, str]

    def error(self, column: str, problem: str) -> InputError:
        """Return an error that names this row and `column`."""
        return InputError(f"{self.path}, line {self.line}, {column} {quoted(self.values[column], 100)}: {problem}")

    def integer(self, column: str, minimum: int, maximum: int) -> int:
        """Return a whole number within the bounds.

        Raises:
            InputError: it is none, or out of them.
        """
        value = whole_number(self.values[column])
        if value is None or not minimum <= value <= maximum:
            raise self.error(column, f"a whole number from {minimum} to {maximum} is needed")
        return value


def read_csv(path: Path, header: Sequence[str], *, optional: Sequence[str] = ()) -> Iterator[CsvRow]:
    """Yield the rows of a CSV file whose first line must be `header`; empty lines and ``#`` lines are skipped.

    The columns of `optional` may come after it, all or none: without them a row has no such values.

    Raises:
        InputError: the file cannot be read as UTF-8 text, the header is another, or a row has too few or many values.
    """
    lines = read_text(path).splitlines()
    seen_header = False
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            values = [value.strip() for value in next(csv.reader([line]))]
        except csv.Error as error:
            raise InputError(f"{path}, line {number}: this is not a line of a CSV file: {error}") from None
        if not seen_header:
            if values == [*header, *optional]:
                header = values
            elif values != list(header):
                more = f", or that with {','.join(optional)} after it" if optional else ""
                raise InputError(
                    f"{path}, line {number}: the header is {quoted(line, 100)}; it must be {','.join(header)}{more}"
                )
            seen_header = True
            continue
        if len(values) != len(header):
            raise InputError(
                f"{path}, line {number}: {len(values)} values; {len(header)} are needed: {','.join(header)}"
            )
        yield CsvRow(path, number, dict(zip(header, values, strict=True)))
    if not seen_header:
        raise InputError(f"{path}: it is empty; the first line must be {','.join(header)}")
