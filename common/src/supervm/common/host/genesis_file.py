"""Reading the file of a genesis: for nodes and for commands that run none, so no database layer is loaded."""

from __future__ import annotations

from pathlib import Path

from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.base.keys import check_accept_set, verify
from supervm.protocol.chain.genesis import GENESIS_BYTES_MAX, Chain, load_genesis

from ..errors import InputError


def load_chain(path: Path) -> Chain:
    """Read a genesis file, after checking that libsodium judges signatures as the network does.

    Raises:
        InputError: it is missing or not a genesis file, or libsodium is another one.
    """
    try:
        check_accept_set()
        with path.open("rb") as file:
            return Chain(load_genesis(file.read(GENESIS_BYTES_MAX + 1)), verify)
    except LocalProtocolError as error:
        raise InputError(f"{path}: {error}") from error
    except OSError as error:
        raise InputError(f"{path}: the genesis file cannot be read: {error.strerror}") from error
