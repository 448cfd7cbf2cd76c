"""Epochs of a finished run: who validated in which, and how long the change from one to the next took."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from supervm.protocol.chain.epoch import EpochRecord
from supervm.protocol.chain.header import BlockHeader
from supervm.tier_l1_super.node import ValidatorNode

from ..exact import Deployment
from .observing import Recorder, Seen


def views_used(core: ValidatorNode) -> int:
    """Return the views of all epochs so far; each epoch counts its own from 1."""
    records = (core.ledger.epoch_record(number) for number in range(1, core.seat.rules.epoch + 1))
    return sum(record.root.view for record in records if record is not None) + core.simplex.view


class Epochs:
    """What one validator's chain says of its epochs.

    Args:
        deployment: the network.
        recorder: when blocks were executed.
        core: the validator whose chain is longest; None: there is none, so only the first epoch is known.
    """

    def __init__(self, deployment: Deployment, recorder: Recorder, core: ValidatorNode | None) -> None:
        self._heights = recorder.heights
        self._epoch_ms = deployment.chain.parameters.epoch_ms
        records: list[EpochRecord] = [deployment.chain.first_epoch]
        for number in range(1, core.ledger.epoch.number + 1 if core is not None else 1):
            record = core.ledger.epoch_record(number) if core is not None else None
            if record is not None:
                records.append(record)
        self.records = records
        """Every epoch that has begun, in order."""
        hosts = deployment.world.hosts
        self.names = [
            {hosts[member.node_id].name: member.weight for member in record.validators.members} for record in records
        ]
        """Of each epoch: name -> weight of its validators."""
        self.changed = [
            number for number in range(1, len(records)) if records[number - 1].validators != records[number].validators
        ]
        """Numbers of the epochs that began with other validators."""
        self.spans_us = [self._span(record, following) for record, following in pairwise(records)]
        """Of each epoch that has ended: when its closing block and the next epoch's first block were first executed."""

    def _first(self, height: int | None) -> int | None:
        seen = self._heights.get(height) if height is not None else None
        return min(seen.executed_us.values(), default=None) if seen is not None else None

    def _span(self, record: EpochRecord, following: EpochRecord) -> tuple[int, int] | None:
        """Return when the change began and ended, None if it was not seen."""
        closing = self._closing(record.root, following.root)
        began_us, ended_us = self._first(closing), self._first(following.root.height + 1)
        return None if began_us is None or ended_us is None else (began_us, ended_us)

    def _closing(self, root: BlockHeader, sealing: BlockHeader) -> int | None:
        """Return the height of the block whose execution closes the epoch."""
        for height in range(root.height + 1, sealing.height + 1):
            seen: Seen | None = self._heights.get(height)
            if seen is not None and seen.digest and seen.ts_ms - root.ts_ms >= self._epoch_ms:
                return height
        return None

    def rows(self, zero_us: int) -> list[dict[str, Any]]:
        """Return one JSON row per epoch; times in s of the run."""
        rows = []
        for number, names in enumerate(self.names):
            span = self.spans_us[number - 1] if number else None
            rows.append(
                {
                    "number": number,
                    "root_height": self.records[number].root.height,
                    "changed": number in self.changed,
                    "validators": names,
                    "began_s": None if span is None else (span[1] - zero_us) / 1e6,
                    "change_ms": None if span is None else (span[1] - span[0]) / 1000,
                }
            )
        return rows
