"""A validator's folder of any size: as many accounts as wanted, and as many blocks behind it.

The blocks are not made up: the shipped core makes them, by hand and in virtual time (`testing.hand`), as the only
validator of its network; what it has made durable is then written into the folder's database as it stands.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from supervm.protocol.base.codec import encode
from supervm.protocol.base.keys import SEED_BYTES
from supervm.protocol.chain.allocations import Allocation, write_allocations
from supervm.protocol.chain.genesis import Parameters, make_genesis
from supervm.protocol.chain.validators import Validator
from supervm.protocol.state.leaves import NATIVE

from ..cli.registry import tier_options
from ..contract.records import Append, Record
from ..contract.tables import AnyTable
from ..errors import CommonError
from ..host.config import CONFIG_FILE, NodeConfig
from ..host.config_writer import write_config
from ..host.durable import open_store
from ..host.genesis_file import allocations_path, load_chain
from ..host.keyfile import NODE_KEY_FILE, VALIDATOR_KEY_FILE, load_key_file, make_key_file
from ..host.profile import NodeContext, Profile, find_profile
from ..storage.memory import MemoryStore
from ..testing.hand import HandDriver

BLOCK_MS = 50
"""Virtual time between two empty blocks."""
EPOCH_MS = 10**12
"""One epoch for all of them: nothing is pruned, so the folder is as large as it can be."""
COMMIT_ROWS = 2_000
GRAIN = 10**6


def make_node(directory: Path, *, accounts: int, blocks: int) -> Path:
    """Make a validator's folder; return its configuration file.

    Args:
        directory: empty.
        accounts: in the first state.
        blocks: empty ones behind genesis.

    Raises:
        InputError: L1 is not installed.
        CommonError: it makes no blocks.
    """
    rng = random.Random(1)  # noqa: S311 - a network that nobody uses
    profile = find_profile(1)
    node = make_key_file(directory / NODE_KEY_FILE, rng.randbytes(SEED_BYTES)).public
    voter = make_key_file(directory / VALIDATOR_KEY_FILE, rng.randbytes(SEED_BYTES)).public
    genesis_file = directory / "genesis.cbor"
    _write_genesis(genesis_file, Validator(1, voter, node, 1, node), rng, accounts, blocks)
    config = NodeConfig(1, directory, genesis_file, tier_options={"double_run_listen_s": 0})
    if blocks:
        _fill(config, profile, _grown(config, profile, blocks))
    path = directory / CONFIG_FILE
    write_config(path, replace(config, genesis=Path(genesis_file.name)), tier_options(1), test_network=True)
    return path


def _write_genesis(path: Path, validator: Validator, rng: random.Random, accounts: int, blocks: int) -> None:
    """Write a genesis whose time is so long ago that the blocks fit between it and now."""
    genesis, allocations = make_genesis(
        name="supervm bench",
        time_ms=time.time_ns() // 1_000_000 - 2 * blocks * BLOCK_MS - 60_000,
        validators=(validator,),
        miners=(),
        allocations=(Allocation(rng.randbytes(32), GRAIN, NATIVE) for _ in range(accounts)),
        parameters=Parameters(
            2, test_network=True, block_interval_ms=BLOCK_MS, idle_interval_ms=BLOCK_MS, epoch_ms=EPOCH_MS
        ),
    )
    path.write_bytes(encode(genesis))
    allocations_path(path).write_bytes(write_allocations(allocations, []))


def _grown(config: NodeConfig, profile: Profile[Any], blocks: int) -> MemoryStore:
    """Return what a node has on its disk when it has executed so many blocks."""
    chain, store = load_chain(config.genesis), MemoryStore(profile.tables)
    now_us = chain.genesis.time_ms * 1000
    key = load_key_file(config.directory / NODE_KEY_FILE)
    rng = random.Random(1)  # noqa: S311 - jitter
    core = profile.build(NodeContext(config, chain, key, store, False, rng, now_us))  # type: ignore[arg-type]
    driver = HandDriver(core, store, now_us=now_us)
    while core.height < blocks:
        driver.wait(BLOCK_MS * 1000)
        driver.events.clear()
        if driver.halted or driver.now_us > now_us + 2 * blocks * BLOCK_MS * 1000 + 30_000_000:
            raise CommonError(f"the validator stands at {core.height} of {blocks} blocks: {driver.halted or 'slow'}")
    store.crash()  # what is staged only is lost, and the log is as a start finds it
    return store


def _fill(config: NodeConfig, profile: Profile[Any], source: MemoryStore) -> None:
    store, _ = open_store(config, profile.tables, with_log=profile.with_log)
    try:
        records = _records(profile.tables, source)
        while part := list(islice(records, COMMIT_ROWS)):
            store.commit(part)
    finally:
        store.close()


def _records(tables: Iterable[AnyTable], source: MemoryStore) -> Iterator[Record]:
    for table in tables:
        for row in table.rows(source):
            yield table.put(row)
    for payload in source.log():
        yield Append(payload)
