"""The folder of a network on this machine: genesis, node folders, keys, wallets and who lives where.

::

    DIR/network.json     counts, wallets (name -> phone, account number, address), node ids and ports
    DIR/genesis.cbor     the network
    DIR/genesis.alloc    who owns what in it at the start
    DIR/passphrase       random, mode 0600: unlocks the phones' wallets
    DIR/l1-0/ ...        one folder per node: config.toml, keys, database, node.sock, node.out

A name's account is account number k of the wallet of one phone; names are dealt out to the phones in turn. The reserve
and the payout accounts of miners and edges are accounts of the first phone, under names that begin with ``_``.
"""

from __future__ import annotations

import itertools
import json
import os
import secrets
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from supervm.common.cli.registry import tier_options
from supervm.common.contract.options import OptionSpec, OptionValue
from supervm.common.errors import InputError
from supervm.common.host.config import (
    BROWSERS_OPTIONS,
    CONFIG_FILE,
    HOUSEKEEPING_OPTIONS,
    NodeConfig,
    PeerAddress,
    load_config,
)
from supervm.common.host.config_writer import write_config
from supervm.common.host.genesis_file import allocations_path
from supervm.common.host.keyfile import (
    NODE_KEY_FILE,
    VALIDATOR_KEY_FILE,
    create_private_file,
    make_key_file,
)
from supervm.protocol.base.address import decode_address
from supervm.protocol.base.codec import encode
from supervm.protocol.base.keys import SEED_BYTES
from supervm.protocol.chain.allocations import Allocation, write_allocations
from supervm.protocol.chain.genesis import Miner, Parameters, genesis_asset_id, make_genesis
from supervm.protocol.chain.validators import Validator
from supervm.protocol.state.leaves import NATIVE, NATIVE_NAME

from .payments import FUNDING_GRAIN, Wallet
from .processes import NodeProcess
from .rows import is_asset_id
from .wallets import make_wallets, opener, wallets_of_names

NETWORK_FILE = "network.json"
GENESIS_FILE = "genesis.cbor"
PASSPHRASE_FILE = "passphrase"  # noqa: S105 - the name of a file
_QUEUE_MAX = 1_000_000  # a file of payments may have as many rows; `l4` by itself has a bound for people
NAMES_FILE = "names.txt"
RESERVE = "_reserve"
RESERVE_GRAIN = 10**17
VIEW_TIMEOUT_MS = 200
"""decisions.md, Numbers: D0 under `up`."""
HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Counts:
    """How many nodes of each tier."""

    l1: int = 4
    l2: int = 1
    l3: int = 1
    l4: int = 2

    @property
    def total(self) -> int:
        """All nodes."""
        return self.l1 + self.l2 + self.l3 + self.l4

    def names(self, tier: int) -> list[str]:
        """Names of the nodes of a tier: ``l1-0``, ``l1-1``, ..."""
        return [f"l{tier}-{index}" for index in range((self.l1, self.l2, self.l3, self.l4)[tier - 1])]

    def document(self) -> dict[str, int]:
        """As in the JSON document, with the number of processes."""
        return {"l1": self.l1, "l2": self.l2, "l3": self.l3, "l4": self.l4, "processes": self.total}


@dataclass
class Network:
    """A network's folder, read or made."""

    directory: Path
    counts: Counts
    wallets: dict[str, Wallet]
    accounts: dict[str, list[str]]  # phone -> names in account order
    genesis_names: list[str]
    fresh: bool
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    assets: dict[str, str] = field(default_factory=dict)  # what genesis calls an asset -> its id in hexadecimal

    def asset_id(self, asset: str) -> str:
        """Return an asset of the payments file as phones take it: ``svm``, or its id."""
        return self.assets.get(asset, asset)

    @property
    def reserve(self) -> str:
        """Name of the wallet that funds new names."""
        return RESERVE

    def processes(self) -> list[NodeProcess]:
        """The nodes in starting order: agreement first, phones last."""
        return [
            NodeProcess(name, tier, self.directory / name) for tier in range(1, 5) for name in self.counts.names(tier)
        ]


