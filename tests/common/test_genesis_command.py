"""`supervm genesis new` and `show` (decisions.md, Genesis)."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from supervm.common.cli import main
from supervm.common.errors import InputError
from supervm.common.host.genesis_file import load_chain
from supervm.protocol.base.address import encode_address, encode_node_id
from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.base.keys import SigningKey, verify
from supervm.protocol.chain.allocations import read_allocations
from supervm.protocol.chain.genesis import Chain, genesis_asset_id, load_genesis
from supervm.protocol.state.account import pool_account

KEYS = [SigningKey(bytes([number]) * 32).public for number in range(1, 16)]


WALLETS = [SigningKey(bytes([100 + number]) * 32).public for number in range(1, 16)]
ZERO, SMALL_ORDER, NO_POINT = "00" * 32, "01" + "00" * 31, "02" + "00" * 31
POOL = pool_account("treasury").hex()


def account(number: int, *, test: bool = False) -> str:
    return encode_address(WALLETS[number], test=test)


def files(folder: Path, *, test: bool = False) -> list[str]:
    validators = ["key,node_id,weight,payout"] + [
        f"{KEYS[n].hex()},{encode_node_id(KEYS[n + 4])},{n + 1},{account(n, test=test)}" for n in range(4)
    ]
    miners = [
        "node_id,payout",
        f"{encode_node_id(KEYS[9])},{account(9, test=test)}",
        f"{KEYS[8].hex()},{WALLETS[8].hex()}",
    ]
    alloc = ["# who has what", "account,amount", f"{account(12, test=test)},5", "", f"{WALLETS[11].hex()},{10**15}"]
    for name, lines in (("v.csv", validators), ("m.csv", miners), ("a.csv", alloc)):
        (folder / name).write_text("\n".join(lines) + "\n")
    return [
        "genesis",
        "new",
        "--validators",
        str(folder / "v.csv"),
        "--miners",
        str(folder / "m.csv"),
        "--alloc",
        str(folder / "a.csv"),
        "--out",
        str(folder / "genesis.cbor"),
    ]


def test_the_file_holds_what_the_lists_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        *files(tmp_path, test=True),
        "--name",
        "try",
        "--time",
        "1700000000000",
        "--test-network",
        "--param",
        "block_interval_ms=250",
        "--param",
        "fee_shares_bps=1000,2000,3000,4000",
        "--json",
    ]
    assert main(arguments) == 0
    made = json.loads(capsys.readouterr().out)
    genesis = load_genesis((tmp_path / "genesis.cbor").read_bytes())
    assert genesis.name == "try"
    assert genesis.time_ms == 1_700_000_000_000
    assert [validator.key for validator in genesis.validators] == KEYS[:4]
    assert [validator.node_id for validator in genesis.validators] == KEYS[4:8]
    assert [validator.weight for validator in genesis.validators] == [1, 2, 3, 4]
    assert {miner.node_id: miner.payout for miner in genesis.miners} == {KEYS[9]: WALLETS[9], KEYS[8]: WALLETS[8]}
    data = (tmp_path / "genesis.alloc").read_bytes()
    assert {item.account: item.amount for item in read_allocations(data, [])} == {WALLETS[12]: 5, WALLETS[11]: 10**15}
    assert genesis.allocations == 2
    assert genesis.parameters.test_network
    assert genesis.parameters.block_interval_ms == 250
    assert genesis.parameters.fee_shares_bps == (1000, 2000, 3000, 4000)
    chain = Chain(genesis, verify)
    assert made["chain_id"] == chain.chain_id.hex()
    assert made["anchor"] == chain.anchor.hash.hex()
    assert made["supply"] == 10**15 + 5

    assert main(["genesis", "show", str(tmp_path / "genesis.cbor"), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    files_made = {"file": str(tmp_path / "genesis.cbor"), "allocations_file": str(tmp_path / "genesis.alloc")}
    assert {**files_made, **shown} == made
    assert shown["validators"][0]["payout"] == account(0, test=True)


def test_the_same_lists_give_the_same_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ids = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        assert main([*files(tmp_path / name), "--time", "5", "--json"]) == 0
        ids.append(json.loads(capsys.readouterr().out)["chain_id"])
    assert ids[0] == ids[1]


def test_people_see_the_chain_id(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(files(tmp_path)) == 0
    out = capsys.readouterr().out
    assert "chain_id" in out
    assert "validators: 4" in out


def test_a_network_that_is_dated_ahead_of_the_clock_is_made_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or behind it by years, which is a clock that nobody has set; JSON stays JSON (case 13)."""
    assert main([*files(tmp_path), "--time", str(2**50), "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["time_ms"] == 2**50
    assert "s behind the genesis file, which is dated" in told.err
    monkeypatch.setattr("supervm.common.host.doctor.time.time", lambda: 0.0)
    assert main(["genesis", "show", str(tmp_path / "genesis.cbor")]) == 0
    assert "before this program was installed" in capsys.readouterr().err


def test_a_genesis_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = files(tmp_path)
    (tmp_path / "genesis.cbor").write_text("mine")
    assert main(arguments) == 2
    assert "never overwritten" in capsys.readouterr().err
    assert (tmp_path / "genesis.cbor").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("v.csv", "key,node_id", "key,node", "v.csv, line 1: the header is"),
        ("v.csv", KEYS[1].hex(), "12", "v.csv, line 3, key '12': 64 hexadecimal digits"),
        ("v.csv", f"{encode_node_id(KEYS[4])},1,", f"{encode_node_id(KEYS[4])},0,", "v.csv, line 2, weight '0'"),
        (
            "v.csv",
            KEYS[1].hex(),
            KEYS[0].hex(),
            f"v.csv, line 3, key '{KEYS[0].hex()}': this is a validator's key (v.csv, line 2) already",
        ),
        ("v.csv", KEYS[1].hex(), "ab " * 20 + "abcd", "v.csv, line 3, key 'ab ab ab"),
        ("v.csv", KEYS[1].hex(), "\uff11" * 64, "64 hexadecimal digits"),
        ("v.csv", KEYS[1].hex(), ZERO, f"v.csv, line 3, key '{ZERO}': this is no usable ed25519 key"),
        ("v.csv", KEYS[1].hex(), SMALL_ORDER, "this is no usable ed25519 key"),
        ("v.csv", KEYS[1].hex(), NO_POINT, "this is no usable ed25519 key"),
        ("v.csv", encode_node_id(KEYS[5]), SMALL_ORDER, "v.csv, line 3, node_id"),
        ("v.csv", encode_node_id(KEYS[5]), encode_node_id(bytes(32)), "this is no usable ed25519 key"),
        ("v.csv", encode_node_id(KEYS[5]), KEYS[1].hex(), "this is a validator's key (v.csv, line 3) already"),
        ("v.csv", account(1), KEYS[1].hex(), "an account is a wallet's"),
        ("v.csv", account(1), POOL, "this is a pool of the protocol"),
        ("v.csv", account(1), NO_POINT, "v.csv, line 3, payout"),
        ("m.csv", encode_node_id(KEYS[9]), KEYS[4].hex(), "the node id of a validator (v.csv, line 2) already"),
        ("m.csv", encode_node_id(KEYS[9]), WALLETS[0].hex(), "m.csv, line 2, node_id"),
        ("m.csv", account(9), POOL, "m.csv, line 2, payout"),
        ("m.csv", account(9), KEYS[9].hex(), "this is the node id of a miner (m.csv, line 2)"),
        ("a.csv", account(12), ZERO, "a.csv, line 3, account"),
        ("a.csv", account(12), encode_address(bytes(32), test=False), "this is no usable ed25519 key"),
        ("v.csv", encode_node_id(KEYS[5]), "svmnode1x", "v.csv, line 3, node_id 'svmnode1x'"),
        ("m.csv", account(9), account(9, test=True), "m.csv, line 2, payout"),
        ("m.csv", account(9), account(9) + ",1", "m.csv, line 2: 3 values; 2 are needed"),
        (
            "m.csv",
            KEYS[8].hex() + ",",
            encode_node_id(KEYS[9]) + ",",
            "this is the node id of a miner (m.csv, line 2) already",
        ),
        ("a.csv", ",5", ",5.0", "a.csv, line 3, amount '5.0': a whole number from 1"),
        ("a.csv", ",5", ",-5", "a.csv, line 3, amount '-5'"),
        ("a.csv", ",5", f",{'9' * 5000}", "a.csv, line 3, amount '999"),
        ("a.csv", ",5", f",{'9' * 200_000}", "a.csv, line 3: this is not a line of a CSV file"),
        ("a.csv", ",5", f",{2**63 - 1}", "the allocations sum to"),
        ("a.csv", account(12), WALLETS[11].hex(), "a.csv, line 5, account"),
        ("a.csv", account(12), account(12)[:-1] + "q", "a.csv, line 3, account"),
    ],
)
def test_errors_name_file_line_and_column(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, old: str, new: str, said: str
) -> None:
    arguments = files(tmp_path)
    path = tmp_path / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "genesis.cbor").exists()


