"""Hostile CSV files - payments, and what a genesis is made of - end in one sentence that names file and line."""

from __future__ import annotations

import time
from pathlib import Path

from chain_tools import test_key
from mutants import MUTANTS, mutants, tried

from supervm.common.errors import InputError
from supervm.common.text.csvfile import read_csv
from supervm.common.up.rows import parse_payments
from supervm.protocol.base.address import encode_address

ADDRESS = encode_address(test_key("bob").public, test=False)
PAYMENTS = [
    b"from,to,amount,fee\nalice,bob,5,1\nbob,carol,9223372036854775807,2\n",
    b"from,to,amount,fee,asset,fee_asset\nalice,bob,5,1,gold,svm\n# a remark\n\nbob,alice,1,1,svm,gold\n",
    '\ufefffrom,to,amount,fee\r\n"a ""quoted"" name",李四,5,1\r\n'.encode(),
    b"from,to,amount,fee\n" + b"alice,bob,5,1\n" * 50,
]
ALLOCATIONS = [f"account,amount\n{ADDRESS},5\n# {ADDRESS}\n".encode(), b"account,amount\n"]
EACH_S_MAX = 0.005


def test_mutated_payment_files_end_in_a_sentence() -> None:
    begun_s = time.process_time()
    for data in mutants(PAYMENTS, MUTANTS):
        file = tried(lambda data=data: parse_payments(data, "payments.csv"), InputError)
        assert file is None or all(0 < row.amount < 1 << 63 for row in file.rows)
    assert time.process_time() - begun_s < MUTANTS * EACH_S_MAX


def test_mutated_tables_end_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "alloc.csv"
    for data in mutants(ALLOCATIONS, MUTANTS // 10):
        path.write_bytes(data)
        tried(
            lambda: [row.integer("amount", 1, 2**63 - 1) for row in read_csv(path, ("account", "amount"))], InputError
        )


def test_one_endless_line_and_one_endless_field_are_refused_at_once() -> None:
    for data in (b"from,to,amount,fee\n" + b"x" * (1 << 20), b'from,to,amount,fee\n"' + b"a\n" * (1 << 19)):
        begun_s = time.process_time()
        assert tried(lambda data=data: parse_payments(data, "payments.csv"), InputError) is None
        assert time.process_time() - begun_s < 2