def open_network(
    directory: Path,
    counts: Counts | None,
    names: Sequence[str],
    assets: Sequence[str] = (),
    strangers: Iterable[Allocation] = (),
) -> Network:
    """Make the network in an empty folder, or take the one that is there and add accounts for new names.

    Args:
        directory: exists.
        counts: what was asked for; None takes what is there, or the defaults.
        names: every name the payments use.
        assets: every asset that they use beside the native one.
        strangers: what accounts that live on none of the phones own in a new network.

    Raises:
        InputError: the folder holds a network of other size, one without such an asset, or something else.
    """
    if (directory / NETWORK_FILE).exists():
        return _reopen(directory, counts, names, assets)
    others = [item.name for item in directory.iterdir() if item.name != "lock"]
    if others:
        raise InputError(f"{directory} holds {others[0]} but no network; give an empty or new folder")
    return _create(directory, counts or Counts(), names, assets, strangers)


def _deal(names: Iterable[str], accounts: dict[str, list[str]]) -> list[str]:
    """Give each name that has none an account on a phone, in turn; return those that are new."""
    phones = list(accounts)
    held = {name for held in accounts.values() for name in held}
    fresh = [name for name in names if name not in held]
    for name in fresh:
        phone = min(phones, key=lambda phone: (sum(not item.startswith("_") for item in accounts[phone]), phone))
        accounts[phone].append(name)
    return fresh


def _create(
    directory: Path, counts: Counts, names: Sequence[str], assets: Sequence[str], strangers: Iterable[Allocation]
) -> Network:
    passphrase = secrets.token_urlsafe(24)
    create_private_file(directory / PASSPHRASE_FILE, passphrase.encode() + b"\n")
    node_keys, validator_keys = {}, {}
    for tier in range(1, 5):
        for name in counts.names(tier):
            (directory / name).mkdir(mode=0o700)
            node_keys[name] = make_key_file(directory / name / NODE_KEY_FILE, secrets.token_bytes(SEED_BYTES)).public
            if tier == 1:
                seed = secrets.token_bytes(SEED_BYTES)
                validator_keys[name] = make_key_file(directory / name / VALIDATOR_KEY_FILE, seed).public
    accounts: dict[str, list[str]] = {name: [] for name in counts.names(4)}
    first = counts.names(4)[0]
    earners = [f"_{name}" for tier in (1, 2, 3) for name in counts.names(tier)]
    accounts[first] = [RESERVE, *earners]
    _deal(names, accounts)
    wallets = wallets_of_names(accounts, make_wallets(directory, list(accounts), passphrase).__getitem__, {})
    account_of = {name: decode_address(wallet.address)[0] for name, wallet in wallets.items()}
    validators = tuple(
        Validator(1, validator_keys[name], node_keys[name], 1, account_of[f"_{name}"]) for name in counts.names(1)
    )
    miners = tuple(Miner(1, node_keys[name], account_of[f"_{name}"]) for name in counts.names(2))
    ids = _write_genesis(directory / GENESIS_FILE, validators, miners, account_of, names, assets, strangers)
    ports = iter(free_ports(counts.l1 + counts.l2 + counts.l3))
    nodes = {
        name: {"tier": tier, "node_id": node_keys[name].hex(), "port": next(ports) if tier < 4 else None}
        for tier in range(1, 5)
        for name in counts.names(tier)
    }
    network = Network(directory, counts, wallets, accounts, list(names), fresh=True, nodes=nodes)
    network.assets = {asset: made.hex() for asset, made in ids.items()}
    for name in nodes:
        _write_node(network, name, account_of, assets)
    _save(network)
    return network


