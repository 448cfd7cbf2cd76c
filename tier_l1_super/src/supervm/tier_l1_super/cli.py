"""``supervm l1``: run a validator; approve the validators of the next epoch; export an epoch (surface.md)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from supervm.common.cli.numbers import WholeNumber
from supervm.common.cli.output import columns, emit, json_option
from supervm.common.errors import InputError
from supervm.common.host.config import load_config
from supervm.common.host.genesis_file import load_chain
from supervm.common.host.keyfile import create_file
from supervm.common.services.lines import SOCKET_FILE, NoOwner, RequestRefused
from supervm.common.services.once import call_sync
from supervm.protocol.base.address import encode_node_id
from supervm.protocol.base.codec import decode, encode
from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.chain.epoch import EpochRecord
from supervm.protocol.chain.validators import Validator, ValidatorList, ValidatorSet, canonical_members

from .messages import Approve, GetEpoch, Request
from .options import OPTIONS


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
    from supervm.common.host.process import run_node  # what a node needs is loaded for nodes alone

    from .profile import PROFILE

    config = load_config(path, tier=1, options=OPTIONS)
    return run_node(config, PROFILE)


def _ask(config_file: Path, request: Request) -> Any:
    """Ask the running node whose configuration this is.

    Raises:
        InputError: no node answers, or it refuses the request.
    """
    config = load_config(config_file, tier=1, options=OPTIONS)
    try:
        return call_sync(config.directory / SOCKET_FILE, request)
    except (NoOwner, RequestRefused) as error:
        raise InputError(f"{config.directory}: {error}") from error


_CONFIG = click.option(
    "--config",
    "config_file",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The running node's config.toml.",
)


@l1.command(epilog="Example: supervm l1 approve validators.csv --config /srv/supervm/one/config.toml")
@click.argument("validators", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--withdraw", is_flag=True, help="Take the approval back.")
@_CONFIG
@json_option
def approve(validators: Path | None, withdraw: bool, config_file: Path, as_json: bool) -> int:
    """Approve the VALIDATORS of the next epoch: CSV key,node_id,weight,payout, as for `supervm genesis new`.

    The order of the lines does not matter. Once operators of quorum weight have approved the same list and its members
    are up and in step, it is in force from the end of the epoch on. The wish stands, also over restarts, until it is in
    force or withdrawn; `supervm l1 epoch` shows who approves what.

    --withdraw tells the other validators, too, who then no longer count the approval. It is too late once the chain
    itself proposes the list: then the list takes over at the end of the epoch.
    """
    if (validators is None) is not withdraw:
        raise InputError("name a file of validators, or give --withdraw")
    wish = b""
    if validators is not None:
        from supervm.common.cli.genesis import read_validators  # no node needs what makes a genesis
        from supervm.common.text.keyreader import KeyReader

        chain = load_chain(load_config(config_file, tier=1, options=OPTIONS).genesis)
        reader = KeyReader(
            test_network=chain.parameters.test_network,
            taken=dict.fromkeys(chain.payout_of_miner, "the node id of a miner in genesis"),
        )
        members = read_validators(validators, reader)
        record = decode(EpochRecord, bytes.fromhex(_ask(config_file, GetEpoch())["record"]))
        try:
            wish = _approvable(members, ValidatorSet(record.validators.members))
        except LocalProtocolError as error:
            raise InputError(f"{validators}: {error}") from None
    info = _ask(config_file, Approve(validators=wish))
    document = {
        "epoch": info["epoch"],
        "wish": info["wish"],
        "validators_hash": info["validators_hash"],
        "proposed": info["proposed"],
        "approvals": info["approvals"],
        "quorum": info["quorum"],
        "no_seat": info["no_seat"],
    }
    emit(document, as_json=as_json, lines=_approve_lines(info, withdraw=withdraw))
    return 0


def _approvable(members: Sequence[Validator], present: ValidatorSet) -> bytes:
    """Return what `Approve` takes for a list as somebody wrote it, in whatever order.

    Raises:
        LocalProtocolError: these cannot be the validators of an epoch.
    """
    return encode(ValidatorList(1, ValidatorSet(canonical_members(members, present)).members))


def _approve_lines(info: Any, *, withdraw: bool) -> list[str]:
    if withdraw:
        lines = ["the approval is withdrawn, and the other validators are told so"]
    elif info["wish"] == info["validators_hash"]:
        lines = [f"these are the validators of epoch {info['epoch']}: nothing is to change"]
    else:
        lines = [f"approved {info['wish']} for the epoch after {info['epoch']}"]
    if info["no_seat"]:
        lines.append(f"this node has no vote now, so its approval counts only once it has: {info['no_seat']}")
    if info["proposed"] is not None and info["proposed"] != info["wish"]:
        lines.append(f"too late for this epoch: the chain already proposes {info['proposed']}")
    return lines + _approval_lines(info)


def _approval_lines(answer: Any) -> list[str]:
    """Say who approves which list; only what this node has heard."""
    lines = []
    for item in answer.get("approvals", ()):
        who = ", ".join(map(str, item["validators"]))
        own = " (this operator's wish)" if item["own"] else ""
        weight = f"weight {item['weight']} of {answer['quorum']}"
        lines.append(f"  {item['validators_hash']}{own}: {weight}, validators {who}")
    return ["approved for the next epoch:", *lines] if lines else []


@l1.command(epilog="Example: supervm l1 epoch --config /srv/supervm/one/config.toml --out epoch.cbor")
@click.option("--number", type=WholeNumber(0, 2**63 - 1), help="Which [default: the present one].")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the record to this new file.")
@_CONFIG
@json_option
def epoch(number: int | None, out: Path | None, config_file: Path, as_json: bool) -> int:
    """Show an epoch: where it starts, who votes in it, and for the present one who approves which next validators.

    `supervm evidence --epoch` reads the record.
    """
    answer = _ask(config_file, GetEpoch(number))
    record = decode(EpochRecord, bytes.fromhex(answer["record"]))
    if out is not None:
        create_file(out, encode(record))
    members = ValidatorSet(record.validators.members)
    document = {
        "number": record.number,
        "root_height": record.root.height,
        "start_ms": record.root.ts_ms,
        "quorum": members.quorum,
        "validators_hash": members.hash.hex(),
        "file": None if out is None else str(out),
        "wish": answer.get("wish"),
        "proposed": answer.get("proposed"),
        "approvals": answer.get("approvals", []),
        "validators": [
            {"index": index, "key": item.key.hex(), "node_id": encode_node_id(item.node_id), "weight": item.weight}
            for index, item in enumerate(members.members)
        ],
    }
    emit(
        document,
        as_json=as_json,
        lines=[
            f"epoch {record.number} starts from block {record.root.height}; quorum {members.quorum}",
            *columns(
                [
                    (f"  {index}", f"{encode_node_id(item.node_id)} weight {item.weight}")
                    for index, item in enumerate(members.members)
                ]
            ),
            *_approval_lines(answer),
            *([f"the chain proposes {answer['proposed']} for the next epoch"] if answer.get("proposed") else []),
        ],
    )
    return 0