@pytest.mark.parametrize("param", ["nonsense=1", "window", "window=0", "window=x", "fee_shares_bps=1,2"])
def test_parameters_are_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str], param: str) -> None:
    assert main([*files(tmp_path), "--param", param]) == 2
    assert "not allowed" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", "n" * 65])
def test_names_have_bounds(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert main([*files(tmp_path), "--name", name]) == 2
    assert "1 to 64 are allowed" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a\udcff", "two\nlines"])
def test_a_name_is_printable_and_a_wrong_one_leaves_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert main([*files(tmp_path), "--name", name]) == 2
    assert "printable characters" in capsys.readouterr().err
    assert not (tmp_path / "genesis.cbor").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
def test_a_file_that_cannot_be_written_is_named_and_nothing_is_left_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = os.open

    def full(path: Path, flags: int, mode: int = 0o777) -> int:
        descriptor = opened(path, flags, mode)
        os.dup2(opened("/dev/full", os.O_WRONLY), descriptor)
        return descriptor

    monkeypatch.setattr("supervm.common.host.keyfile.os.open", full)
    assert main(files(tmp_path)) == 2
    assert "genesis.cbor cannot be written: No space left on device" in capsys.readouterr().err
    assert not (tmp_path / "genesis.cbor").exists()


@pytest.mark.parametrize("data", [b"", b"nonsense", b"\xff" * 40])
def test_what_is_no_genesis_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes) -> None:
    path = tmp_path / "x.cbor"
    path.write_bytes(data)
    assert main(["genesis", "show", str(path)]) == 2
    assert f"{path}: this is not a genesis file" in capsys.readouterr().err