def _write_genesis(
    path: Path,
    validators: tuple[Validator, ...],
    miners: tuple[Miner, ...],
    account_of: Mapping[str, bytes],
    names: Sequence[str],
    assets: Sequence[str],
    strangers: Iterable[Allocation],
) -> dict[str, bytes]:
    """Write a genesis in which the reserve and every name own every asset; return the ids of those it names."""
    ids = {asset: genesis_asset_id(asset) for asset in assets if not is_asset_id(asset)}
    genesis, allocations = make_genesis(
        name="supervm up",
        time_ms=time.time_ns() // 1_000_000,
        validators=validators,
        miners=miners,
        allocations=itertools.chain(
            strangers,
            (
                Allocation(account_of[owner], amount, asset)
                for asset in (NATIVE, *ids.values())
                for owner, amount in ((RESERVE, RESERVE_GRAIN), *((name, FUNDING_GRAIN) for name in names))
            ),
        ),
        assets=[(asset, account_of[RESERVE]) for asset in ids],
        parameters=Parameters(2, test_network=True, view_timeout_ms=VIEW_TIMEOUT_MS),
    )
    create_private_file(path, encode(genesis))
    create_private_file(allocations_path(path), write_allocations(allocations, [item.asset for item in genesis.assets]))
    return ids


