"""A disk gives back another row than was written: the phone stops with a sentence, and signs nothing for it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import msgspec
import pytest
import trio
from chain_tools import test_key
from mobile_tools import START_US as NOW_US
from mobile_tools import Network, make_queue
from phone_folder import PASSPHRASE, make_phone

from supervm.common.host.open import open_node
from supervm.common.storage.errors import DatabaseDamaged
from supervm.common.storage.memory import MemoryStore
from supervm.protocol.base.address import encode_address
from supervm.protocol.base.codec import INT_MAX
from supervm.protocol.base.errors import LocalProtocolError
from supervm.tier_l4_mobile.messages import Info, Pay, PaymentRow, QueueList
from supervm.tier_l4_mobile.profile import PROFILE
from supervm.tier_l4_mobile.tables import PAYMENTS, TABLES, TALLIES, StoredPayment, TallyRow

ALICE, BOB = test_key("alice").public, test_key("bob").public
WRONG: dict[type, tuple[Any, ...]] = {
    int: (-1, 0, 1, 2, 7, 10_000_000, INT_MAX),
    bytes: (b"", b"\xff" * 7, b"\x01" * 32, b"x" * 5_000),
    str: ("", "R9", "queued", "R4", "\ud7ff"),
}
FREE = {"row_key", "reason", "created_us", "r0_us", "r1_us", "r3_us", "r4_us", "released", "status", "place", "kept"}
"""What the signed bytes say nothing of, and any value in its bounds may stand for."""
OTHERS = (("number", 1), ("number", 2), ("number", 7))
"""Numbers that a payment might have."""


@pytest.fixture
def rows() -> list[StoredPayment]:
    """Rows of three payments of which the first two are signed and the first is released."""
    network, store = Network(alice=10**6), MemoryStore(TABLES, with_log=False)
    queue = make_queue(network, store)
    queue.prove(ALICE, network.proved(ALICE), NOW_US)
    for amount in (5, 6):
        queue.add(NOW_US, ALICE, BOB, amount=amount, fee=1, valid_until_ms=NOW_US // 1000 + 10**6)
    queue.hand_over([queue.payments[1]])
    store.commit(queue.take_records())
    found = list(PAYMENTS.rows(store))
    assert [(bool(row.raw), row.released) for row in found] == [(True, 1), (True, 0)]
    return found


def reopened(rows: list[StoredPayment], *tallies: TallyRow) -> Any:
    """Return the queue of a phone whose disk has these rows."""
    store = MemoryStore(TABLES, with_log=False)
    store.commit([*(PAYMENTS.put(row) for row in rows), *(TALLIES.put(row) for row in tallies)])
    return make_queue(Network(alice=10**6), store)


def refusal(rows: list[StoredPayment]) -> str:
    """Say why a phone does not go on with these rows; empty if it does."""
    try:
        reopened(rows)
    except LocalProtocolError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("column", StoredPayment.__struct_fields__)
def test_no_column_of_a_signed_row_changes_unseen(rows: list[StoredPayment], column: str) -> None:
    for place, row in enumerate(rows):
        written = getattr(row, column)
        for wrong in WRONG[type(written)]:
            if wrong == written:
                continue
            changed = [*rows]
            changed[place] = msgspec.structs.replace(row, **{column: wrong})
            problem = refusal(changed)
            assert len(problem) < 300
            assert problem or column in FREE or (column, wrong) in OTHERS


def test_an_unsigned_row_is_held_against_the_bounds_of_a_request(rows: list[StoredPayment]) -> None:
    unsigned = msgspec.structs.replace(rows[1], raw=b"", tx_id=b"", prev=bytes(32), seq=0)
    assert len(reopened([rows[0], unsigned]).payments) == 2
    for changes in (
        {"amount": 0},
        {"amount": INT_MAX},
        {"receiver": b"short"},
        {"asset": b"gold"},
        {"released": 1},
        {"tx_id": b"\x01" * 32},
        {"kind": 9},
        {"place": 0},
    ):
        with pytest.raises(LocalProtocolError, match="row 2 of the table payments is not as it was written: "):
            reopened([rows[0], msgspec.structs.replace(unsigned, **changes)])


@pytest.mark.parametrize("last", [-1, 10**7, 2**40, INT_MAX])
def test_a_last_number_that_nothing_explains_is_no_reason_to_count_to_it(rows: list[StoredPayment], last: int) -> None:
    if last < 0:
        assert reopened(rows, TallyRow(b"", "number", last)).next_number == 3  # the rows have higher ones
        return
    with pytest.raises(LocalProtocolError, match=f"the last payment has number {last}, and 2 payments are known"):
        reopened(rows, TallyRow(b"", "number", last))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("status = 'R9'", "row 2 of the table payments is not as it was written: place 1 and status 'R9'"),
        ("amount = -5", "row 2 of the table payments is not as it was written: the amount is -5"),
        ("raw = x'ff'", "row 2 of the table payments is not as it was written: its transaction cannot be read"),
        ("amount = 'five'", "column 'amount' holds int, not str"),
        ("number = 9223372036854775807", "the last payment has number 9223372036854775807"),
    ],
)
async def test_a_phone_with_a_changed_row_does_not_start_and_says_what_to_do(tmp_path, change: str, said: str) -> None:
    config = make_phone(tmp_path / "phone")
    to = encode_address(BOB, test=False)

    async def ask(*requests: Any) -> list[Any]:
        with trio.fail_after(20):
            async with open_node(config, passphrase=PASSPHRASE, profile=PROFILE, services=()) as node:
                return [await node.request(request) for request in requests]

    await ask(*(Pay(PaymentRow(to=to, amount=5 + number, fee=1)) for number in range(3)))
    database = config.directory / "node.sqlite"
    good = database.read_bytes()
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(f"UPDATE payments SET {change} WHERE number = 2")
    with pytest.raises(DatabaseDamaged) as error:
        await ask(Info())
    assert said in str(error.value)
    assert "do not delete it: only it knows which payments were signed" in str(error.value)
    database.write_bytes(good)  # a copy from the backups
    (listed,) = await ask(QueueList())
    assert [row["amount"] for row in listed["payments"]] == [5, 6, 7]
