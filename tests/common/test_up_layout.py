"""What `supervm up` says of a folder that is no network's, and of wrong payments (surface.md: never a traceback)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from supervm.common.errors import InputError
from supervm.common.host.genesis_file import load_chain
from supervm.common.up.layout import GENESIS_FILE, NETWORK_FILE, PASSPHRASE_FILE, Counts, open_network
from supervm.common.up.payments import FUNDING_GRAIN
from supervm.common.up.rows import parse_payments
from supervm.common.wallet import WALLET_FILE, Stretching, unlock_wallet
from supervm.common.wallet.passphrase import stretch
from supervm.protocol.base.address import decode_address
from supervm.protocol.chain.genesis import genesis_asset_id
from supervm.protocol.state.leaves import NATIVE

WHOLE: dict[str, Any] = {
    "counts": {"l1": 1, "l2": 1, "l3": 1, "l4": 1},
    "nodes": {f"l{tier}-0": {"tier": tier, "node_id": "00" * 32, "port": None} for tier in range(1, 5)},
    "accounts": {"l4-0": []},
    "wallets": {},
    "genesis_names": [],
}


@pytest.mark.parametrize(
    "change",
    [
        {"counts": {"l1": "x", "l2": 1, "l3": 1, "l4": 1}},
        {"counts": {"l1": 0, "l2": 1, "l3": 1, "l4": 1}},
        {"counts": {"l1": 2, "l2": 1, "l3": 1, "l4": 1}},
        {"nodes": {}},
        {"nodes": []},
        {"nodes": {**WHOLE["nodes"], "l4-0": 3}},
        {"accounts": {}},
        {"accounts": None},
    ],
    ids=str,
)
def test_a_damaged_network_file_is_said(tmp_path: Path, change: dict[str, Any]) -> None:
    (tmp_path / NETWORK_FILE).write_text(json.dumps(WHOLE | change))
    with pytest.raises(InputError, match=r"network\.json cannot be read"):
        open_network(tmp_path, None, [])


@pytest.mark.parametrize("text", ["", "[1", "[]", "{}", "\udcff"])
def test_what_is_no_network_file_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / NETWORK_FILE).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=r"network\.json cannot be read"):
        open_network(tmp_path, None, [])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "line 1: the header is"),
        (b"from,to,amount,fee\n", "there are no payments in it"),
        (b"from,to,amount,fee\na,b,1,0\n", "line 2: fee is '0'"),
        (b"from,to,amount,fee\n\na,b,1\n", "line 3: 3 columns"),
        (b"from,to,amount,fee\n_a,b,1,1\n", "line 2: '_a' is no name"),
        (b"from,to,amount,fee\na,b,1," + b"9" * 5000, "line 2: fee is '9"),
        (b"from,to,amount,fee\n" + b"x" * 200_000 + b",b,1,1\n", "line 2: this is not a line of a CSV file"),
        (b"from,to,amount,fee\n\xff,b,1,1\n", "byte 19 is not UTF-8 text"),
    ],
)
def test_a_wrong_payments_file_is_named_with_its_line(data: bytes, said: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_payments(data, "p.csv")
    assert str(caught.value).startswith("p.csv")
    assert said in str(caught.value)


HEADER = "from,to,amount,fee,asset,fee_asset\n"
ISSUED = "ab" * 32


def test_assets_are_two_more_columns_that_may_be_missing() -> None:
    file = parse_payments(
        f"{HEADER}a,b,1,2,,\na,b,1,2,SVM,gold\na,b,1,2,{ISSUED.upper()},{'0' * 64}\n".encode(), "p.csv"
    )
    assert [(row.asset, row.fee_asset) for row in file.rows] == [("svm", "svm"), ("svm", "gold"), (ISSUED, "svm")]
    assert file.assets == ["gold", ISSUED]
    (old,) = parse_payments(b"from,to,amount,fee\na,b,1,2\n", "p.csv").rows
    assert (old.asset, old.fee_asset) == ("svm", "svm")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("from,to,amount,fee,asset\na,b,1,1,gold\n", "line 1: the header is"),
        (f"{HEADER}a,b,1,1\n", "line 2: 4 columns; from,to,amount,fee,asset,fee_asset"),
        (f"{HEADER}a,b,1,1,{'x' * 33},svm\n", "is no asset"),
        (f"{HEADER}a,b,1,1,go:ld,svm\n", "'go:ld' is no asset"),
    ],
)
def test_a_wrong_asset_is_said_with_its_line(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_payments(text.encode(), "p.csv")
    assert said in str(caught.value)


def test_a_new_network_begins_with_the_assets_that_its_payments_name(tmp_path: Path) -> None:
    network = open_network(tmp_path, Counts(1, 1, 1, 1), ["alice", "bob"], ["gold", ISSUED])
    chain = load_chain(tmp_path / GENESIS_FILE)
    gold = genesis_asset_id("gold")
    assert network.asset_id("gold") == gold.hex()
    assert network.asset_id(ISSUED) == ISSUED
    state = chain.first_state()
    for name in ("alice", "bob"):
        owner = decode_address(network.wallets[name].address)[0]
        assert state.balance(owner, gold) == state.balance(owner, NATIVE) == FUNDING_GRAIN
    again = open_network(tmp_path, None, ["alice"], ["gold"])
    assert again.assets == network.assets
    with pytest.raises(InputError, match="without the asset 'silver'; its assets are svm, gold"):
        open_network(tmp_path, None, ["alice"], ["silver"])


def test_no_wallet_is_stretched_twice_and_each_opens_to_the_addresses_that_are_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    salts: list[bytes] = []

    def counted(passphrase: str, salt: bytes, cost: Stretching) -> bytes:
        salts.append(salt)
        return stretch(passphrase, salt, cost)

    monkeypatch.setattr("supervm.common.wallet.sealed.stretch", counted)
    network = open_network(tmp_path, Counts(1, 1, 1, 3), ["ann", "bob", "cyd", "dan"])
    assert len(set(salts)) == len(salts) == 3
    passphrase = (tmp_path / PASSPHRASE_FILE).read_text().strip()
    assert len(network.accounts) == 3
    for phone, names in network.accounts.items():
        wallet = unlock_wallet(tmp_path / phone / WALLET_FILE, passphrase)
        for index, name in enumerate(names):
            assert network.wallets[name].node == phone
            assert decode_address(network.wallets[name].address)[0] == wallet.account(index).public
