"""An L2 to those who run its nodes: how its core is made from a folder."""

from __future__ import annotations

from typing import Final

from supervm.common.host.finding import own_node
from supervm.common.host.profile import NodeContext, Profile, profile_of_shell

from .node import MinerNode
from .options import miner_options


def build(context: NodeContext) -> MinerNode:
    """Make the core of the node that `context` describes.

    Raises:
        InputError: the option `fees` is no list of fees, or the region or the endpoints cannot be read.
        MinerError: the node is not a miner of this genesis.
        SupplyMismatch: the stored state is not one this chain can have.
    """
    return MinerNode(
        chain=context.chain,
        key=context.node_key,
        reader=context.store,
        targets=[(peer.node_id, peer.address) for peer in context.config.peers],
        rng=context.rng,
        options=miner_options(context.config.tier_options),
        values=context.config.tier_options,
        told=own_node(context),
    )


PROFILE: Final[Profile[MinerNode]] = profile_of_shell(MinerNode, build)
"""What runs an L2."""
