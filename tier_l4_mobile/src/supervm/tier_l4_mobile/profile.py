"""An L4 to those who run its nodes: how its core is made from a folder and the passphrase of the wallet in it."""

from __future__ import annotations

from typing import Final

from supervm.common.errors import InputError
from supervm.common.host.anchor_file import load_anchor
from supervm.common.host.profile import NodeContext, Profile, profile_of_shell
from supervm.common.wallet import WALLET_FILE, unlock_wallet
from supervm.protocol.base.keys import verify

from .config import mobile_options, open_accounts
from .node import MobileNode, Settings


def build(context: NodeContext) -> MobileNode:
    """Unlock the wallet and make the core.

    Raises:
        InputError: there is no wallet, the passphrase is missing or does not open it, or the anchor is none of this
            network.
    """
    config, chain = context.config, context.chain
    path = config.directory / WALLET_FILE
    if context.passphrase is None:
        raise InputError(f"{path}: the passphrase that opens the wallet is needed")
    options = mobile_options(config)
    keys, names = open_accounts(unlock_wallet(path, context.passphrase), options)
    return MobileNode(
        chain,
        keys,
        node_id=context.node_key.public,
        peers=[(peer.node_id, peer.address) for peer in config.peers],
        reader=context.store,
        verify=verify,
        rng=context.rng,
        settings=Settings(
            names,
            options.validity_ms,
            None if options.anchor is None else load_anchor(options.anchor, chain),
            options.queue_max,
            options.mode,
        ),
        values=config.tier_options,
    )


PROFILE: Final[Profile[MobileNode]] = profile_of_shell(MobileNode, build)
"""What runs an L4."""
