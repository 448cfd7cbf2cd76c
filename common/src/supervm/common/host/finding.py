"""What a configuration has a node that stands in genesis say of itself in the directory."""

from __future__ import annotations

from supervm.protocol.base.errors import LocalProtocolError

from ..errors import InputError
from ..parts.reach.options import ENDPOINT_OPTIONS, FIND_OPTIONS, read_endpoints, read_region
from ..parts.reach.own import OwnNode
from ..text.options import defaults
from .config import CONFIG_FILE
from .profile import NodeContext


def own_node(context: NodeContext) -> OwnNode | None:
    """Return it; None: the owner does not have the node found (``find_peers``).

    Raises:
        InputError: the region or the endpoints cannot be read.
    """
    config = context.config
    values = {**defaults({**FIND_OPTIONS, **ENDPOINT_OPTIONS}), **config.tier_options}
    if not values["find_peers"]:
        return None
    try:
        region, endpoints = read_region(str(values["region"])), read_endpoints(str(values["endpoints"]))
    except LocalProtocolError as error:
        raise InputError(f"{config.directory / CONFIG_FILE}: [l{config.tier}] {error}") from error
    return OwnNode(
        context.node_key,
        endpoints,
        region,
        targets=tuple(peer.address for peer in config.peers),
        directory_nodes=int(values["directory_nodes"]),
    )
