"""``supervm l2 run``: one miner, until SIGINT or SIGTERM (surface.md)."""

from __future__ import annotations

from pathlib import Path

import click

from supervm.common.cli.anchor import ask_anchor, no_anchor, write_anchor
from supervm.common.cli.output import json_option
from supervm.common.host.config import load_config
from supervm.common.services.lines import RequestRefused

from .messages import NewestAnchor
from .options import OPTIONS


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
    from supervm.common.host.process import run_node  # what a node needs is loaded for nodes alone

    from .profile import PROFILE

    config = load_config(path, tier=2, options=OPTIONS)
    return run_node(config, PROFILE)


@l2.command("export-anchor", epilog="Example: supervm l2 export-anchor --dir /srv/supervm/miner --out anchor.cbor")
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    required=True,
    help="The folder of a miner that runs.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The file to write.")
@json_option
def export_anchor(directory: Path, out: Path, as_json: bool) -> int:
    """Write the newest certified header with its validators, for phones and edges that were away for too long.

    A miner follows the whole chain, so it can give an anchor also where every light client's trust has grown too old.
    """
    try:
        return write_anchor(ask_anchor(directory, NewestAnchor()), out, as_json=as_json)
    except RequestRefused as error:
        return no_anchor(str(error), as_json=as_json)
