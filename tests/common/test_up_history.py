"""A payments file that was sent and is edited: what is sent again (nothing), and what needs a word of its owner."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from supervm.common.errors import InputError
from supervm.common.up.history import recall
from supervm.common.up.payments import PaymentRun, Wallet
from supervm.common.up.rows import parse_payments

HEADER = "from,to,amount,fee\n"
A, B, C = "alice,bob,100,1\n", "bob,carol,200,2\n", "carol,alice,300,3\n"
NAMES = ("alice", "bob", "carol", "_r")
WALLETS = {name: Wallet(f"l4-{place % 2}", f"tsvm-{name}") for place, name in enumerate(NAMES)}


class Phones:
    """What the phones of a network hold, asked as `supervm up` asks them; every payment is executed at once."""

    def __init__(self) -> None:
        self.held: dict[str, list[dict[str, Any]]] = {"l4-0": [], "l4-1": []}

    async def call(self, node: str, request: Mapping[str, Any]) -> Any:
        held = self.held[node]
        if request["request"] == "payments_since":
            start = request["cursor"]
            part = held[start : start + request["limit"]]
            return {"payments": part, "cursor": start + len(part)}
        return {"payments": [self._pay(node, row) for row in request["rows"]]}

    def _pay(self, node: str, row: Mapping[str, Any]) -> dict[str, Any]:
        held = self.held[node]
        for payment in held:
            if payment["key"] == row["key"]:
                return payment
        held.append(
            {
                "number": len(held) + 1,
                "from": WALLETS[row["source"]].address,
                "to": row["to"],
                "amount": row["amount"],
                "fee": row["fee"],
                "asset": row["asset"],
                "fee_asset": row["fee_asset"],
                "key": row["key"],
                "status": "R4",
                "reason": None,
                "released": True,
                "created_us": sum(map(len, self.held.values())),
            }
        )
        return held[-1]

    @property
    def payments(self) -> list[dict[str, Any]]:
        return [payment for held in self.held.values() for payment in held]

    def amounts(self) -> list[int]:
        return sorted(payment["amount"] for payment in self.payments)

    def up(self, text: str, *, send_new: bool = False) -> PaymentRun:
        run = PaymentRun(self.call, WALLETS, parse_payments((HEADER + text).encode(), "p.csv"), [], "_r", {})

        async def work() -> None:
            await run.recall(send_new=send_new)
            await run.run()

        trio.run(work, clock=trio.testing.MockClock(autojump_threshold=0))
        return run


@pytest.mark.parametrize(
    ("before", "after", "sent"),
    [
        (A + B, A + B, []),
        (A + B, A + B + C, [300]),
        (A + B, C + A + B, [300]),
        (A + B, A + C + B, [300]),
        (A + B + C, C + B + A, []),
        (A + B + C, A + C, []),
        (A + B, A + A + B, [100]),
        (A + A + B, A + B, []),
        (A + A + B, B + A + A + A, [100]),
        (A + B, (A + B).replace("\n", "\r\n").replace(",", " , "), []),
        (A + B, C, [300]),
    ],
)
def test_of_an_edited_file_only_rows_that_are_new_are_sent(before: str, after: str, sent: list[int]) -> None:
    phones = Phones()
    phones.up(before)
    earlier = phones.amounts()
    run = phones.up(after)
    assert phones.amounts() == sorted(earlier + sent)
    assert [item.status for item in run.payments] == ["R4"] * (after.count("\n"))
    assert sum(not item.sent_before for item in run.payments) == len(sent)


def test_a_changed_row_is_not_sent_before_its_owner_says_so() -> None:
    phones = Phones()
    phones.up(A + B)
    corrected = A.replace("100", "1000") + B
    with pytest.raises(InputError, match=r"nothing was sent: .*--send-new") as caught:
        phones.up(corrected)
    assert "(alice,bob,100,1), and 1 are new (row 1: alice,bob,1000,1)" in str(caught.value)
    assert phones.amounts() == [100, 200]
    phones.up(corrected, send_new=True)
    assert phones.amounts() == [100, 200, 1000]
    phones.up(corrected)
    assert phones.amounts() == [100, 200, 1000]


def test_a_long_list_of_doubtful_rows_is_cut() -> None:
    phones = Phones()
    phones.up(A + "".join(f"bob,carol,{number},1\n" for number in range(1, 100)))
    with pytest.raises(InputError, match=r"; and 89 more\)") as caught:
        phones.up(A + "".join(f"bob,alice,{number},1\n" for number in range(1, 100)))
    assert len(str(caught.value)) < 1_500


@pytest.mark.parametrize(
    ("status", "released", "sent"),
    [
        ("refused", False, True),
        ("cancelled", False, True),
        ("expired", True, True),  # it did not pay and never will
        ("refused", True, False),
        ("queued", False, False),
        ("R0", True, False),
        ("R1", True, False),
    ],
)
def test_a_row_that_never_paid_is_tried_again_only_once_the_file_is_another(
    status: str, released: bool, sent: bool
) -> None:
    journal = [
        {
            "number": 1,
            "from": "a",
            "to": "b",
            "amount": 5,
            "fee": 1,
            "asset": "svm",
            "fee_asset": "svm",
            "key": f"{'0' * 32}:1",
            "status": status,
            "released": released,
            "created_us": 1,
        }
    ]
    contents = [("a", "b", 5, 1, "svm", "svm"), ("b", "a", 6, 1, "svm", "svm")]
    assert recall(contents, "0" * 32, journal).new == [1]
    assert recall(contents, "1" * 32, journal).new == ([0, 1] if sent else [1])


def test_payments_that_are_no_rows_count_for_nothing() -> None:
    journal = [
        {
            "number": 1,
            "from": "a",
            "to": "b",
            "amount": 5,
            "fee": 1,
            "asset": "svm",
            "fee_asset": "svm",
            "key": key,
            "status": "R4",
            "released": True,
            "created_us": 1,
        }
        for key in (None, "", "fund:bob", "pay:1f", "x" * 32 + ":1")
    ]
    assert recall([("a", "b", 5, 1, "svm", "svm")], "0" * 32, journal).new == [0]


ROWS = st.lists(st.sampled_from([A, B, C]), max_size=6)


@settings(max_examples=40, deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=4))
def test_a_row_is_paid_as_often_as_the_file_with_most_of_it_holds_it(versions: Sequence[list[str]]) -> None:
    phones = Phones()
    most: Counter[str] = Counter()
    for rows in versions:
        if rows:
            phones.up("".join(rows), send_new=True)
            most |= Counter(rows)
    assert Counter(phones.amounts()) == Counter({int(row.split(",")[2]): count for row, count in most.items()})
