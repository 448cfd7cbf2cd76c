"""A good run breaks no rule, and each rule about what nodes write down is broken once (consensus.md 6)."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import pytest
from msgspec.structs import replace

from supervm.common.contract.records import Append, Put
from supervm.common.contract.tables import AnyTable, TableRow
from supervm.common.parts.ledger_tables import BLOCK_RECEIPTS, HEADERS, LEAVES, HeaderRow, LeafRow, ReceiptsRow
from supervm.protocol.base.codec import decode, encode
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint, CheckpointHeader
from supervm.protocol.money.execution import BlockReceipts
from supervm.protocol.state.account import decode_account, encode_account
from supervm.sim.exact import Deployment, Persisted, Sent
from supervm.sim.invariants import Monitor, scan_cores
from supervm.sim.invariants.determinism import faults_in
from supervm.tier_l1_super.tables import BATCHES, BLOCKS, CHECKPOINTS, BlockRow, CheckpointRow

Tamper = Callable[[Any], Any]
Change = Callable[[Any], TableRow]
"""(key, value) of a row -> another value."""


@pytest.fixture(scope="module")
def good() -> tuple[Deployment, list[Any], Monitor]:
    """A run of ten seconds with payments, all its events, and what the monitor made of it."""
    deployment = Deployment(seed=5)
    monitor = Monitor(deployment)
    events: list[Any] = []
    deployment.world.observe(lambda event: events.append(event) if type(event) in (Sent, Persisted) else None)
    deployment.start(1_000_000)
    rng = random.Random(7)
    for phone in range(2):
        deployment.pay(phone, deployment.random_rows(phone, 12, rng))
    for _ in range(8):
        deployment.world.run(1_000_000)
        monitor.sample()
    return deployment, events, monitor


def test_a_good_run_breaks_nothing(good: tuple[Deployment, list[Any], Monitor]) -> None:
    """All invariants are quiet on a run without faults, and the monitor has looked at all of it."""
    deployment, _, monitor = good
    assert monitor.finish() == []
    monitor.liveness.failure_free(1_300)
    assert monitor.violations == []
    assert monitor.reference.height > 10
    assert len(monitor.reference.executed_at) == 24
    assert deployment.statuses() == {"R4": 24}
    assert monitor.liveness.r3_us


def test_watching_changes_nothing() -> None:
    """With and without a monitor a run has the same digest."""
    digests = []
    for watched in (True, False):
        deployment = Deployment(seed=9)
        if watched:
            Monitor(deployment)
        deployment.start()
        digests.append(deployment.world.digest)
    assert digests[0] == digests[1]


# --- tampered records of a good run -----------------------------------------------------------------------------------


def show(good: tuple[Deployment, list[Any], Monitor], tamper: Tamper) -> Monitor:
    """Show a monitor the events of the good run, as `tamper` changes them, with disks that hold what was written."""
    fresh = Deployment(seed=5)
    monitor = Monitor(fresh)
    with ExitStack() as stack:
        for host in good[0].world.hosts.values():
            stack.enter_context(patch.object(host, "disk", fresh.host(host.name).disk))
        for event in good[1]:
            shown = tamper(event)
            if type(shown) is Persisted:
                shown.host.disk.commit(shown.records)
            monitor._on(shown)
    return monitor


def replayed(good: tuple[Deployment, list[Any], Monitor], tamper: Tamper) -> set[str]:
    """Return the rules that a monitor says are broken by the tampered run."""
    return {violation.name for violation in show(good, tamper).violations}


def rows(host: str, table: AnyTable, change: Change, nth: int = 1) -> Tamper:
    """Change the nth row of a table that a host writes."""
    seen = [0]

    def tamper(event: Any) -> Any:
        if type(event) is not Persisted or event.host.name != host:
            return event
        records = []
        for record in event.records:
            if type(record) is Put and record.table == table.name:
                seen[0] += 1
                if seen[0] == nth:
                    record = table.put(change(record.row))
            records.append(record)
        return replace(event, records=tuple(records))

    return tamper


def leaf(**changes: Any) -> Change:
    """Change fields of an account's leaf; a callable gets the old value."""

    def change(row: LeafRow) -> LeafRow:
        account = decode_account(row.value)
        new = {name: new(getattr(account, name)) if callable(new) else new for name, new in changes.items()}
        return replace(row, value=encode_account(account._replace(**new)))

    return change


def header(**changes: Any) -> Change:
    """Change fields of a checkpoint header."""

    def change(row: HeaderRow) -> HeaderRow:
        return replace(row, checkpoint=encode(replace(decode(CheckpointHeader, row.checkpoint), **changes)))

    return change


def twice(row: ReceiptsRow) -> ReceiptsRow:
    """Repeat the first receipt."""
    receipts = decode(BlockReceipts, row.receipts, bytes_max=1 << 20).receipts
    return replace(row, receipts=encode(BlockReceipts(1, (*receipts, receipts[0]))))


