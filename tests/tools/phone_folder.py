"""A phone's folder, as `supervm init l4` and `supervm wallet import` leave it, without waiting for either."""

from __future__ import annotations

from pathlib import Path

from chain_tools import make_test_chain

from supervm.common.host.config import CONFIG_FILE, NodeConfig
from supervm.common.host.config_writer import write_config
from supervm.common.host.keyfile import NODE_KEY_FILE, make_key_file
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
