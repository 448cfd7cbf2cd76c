"""Reading the file of a genesis: for nodes and for commands that run none, so no database layer is loaded.

Who owns what at the start is a second file beside it, of the same name but ``.alloc`` at the end. Only nodes that
execute read it (L1 and L2), and only while they still stand on the first state; all others do without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.base.keys import check_accept_set, verify
from supervm.protocol.base.verdicts import Verdicts
from supervm.protocol.chain.allocations import Allocation, read_allocations
from supervm.protocol.chain.genesis import GENESIS_BYTES_MAX, Chain, Genesis, load_genesis

from ..errors import InputError

ALLOCATIONS_SUFFIX: Final = ".alloc"


def allocations_path(genesis_path: Path) -> Path:
    """Return where the allocations of a genesis file are: ``genesis.alloc`` beside ``genesis.cbor``."""
    return genesis_path.with_suffix(ALLOCATIONS_SUFFIX)


def load_chain(path: Path) -> Chain:
    """Read a genesis file, after checking that libsodium judges signatures as the network does.

    The allocations are read when the chain is asked for its first state.

    Raises:
        InputError: it is missing or not a genesis file, or libsodium is another one.
    """
    try:
        check_accept_set()
        with path.open("rb") as file:
            genesis = load_genesis(file.read(GENESIS_BYTES_MAX + 1))
    except LocalProtocolError as error:
        raise InputError(f"{path}: {error}") from error
    except OSError as error:
        raise InputError(f"{path}: the genesis file cannot be read: {error.strerror}") from error
    return Chain(genesis, Verdicts(verify), lambda: load_allocations(path, genesis))


def load_allocations(path: Path, genesis: Genesis) -> Iterator[Allocation]:
    """Yield the allocations of a genesis file.

    Args:
        path: of the genesis file.
        genesis: what is in it.

    Raises:
        InputError: the file beside it is missing or damaged.
    """
    beside = allocations_path(path)
    try:
        data = beside.read_bytes()
    except OSError as error:
        raise InputError(
            f"{beside}: the allocations of this network cannot be read: {error.strerror}; nodes of L1 and L2 need the "
            f"file that was made with {path.name}"
        ) from error
    try:
        yield from read_allocations(data, genesis.asset_ids)
    except LocalProtocolError as error:
        raise InputError(f"{beside}: {error}") from error