def test_assets_begin_with_genesis(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = files(tmp_path)
    (tmp_path / "a.csv").write_text(
        f"account,amount,asset\n{account(1)},5,\n{account(1)},7,gold\n{account(2)},8,gold\n"
    )
    (tmp_path / "assets.csv").write_text(f"name,issuer\ngold,{account(3)}\n")
    assert main([*arguments, "--assets", str(tmp_path / "assets.csv"), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    gold = genesis_asset_id("gold")
    assert made["assets"] == [{"name": "gold", "id": gold.hex(), "issuer": account(3), "supply": 15}]
    assert (made["supply"], made["allocations"]) == (5, 3)
    chain = load_chain(tmp_path / "genesis.cbor")
    assert chain.first_state().holdings == {WALLETS[1]: {gold: 7}, WALLETS[2]: {gold: 8}}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("{0},5,\n{0},7,silver\n", "asset 'silver': one of svm, gold is needed"),
        ("{0},5,gold\n{0},7,gold\n", "line 2 is about it already"),
        ("{0},5,svm\n", "asset 'gold' has 0 in allocations"),
        ("{0},9223372036854775807,gold\n{1},1,gold\n", "asset 'gold' has 9223372036854775808"),
    ],
)
def test_wrong_allocations_of_assets_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: str, said: str
) -> None:
    arguments = files(tmp_path)
    (tmp_path / "a.csv").write_text("account,amount,asset\n" + rows.format(account(1), account(2)))
    (tmp_path / "assets.csv").write_text(f"name,issuer\ngold,{account(3)}\n")
    assert main([*arguments, "--assets", str(tmp_path / "assets.csv")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "genesis.cbor").exists()


def test_without_the_file_beside_it_a_genesis_has_no_first_state(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(files(tmp_path)) == 0
    capsys.readouterr()
    beside = tmp_path / "genesis.alloc"
    whole = beside.read_bytes()
    assert len(load_chain(tmp_path / "genesis.cbor").first_state().accounts) == 2
    for damaged, said in (
        (whole[:-1], "not a file of allocations"),
        (whole[:-42], "there are 1; this genesis has 2"),
        (whole[:-1] + bytes([whole[-1] ^ 1]), "the accounts sum to"),
        (whole[:16] + whole[58:] + whole[16:58], "double or out of order"),
    ):
        beside.write_bytes(damaged)
        with pytest.raises((InputError, LocalProtocolError), match=said):
            load_chain(tmp_path / "genesis.cbor").first_state()
    beside.unlink()
    with pytest.raises(InputError, match=r"genesis\.alloc: the allocations of this network cannot be read"):
        load_chain(tmp_path / "genesis.cbor").first_state()
