"""``supervm l3 run --config FILE``."""

from __future__ import annotations

from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

import click

from supervm.common.host.anchor_file import load_anchor
from supervm.common.host.config import load_config
from supervm.common.host.process import NodeContext, run_node
from supervm.common.storage.errors import DatabaseDamaged
from supervm.protocol.base.keys import verify

from .config import OPTIONS, anchor_file, edge_options
from .errors import EdgeError
from .node import EdgeNode


@click.group()
def l3() -> None:
    """Run an edge: it answers phones nearby, caches proofs and relays payments to the best miner."""


@l3.command(epilog="Example: supervm l3 run --config /srv/supervm/edge/config.toml")
@click.option(
    "--config", "path", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The node's config.toml."
)
@click.pass_context
def run(context: click.Context, path: Path) -> None:
    """Run one node until SIGINT or SIGTERM; nothing acknowledged is lost by SIGKILL."""
    config = load_config(path, tier=3, options=OPTIONS)
    requests: Any = reduce(or_, EdgeNode.declared_requests())
    context.exit(run_node(config, build, requests=requests, tables=EdgeNode.declared_tables()))


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
        )
    except EdgeError as error:
        raise DatabaseDamaged(f"{config.directory}: {error}") from error
