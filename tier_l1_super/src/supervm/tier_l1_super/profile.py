"""An L1 to those who run its nodes: how its core is made from a folder."""

from __future__ import annotations

from typing import Final

from supervm.common.errors import InputError
from supervm.common.host.finding import own_node
from supervm.common.host.keyfile import VALIDATOR_KEY_FILE, load_key_file
from supervm.common.host.profile import NodeContext, Profile, profile_of_shell
from supervm.common.text.options import defaults

from .consensus.seat import WrongKeys
from .node import StartUp, ValidatorNode
from .options import OPTIONS


def build(context: NodeContext) -> ValidatorNode:
    """Make the core of the node that `context` describes; without ``validator.key`` it follows and serves only.

    Raises:
        InputError: the keys are not those of a validator of this genesis, or the region or the endpoints cannot be
            read.
        LocalProtocolError: the stored state is not one this chain can have.
    """
    config = context.config
    values = {**defaults(OPTIONS), **config.tier_options}
    path = config.directory / VALIDATOR_KEY_FILE
    try:
        return ValidatorNode(
            chain=context.chain,
            node_id=context.node_key.public,
            key=load_key_file(path) if path.exists() else None,
            reader=context.store,
            targets=[(peer.node_id, peer.address) for peer in config.peers],
            rng=context.rng,
            start=StartUp(context.log_lost, int(values["double_run_listen_s"]) * 1_000_000),
            values=values,
            told=own_node(context),
        )
    except WrongKeys as error:
        raise InputError(f"{config.directory}: {error}") from error


PROFILE: Final[Profile[ValidatorNode]] = profile_of_shell(
    ValidatorNode, build, with_log=True, about=ValidatorNode.about_seat
)
"""What runs an L1."""
