"""``supervm verify``: check a light client's answer with nothing but an anchor and a clock (consensus.md 5)."""

from __future__ import annotations

import time
from pathlib import Path

import click

from supervm.common.cli.numbers import WholeNumber
from supervm.common.cli.output import emit, json_option
from supervm.common.errors import InputError
from supervm.common.host.anchor_file import anchor_bytes
from supervm.protocol.base.address import encode_address
from supervm.protocol.base.codec import decode
from supervm.protocol.base.errors import LocalProtocolError, RemoteProtocolError
from supervm.protocol.base.keys import verify as verify_signature
from supervm.protocol.chain.genesis import TRUSTING_PERIOD_MS, Chain, load_genesis
from supervm.protocol.light.client import MAX_AGE_MS, Anchor, LightClient, anchor_of
from supervm.protocol.state.leaves import write_asset

from ..wallet.payments import in_words

_FILE_BYTES_MAX = 64 << 20


@click.command(epilog="Example: supervm verify bob.answer --anchor genesis.cbor --now 1700000000")
@click.argument("answer_file", metavar="ANSWER", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--anchor",
    "anchor_file",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="What is trusted: genesis.cbor, or an anchor of `supervm l4 export-anchor`.",
)
@click.option("--now", "now_s", type=WholeNumber(0, 2**40), help="Unix time in seconds [default: this machine's].")
@click.option(
    "--max-age",
    "max_age_s",
    type=WholeNumber(1, 2**40),
    default=MAX_AGE_MS // 1000,
    show_default=True,
    help="Seconds that the proved state may be old.",
)
@click.option(
    "--trusting-period",
    "period_s",
    type=WholeNumber(1, 2**40),
    help="Seconds that the anchor may be old [default: as genesis.cbor says; 21 days for an anchor].",
)
@json_option
def verify(
    answer_file: Path, anchor_file: Path, now_s: int | None, max_age_s: int, period_s: int | None, as_json: bool
) -> int:
    """Check the file ANSWER, offline; exit status 1 and the reason when it proves nothing.

    An answer says what an account has of one asset.

    Validators answer for what they signed for the trusting period. An anchor that is older proves nothing any more:
    take a newer one from somebody you trust.
    """
    now_ms = time.time_ns() // 1_000_000 if now_s is None else now_s * 1000
    anchor, test_network, period_ms = _read_anchor(anchor_file)
    if period_s is not None:
        period_ms = period_s * 1000
    data = _read(answer_file)
    try:
        client = LightClient(anchor, verify_signature, max_age_ms=max_age_s * 1000, trusting_period_ms=period_ms)
        proved = client.check_answer(data, now_ms)
    except RemoteProtocolError as error:
        emit(
            {"valid": False, "reason": error.reason, "code": error.code},
            as_json=as_json,
            lines=[f"invalid: {error.reason}"],
        )
        return 1
    age_s = max(0, now_ms - proved.header.ts_ms) / 1000
    document = {
        "valid": True,
        "reason": None,
        "account": proved.account.hex(),
        "address": None if test_network is None else encode_address(proved.account, test=test_network),
        "asset": write_asset(proved.asset),
        "balance": proved.amount,
        "next_seq": None if proved.state is None else proved.state.next_seq,
        "exists": proved.exists,
        "height": proved.header.height,
        "age_s": age_s,
        "state_root": proved.header.state_root.hex(),
    }
    name = document["address"] or document["account"]
    emit(
        document,
        as_json=as_json,
        lines=[
            f"valid: {name} has {in_words(proved.amount, proved.asset)} at height {proved.header.height}, "
            f"{age_s:.1f} s old"
        ],
    )
    return 0


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise InputError(f"{path}: the file cannot be read: {error.strerror}") from error


def _read_anchor(path: Path) -> tuple[Anchor, bool | None, int]:
    """Return the anchor, whether it is a test network's where the file tells, and the trusting period in ms."""
    data = _read(path)
    try:
        return decode(Anchor, anchor_bytes(data)), None, TRUSTING_PERIOD_MS
    except RemoteProtocolError:
        pass
    try:
        chain = Chain(load_genesis(data), verify_signature)
    except LocalProtocolError as error:
        raise InputError(f"{path} is neither an anchor nor a genesis file: {error}") from error
    return anchor_of(chain), chain.parameters.test_network, chain.parameters.trusting_period_ms
