"""A phone's folder, as `supervm init l4` and `supervm wallet import` leave it, without waiting for either."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from chain_tools import make_test_chain

from supervm.common.host.config import CONFIG_FILE, NodeConfig
from supervm.common.host.config_writer import write_config
from supervm.common.host.keyfile import NODE_KEY_FILE, make_key_file
from supervm.common.services.client import answers_within
from supervm.common.services.lines import SOCKET_FILE
from supervm.common.wallet import WALLET_FILE, Stretching, create_wallet
from supervm.protocol.base.codec import encode
from supervm.tier_l4_mobile.options import OPTIONS

WORDS = "legal winner thank year wave sausage worth useful legal winner thank yellow"
PASSPHRASE = "secret"


def make_phone(folder: Path, **options: int | str) -> NodeConfig:
    """Make the folder of a phone that knows no edge; return its configuration."""
    folder.mkdir(exist_ok=True)
    (folder / "genesis.cbor").write_bytes(encode(make_test_chain(4).chain.genesis))
    make_key_file(folder / NODE_KEY_FILE, bytes(range(32)))
    cost = Stretching(passes=1, memory_bytes=8 << 10)
    create_wallet(folder / WALLET_FILE, PASSPHRASE, words=WORDS, entropy=None, cost=cost)
    config = NodeConfig(tier=4, directory=folder, genesis=folder / "genesis.cbor", tier_options=dict(options))
    write_config(folder / CONFIG_FILE, config, OPTIONS)
    return config


@asynccontextmanager
async def running_process(folder: Path, passphrase: str | None = None) -> AsyncIterator[trio.Process]:
    """Run ``supervm l4 run`` in a phone's folder while the body runs; without a passphrase it is locked."""
    secret = folder / "passphrase"
    if passphrase is not None:
        secret.write_text(passphrase)
    how = ["--locked"] if passphrase is None else ["--passphrase-file", str(secret)]
    command = [sys.executable, "-m", "supervm.common.cli", "l4", "run", "--config", str(folder / CONFIG_FILE), *how]
    process = await trio.lowlevel.open_process(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert await answers_within(folder / SOCKET_FILE, 120)
        yield process
    finally:
        with trio.CancelScope(shield=True):
            process.kill()
            await process.wait()
