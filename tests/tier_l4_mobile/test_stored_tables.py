"""Whatever a disk gives back of any table: a phone does not start and says why, or it starts and never falls over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from handover_tools import EDGE, FUNDS, SHOP, bring, export, offline, online, promised, row, serve, take
from mobile_tools import Network, Phone
from mutants import is_sentence, tried

from supervm.common.contract.core import PeerDown, Received
from supervm.common.storage.memory import MemoryStore
from supervm.common.testing.hand import BrokenContract
from supervm.protocol.base.errors import LocalProtocolError, ProtocolError
from supervm.protocol.chain.genesis import genesis_asset_id
from supervm.tier_l4_mobile.messages import (
    Balance,
    ContactList,
    Flush,
    HandoverExport,
    HandoverList,
    Info,
    Pay,
    PaymentsSince,
    PutContact,
    QueueList,
    SearchPayments,
    ShowPayment,
)
from supervm.tier_l4_mobile.tables import TABLES

WRONG: dict[type, tuple[Any, ...]] = {
    int: (-1, 0, 7, 10**7, (1 << 63) - 1),
    bytes: (b"", b"\xff" * 7, b"\x01" * 32, b"x" * 5_000),
    str: ("", "R9", "executed", "\ud7ff"),
}
Rows = dict[str, list[msgspec.Struct]]
GOLD = genesis_asset_id("gold").hex()


def lived(*, is_busy: bool) -> tuple[Phone, Rows, list[str]]:
    """Return a phone with rows in most tables, its rows, and the ids of its payments; an idle one has none open."""
    network = Network(**FUNDS, assets={"gold": {"alice": 500}})
    phone, other = online(network, "alice"), offline(network, "carol")
    phone.call(PutContact(SHOP, "Shop", "x", True))
    made = [promised(phone, number, key=f"k{number}") for number in (1, 2)]
    bring(phone)
    phone.step(Received(EDGE, network.proofs([network.account("alice")])))
    serve(phone)
    if is_busy:
        made.append(promised(phone, 3, key="k3"))
        bring(phone, seal=False)
    phone.step(PeerDown(EDGE, "gone"))
    if is_busy:
        made += [promised(phone, number, key=f"k{number}") for number in (4, 5)]
        export(phone, made[3]["id"])
    take(phone, export(other, promised(other)["id"]))
    phone.disk()
    return phone, {table.name: list(table.rows(phone.store)) for table in TABLES}, [item["id"] for item in made]


def changed(rows: Rows) -> Iterator[tuple[str, Rows]]:
    """Yield the rows with one column of one row changed, for the first row of every table, and what was changed."""
    for name, found in rows.items():
        for column in found[0].__struct_fields__ if found else ():
            written = getattr(found[0], column)
            for wrong in WRONG.get(type(written), ()):
                if wrong != written:
                    first = msgspec.structs.replace(found[0], **{column: wrong})
                    yield f"{name}.{column} {wrong!r:.20}", {**rows, name: [first, *found[1:]]}


def use(phone: Phone, ids: list[str]) -> None:
    """Ask a phone everything, and let it meet its edge; each request is answered, or refused with a sentence."""
    requests = [Info(), QueueList(), PaymentsSince(0), SearchPayments(), SearchPayments("k"), ContactList()]
    requests += [HandoverList(), HandoverExport((ids[-1],)), *map(ShowPayment, ids), Balance(SHOP), Flush()]
    requests += [Pay(row(9, key="after")), Pay(row(3, key="more", asset=GOLD))]
    for request in requests:
        tried(lambda request=request: phone.call(request), BrokenContract)
    phone.connect(EDGE)
    serve(phone)
    phone.wait(5_000_000)
    serve(phone)
    assert not phone.halted


@pytest.mark.parametrize("is_busy", [True, False])
def test_no_row_of_any_table_makes_a_phone_fall_over(is_busy: bool) -> None:
    origin, rows, ids = lived(is_busy=is_busy)
    tables = {table.name: table for table in TABLES}
    refused = used = 0
    for what, found in changed(rows):
        store = MemoryStore(TABLES, with_log=False)
        try:
            store.commit([tables[name].put(item) for name, items in found.items() for item in items])
        except LocalProtocolError:
            continue  # no database holds it
        phone = Phone(origin.network, ("alice",))
        phone.now_us, phone.store = origin.now_us, store
        try:
            phone.restart(phone._make)
        except ProtocolError as error:  # which a node's start calls a damaged database
            problem = str(error)
            refused += 1
        else:
            problem = "none"
            try:
                use(phone, ids)
            except Exception as error:
                raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error
            used += 1
        assert is_sentence(problem), what
    assert refused > (100 if is_busy else 15)
    assert used > 200
