"""A node's configuration: one strict TOML file, read into a `NodeConfig` (`config_writer.py` writes one).

Every error names the file, the line, the key and what is allowed; a key that is not known is an error, because a
misspelt limit that is silently ignored protects nobody. Relative paths are relative to the file's own folder, so a
node's folder can be moved as a whole. docs/configuration.md lists every key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from supervm.protocol.base.address import decode_address, decode_node_id, encode_node_id
from supervm.protocol.base.errors import LocalProtocolError

from ..contract.options import OptionSpec, OptionValue
from ..errors import InputError
from ..parts.policy.rules import POLICY_OPTIONS, read_rules, scheme_of
from ..text import toml_text
from ..text.quoting import quoted, shorten
from ..text.schemes import tcp_part

CONFIG_FILE: Final = "config.toml"
LOG_LEVELS: Final = ("debug", "info", "warning", "error")
DEFAULT_PORTS: Final = {1: 4101, 2: 4201, 3: 4301}
"""Tier -> TCP port that `supervm init` writes; an L4 listens nowhere unless told to."""
VERIFY_WORKERS_MAX: Final = 256

HOUSEKEEPING_OPTIONS: Final[Mapping[str, OptionSpec]] = {
    "enabled": OptionSpec(bool, True, "whether periodic maintenance runs at all"),
    "optimize_s": OptionSpec(int, 600, "seconds between upkeeps of the database; 0: none", 0, 366 * 86_400),
    "metrics_s": OptionSpec(int, 10, "seconds between snapshots of the counters; 0: none", 0, 366 * 86_400),
    "backup_s": OptionSpec(int, 86_400, "seconds between backups of the database; 0: none", 0, 366 * 86_400),
    "backups_kept": OptionSpec(int, 3, "backups that are kept; older ones are removed", 1, 1_000),
    "log_bytes_max": OptionSpec(int, 16 << 20, "size in bytes at which the log is rotated", 1 << 16, 1 << 40),
    "logs_kept": OptionSpec(int, 4, "rotated logs that are kept", 1, 1_000),
}
"""Keys of the table ``[housekeeping]``; nothing in it can be seen by a peer."""

BROWSERS_OPTIONS: Final[Mapping[str, OptionSpec]] = {
    "listen": OptionSpec(
        str, "", "host:port where browsers connect by WebRTC (needs supervm-common[webrtc]); empty: nowhere"
    ),
    "page": OptionSpec(str, "", "folder with the page that is served there; empty: no page, only connections"),
}
"""Keys of the table ``[browsers]``."""


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """A peer to stay connected to.

    Attributes:
        node_id: the id it must prove; None accepts whoever answers there.
        address: ``host:port``, or ``scheme:rest`` of another transport.
    """

    node_id: bytes | None
    address: str

    @property
    def text(self) -> str:
        """As it stands in a configuration: ``svmnode1...@host:port`` or ``host:port``."""
        return self.address if self.node_id is None else f"{encode_node_id(self.node_id)}@{self.address}"


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """Everything a node is told at its start.

    Attributes:
        tier: 1..4.
        directory: the node's folder: keys, databases, socket, lock.
        genesis: the network's genesis file.
        listen: ``host:port`` for other nodes; None does not listen.
        peers: nodes to stay connected to.
        database_url: SQLAlchemy URL, an SQLite file's path absolute; None is SQLite in `directory`.
        verify_workers: processes that check signatures; 0 checks inside the node's own process.
        log_level: the least important level that is logged.
        payout: the 32-byte account that is paid; None is only right where nothing is earned.
        housekeeping: values of `HOUSEKEEPING_OPTIONS`.
        tier_options: values of the tier's own table.
        browsers: values of `BROWSERS_OPTIONS`.
        policy: values of `POLICY_OPTIONS`; empty: the owner has no policy.
    """

    tier: int
    directory: Path
    genesis: Path
    listen: str | None = None
    peers: tuple[PeerAddress, ...] = ()
    database_url: str | None = None
    verify_workers: int = 0
    log_level: str = "info"
    payout: bytes | None = None
    housekeeping: Mapping[str, OptionValue] = field(default_factory=dict)
    tier_options: Mapping[str, OptionValue] = field(default_factory=dict)
    browsers: Mapping[str, OptionValue] = field(default_factory=dict)
    policy: Mapping[str, OptionValue] = field(default_factory=dict)

    def housekeeping_value(self, name: str) -> OptionValue:
        """Return what a key of `HOUSEKEEPING_OPTIONS` is set to, or its default."""
        return self.housekeeping.get(name, HOUSEKEEPING_OPTIONS[name].default)


def default_verify_workers(tier: int) -> int:
    """One worker on L1 and L2, none on L3 and L4 (decisions.md, `up`)."""
    return 1 if tier <= 2 else 0


def parse_endpoint(text: str) -> tuple[str, int]:
    """Return host and port (0..65535) of ``host:port`` or ``[IPv6]:port``.

    Raises:
        InputError: it is neither.
    """
    host, separator, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if (
        not separator
        or not host
        or not (port.isascii() and port.isdigit())
        or len(port) > 5
        or int(port) > 65_535
        or (":" in host and not bracketed)
        or "@" in host
        or any(character.isspace() for character in text)
    ):
        raise InputError(
            f"{quoted(text)} is not an address; host:port is needed, for example 127.0.0.1:4101 or [::1]:4101"
        )
    return (host[1:-1] if bracketed else host), int(port)


def parse_peer(text: str) -> PeerAddress:
    """Read ``svmnode1...@host:port`` or ``host:port``, or with another transport's address.

    Raises:
        InputError: it is neither.
    """
    name, separator, address = text.rpartition("@")
    _checked_address(address)
    if not separator:
        return PeerAddress(None, address)
    try:
        return PeerAddress(decode_node_id(name), address)
    except LocalProtocolError as error:
        raise InputError(str(error)) from None


def load_config(path: Path, *, tier: int, options: Mapping[str, OptionSpec]) -> NodeConfig:
    """Read the configuration of a node of `tier` (1..4).

    Args:
        path: the TOML file.
        tier: which tier's program reads it; the file must say the same.
        options: what the table ``[l<tier>]`` may hold.

    Raises:
        InputError: what is wrong, in which file and line, and what is allowed.
    """
    text = toml_text.read_text(path, f"`supervm init l{tier} --dir DIR` makes one")
    return _Reader(path, text, toml_text.parse(text, str(path))).read(tier, options)


def load_any_config(path: Path) -> NodeConfig:
    """Read the configuration of a node of whichever tier it names, if that tier's profile is installed.

    Raises:
        InputError: as `load_config`, or the profile is not installed.
    """
    from ..cli.registry import PROFILES, tier_options  # the registry knows what is installed

    said = toml_text.parse(toml_text.read_text(path, "`supervm init lN --dir DIR` makes one"), str(path)).get("tier")
    tier = said if type(said) is int and 1 <= said <= 4 else 1
    options = tier_options(tier)
    if not options and said == tier and tier != 4:
        raise InputError(f"{path}: it is of tier {tier}, which is not installed here: install {PROFILES[f'l{tier}']}")
    return load_config(path, tier=tier, options=options)


class _Reader:
    """One pass over a parsed file; takes keys out of the document, so that what is left over is unknown."""

    def __init__(self, path: Path, text: str, document: dict[str, Any]) -> None:
        self._path = path
        self._text = text
        self._document = document

    def read(self, tier: int, options: Mapping[str, OptionSpec]) -> NodeConfig:
        said = self._take("tier", int, None, "the number of the tier, 1 to 4")
        if said != tier:
            raise self._error("", "tier", f"it is {quoted(said)}; this program runs tier {tier}")
        base = self._path.parent
        directory = base / self._take("directory", str, ".", "a path in quotes")
        workers = self._take(
            "verify_workers", int, default_verify_workers(tier), f"a number from 0 to {VERIFY_WORKERS_MAX}"
        )
        if not 0 <= workers <= VERIFY_WORKERS_MAX:
            raise self._error("", "verify_workers", f"it is {quoted(workers)}; 0 to {VERIFY_WORKERS_MAX} are allowed")
        level = self._take("log_level", str, "info", f"one of {', '.join(LOG_LEVELS)}")
        if level not in LOG_LEVELS:
            raise self._error("", "log_level", f"it is {quoted(level)}; one of {', '.join(LOG_LEVELS)} is allowed")
        config = NodeConfig(
            tier=tier,
            directory=directory,
            genesis=base / self._take("genesis", str, "genesis.cbor", "a path in quotes"),
            listen=self._parsed("listen", "host:port in quotes", _checked_address),
            peers=self._peers(),
            database_url=self._parsed("database_url", "an SQLAlchemy URL in quotes", partial(_checked_url, base=base)),
            verify_workers=workers,
            log_level=level,
            payout=self._parsed("payout", "an address in quotes", _account),
            housekeeping=self._table("housekeeping", HOUSEKEEPING_OPTIONS),
            browsers=self._table("browsers", BROWSERS_OPTIONS),
            tier_options=self._table(f"l{tier}", options),
            policy=self._table("policy", POLICY_OPTIONS) if "policy" in self._document else {},
        )
        self._check_policy(config)
        for key in self._document:
            known = "tier, directory, genesis, listen, peers, database_url, verify_workers, log_level, payout"
            tables = f"[housekeeping], [browsers], [policy] and [l{tier}]"
            raise self._error("", key, f"there is no such key; there are {known}, {tables}")
        return config

    def _check_policy(self, config: NodeConfig) -> None:
        """Check that a policy can be read, and allows what the same file asks for."""
        try:
            rules = read_rules(config.policy)
        except LocalProtocolError as error:
            key, _, problem = str(error).partition(" ")
            raise self._error("policy", key, f"it {problem}") from None
        asked = {("", "listen"): "" if config.listen is None else scheme_of(config.listen)}
        asked["browsers", "listen"] = "webrtc" if config.browsers.get("listen") else ""
        for (table, key), scheme in asked.items():
            if scheme and rules.transports and scheme not in rules.transports:
                allowed = ", ".join(rules.transports)
                raise self._error(table, key, f"policy.transports forbids {scheme}; it allows {allowed}")

    def _take(self, key: str, kind: type, default: Any, allowed: str) -> Any:
        value = self._document.pop(key, default)
        if value is None:
            raise InputError(f"{self._path}: the key {key} is missing; it must be {allowed}")
        if type(value) is not kind or (isinstance(value, str) and "\0" in value):
            raise self._error("", key, f"it is {quoted(value)}; {allowed} is allowed")
        return value

    def _parsed(self, key: str, allowed: str, parse: Callable[[str], Any]) -> Any:
        if key not in self._document:
            return None
        try:
            return parse(self._take(key, str, None, allowed))
        except (InputError, LocalProtocolError) as error:
            raise self._error("", key, str(error)) from None

    def _peers(self) -> tuple[PeerAddress, ...]:
        allowed = "a list of texts svmnode1...@host:port or host:port"
        peers = []
        for text in self._take("peers", list, [], allowed):
            if not isinstance(text, str):
                raise self._error("", "peers", f"it holds {quoted(text)}; {allowed} is allowed")
            try:
                peers.append(parse_peer(text))
            except InputError as error:
                raise self._error("", "peers", str(error)) from None
        return tuple(peers)

    def _table(self, table: str, options: Mapping[str, OptionSpec]) -> dict[str, OptionValue]:
        given = self._document.pop(table, {})
        if not isinstance(given, dict):
            raise self._error("", table, f"it is {quoted(given)}; a table [{table}] is allowed")
        for key in given:
            if key not in options:
                known = ", ".join(options) or "none"
                raise self._error(table, key, f"there is no such key in [{table}]; allowed: {known}")
        for key, option in options.items():
            if key in given and not option.accepts(given[key]):
                raise self._error(table, key, f"it is {quoted(given[key])}; {option.allowed} is allowed")
        return {key: given.get(key, option.default) for key, option in options.items()}

    def _error(self, table: str, key: str, problem: str) -> InputError:
        name = f"{table}.{key}" if table else key
        line = toml_text.find_line(self._text, table, key)
        return InputError(f"{self._path}, line {line}, key {shorten(name)}: {problem}")


def _checked_address(text: str) -> str:
    endpoint = tcp_part(text)
    if endpoint is not None:
        parse_endpoint(endpoint)
    return text


def _checked_url(text: str, base: Path) -> str:
    """Return a database URL with the path of an SQLite file made absolute: relative ones are relative to `base`.

    Left relative it would follow the working directory, and a phone started elsewhere would find another, empty queue
    and could sign a second transaction for a slot that it has used.
    """
    if not re.match(r"(sqlite|postgresql)(\+\w+)?://", text):
        raise InputError(f"{quoted(text)} is not a database URL; sqlite:///FILE or postgresql+DRIVER://... is needed")
    match = re.fullmatch(r"(sqlite(?:\+\w+)?:///)(file:)?([^?]+)(\?.*)?", text)
    if match is None or match[3] == ":memory:":
        return text  # no path in it: a server's, or one that opening refuses
    path = str(base.absolute() / match[3])
    if "?" in path:
        raise InputError(f"the path {quoted(path)} holds a '?', which ends the path of a database URL")
    return f"{match[1]}{match[2] or ''}{path}{match[4] or ''}"


def _account(text: str) -> bytes:
    return decode_address(text)[0]
