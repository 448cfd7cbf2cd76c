"""A node's configuration: strict reading, commented writing (docs/configuration.md)."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from supervm.common.contract.options import OptionSpec
from supervm.common.errors import InputError
from supervm.common.host.config import (
    BROWSERS_OPTIONS,
    HOUSEKEEPING_OPTIONS,
    NodeConfig,
    PeerAddress,
    load_config,
    parse_endpoint,
    parse_peer,
)
from supervm.common.host.config_writer import render_config, write_config
from supervm.common.host.home import home_directory
from supervm.common.host.keyfile import load_key_file, make_key_file
from supervm.common.text.options import defaults, parse_option
from supervm.common.text.toml_text import find_line
from supervm.protocol.base.address import encode_address, encode_node_id
from supervm.protocol.base.keys import SigningKey

OPTIONS = {
    "cache_bytes_max": OptionSpec(int, 1 << 20, "bytes of the cache", 1, 1 << 30),
    "mode": OptionSpec(str, "open", "who may attach", choices=("open", "closed")),
    "relay": OptionSpec(bool, True, "whether it relays"),
}
KEY = SigningKey(bytes(32)).public
NODE = encode_node_id(KEY)


def load(path: Path, text: str, tier: int = 3) -> NodeConfig:
    path.write_text(text)
    return load_config(path, tier=tier, options=OPTIONS)


def test_only_the_tier_is_needed(tmp_path: Path) -> None:
    config = load(tmp_path / "config.toml", "tier = 3\n")
    assert config == NodeConfig(
        tier=3,
        directory=tmp_path,
        genesis=tmp_path / "genesis.cbor",
        verify_workers=0,
        housekeeping=defaults(HOUSEKEEPING_OPTIONS),
        browsers=defaults(BROWSERS_OPTIONS),
        tier_options=defaults(OPTIONS),
    )


@pytest.mark.parametrize(("tier", "workers"), [(1, 1), (2, 1), (3, 0), (4, 0)])
def test_only_l1_and_l2_have_a_verification_worker_by_default(tmp_path: Path, tier: int, workers: int) -> None:
    assert load(tmp_path / "config.toml", f"tier = {tier}", tier).verify_workers == workers


def test_everything_can_be_set(tmp_path: Path) -> None:
    config = load(
        tmp_path / "config.toml",
        f"""
        tier = 3
        directory = "data"
        genesis = "/etc/genesis.cbor"
        listen = "[::1]:4301"
        peers = ["{NODE}@127.0.0.1:4201", "example.org:1"]
        database_url = "postgresql+psycopg://me@host/db"
        verify_workers = 2
        log_level = "debug"
        payout = "{encode_address(KEY, test=True)}"
        [l3]
        mode = "closed"
        relay = false
        cache_bytes_max = 7
        [housekeeping]
        enabled = false
        """,
    )
    assert config.directory == tmp_path / "data"
    assert config.genesis == Path("/etc/genesis.cbor")
    assert config.peers == (PeerAddress(KEY, "127.0.0.1:4201"), PeerAddress(None, "example.org:1"))
    assert config.payout == KEY
    assert config.tier_options == {"cache_bytes_max": 7, "mode": "closed", "relay": False}
    assert config.housekeeping["enabled"] is False


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("listen = ", None, "this is not TOML"),
        (f"tier = 3\nx = {'9' * 5000}", 2, "(5000 characters) is too long for a number"),
        ("tier = " + "[" * 100_000, 1, "more than 16 brackets"),
        (f"tier = 0x{'f' * 98}", 1, "this program runs tier 3"),
        ('tier = 3\ngenesis = "a\\u0000b"', 2, "key genesis: it is 'a\\x00b'"),
        ("", None, "the key tier is missing"),
        ("tier = 2", 1, "key tier: it is 2; this program runs tier 3"),
        ('tier = "3"', 1, "key tier: it is '3'"),
        ("tier = 3\nlisten = 5", 2, "key listen: it is 5; host:port"),
        ('tier = 3\nlisten = "here"', 2, "key listen: 'here' is not an address"),
        ("tier = 3\n\nlisteN = 1", 3, "key listeN: there is no such key; there are tier,"),
        ("tier = 3\nverify_workers = -1", 2, "0 to 256 are allowed"),
        ("tier = 3\nverify_workers = true", 2, "key verify_workers: it is True"),
        ("tier = 3\nverify_workers = 1.5", 2, "key verify_workers: it is 1.5"),
        ('tier = 3\nlog_level = "loud"', 2, "one of debug, info, warning, error is allowed"),
        ('tier = 3\npeers = "a:1"', 2, "key peers: it is 'a:1'; a list"),
        ("tier = 3\npeers = [1]", 2, "key peers: it holds 1"),
        ('tier = 3\npeers = ["svmnode1x@a:1"]', 2, "key peers: 'svmnode1x' is not a node id"),
        ('tier = 3\npayout = "svm1x"', 2, "key payout: 'svm1x' is not an address"),
        ('tier = 3\ndatabase_url = "mysql://x"', 2, "key database_url: 'mysql://x' is not a database URL"),
        ("tier = 3\n[l3]\nrelay = 1", 3, "key l3.relay: it is 1; true or false is allowed"),
        ('tier = 3\n[l3]\n\nmode = "ajar"', 4, "key l3.mode: it is 'ajar'; one of open, closed is allowed"),
        ("tier = 3\n[l3]\ncache_bytes_max = 0", 3, "a whole number from 1 to 1073741824 is allowed"),
        ("tier = 3\n[l3]\ncash = 0", 3, "key l3.cash: there is no such key in [l3]; allowed: cache_bytes_max,"),
        ("tier = 3\nl3 = 4", 2, "key l3: it is 4; a table [l3] is allowed"),
        ("tier = 3\nl3.cash = 4", 2, "key l3.cash: there is no such key"),
        ("tier = 3\n[l2]\nx = 1", 2, "key l2: there is no such key"),
        ("tier = 3\n[housekeeping]\nbackups_kept = 0", 3, "key housekeeping.backups_kept"),
    ],
)
def test_errors_name_file_line_key_and_what_is_allowed(tmp_path: Path, text: str, line: int | None, said: str) -> None:
    path = tmp_path / "config.toml"
    with pytest.raises(InputError) as caught:
        load(path, text)
    message = str(caught.value)
    assert message.startswith(f"{path}, line {line}" if line else f"{path}: ")
    assert said in message
    assert len(message) < len(str(path)) + 500


def test_a_byte_order_mark_is_no_part_of_a_configuration(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b'\xef\xbb\xbftier = 3\nlog_level = "debug"\n')
    assert load_config(path, tier=3, options=OPTIONS).log_level == "debug"
    path.write_bytes(b"\xef\xbb\xbftear = 3\ntier = 3\n")
    with pytest.raises(InputError, match="line 1, key tear"):
        load_config(path, tier=3, options=OPTIONS)


def test_a_missing_file_and_wrong_bytes_are_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file; `supervm init l3"):
        load_config(tmp_path / "none.toml", tier=3, options=OPTIONS)
    (tmp_path / "bytes.toml").write_bytes(b"tier = 3 \xff")
    with pytest.raises(InputError, match="byte 9 is not UTF-8"):
        load_config(tmp_path / "bytes.toml", tier=3, options=OPTIONS)


@pytest.mark.parametrize(
    "config",
    [
        NodeConfig(3, Path("/n"), Path("/n/genesis.cbor")),
        NodeConfig(
            3,
            Path("/n"),
            Path('/else where/"quoted" \\ \u00e9\x01.cbor'),
            "127.0.0.1:1",
            (PeerAddress(KEY, "a:1"), PeerAddress(None, "[::1]:2")),
            "sqlite:////tmp/x.db",
            3,
            "error",
            KEY,
            {**defaults(HOUSEKEEPING_OPTIONS), "backup_s": 5, "enabled": False},
            {"cache_bytes_max": 5, "mode": "closed", "relay": False},
        ),
    ],
    ids=["defaults", "everything"],
)
def test_what_is_written_is_read_back(tmp_path: Path, config: NodeConfig) -> None:
    text = render_config(config, OPTIONS)
    path = tmp_path / "config.toml"
    read = load(path, text)
    directory = config.directory
    genesis = tmp_path / "genesis.cbor" if config.genesis.parent == directory else config.genesis
    assert read == NodeConfig(
        config.tier,
        tmp_path,
        genesis,
        config.listen,
        config.peers,
        config.database_url,
        config.verify_workers,
        config.log_level,
        config.payout,
        config.housekeeping or defaults(HOUSEKEEPING_OPTIONS),
        config.tier_options or defaults(OPTIONS),
        config.browsers or defaults(BROWSERS_OPTIONS),
    )
    for key in ("listen", "peers", "payout", "database_url", *OPTIONS, *HOUSEKEEPING_OPTIONS):
        assert f"{key} = " in text


def test_a_written_configuration_is_private_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    config = NodeConfig(3, tmp_path, tmp_path / "genesis.cbor")
    write_config(path, config, OPTIONS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    with pytest.raises(InputError, match="never overwritten"):
        write_config(path, config, {})
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "expected"), [("a:1", ("a", 1)), ("[::1]:65535", ("::1", 65_535)), ("127.0.0.1:0", ("127.0.0.1", 0))]
)
def test_endpoints(text: str, expected: tuple[str, int]) -> None:
    assert parse_endpoint(text) == expected


@pytest.mark.parametrize(
    "text", ["", ":1", "a", "a:", "a:x", "a:65536", "a:-1", "a:" + "9" * 5000, "::1:5", "a b:1", "x@a:1", "a:\u0661"]
)
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="host:port is needed"):
        parse_endpoint(text)


def test_peers_round_trip() -> None:
    for text in (f"{NODE}@h:1", "h:1"):
        assert parse_peer(text).text == text


def test_the_line_of_a_key_is_found_in_its_own_table() -> None:
    text = 'x = 1\n[ l3 ]\ny = 2\n["housekeeping"]\nx = 3\n'
    assert find_line(text, "", "x") == 1
    assert find_line(text, "l3", "y") == 3
    assert find_line(text, "housekeeping", "x") == 5
    assert find_line(text, "", "housekeeping") == 4


@pytest.mark.parametrize(
    ("name", "text", "value"), [("mode", "closed", "closed"), ("relay", "false", False), ("cache_bytes_max", "9", 9)]
)
def test_options_from_the_command_line(name: str, text: str, value: object) -> None:
    assert parse_option(name, text, OPTIONS[name]) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mode", "ajar"),
        ("relay", "yes"),
        ("cache_bytes_max", "0"),
        ("cache_bytes_max", "1_0"),
        ("cache_bytes_max", "9" * 5000),
    ],
)
def test_options_out_of_bounds_say_what_is_allowed(name: str, text: str) -> None:
    with pytest.raises(InputError, match=rf"^{name}={text[:60]}.* is not allowed: "):
        parse_option(name, text, OPTIONS[name])


@pytest.mark.parametrize(
    ("variables", "platform", "expected"),
    [
        ({"SUPERVM_HOME": "/my/home", "XDG_DATA_HOME": "/x"}, "linux", Path("/my/home")),
        ({"XDG_DATA_HOME": "/x"}, "linux", Path("/x/supervm")),
        ({"XDG_DATA_HOME": "x"}, "linux", Path.home() / ".local/share/supervm"),
        ({}, "linux", Path.home() / ".local/share/supervm"),
        ({}, "darwin", Path.home() / "Library/Application Support/supervm"),
        ({"LOCALAPPDATA": "/app"}, "win32", Path("/app/supervm")),
    ],
)
def test_the_home_folder(variables: dict[str, str], platform: str, expected: Path) -> None:
    assert home_directory(variables, platform) == expected


def test_key_files_are_private_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    key = make_key_file(path, bytes(range(32)))
    assert load_key_file(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(InputError, match="never overwritten"):
        make_key_file(path, bytes(32))
    path.chmod(0o640)
    with pytest.raises(InputError, match=r"others may read this key \(mode 0640\); run: chmod 600"):
        load_key_file(path)
    path.chmod(0o600)
    for bad in ("", "zz" * 32, "00" * 31, "00" * 33):
        path.write_text(bad)
        with pytest.raises(InputError, match="64 hexadecimal digits"):
            load_key_file(path)
    with pytest.raises(InputError, match="there is no such key file"):
        load_key_file(tmp_path / "none.key")


@pytest.mark.parametrize("tier", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("sqlite:///queue.sqlite", "sqlite:///{base}/queue.sqlite"),
        ("sqlite:///./data/queue.sqlite", "sqlite:///{base}/data/queue.sqlite"),
        ("sqlite:///../queue.sqlite?timeout=5", "sqlite:///{base}/../queue.sqlite?timeout=5"),
        ("sqlite+pysqlite:///queue.sqlite", "sqlite+pysqlite:///{base}/queue.sqlite"),
        ("sqlite:///file:queue.sqlite?uri=true", "sqlite:///file:{base}/queue.sqlite?uri=true"),
        ("sqlite:////var/lib/queue.sqlite", "sqlite:////var/lib/queue.sqlite"),
        ("postgresql+psycopg://me@host/db", "postgresql+psycopg://me@host/db"),
    ],
)
def test_a_database_file_is_relative_to_the_configuration_not_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tier: int, given: str, read: str
) -> None:
    folder = tmp_path / "node"
    for place in ("node", "a", "b"):
        (tmp_path / place).mkdir()
    (folder / "config.toml").write_text(f'tier = {tier}\ndatabase_url = "{given}"\n')
    found = []
    ways = [("a", Path("../node/config.toml")), ("b", folder / "config.toml"), ("node", Path("config.toml"))]
    for place, path in ways:
        monkeypatch.chdir(tmp_path / place)
        url = load_config(path, tier=tier, options={}).database_url
        assert url is not None
        found.append(re.sub(r"/[ab]/\.\./", "/", url))
    assert found == [read.format(base=folder)] * 3


def test_a_folder_that_no_database_url_can_name_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "what?"
    folder.mkdir()
    (folder / "config.toml").write_text('tier = 4\ndatabase_url = "sqlite:///queue.sqlite"\n')
    with pytest.raises(InputError, match="ends the path of a database URL"):
        load_config(folder / "config.toml", tier=4, options={})


def test_a_peer_may_be_at_an_address_of_an_installed_transport(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supervm.common.text.schemes.entry_points", lambda group, name: ["it"] if name == "ble" else [])
    for text in ("tcp:[::1]:4101", "ble:aa:bb", "host:1"):
        assert parse_peer(text).address == text
    for text in ("lora:aa:bb", "tcp:9000", "ble:"):
        with pytest.raises(InputError, match="host:port is needed"):
            parse_peer(text)
