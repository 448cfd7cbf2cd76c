"""``supervm l4``: run a light client; export the anchor that ``supervm verify`` starts from."""

from __future__ import annotations

from pathlib import Path

import click

from supervm.common.cli.anchor import ask_anchor, no_anchor, write_anchor
from supervm.common.cli.output import json_option
from supervm.common.errors import InputError
from supervm.common.host.config import load_config
from supervm.common.host.genesis_file import load_chain
from supervm.protocol.light.client import anchor_of

from ..messages import NewestAnchor
from ..options import OPTIONS
from .access import RequestRefused, passphrase_of, passphrase_option


@click.group()
def l4() -> None:
    """The light client of a phone or small device: wallet, offline queue, and proofs it checks itself."""


@l4.command(epilog="Example: supervm l4 run --config phone/config.toml --passphrase-file phone.pass")
@click.option(
    "--config",
    "config_file",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The node's configuration.",
)
@passphrase_option
@click.option("--locked", is_flag=True, help="Start with the wallet locked; `supervm wallet unlock` opens it.")
def run(config_file: Path, passphrase_file: Path | None, locked: bool) -> int:
    """Run one L4 until SIGINT or SIGTERM; its wallet is unlocked at the start, or stays locked.

    While the wallet is locked the node follows its accounts, proves them and submits what is signed already.
    """
    from supervm.common.host.process import run_node  # what a node needs is loaded for nodes alone

    from ..profile import PROFILE

    if locked and passphrase_file is not None:
        raise InputError("--locked needs no passphrase: leave --passphrase-file out")
    config = load_config(config_file, tier=4, options=OPTIONS)
    return run_node(config, PROFILE, passphrase=None if locked else passphrase_of(passphrase_file))


@l4.command("export-anchor", epilog="Example: supervm l4 export-anchor --dir phone --out anchor.cbor")
@click.argument("genesis", type=click.Path(dir_okay=False, path_type=Path), required=False)
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="Take the newest header that the phone running in this folder trusts, instead of a genesis file.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The file to write.")
@click.option("--text", "as_text", is_flag=True, help="Write it as text, for a message or a QR code.")
@json_option
def export_anchor(genesis: Path | None, directory: Path | None, out: Path, as_text: bool, as_json: bool) -> int:
    """Write a trusted start for light clients: a header and its validators, without the money.

    Of the file GENESIS it is the network's first header. With --dir it is the newest that this phone trusts: give it,
    over a channel that its receiver trusts, to whoever was away for longer than the trusting period.
    """
    if (genesis is None) == (directory is None):
        raise InputError("give either the file of a genesis or --dir DIR of a running phone")
    if genesis is not None:
        return write_anchor(anchor_of(load_chain(genesis)), out, as_json=as_json, as_text=as_text)
    assert directory is not None
    try:
        return write_anchor(ask_anchor(directory, NewestAnchor()), out, as_json=as_json, as_text=as_text)
    except RequestRefused as error:
        return no_anchor(str(error), as_json=as_json)
