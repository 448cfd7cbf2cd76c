"""What is proved of the assets of own accounts, and what a newer proof is needed of.

Rules are those of `lane`; here they are kept on disk. A row is written when it says something new: a proof that only
confirms what is known writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from supervm.common.contract.records import Reader, Record
from supervm.protocol.chain.checkpoint import CheckpointHeader
from supervm.protocol.money.transaction import Debits

from ..tables import HOLDINGS, HoldingRow
from .lane import Holding, Lane


class Holdings:
    """The holdings of own accounts.

    Args:
        lanes: account id -> lane; what is on disk is put into them.
        reader: what is durable.
        write: takes what must be written with this step.
    """

    def __init__(self, lanes: Mapping[bytes, Lane], reader: Reader, write: Callable[[Record], None]) -> None:
        self._write = write
        self.unproved: dict[tuple[bytes, bytes], None] = {}
        """(account, asset) that a newer proof is needed of, in order."""
        self.load(lanes, reader)

    def load(self, lanes: Mapping[bytes, Lane], reader: Reader) -> None:
        """Put into these lanes what is on disk of them."""
        for row in HOLDINGS.rows(reader):
            lane = lanes.get(row.account)
            if lane is not None:
                lane.holdings[row.asset] = Holding(row.amount, row.spent, row.height, row.ts_ms)
                if row.spent:
                    self.unproved[row.account, row.asset] = None

    def take(self, lane: Lane, asset: bytes, amount: int, header: CheckpointHeader) -> bool:
        """Take a checked proof; return whether it counts, because nothing newer is known of the account or asset."""
        known = lane.holdings.get(asset)
        if header.height < max(lane.proved.height if lane.proved else 0, known.height if known else 0):
            return False  # what was sent since then is missing from it
        self.unproved.pop((lane.account, asset), None)
        if lane.hold(asset, Holding(amount, 0, header.height, header.ts_ms)):
            self._put(lane, asset)
        return True

    def want(self, lane: Lane, debits: Debits) -> None:
        """Ask for a proof of what would be spent, where there is none."""
        for asset, _ in debits:
            if asset and asset not in lane.holdings:
                self.unproved[lane.account, asset] = None

    def spend(self, lane: Lane, debits: Debits, height: int) -> None:
        """Note that an own payment was executed by `height`."""
        for asset in lane.spend(debits, height):
            self._put(lane, asset)
            self.unproved[lane.account, asset] = None

    def forget(self, lane: Lane, height: int) -> None:
        """Ask again for what was proved below `height`: another device may have sent of it since."""
        for asset in lane.forget(height):
            self._write(HOLDINGS.delete(lane.account, asset))
            self.unproved[lane.account, asset] = None

    def _put(self, lane: Lane, asset: bytes) -> None:
        has = lane.holdings[asset]
        self._write(HOLDINGS.put(HoldingRow(lane.account, asset, has.amount, has.spent, has.height, has.ts_ms)))
