"""`supervm init`: a commented configuration and keys, nothing else, never overwriting (surface.md, decisions.md)."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from supervm.common.cli import main
from supervm.common.cli.registry import tier_options
from supervm.common.host.config import DEFAULT_PORTS, load_config
from supervm.common.host.keyfile import load_key_file
from supervm.protocol.base.address import decode_node_id, encode_address
from supervm.protocol.base.keys import SigningKey


@pytest.mark.parametrize("tier", ["l1", "l2", "l3", "l4"])
def test_it_writes_a_configuration_and_keys_and_nothing_else(
    tier: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new" / "node"
    assert main(["init", tier, "--dir", str(folder), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    expected = ["config.toml", "node.key", *(["validator.key"] if tier == "l1" else [])]
    assert sorted(path.name for path in folder.iterdir()) == expected
    assert document["files"] == expected
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE((folder / name).stat().st_mode) for name in expected] == [0o600] * len(expected)
    assert decode_node_id(document["node_id"]) == load_key_file(folder / "node.key").public
    if tier == "l1":
        assert document["validator_key"] == load_key_file(folder / "validator.key").public.hex()
        assert load_key_file(folder / "validator.key") != load_key_file(folder / "node.key")
    number = int(tier[1])
    config = load_config(folder / "config.toml", tier=number, options=tier_options(number))
    assert config.listen == (f"0.0.0.0:{DEFAULT_PORTS[number]}" if number < 4 else None)
    assert config.directory == folder
    assert "# The account that is paid" in (folder / "config.toml").read_text()


def test_options_reach_the_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    payout = encode_address(SigningKey(bytes(32)).public, test=True)
    assert main(["init", "l2", "--dir", str(tmp_path / "n"), "--listen", "127.0.0.1:9", "--payout", payout]) == 0
    assert "node id" in capsys.readouterr().out
    text = (tmp_path / "n" / "config.toml").read_text()
    assert f'payout = "{payout}"' in text
    assert 'listen = "127.0.0.1:9"' in text


@pytest.mark.parametrize("present", ["config.toml", "node.key", "validator.key"])
def test_nothing_is_overwritten_and_no_half_set_is_left(
    present: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / present).write_text("mine")
    assert main(["init", "l1", "--dir", str(tmp_path)]) == 2
    assert f"{present} exists already and is never overwritten" in capsys.readouterr().err
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(present, "mine")]


def test_the_mode_of_a_folder_that_others_use_too_is_left_alone(tmp_path: Path) -> None:
    shared, empty = tmp_path / "shared", tmp_path / "empty"
    for folder in (shared, empty):
        folder.mkdir(mode=0o755)
    (shared / "else").write_text("another program's")
    for folder in (shared, empty):
        assert main(["init", "l4", "--dir", str(folder)]) == 0
    assert [folder.stat().st_mode & 0o777 for folder in (shared, empty)] == [0o755, 0o700]


@pytest.mark.parametrize(
    "arguments",
    [["l5", "--dir", "x"], ["l1"], ["l1", "--dir", "x", "--listen", "no"], ["l1", "--dir", "x", "--payout", "svm1"]],
)
def test_wrong_input_makes_nothing(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init", *arguments]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
