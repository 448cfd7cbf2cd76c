"""Which batch bodies leave the disk at the end of an epoch (consensus.md 3.2, 3.7)."""

from __future__ import annotations

from supervm.common.contract.core import Outbox, Persist
from supervm.common.contract.records import Delete, Put
from supervm.common.storage.memory import MemoryStore
from supervm.protocol.chain.batch import batch_header
from supervm.tier_l1_super.batches.bodies import Bodies
from supervm.tier_l1_super.tables import BATCHES, LOOSE, TABLES, BatchRow, LooseRow


def _stored(epoch: int, digest: bytes) -> tuple[Put, ...]:
    return BATCHES.put(BatchRow(digest, b"body")), LOOSE.put(LooseRow(epoch, digest))


def test_a_body_whose_block_is_not_durable_yet_stays() -> None:
    """Fuzzing, seed 25: the epoch ended in the step that executed the block, and a late miner never got the body."""
    executed, loose = (batch_header(bytes(32), 0, bytes(32), (raw,)) for raw in (b"one", b"two"))
    store, outbox = MemoryStore(TABLES), Outbox()
    bodies = Bodies(store, outbox)
    store.commit([record for header in (executed, loose) for record in _stored(header.epoch, header.digest)])
    bodies.executed((executed,))
    bodies.enter_epoch(1)
    records = [record for effect in outbox.drain() if isinstance(effect, Persist) for record in effect.records]
    assert [record.key for record in records if isinstance(record, Delete) and record.table == BATCHES.name] == [
        (loose.digest,)
    ]


def test_a_body_that_came_again_after_its_block_stays_also_after_a_restart() -> None:
    header = batch_header(bytes(32), 0, bytes(32), (b"one",))
    store, outbox = MemoryStore(TABLES), Outbox()
    Bodies(store, outbox).executed((header,))
    store.commit([record for effect in outbox.drain() if isinstance(effect, Persist) for record in effect.records])
    store.commit(_stored(0, header.digest))
    Bodies(store, outbox).enter_epoch(1)
    records = [record for effect in outbox.drain() if isinstance(effect, Persist) for record in effect.records]
    assert [record for record in records if isinstance(record, Delete) and record.table == BATCHES.name] == []