def false_receipt(row: ReceiptsRow) -> ReceiptsRow:
    """Say that the first transaction failed."""
    receipts = decode(BlockReceipts, row.receipts, bytes_max=1 << 20).receipts
    return replace(row, receipts=encode(BlockReceipts(1, (replace(receipts[0], status=0), *receipts[1:]))))


def other_header(row: CheckpointRow) -> CheckpointRow:
    """Put another checkpoint into a certified one."""
    checkpoint = decode(CertifiedCheckpoint, row.checkpoint, bytes_max=1 << 20)
    changed = replace(checkpoint.header, ts_ms=checkpoint.header.ts_ms + 1)
    return replace(row, checkpoint=encode(CertifiedCheckpoint(1, changed, checkpoint.signatures)))


def other_parent(row: BlockRow) -> BlockRow:
    """Hang a block onto something else."""
    block = decode(Block, row.block, bytes_max=1 << 20)
    changed = replace(block.header, parent_hash=bytes([7]) * 32)
    return replace(row, block=encode(replace(block, header=changed)))


def no_append(host: str) -> Tamper:
    """Lose a host's write-ahead records."""
    return lambda event: (
        event
        if type(event) is not Persisted or event.host.name != host
        else replace(event, records=tuple(record for record in event.records if type(record) is not Append))
    )


def no_release(event: Any) -> Any:
    """Lose the rows of a phone's payments."""
    if type(event) is not Persisted or event.host.name != "l4-0":
        return event
    return replace(event, records=())


def no_batches(event: Any) -> Any:
    """Lose the bodies of batches that a validator writes down with its votes."""
    if type(event) is not Persisted or event.host.name != "l1-2":
        return event
    return replace(
        event,
        records=tuple(record for record in event.records if type(record) is not Put or record.table != BATCHES.name),
    )


LEAVES_OF_GENESIS = 6


@pytest.mark.parametrize(
    ("rule", "tamper"),
    [
        ("S7", lambda: rows("l1-1", HEADERS, header(state_root=bytes(32)), 3)),
        ("S7", lambda: rows("l2-0", HEADERS, header(receipts_root=bytes([1]) * 32), 4)),
        ("C1", lambda: rows("l1-0", HEADERS, header(supply=1), 1)),
        ("C2", lambda: rows("l1-2", LEAVES, leaf(balance=lambda old: old + 1), LEAVES_OF_GENESIS + 1)),
        ("C3", lambda: rows("l2-1", LEAVES, leaf(balance=lambda old: old - 1), LEAVES_OF_GENESIS + 2)),
        ("S11", lambda: rows("l1-3", LEAVES, leaf(next_seq=lambda old: old + 1), LEAVES_OF_GENESIS + 1)),
        ("S12", lambda: rows("l1-0", BLOCK_RECEIPTS, twice)),
        ("C5", lambda: rows("l1-0", BLOCK_RECEIPTS, false_receipt)),
        ("S8", lambda: rows("l1-1", CHECKPOINTS, other_header, 2)),
        ("N4", lambda: rows("l1-1", CHECKPOINTS, other_header, 2)),
        ("S1", lambda: rows("l1-2", BLOCKS, other_parent, 2)),
        ("S2", lambda: rows("l1-0", BLOCKS, other_parent, 2)),
        ("S6", lambda: no_append("l1-0")),
        ("S6", lambda: no_batches),
        ("T16", lambda: no_release),
        ("", lambda: lambda event: event),
    ],
    ids=lambda item: item if isinstance(item, str) else "",
)
def test_what_nodes_write_is_held_against_the_rules(
    good: tuple[Deployment, list[Any], Monitor], rule: str, tamper: Callable[[], Tamper]
) -> None:
    """A record that is not as the rules say breaks the rule that it is about; the untampered run breaks none."""
    broken = replayed(good, tamper())
    assert rule in broken if rule else not broken


def test_a_negative_balance_is_seen(
    good: tuple[Deployment, list[Any], Monitor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """C4: the encoding cannot hold one, so the decoder stands in for a node whose encoding could."""
    original = decode_account
    name = "supervm.sim.invariants.execution.decode_account"
    monkeypatch.setattr(name, lambda value: original(value)._replace(balance=-1))
    assert "C4" in replayed(good, lambda event: event)


def test_a_replay_that_gives_another_root_is_seen(good: tuple[Deployment, list[Any], Monitor]) -> None:
    """S16."""
    monitor = show(good, lambda event: event)
    host = good[0].host("l1-0")
    assert monitor.execution.replay(host) > 10
    assert not monitor.violations
    monitor.facts.headers[4] = b"another"
    monitor.execution.replay(host)
    assert [violation.name for violation in monitor.violations] == ["S16"]


def test_cores_use_no_clock_randomness_or_set_order() -> None:
    """D2: by reading every core's text; and the reader finds what is planted."""
    assert scan_cores() == []
    planted = "import time\nimport random\nx = random.choice([1])\nfor a in {1, 2}:\n    pass\ny = [b for b in set(x)]"
    assert len(faults_in(planted, "planted.py")) == 4
    assert faults_in("import random\nr = random.Random(3)\nfor a in sorted({1, 2}):\n    pass\n", "fine.py") == []
