"""``supervm evidence``: check a proof of misbehaviour with nothing but the genesis file (consensus.md 2.10)."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import click

from supervm.protocol.base.address import encode_node_id
from supervm.protocol.base.codec import decode
from supervm.protocol.base.errors import LocalProtocolError, RemoteProtocolError
from supervm.protocol.base.keys import verify
from supervm.protocol.base.reading import bytes_bounds
from supervm.protocol.chain.epoch import EpochRecord
from supervm.protocol.chain.evidence import (
    EVIDENCE_BYTES_MAX,
    BadBatch,
    BadJustification,
    Culprit,
    DoubleVote,
    Evidence,
    check_evidence,
    decode_evidence,
)
from supervm.protocol.chain.genesis import GENESIS_BYTES_MAX, Chain, load_genesis
from supervm.protocol.chain.header import ChainRules
from supervm.protocol.chain.validators import ValidatorSet
from supervm.protocol.light.forks import FORK_BYTES_MAX, FORK_HEAD, CheckpointFork, check_fork

from ..errors import InputError
from .output import emit, json_option

_FILE_BYTES_MAX = 4 * EVIDENCE_BYTES_MAX  # hexadecimal doubles it, and a line of a log has other fields, too
_READ = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(epilog="Example: supervm evidence line-of-the-log.json --genesis genesis.cbor")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--genesis", "genesis_file", type=_READ, required=True, help="The file that started the network.")
@click.option(
    "--epoch",
    "epoch_file",
    type=_READ,
    help="Record of the epoch it is about, from `supervm l1 epoch --out` [default: the first epoch].",
)
@json_option
def evidence(file: Path, genesis_file: Path, epoch_file: Path | None, as_json: bool) -> int:
    """Check, offline, whether FILE proves that somebody broke the rules, and say who.

    FILE is the evidence itself, its hexadecimal digits, or the line of a node's log (event "evidence") that shows it; -
    is standard input. The record of an epoch is believed: take it from a node that you trust.

    Exit status 0: proved. 1: it proves nothing. 2: it cannot be read.
    """
    chain = _read_chain(genesis_file)
    try:
        data = _evidence_bytes(_read(file), str(file))
        if data.startswith(FORK_HEAD):
            fork = decode(CheckpointFork, data, bytes_max=FORK_BYTES_MAX)
            return _fork(fork, chain, None if epoch_file is None else _read_epoch(epoch_file), as_json=as_json)
        found = decode_evidence(data)
    except RemoteProtocolError as error:
        raise InputError(f"{file}: this is no evidence: {error.reason}") from error
    try:
        rules = chain.rules if epoch_file is None else chain.rules_of(_read_epoch(epoch_file))
        culprit = check_evidence(found, rules)
        document = _verdict(found, culprit, chain, rules)
    except RemoteProtocolError as error:
        emit({"proved": False, "reason": error.reason}, as_json=as_json, lines=[f"not proved: {error.reason}"])
        return 1
    emit(document, as_json=as_json, lines=[f"proved ({culprit.kind}): {document['who']} {document['what']}"])
    return 0


def _fork(fork: CheckpointFork, chain: Chain, epoch: EpochRecord | None, *, as_json: bool) -> int:
    """Check two certified checkpoints that contradict each other, and say which of them and who signed both."""
    lists = [] if epoch is None else [epoch.validators, *epoch.previous]
    known = [chain.validators, *(ValidatorSet(item.members) for item in lists)]
    try:
        both = check_fork(fork, chain.chain_id, known, chain.verify)
    except RemoteProtocolError as error:
        hint = "; --epoch gives the record of theirs" if error.code == "unknown-set" else ""
        emit(
            {"proved": False, "reason": f"{error.reason}{hint}"},
            as_json=as_json,
            lines=[f"not proved: {error.reason}{hint}"],
        )
        return 1
    header = fork.first.header
    signers = next(item for item in known if item.hash == header.validators_hash)
    names = [encode_node_id(signers.node_ids[index]) for index in both]
    document = {
        "proved": True,
        "reason": None,
        "kind": "fork",
        "what": fork.reason,
        "height": header.height,
        "epoch": fork.epoch,
        "hashes": [header.hash.hex(), fork.second.header.hash.hex()],
        "validators": list(both),
        "node_ids": names,
    }
    who = f"; validators {', '.join(map(str, both))} signed both" if both else ""
    emit(document, as_json=as_json, lines=[f"proved (fork): {fork.reason}{who}"])
    return 0


def _verdict(found: Evidence, culprit: Culprit, chain: Chain, rules: ChainRules) -> dict[str, Any]:
    """Return what is printed about a proved fault.

    Raises:
        RemoteProtocolError: the culprit is a miner that is not one of this network: nobody vouched for it.
    """
    if culprit.validator is not None:
        node_id = rules.validators.node_ids[culprit.validator]
        who = f"validator {culprit.validator}"
    else:
        node_id = culprit.miner or b""
        if node_id not in chain.payout_of_miner:
            raise RemoteProtocolError(f"{encode_node_id(node_id)} is not a miner of this network", code="bad-evidence")
        who = f"miner {encode_node_id(node_id)}"
    return {
        "proved": True,
        "reason": None,
        "kind": culprit.kind,
        "who": who,
        "what": _deed(found, culprit),
        "validator": culprit.validator,
        "node_id": encode_node_id(node_id),
        "epoch": found.epoch,
    }


def _deed(found: Evidence, culprit: Culprit) -> str:
    """Say in words what was done."""
    match found:
        case DoubleVote(_, first, second) if culprit.kind == "E2":
            return f"signed both Nullify and Finalize of view {first.number}"
        case DoubleVote(_, first, second):
            where = "height" if culprit.kind == "E3" else "view"
            kind = first.kind.name.capitalize()
            return (
                f"signed two {kind} votes for {where} {first.number}: for {first.digest.hex()} and "
                f"{second.digest.hex()}"
            )
        case BadJustification(_, header):
            return (
                f"notarized block {header.hash.hex()} of view {header.view}, which carries no proof that it may "
                f"extend its parent"
            )
        case BadBatch(_, header):
            return (
                f"signed batch {header.digest.hex()}, whose entry {found.position} is not a transaction of this chain "
                f"with its sender's signature"
            )


def _read_epoch(path: Path) -> EpochRecord:
    try:
        with path.open("rb") as file:
            return decode(EpochRecord, file.read(bytes_bounds(EpochRecord)[1] + 1))
    except OSError as error:
        raise InputError(f"{path}: the file cannot be read: {error.strerror}") from error
    except RemoteProtocolError as error:
        raise InputError(f"{path}: this is no record of an epoch: {error.reason}") from error


def _read_chain(path: Path) -> Chain:
    try:
        with path.open("rb") as file:
            return Chain(load_genesis(file.read(GENESIS_BYTES_MAX + 1)), verify)
    except OSError as error:
        raise InputError(f"{path}: the file cannot be read: {error.strerror}") from error
    except LocalProtocolError as error:
        raise InputError(f"{path}: {error}") from error


def _read(path: Path) -> bytes:
    try:
        with click.open_file(str(path), "rb") as file:
            data: bytes = file.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise InputError(f"{path}: the file cannot be read: {error.strerror}") from error
    if len(data) > _FILE_BYTES_MAX:
        raise InputError(f"{path}: the file is longer than {_FILE_BYTES_MAX} bytes; give one line of the log, not all")
    return data


def _evidence_bytes(data: bytes, name: str) -> bytes:
    """Return the object's bytes out of a line of the log, hexadecimal digits or the bytes themselves.

    An encoded object begins with a byte of 0x80 and above, so it is never taken for text.

    Raises:
        InputError: text that is neither.
    """
    if data[:1] >= b"\x80":
        return data
    text = data.decode("ascii", "replace").strip()
    if text.startswith("{"):
        try:
            event = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{name}: this is not one line of a log, a JSON object: {error}") from error
        text = str(event.get("evidence", ""))
        if not text:
            raise InputError(f"{name}: this line of a log has no field evidence; only the event evidence has one")
    if not text or len(text) % 2 or not set(text) <= set(string.hexdigits):
        raise InputError(
            f"{name}: {text!r:.60} is no evidence: bytes, their hexadecimal digits or a line of a log are needed"
        )
    return bytes.fromhex(text)
