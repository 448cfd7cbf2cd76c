"""An L3 to those who run its nodes: how its core is made from a folder."""

from __future__ import annotations

from typing import Final

from supervm.common.host.anchor_file import load_anchor
from supervm.common.host.profile import NodeContext, Profile, profile_of_shell
from supervm.common.storage.errors import DatabaseDamaged
from supervm.protocol.base.keys import verify

from .config import anchor_file, edge_options
from .errors import EdgeError
from .node import EdgeNode


def build(context: NodeContext) -> EdgeNode:
    """Make the core of a configured edge.

    Raises:
        InputError: the anchor is none of this network.
        DatabaseDamaged: its database belongs to another network, or is damaged.
    """
    config = context.config
    anchor = anchor_file(config)
    try:
        return EdgeNode(
            chain=context.chain,
            key=context.node_key,
            payout=config.payout,
            reader=context.store,
            targets=[(peer.node_id, peer.address) for peer in config.peers],
            rng=context.rng,
            verify=verify,
            options=edge_options(config, None if anchor is None else load_anchor(anchor, context.chain)),
            values=config.tier_options,
        )
    except EdgeError as error:
        raise DatabaseDamaged(f"{config.directory}: {error}") from error


PROFILE: Final[Profile[EdgeNode]] = profile_of_shell(EdgeNode, build)
"""What runs an L3."""
