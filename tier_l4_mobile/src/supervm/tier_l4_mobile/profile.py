"""An L4 to those who run its nodes: how its core is made from a folder and the passphrase of the wallet in it."""

from __future__ import annotations

from typing import Final

from supervm.common.host.anchor_file import load_anchor
from supervm.common.host.detect import memory_bytes
from supervm.common.host.profile import NodeContext, Profile, profile_of_shell
from supervm.common.parts.directory.directory import phone_capacity
from supervm.common.parts.reach.own import OwnNode
from supervm.common.wallet import WALLET_FILE, is_guarded
from supervm.common.wallet.keystore import platform_keystore
from supervm.protocol.base.keys import verify

from .config import mobile_options
from .node import MobileNode, Settings
from .tables import OWN_ACCOUNTS
from .vault import FileVault
from .wallet.door import Opened


def build(context: NodeContext) -> MobileNode:
    """Make the core; with a passphrase its wallet is open, without one it is locked until somebody unlocks it.

    Raises:
        InputError: there is no wallet, the passphrase does not open it or comes too soon after wrong ones, or the
            anchor is none of this network.
    """
    config, chain = context.config, context.chain
    options = mobile_options(config)
    path = config.directory / WALLET_FILE
    vault = FileVault(path, options, platform_keystore())
    if context.passphrase is None:
        is_guarded(path)  # a node without a wallet says so at once
        known = {row.number: row.account for row in OWN_ACCOUNTS.rows(context.store)}
        names = {name: known[number] for number, name in enumerate(options.names) if name and number in known}
        opened = Opened({}, names)
    else:
        opened = vault.open(context.passphrase, context.now_us)
    anchor = None if options.anchor is None else load_anchor(options.anchor, chain)
    addresses = tuple(peer.address for peer in config.peers)
    told = OwnNode(
        context.node_key,
        region=options.region,
        targets=addresses,
        directory_nodes=options.directory_nodes or phone_capacity(memory_bytes()),
        ask_phones=options.ask_phones,
    )
    return MobileNode(
        chain,
        opened.keys,
        node_id=context.node_key.public,
        peers=[(peer.node_id, peer.address) for peer in config.peers],
        reader=context.store,
        verify=verify,
        rng=context.rng,
        settings=Settings(
            opened.names,
            options.validity_ms,
            anchor,
            vault=vault,
            lock_after_us=options.lock_after_us,
            queue_max=options.queue_max,
            mode=options.mode,
            metered=options.metered,
            told=told if options.find_peers else None,
        ),
        values=config.tier_options,
    )


PROFILE: Final[Profile[MobileNode]] = profile_of_shell(MobileNode, build)
"""What runs an L4."""
