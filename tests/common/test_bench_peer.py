"""The peer beside ours: left out where it is not installed, and its payments stand in the order of their accounts."""

from __future__ import annotations

import shutil

import pytest

from supervm.common.bench import peer


def test_without_the_program_there_are_no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert peer.rows(quick=True) == []


def test_payments_of_an_account_are_numbered_without_a_gap() -> None:
    accounts = [f"0x{number}" for number in range(3)]
    payments = [peer._payment(accounts, number) for number in range(9)]
    for account in accounts:
        assert [item["nonce"] for item in payments if item["from"] == account] == ["0x0", "0x1", "0x2"]
    assert all(item["from"] != item["to"] for item in payments)


@pytest.mark.processes
@pytest.mark.skipif(shutil.which(peer.PROGRAM) is None, reason=f"{peer.PROGRAM} is not installed")
def test_the_program_executes_payments() -> None:
    rate, cpu = peer.rows(quick=True)
    assert rate.value > 0
    assert cpu.value > 0
