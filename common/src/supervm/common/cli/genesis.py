"""``supervm genesis``: making the files that start a network, and showing them (decisions.md, Genesis).

CSV files say who is there: validators (``key,node_id,weight,payout``), miners (``node_id,payout``), allocations
(``account,amount`` and, if need be, ``asset``) and the assets that exist beside the native one (``name,issuer``).
Accounts are addresses, node ids ``svmnode1...``; either may be 64 hexadecimal digits. What is made are two files: the
genesis, and beside it the allocations, which only nodes of L1 and L2 need.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from supervm.protocol.base.address import encode_address, encode_node_id
from supervm.protocol.base.errors import LocalProtocolError

from ..contract.options import OptionSpec, OptionValue
from ..errors import InputError
from ..host.genesis_file import allocations_path
from ..host.keyfile import create_file
from ..parts.chain_clock import behind_text
from ..text.csvfile import read_csv
from ..text.keyreader import KeyReader
from ..text.options import parse_option
from .fee import parse_shares
from .numbers import WholeNumber
from .output import columns, emit, json_option, note

if TYPE_CHECKING:
    from supervm.protocol.chain.allocations import Allocation
    from supervm.protocol.chain.genesis import Genesis
    from supervm.protocol.chain.validators import Validator

VALIDATORS_HEADER = ("key", "node_id", "weight", "payout")
MINERS_HEADER = ("node_id", "payout")
ALLOCATIONS_HEADER = ("account", "amount")
ASSETS_HEADER = ("name", "issuer")

_INT_MAX = 2**63 - 1
_DAY_MS = 86_400_000

PARAMETERS = {
    "view_timeout_ms": OptionSpec(int, 400, "first time-out of a view, ms", 1, 600_000),
    "view_timeout_ms_max": OptionSpec(int, 60_000, "longest time-out of a view, ms", 1, 3_600_000),
    "block_interval_ms": OptionSpec(
        int, 500, "longest time between blocks while something is under way, ms", 1, 600_000
    ),
    "idle_interval_ms": OptionSpec(int, 10_000, "between two blocks of an idle chain, ms", 1, 3_600_000),
    "clock_drift_ms": OptionSpec(int, 2_000, "how far a block's time may be ahead of a clock, ms", 0, 600_000),
    "window": OptionSpec(int, 1_024, "slots of one sender that may be under way", 1, 1 << 20),
    "validity_ms_min": OptionSpec(int, 5_000, "shortest validity of a transaction, ms", 0, 365 * _DAY_MS),
    "validity_ms_max": OptionSpec(int, 7 * _DAY_MS, "longest validity of a transaction, ms", 0, 365 * _DAY_MS),
    "epoch_ms": OptionSpec(int, 3_600_000, "time after which an epoch ends, ms", 1, 365 * _DAY_MS),
    "trusting_period_ms": OptionSpec(
        int,
        21 * _DAY_MS,
        "age of the newest trusted header from which a phone needs a newer anchor, ms",
        60_000,
        3_650 * _DAY_MS,
    ),
}
"""Numbers that ``--param`` can set, besides ``fee_shares_bps``."""


@click.group()
def genesis() -> None:
    """Make or show the file that starts a network."""


_READ = click.Path(exists=True, dir_okay=False, path_type=Path)


@genesis.command(
    epilog="Example: supervm genesis new --validators validators.csv --miners miners.csv --alloc alloc.csv "
    "--out genesis.cbor --param block_interval_ms=500"
)
@click.option(
    "--validators", type=_READ, required=True, help="CSV key,node_id,weight,payout; their order is their index."
)
@click.option("--miners", type=_READ, required=True, help="CSV node_id,payout.")
@click.option("--alloc", type=_READ, required=True, help="CSV account,amount in grain, or account,amount,asset.")
@click.option("--assets", type=_READ, help="CSV name,issuer of the assets beside the native one.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The file to make.")
@click.option("--name", default="supervm", show_default=True, help="Name of the network, 1 to 64 characters.")
@click.option("--time", "time_ms", type=WholeNumber(0, _INT_MAX), help="Unix time in ms [default: now].")
@click.option("--test-network", is_flag=True, help="Addresses begin with tsvm1.")
@click.option("--param", "params", multiple=True, metavar="KEY=VALUE", help="A parameter; may be given many times.")
@json_option
def new(
    validators: Path,
    miners: Path,
    alloc: Path,
    assets: Path | None,
    out: Path,
    name: str,
    time_ms: int | None,
    test_network: bool,
    params: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make a genesis file and, beside it, its allocations (OUT with the ending .alloc); never overwrites one."""
    from supervm.protocol.base.codec import encode
    from supervm.protocol.chain.allocations import write_allocations
    from supervm.protocol.chain.genesis import Miner, Parameters, make_genesis

    reader = KeyReader(test_network=test_network)
    beside = allocations_path(out)
    if beside == out:
        raise InputError(f"--out {out}: another ending than {beside.suffix} is needed, which the allocations take")
    issuers = {} if assets is None else read_issuers(assets, reader)
    made, allocations = make_genesis(
        name=_checked_name(name),
        time_ms=time.time_ns() // 1_000_000 if time_ms is None else time_ms,
        validators=read_validators(validators, reader),
        miners=tuple(
            Miner(1, reader.node_id(row, "node_id", "a miner"), reader.account(row, "payout"))
            for row in read_csv(miners, MINERS_HEADER)
        ),
        allocations=read_allocation_rows(alloc, reader, issuers),
        assets=issuers.items(),
        parameters=Parameters(2, test_network=test_network, **_parameters(params)),
    )
    create_file(out, encode(made))
    try:
        create_file(beside, write_allocations(allocations, [item.asset for item in made.assets]))
    except InputError:
        out.unlink()  # a genesis without its allocations would look whole
        raise
    document = describe(made)
    files = {"file": str(out), "allocations_file": str(beside)}
    emit({**files, **document}, as_json=as_json, lines=[f"made {out} and {beside}", *_lines(document)])
    _note_clock(made)


