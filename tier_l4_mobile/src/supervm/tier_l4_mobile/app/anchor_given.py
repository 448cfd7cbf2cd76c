"""An anchor that the owner was given: as text, as its file, or as a picture of its code. Whoever calls waits for it.

Only the first run takes one (consensus.md 5: over a channel that the owner trusts); the payment scanner never does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from supervm.common.errors import InputError
from supervm.common.host.anchor_file import TEXT_BYTES_MAX
from supervm.protocol.chain.genesis import Chain
from supervm.protocol.light.client import Anchor

from ..handover.qr import PICTURE_BYTES_MAX, codes_in
from ..scanned import look_at, take_anchor
from .files import NoFile, read_given

_PICTURES: Final = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"RIFF", b"BM")
"""How pictures begin: PNG, JPEG, WebP, BMP."""


def anchor_given(given: str | bytes, chain: Chain) -> Anchor:
    """Return the anchor of a text, of a code, or of a file whose path is typed.

    Args:
        given: the text, what the code says, or the path.
        chain: the network, of the genesis file that the owner trusts.

    Raises:
        InputError: it is none, another network's, or cannot be read; the sentence says which.
        MobileError: it is something else, and what.
    """
    if isinstance(given, bytes) or look_at(given).kind != "other":
        return take_anchor(given, chain)
    return take_anchor(_read(Path(given.strip()).expanduser()), chain)


def _read(path: Path) -> bytes:
    """Return the anchor's bytes of a file, or of the code in a picture."""
    try:
        data = read_given(path, PICTURE_BYTES_MAX)
    except NoFile as error:
        raise InputError(f"the anchor cannot be read: {error}") from error
    except OSError as error:
        raise InputError(f"{path}: the anchor cannot be read: {error.strerror}") from error
    if data.startswith(_PICTURES):
        codes = codes_in(data)
        return codes[0] if codes else b""
    return data[: TEXT_BYTES_MAX + 1]
