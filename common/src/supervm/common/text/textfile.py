"""Files that people edit, read as text: UTF-8, with or without the byte-order mark that some editors put in front.

The mark (U+FEFF) is how the file is written down, no part of what it says: it never becomes part of a passphrase, a
word, a name or the first column of a table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ..errors import InputError

TEXT_BYTES_MAX: Final = 64 << 20
"""Most bytes of a file that people edit."""


def read_text(path: Path, *, what: str = "", bytes_max: int = TEXT_BYTES_MAX) -> str:
    """Return the text of the file at `path`, its line ends as they are.

    Args:
        path: the file.
        what: what it holds, for messages: "the words"; empty for none.
        bytes_max: longest file.

    Raises:
        InputError: it cannot be read, is longer, or is no UTF-8 text.
    """
    named = f"{path}: {what} " if what else f"{path}: the file "
    try:
        with path.open("rb") as file:
            data = file.read(bytes_max + 1)
    except OSError as error:
        raise InputError(f"{named}cannot be read: {error.strerror}") from error
    if len(data) > bytes_max:
        raise InputError(f"{named}cannot be read: more than {bytes_max} bytes")
    return decode_text(data, str(path))


def decode_text(data: bytes, name: str) -> str:
    """Return what the bytes of such a file say; `name` is for messages.

    Raises:
        InputError: they are no UTF-8 text.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: byte {error.start} is not UTF-8 text; save it as UTF-8") from None
