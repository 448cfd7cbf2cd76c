"""``supervm init``: a node's folder with a commented configuration and its keys (decisions.md, Control)."""

from __future__ import annotations

import secrets
from pathlib import Path

import click

from supervm.protocol.base.address import decode_address, encode_node_id
from supervm.protocol.base.keys import SEED_BYTES

from ..errors import InputError
from ..host.config import CONFIG_FILE, DEFAULT_PORTS, NodeConfig, default_verify_workers, parse_endpoint
from ..host.config_writer import write_config
from ..host.keyfile import NODE_KEY_FILE, VALIDATOR_KEY_FILE, make_key_file
from .output import emit, json_option
from .registry import tier_options


@click.command(epilog="Example: supervm init l1 --dir /srv/supervm/one --payout svm1...")
@click.argument("tier", type=click.Choice(["l1", "l2", "l3", "l4"]))
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="The node's folder; it is made if it does not exist.",
)
@click.option("--listen", help="host:port for other nodes [default: 0.0.0.0:PORT of the tier; an L4 does not listen].")
@click.option("--payout", help="Address that is paid for this node's work.")
@json_option
def init(tier: str, directory: Path, listen: str | None, payout: str | None, as_json: bool) -> None:
    """Make the folder of a node of a tier: config.toml, node.key and, for l1, validator.key.

    Nothing is ever overwritten. Prints what a genesis file needs to know of the node.
    """
    number = int(tier[1])
    if listen is None and number in DEFAULT_PORTS:
        listen = f"0.0.0.0:{DEFAULT_PORTS[number]}"
    if listen is not None:
        parse_endpoint(listen)
    account, test_network = decode_address(payout) if payout else (None, False)
    names = [CONFIG_FILE, NODE_KEY_FILE, *([VALIDATOR_KEY_FILE] if number == 1 else [])]
    for name in names:
        # looked at first, so that a folder in use is left without half a set of new files
        if (directory / name).exists():
            raise InputError(f"{directory / name} exists already and is never overwritten; choose another folder")
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not any(directory.iterdir()):
        directory.chmod(0o700)  # a folder that others use too is left as it is; each file in it is private
    config = NodeConfig(
        tier=number,
        directory=directory,
        genesis=directory / "genesis.cbor",
        listen=listen,
        verify_workers=default_verify_workers(number),
        payout=account,
    )
    write_config(directory / CONFIG_FILE, config, tier_options(number), test_network=test_network)
    node = make_key_file(directory / NODE_KEY_FILE, secrets.token_bytes(SEED_BYTES))
    document = {"tier": tier, "directory": str(directory), "files": names, "node_id": encode_node_id(node.public)}
    if number == 1:
        validator = make_key_file(directory / VALIDATOR_KEY_FILE, secrets.token_bytes(SEED_BYTES))
        document["validator_key"] = validator.public.hex()
    lines = [f"made {directory}: {', '.join(names)}", f"node id        {document['node_id']}"]
    if number == 1:
        lines.append(f"validator key  {document['validator_key']}")
    emit(document, as_json=as_json, lines=lines)
