"""The file of an anchor that a light client is given to start from (consensus.md 5)."""

from __future__ import annotations

from pathlib import Path

from supervm.protocol.base.codec import decode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.chain.genesis import Chain
from supervm.protocol.light.client import Anchor, LightClient

from ..errors import InputError
from ..parts.light_memory import ANCHOR_BYTES_MAX


def load_anchor(path: Path, chain: Chain) -> Anchor:
    """Read the file of an anchor of this network, as `supervm l4 export-anchor` writes it.

    Raises:
        InputError: it cannot be read, is no anchor, or another network's.
    """
    try:
        with path.open("rb") as file:
            data = file.read(ANCHOR_BYTES_MAX + 1)
        anchor = decode(Anchor, data, bytes_max=ANCHOR_BYTES_MAX)
        LightClient(anchor, chain.verify)  # its validators must be those its header names
    except OSError as error:
        raise InputError(f"{path}: the anchor cannot be read: {error.strerror}") from error
    except RemoteProtocolError as error:
        raise InputError(f"{path}: this is no anchor: {error.reason}") from error
    if anchor.header.chain_id != chain.chain_id:
        raise InputError(f"{path}: the anchor is another network's than the genesis file")
    return anchor
