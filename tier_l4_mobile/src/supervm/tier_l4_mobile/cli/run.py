"""``supervm l4``: run a light client; export the anchor that ``supervm verify`` starts from."""

from __future__ import annotations

from pathlib import Path

import click

from supervm.common.cli.output import emit, json_option
from supervm.common.config import load_config
from supervm.common.keyfile import create_file
from supervm.common.node import NodeContext, load_chain, run_node
from supervm.protocol.codec import encode
from supervm.protocol.light import anchor_of

from ..config import MOBILE_OPTIONS
from ..messages import Request
from ..node import MobileNode
from ..tables import TABLES
from .access import build_node, passphrase_of, passphrase_option


@click.group()
def l4() -> None:
    """The light client of a phone or small device: wallet, offline queue, and proofs it checks itself."""


@l4.command(epilog="Example: supervm l4 run --config phone/config.toml --passphrase-file phone.pass")
@click.option("--config", "config_file", type=click.Path(dir_okay=False, path_type=Path), required=True,
              help="The node's configuration.")
@passphrase_option
def run(config_file: Path, passphrase_file: Path | None) -> int:
    """Run one L4 until SIGINT or SIGTERM; its wallet is unlocked at the start."""
    config = load_config(config_file, tier=4, options=MOBILE_OPTIONS)
    passphrase = passphrase_of(passphrase_file)

    def build(context: NodeContext) -> MobileNode:
        return build_node(context.config, context.chain, context.store, context.rng, passphrase)

    return run_node(config, build, requests=Request, tables=TABLES)


@l4.command("export-anchor", epilog="Example: supervm l4 export-anchor genesis.cbor --out anchor.cbor")
@click.argument("genesis", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The file to write.")
@json_option
def export_anchor(genesis: Path, out: Path, as_json: bool) -> None:
    """Write the trusted start of a network's light clients: genesis header and validators, without the money."""
    anchor = anchor_of(load_chain(genesis))
    create_file(out, encode(anchor))
    document = {"file": str(out), "chain_id": anchor.header.chain_id.hex(), "height": anchor.header.height}
    emit(document, as_json=as_json, lines=[f"wrote {out}: the anchor of network {document['chain_id']}"])