def _reopen(directory: Path, counts: Counts | None, names: Sequence[str], assets: Sequence[str]) -> Network:
    try:
        stored = json.loads((directory / NETWORK_FILE).read_text())
        found = Counts(**stored["counts"])
        nodes, accounts, known = stored["nodes"], stored["accounts"], stored["wallets"]
        genesis_names, ids = stored["genesis_names"], dict(stored.get("assets", {}))
        _check_stored(found, nodes, accounts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{directory / NETWORK_FILE} cannot be read: {error!r:.200}") from error
    if counts is not None and counts != found:
        raise InputError(
            f"{directory} holds a network of --l1 {found.l1} --l2 {found.l2} --l3 {found.l3} --l4 {found.l4}; "
            "give the same numbers or none"
        )
    _check_assets(directory, ids, assets)
    fresh = _deal(names, accounts)
    wallets = {name: Wallet(*item) for name, item in known.items()}
    if fresh:
        passphrase = (directory / PASSPHRASE_FILE).read_text().strip()
        wallets = wallets_of_names(accounts, opener(directory, passphrase), wallets)
    network = Network(directory, found, wallets, accounts, genesis_names, fresh=False, nodes=nodes, assets=ids)
    taken = [node["port"] for node in nodes.values() if node["port"] is not None]
    if not all(_is_free(port) for port in taken):
        ports = iter(free_ports(len(taken)))
        for node in nodes.values():
            if node["port"] is not None:
                node["port"] = next(ports)
    account_of = {name: decode_address(wallet.address)[0] for name, wallet in wallets.items()}
    kept = {name: _kept(directory / name / CONFIG_FILE, node["tier"]) for name, node in nodes.items()}
    for name in nodes:
        (directory / name / CONFIG_FILE).unlink(missing_ok=True)
        _write_node(network, name, account_of, assets, kept[name])
    _save(network)
    return network


def _kept(path: Path, tier: int) -> NodeConfig | None:
    """Return what a node's owner has set between two runs; None: there is no such file any more.

    Raises:
        InputError: it cannot be read; it is left as it is.
    """
    return load_config(path, tier=tier, options=tier_options(tier)) if path.exists() else None


def _check_assets(directory: Path, ids: Mapping[str, str], assets: Sequence[str]) -> None:
    """Raise `InputError` if the payments name an asset that the network does not have."""
    unknown = [asset for asset in assets if asset not in ids and not is_asset_id(asset)]
    if unknown:
        raise InputError(
            f"{directory} holds a network without the asset {unknown[0]!r}; its assets are "
            f"{', '.join([NATIVE_NAME, *ids])}. Issue one with `supervm issue` and write its id, or give a new folder"
        )


def _check_stored(counts: Counts, nodes: dict[str, dict[str, Any]], accounts: dict[str, list[str]]) -> None:
    """Raise `ValueError` if a network's file does not hold the nodes that its counts name."""
    if not all(type(count) is int and count >= 1 for count in (counts.l1, counts.l2, counts.l3, counts.l4)):
        raise ValueError("counts are whole numbers from 1 on")
    names = {name: tier for tier in range(1, 5) for name in counts.names(tier)}
    if {name: node["tier"] for name, node in nodes.items()} != names or list(accounts) != counts.names(4):
        raise ValueError("the nodes are not those that the counts name")


def _write_node(
    network: Network,
    name: str,
    account_of: dict[str, bytes],
    assets: Sequence[str],
    kept: NodeConfig | None = None,
) -> None:
    """Write a node's configuration, and a phone's names; miners and edges take fees in all assets that are used.

    Addresses and what follows from the network are ours; whatever else `kept` sets stays.
    """
    directory, counts = network.directory, network.counts
    tier = network.nodes[name]["tier"]
    index = int(name.split("-")[1])
    cores = os.cpu_count() or 1
    options: dict[str, Any] = {}
    if tier == 1:
        peers = counts.names(1)[:index]
        options = {"double_run_listen_s": 0}
    elif tier == 4:
        # each phone prefers another edge, and knows all
        edges = counts.names(3)
        peers = edges[index % len(edges) :] + edges[: index % len(edges)]
        names = network.accounts[name]  # of a phone that no name lives on: its one account has none
        (directory / name / NAMES_FILE).write_text("".join(f"{item}\n" for item in names))
        options = {"accounts": max(1, len(names)), "names": NAMES_FILE, "queue_max": _QUEUE_MAX}
    else:
        peers = counts.names(tier - 1)
        taken = dict.fromkeys((NATIVE_NAME, *map(network.asset_id, (*network.assets, *assets))))
        options = {"fees": ",".join(f"{asset}:1" for asset in taken)}
    node = network.nodes[name]
    config = NodeConfig(
        tier=tier,
        directory=directory / name,
        genesis=Path(os.pardir) / GENESIS_FILE,
        listen=None if node["port"] is None else f"{HOST}:{node['port']}",
        peers=tuple(
            PeerAddress(bytes.fromhex(network.nodes[peer]["node_id"]), f"{HOST}:{network.nodes[peer]['port']}")
            for peer in peers
        ),
        verify_workers=1 if tier <= 2 and counts.total <= cores else 0,
        payout=account_of.get(f"_{name}"),
        tier_options=options,
    )
    specs = tier_options(tier)
    if kept is not None:
        config = replace(
            config,
            log_level=kept.log_level,
            housekeeping=_changed(kept.housekeeping, HOUSEKEEPING_OPTIONS),
            browsers=_changed(kept.browsers, BROWSERS_OPTIONS),
            policy=kept.policy,
            tier_options=_changed(kept.tier_options, specs) | options,
        )
    write_config(directory / name / CONFIG_FILE, config, specs, test_network=True)


def _changed(values: Mapping[str, OptionValue], specs: Mapping[str, OptionSpec]) -> dict[str, OptionValue]:
    """Return what is not as it is by itself: a later default is not held back by the one of today."""
    return {key: value for key, value in values.items() if value != specs[key].default}


def _save(network: Network) -> None:
    counts = network.counts
    document = {
        "counts": {"l1": counts.l1, "l2": counts.l2, "l3": counts.l3, "l4": counts.l4},
        "genesis_names": network.genesis_names,
        "assets": network.assets,
        "accounts": network.accounts,
        "wallets": {name: [wallet.node, wallet.address] for name, wallet in network.wallets.items()},
        "nodes": network.nodes,
    }
    path = network.directory / NETWORK_FILE
    temporary = path.with_suffix(".new")
    with temporary.open("w") as file:
        json.dump(document, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def free_ports(count: int) -> list[int]:
    """Return ports that are free now; all are held open until the last is found, so that they differ."""
    held = []
    try:
        for _ in range(count):
            probe = socket.socket()
            probe.bind((HOST, 0))
            held.append(probe)
        return [probe.getsockname()[1] for probe in held]
    finally:
        for probe in held:
            probe.close()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
