"""``supervm l2 run``: one miner, until SIGINT or SIGTERM (surface.md)."""

from __future__ import annotations

from pathlib import Path

import click

from supervm.common.config import load_config
from supervm.common.core import Core
from supervm.common.node import NodeContext, run_node

from .config import OPTIONS, miner_options
from .messages import Request
from .node import MinerNode
from .tables import MINER_TABLES


def build(context: NodeContext) -> Core:
    """Make the core of the node that `context` describes.

    Raises:
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
    )


@click.group(epilog="Example: supervm l2 run --config /srv/supervm/miner/config.toml")
def l2() -> None:
    """Run an L2 node: a miner that verifies, batches and proves."""


@l2.command(epilog="Example: supervm l2 run --config /srv/supervm/miner/config.toml")
@click.option(
    "--config",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The node's config.toml, as `supervm init l2` writes it.",
)
def run(path: Path) -> int:
    """Run one miner until SIGINT or SIGTERM.

    SIGKILL loses nothing acknowledged: what a miner holds in memory only, edges keep on disk and submit again.
    """
    config = load_config(path, tier=2, options=OPTIONS)
    return run_node(config, build, requests=Request, tables=MINER_TABLES)
