"""``supervm l1 run``: one validator, until SIGINT or SIGTERM (surface.md)."""

from __future__ import annotations

from pathlib import Path

import click

from supervm.common.config import load_config
from supervm.common.core import Core
from supervm.common.errors import InputError
from supervm.common.keyfile import VALIDATOR_KEY_FILE, load_key_file
from supervm.common.node import NodeContext, run_node
from supervm.protocol.errors import LocalProtocolError

from .config import OPTIONS
from .messages import Request
from .node import ValidatorNode
from .tables import TABLES


def build(context: NodeContext) -> Core:
    """Make the core of the node that `context` describes; without ``validator.key`` it follows and serves only.

    Raises:
        InputError: the keys are not those of a validator of this genesis.
        SupplyMismatch: the stored state is not one this chain can have.
    """
    config = context.config
    path = config.directory / VALIDATOR_KEY_FILE
    try:
        return ValidatorNode(
            chain=context.chain,
            node_id=context.node_key.public,
            key=load_key_file(path) if path.exists() else None,
            reader=context.store,
            targets=[(peer.node_id, peer.address) for peer in config.peers],
            rng=context.rng,
            observer=context.log_lost,
            listen_us=int(config.tier_options["double_run_listen_s"]) * 1_000_000,
        )
    except LocalProtocolError as error:
        raise InputError(f"{config.directory}: {error}") from error


@click.group(epilog="Example: supervm l1 run --config /srv/supervm/one/config.toml")
def l1() -> None:
    """Run an L1 node: a validator that agrees, executes and certifies."""


@l1.command(epilog="Example: supervm l1 run --config /srv/supervm/one/config.toml")
@click.option(
    "--config",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The node's config.toml, as `supervm init l1` writes it.",
)
def run(path: Path) -> int:
    """Run one validator until SIGINT or SIGTERM.

    SIGKILL loses nothing: every vote is on disk before it leaves, and a restart says again what was said.
    """
    config = load_config(path, tier=1, options=OPTIONS)
    return run_node(config, build, requests=Request, tables=TABLES, with_log=True)
