"""Records: what is on disk before it is sent, what is kept, and what a restart knows (consensus.md 2.2, 2.8, 3.6)."""

from __future__ import annotations

from typing import Any

from supervm.common.contract import core as common_core
from supervm.common.contract.records import Append, Put
from supervm.tier_l1_super import node
from supervm.tier_l1_super.batches import voting
from supervm.tier_l1_super.chain import executor
from supervm.tier_l1_super.consensus import epoch_end, recall, seat
from supervm.tier_l1_super.consensus.simplex import state
from supervm.tier_l1_super.tables import BatchRow

from .switch import Apply, Patcher, mutation, nothing


def _drop(tag: bytes) -> Apply:
    def persist(original: Any, self: Any, *records: Any) -> int:
        kept = [record for record in records if not (type(record) is Append and record.payload[2:4] == tag)]
        return int(original(self, *kept))

    return lambda patcher: patcher.wrap(common_core.Outbox, "persist", persist)


for _tag, _what in (
    ("w1", "Notarize"),
    ("w2", "Nullify"),
    ("w3", "Finalize"),
    ("w4", "the checkpoint vote"),
    ("w5", "the batch vote"),
):
    mutation(f"record-{_tag}", f"{_what} is on disk before it is sent (2.2)")(_drop(_tag.encode()))
mutation("record-w8", "EpochClose is on disk before it is sent (2.2)", epoch_ms=1_500)(_drop(b"w8"))


@mutation(
    "restore-batch-votes",
    "a restart takes up the batch promises of before (3.6)",
    model="W5-lost",
    on=("crash", "trap", "power", "same-wallet", "bad-phone"),
    actors=("double-spender",),
    l4=3,
)
def _restore(patcher: Patcher) -> None:
    patcher.set(voting.BatchVoter, "_restore", nothing)


@mutation("amnesia", "who lost the log observes and does not vote (2.8)", on=("amnesia",), rate_ppm=60_000)
def _amnesia(patcher: Patcher) -> None:
    def init(original: Any, self: Any, **options: Any) -> None:
        original(self, **{**options, "observer": False})

    patcher.wrap(node.ValidatorNode, "__init__", init)


@mutation("batch-body", "the body of a batch is on disk with the vote for it (2.2, 3.6)")
def _body(patcher: Patcher) -> None:
    def persist(original: Any, self: Any, *records: Any) -> int:
        kept = [record for record in records if not (type(record) is Put and isinstance(record.row, BatchRow))]
        return int(original(self, *kept))

    patcher.wrap(common_core.Outbox, "persist", persist)


@mutation("keep-votes", "compaction keeps votes above the last final view (2.2)", compact_every=8, on=("slow", "loss"))
def _keep_votes(patcher: Patcher) -> None:
    patcher.set(state.State, "prune", lambda self, view: ())


@mutation(
    "keep-batch-votes",
    "compaction keeps promises that are alive (2.2, 3.6)",
    compact_every=8,
    on=("slow",),
    pay_ppm=350_000,
)
def _keep_batch_votes(patcher: Patcher) -> None:
    patcher.set(voting.BatchVoter, "live_promises", lambda self: [])


@mutation(
    "keep-checkpoint-votes",
    "compaction keeps votes for checkpoints that are not certified (2.2)",
    compact_every=8,
    on=("slow", "loss"),
)
def _keep_checkpoint_votes(patcher: Patcher) -> None:
    patcher.set(executor.Executor, "live_promises", lambda self: [])


@mutation(
    "keep-close",
    "compaction keeps the EpochClose of the epoch (2.2)",
    compact_every=8,
    epoch_ms=1_500,
    on=("slow", "loss", "byzantine"),
    actors=("close-withholder",),
)
def _keep_close(patcher: Patcher) -> None:
    patcher.set(epoch_end.EpochEnd, "live_promises", lambda self: [])


@mutation(
    "seat-quorum",
    "who lost everything votes again when a quorum says that the last epoch goes on (2.8)",
    on=("amnesia",),
    epoch_ms=1_500,
    rate_ppm=120_000,
    tick_ms=100,
    chaos_ms=10_000,
    l1=4,
    weights=(),
)
def _seat_quorum(patcher: Patcher) -> None:
    def learn(original: Any, self: Any, standings: Any) -> bool:
        if self.votes_from is None and standings:
            self.votes_from = self.rules.epoch + 1
            return True
        return bool(original(self, standings))

    patcher.wrap(seat.Seat, "learn", learn)


@mutation(
    "database-floor",
    "a database older than the log makes an observer (2.8)",
    on=("database-only", "cut", "power"),
    compact_every=8,
    rate_ppm=60_000,
    epoch_ms=1_500,
)
def _database_floor(patcher: Patcher) -> None:
    patcher.set(recall, "_doubt", lambda *_: "")
