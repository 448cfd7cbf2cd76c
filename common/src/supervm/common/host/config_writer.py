"""Writing a node's configuration with comments, for `supervm init` and `supervm up`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from supervm.protocol.base.address import encode_address

from ..contract.options import OptionSpec, OptionValue
from ..parts.policy.rules import POLICY_OPTIONS
from .config import BROWSERS_OPTIONS, CONFIG_FILE, HOUSEKEEPING_OPTIONS, LOG_LEVELS, NodeConfig, PeerAddress
from .keyfile import create_private_file

_BROWSERS_TIER: Final = 3
"""Edges answer for people; the keys work in every tier, and only an edge's file suggests them."""


def _quoted(text: str) -> str:
    """Return `text` as a TOML basic string."""
    escapes = {'"': '\\"', "\\": "\\\\"}
    return (
        '"'
        + "".join(
            escapes.get(character, character if character.isprintable() else f"\\U{ord(character):08x}")
            for character in text
        )
        + '"'
    )


def _value(value: OptionValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return _quoted(value) if isinstance(value, str) else str(value)


def render_config(config: NodeConfig, options: Mapping[str, OptionSpec], *, test_network: bool = False) -> str:
    """Return the commented text of `config`; what stands at its default is written as a comment.

    Args:
        config: `directory` and `genesis` are written relative to the file if they lie in the folder it goes to.
        options: what the tier's own table may hold.
        test_network: whether `payout` is written with the prefix of test networks.
    """
    payout = None if config.payout is None else encode_address(config.payout, test=test_network)
    lines = [
        f"# A SuperVM node of tier {config.tier}. Every key is described in docs/configuration.md.",
        f"# Start it with: supervm l{config.tier} run --config {CONFIG_FILE}",
        "",
        f"tier = {config.tier}",
        "",
        "# The file that says which network this is; everybody in it has the same one.",
        f"genesis = {_quoted(_relative(config.genesis, config.directory))}",
        "",
        "# Where other nodes reach this one: host:port. Without it the node only dials.",
        _maybe("listen", config.listen, "0.0.0.0:4101"),
        "",
        "# Nodes to stay connected to; with the id before the @, only that node is accepted there.",
        *_peer_lines(config.peers),
        "",
        "# The account that is paid for this node's work.",
        _maybe("payout", payout, "svm1..."),
        "",
        "# SQLite in this folder by default; L1 and L2 may name a PostgreSQL database.",
        _maybe("database_url", config.database_url, "postgresql+psycopg://user@host/name"),
        "",
        "# Processes that check signatures; 0 checks them inside the node (right for small machines).",
        f"verify_workers = {config.verify_workers}",
        "",
        f"# The least important level that is logged: {', '.join(LOG_LEVELS)}.",
        f"log_level = {_quoted(config.log_level)}",
    ]
    tables: list[tuple[str, Mapping[str, OptionSpec], Mapping[str, OptionValue]]] = [
        (f"l{config.tier}", options, config.tier_options),
        ("housekeeping", HOUSEKEEPING_OPTIONS, config.housekeeping),
        ("browsers", BROWSERS_OPTIONS if config.tier == _BROWSERS_TIER else {}, config.browsers),
    ]
    if config.policy:
        tables.append(("policy", POLICY_OPTIONS, config.policy))
    for table, specs, values in tables:
        if specs:
            lines += ["", f"[{table}]"]
        for key, option in specs.items():
            value = values.get(key, option.default)
            lines.append(f"# {option.help} ({option.allowed})")
            lines.append(f"{'# ' if value == option.default else ''}{key} = {_value(value)}")
    if not config.policy:
        lines += [
            "",
            "# [policy]",
            "# What the node may do in a restricted or regulated network: docs/configuration.md.",
        ]
    return "\n".join(lines) + "\n"


def write_config(
    path: Path, config: NodeConfig, options: Mapping[str, OptionSpec], *, test_network: bool = False
) -> None:
    """Write `render_config` to a new file, mode 0600 (a database URL may hold a password).

    Raises:
        InputError: the file exists.
    """
    create_private_file(path, render_config(config, options, test_network=test_network).encode())


def _relative(path: Path, directory: Path) -> str:
    return path.relative_to(directory).as_posix() if path.is_relative_to(directory) else str(path)


def _maybe(key: str, value: str | None, example: str) -> str:
    return f"# {key} = {_quoted(example)}" if value is None else f"{key} = {_quoted(value)}"


def _peer_lines(peers: tuple[PeerAddress, ...]) -> list[str]:
    if not peers:
        return ['# peers = ["svmnode1...@127.0.0.1:4101"]']
    return ["peers = [", *(f"    {_quoted(peer.text)}," for peer in peers), "]"]