@genesis.command(epilog="Example: supervm genesis show genesis.cbor --json")
@click.argument("file", type=_READ)
@json_option
def show(file: Path, as_json: bool) -> None:
    """Show what a genesis FILE says, its chain id and the anchor of its light clients."""
    from supervm.protocol.chain.genesis import GENESIS_BYTES_MAX, load_genesis

    try:
        with file.open("rb") as stream:
            made = load_genesis(stream.read(GENESIS_BYTES_MAX + 1))
        document = describe(made)
    except LocalProtocolError as error:
        raise InputError(f"{file}: {error}") from None
    emit(document, as_json=as_json, lines=_lines(document))
    _note_clock(made)


def _note_clock(made: Genesis) -> None:
    """Say on standard error that a network cannot begin yet, or that this machine's clock cannot be right."""
    from ..host.doctor import is_clock_before_installation

    now_us = time.time_ns() // 1_000
    problem = behind_text("the genesis file", made.time_ms, now_us, drift_ms=made.parameters.clock_drift_ms)
    if problem is not None:
        note(problem)
    if is_clock_before_installation():
        note("this machine's clock shows a time before this program was installed: set it, it dates the network")


def read_validators(path: Path, reader: KeyReader) -> tuple[Validator, ...]:
    """Read a CSV file of validators, ``key,node_id,weight,payout``, in its order.

    Raises:
        InputError: the file is not such a list; where, and what is allowed.
    """
    from supervm.protocol.chain.validators import Validator

    return tuple(
        Validator(
            1,
            reader.vote_key(row, "key"),
            reader.node_id(row, "node_id", "a validator"),
            row.integer("weight", 1, _INT_MAX),
            reader.account(row, "payout"),
        )
        for row in read_csv(path, VALIDATORS_HEADER)
    )


def read_issuers(path: Path, reader: KeyReader) -> dict[str, bytes]:
    """Read a CSV file of assets, ``name,issuer``: name -> account of the issuer.

    Raises:
        InputError: the file is not such a list; where, and what is allowed.
    """
    from supervm.protocol.state.leaves import NATIVE_NAME

    issuers: dict[str, bytes] = {}
    for row in read_csv(path, ASSETS_HEADER):
        name = row.values["name"]
        if name in issuers or not 1 <= len(name) <= 32 or not name.isprintable() or name == NATIVE_NAME:
            raise row.error("name", f"1 to 32 printable characters, each name once and not {NATIVE_NAME}, are allowed")
        issuers[name] = reader.account(row, "issuer")
    return issuers


