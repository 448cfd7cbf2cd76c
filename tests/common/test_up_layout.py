"""What `supervm up` says of a folder that is no network's, and of wrong payments (surface.md: never a traceback)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from supervm.common.errors import InputError
from supervm.common.up.layout import NETWORK_FILE, open_network
from supervm.common.up.rows import parse_payments

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
