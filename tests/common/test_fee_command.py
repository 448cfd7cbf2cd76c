"""`supervm fee split` (surface.md, economics.md 1)."""

from __future__ import annotations

import json

import pytest

from supervm.common.cli import main


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["1000"], (400, 300, 200, 100)),
        (["1"], (1, 0, 0, 0)),
        (["0"], (0, 0, 0, 0)),
        (["7", "--shares", "2500,2500,2500,2500"], (2, 2, 2, 1)),
        (["7", "--shares", "0,0,0,10000"], (0, 0, 0, 7)),
        ([str(2**63 - 1)], (3689348814741910323, 2767011611056432742, 1844674407370955161, 922337203685477581)),
    ],
)
def test_the_parts_sum_to_the_fee(
    arguments: list[str], parts: tuple[int, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fee", "split", *arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == {"l1": parts[0], "l2": parts[1], "l3": parts[2], "l4": parts[3], "total": int(arguments[0])}
    assert sum(parts) == document["total"]


@pytest.mark.parametrize(
    "shares", ["4000,3000,2000", "4000,3000,2000,1001", "1,2,3,x", "", "-1,10001,0,0", "4000,3000,2000,1000,0"]
)
def test_shares_must_be_four_that_sum_to_the_whole(shares: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fee", "split", "10", "--shares", shares]) == 2
    assert "not allowed: four" in capsys.readouterr().err


def test_people_get_aligned_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fee", "split", "1001"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "l1      401",
        "l2      300",
        "l3      200",
        "l4      100",
        "total  1001",
    ]