def read_allocation_rows(path: Path, reader: KeyReader, assets: Collection[str]) -> Iterator[Allocation]:
    """Yield the rows of a CSV file ``account,amount[,asset]``; an account stands there once for each asset.

    Raises:
        InputError: the file is not such a list; where, and what is allowed.
    """
    from supervm.protocol.chain.allocations import Allocation
    from supervm.protocol.chain.genesis import genesis_asset_id
    from supervm.protocol.state.leaves import NATIVE, NATIVE_NAME

    lines: dict[tuple[bytes, bytes], int] = {}
    for row in read_csv(path, ALLOCATIONS_HEADER, optional=("asset",)):
        account = reader.account(row, "account")
        name = row.values.get("asset") or NATIVE_NAME
        if name != NATIVE_NAME and name not in assets:
            known = ", ".join([NATIVE_NAME, *assets])
            raise row.error("asset", f"one of {known} is needed; --assets names those that are made")
        asset = NATIVE if name == NATIVE_NAME else genesis_asset_id(name)
        if (account, asset) in lines:
            before = lines[account, asset]
            raise row.error("account", f"line {before} is about it already; one line for each is allowed")
        lines[account, asset] = row.line
        yield Allocation(account, row.integer("amount", 1, _INT_MAX), asset)


def describe(made: Any) -> dict[str, Any]:
    """Return a `Genesis` as a JSON document, with everything that follows from it."""
    import msgspec

    from supervm.protocol.base.keys import verify
    from supervm.protocol.chain.genesis import Chain

    chain = Chain(made, verify)
    test = made.parameters.test_network
    parameters = msgspec.structs.asdict(made.parameters)
    del parameters["version"]
    return {
        "name": made.name,
        "chain_id": chain.chain_id.hex(),
        "time_ms": made.time_ms,
        "test_network": test,
        "supply": chain.supply,
        "state_root": chain.anchor.state_root.hex(),
        "anchor": chain.anchor.hash.hex(),
        "validators": [
            {
                "index": index,
                "key": item.key.hex(),
                "node_id": encode_node_id(item.node_id),
                "weight": item.weight,
                "payout": encode_address(item.payout, test=test),
            }
            for index, item in enumerate(made.validators)
        ],
        "quorum": chain.validators.quorum,
        "miners": [
            {"node_id": encode_node_id(item.node_id), "payout": encode_address(item.payout, test=test)}
            for item in made.miners
        ],
        "assets": [
            {
                "name": item.name,
                "id": item.asset.hex(),
                "issuer": encode_address(item.issuer, test=test),
                "supply": item.supply,
            }
            for item in made.assets
        ],
        "allocations": made.allocations,
        "parameters": parameters,
    }


def _lines(document: dict[str, Any]) -> Iterator[str]:
    plain = [(key, str(value)) for key, value in document.items() if isinstance(value, str | int)]
    yield from columns(plain)
    for key in ("validators", "miners", "assets"):
        yield f"{key}: {len(document[key])}"
    yield from columns([(f"  {key}", str(value)) for key, value in document["parameters"].items()])


def _checked_name(name: str) -> str:
    if not 1 <= len(name) <= 64:
        raise InputError(f"--name has {len(name)} characters; 1 to 64 are allowed")
    if not name.isprintable():
        raise InputError(f"--name {name!r} is not allowed: 1 to 64 printable characters are")
    return name


def _parameters(params: tuple[str, ...]) -> dict[str, Any]:
    values: dict[str, OptionValue | tuple[int, ...]] = {}
    for text in params:
        key, separator, value = text.partition("=")
        if key == "fee_shares_bps" and separator:
            values[key] = parse_shares(value)
        elif key in PARAMETERS and separator:
            values[key] = parse_option(key, value, PARAMETERS[key])
        else:
            known = ", ".join([*PARAMETERS, "fee_shares_bps"])
            raise InputError(f"--param {text} is not allowed: KEY=VALUE with a key of {known}")
    return values
