"""``supervm l3 run --config FILE``."""

from __future__ import annotations

from pathlib import Path

import click

from supervm.common.host.config import load_config

from .options import OPTIONS


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
    from supervm.common.host.process import run_node  # what a node needs is loaded for nodes alone

    from .profile import PROFILE

    config = load_config(path, tier=3, options=OPTIONS)
    context.exit(run_node(config, PROFILE))
