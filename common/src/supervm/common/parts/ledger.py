"""The ledger: state, history and receipts as a function of the finalized chain, for L1 and for L2's replica.

Theory of operation. `apply` takes the next finalized block with the bodies of its batches, executes it
(`protocol.execution`), updates the state tree, and returns the checkpoint header that follows together with the
records that make it durable. State lives in memory as the tree (`TreeState`); the database holds the leaves that have
changed since genesis, or all leaves of the snapshot that the ledger began at, and the tree is rebuilt at start
(decisions.md, State in memory); the history of headers is not, whatever its age (`history`).
State and applied height are in one write, so a crash leaves either the block before or the block after, and applying
again gives the same bytes.

It also knows the epoch: `rules` are those of the next block to be applied, so after a sealing block they are the next
epoch's. Epochs and a set proposed for the next one are records like the rest and are written with the block.

The last 32 heights keep a view of the tree (each shares with the others what no block between has changed), so that
proofs can be served under the newest *certified* height although execution runs ahead of certification.

A ledger begins at genesis or at a snapshot (consensus.md 2.8). Leaves are stored under the height they have been kept
since, 0 or that of the snapshot, so the rows of the next state lie beside those of the present one while they come in,
and `adopt_records` puts the new base in their place in one write of a few rows. Below its base a ledger has no history:
receipts from there are not proved by it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from operator import add

from supervm.protocol.base.codec import decode, encode
from supervm.protocol.base.errors import LocalProtocolError, RemoteProtocolError
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.chain.batch_certificate import CertifiedBatch
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint, CheckpointHeader
from supervm.protocol.chain.epoch import EpochRecord, next_epoch
from supervm.protocol.chain.genesis import Chain
from supervm.protocol.chain.header import BlockHeader, ChainRules
from supervm.protocol.chain.validators import ValidatorList, ValidatorSet
from supervm.protocol.light.client import receipt_proof
from supervm.protocol.light.snapshot import SnapshotStart, decode_snapshot_start
from supervm.protocol.money.execution import BlockReceipts, BlockResult, FeesByTier, execute_block
from supervm.protocol.state.leaves import NATIVE, account_leaf_id, holding_leaf_id, write_asset
from supervm.protocol.state.receipts import RECEIPTS, merkle_path
from supervm.protocol.state.tree_state import TreeState
from supervm.protocol.state.trie import TrieView

from ..contract.records import Reader, Record
from ..errors import CommonError
from .history import History, peak_records
from .ledger_tables import (
    BLOCK_RECEIPTS,
    EPOCHS,
    FEES,
    HEADERS,
    LEAVES,
    LEDGER,
    RECEIPT_INDEX,
    SNAPSHOT,
    EpochRow,
    FeesRow,
    HeaderRow,
    LeafRow,
    LedgerRow,
    ReceiptIndexRow,
    ReceiptsRow,
    SnapshotRow,
    short_id,
    stored_number,
)
from .pruning import RECEIPTS_BYTES_MAX, LedgerPruning

UNDO_HEIGHTS = 32
"""Heights whose tree is kept for proofs (consensus.md 4)."""
FULL_SUM_EVERY = 1_000
"""Blocks between full sums of all balances (decisions.md, State in memory)."""
HOLDINGS_TOLD_MAX = 64
"""Assets of an account that are told unasked: anybody can send an account a thousand of them."""
FEES_SHOWN_MAX = 64
"""Assets besides the native one whose fees are shown: anybody can issue a thousand."""
_TIERS = ("l1", "l2", "l3", "l4")


def adopt_records(start: SnapshotStart) -> list[Record]:
    """Return the write that makes a snapshot the state, once all its leaves are stored since its height.

    After that write `Ledger.reload`, or a start, finds the snapshot's state at the beginning of its epoch; before it,
    the state there was. What the earlier state had goes with it, except its receipts, which are no longer proved.
    """
    height = start.height
    return [
        SNAPSHOT.put(SnapshotRow("base", encode(start))),
        LEDGER.put(LedgerRow("base_height", height)),
        LEDGER.put(LedgerRow("applied_height", height)),
        EPOCHS.put(EpochRow(start.epoch.number, encode(start.epoch), None)),
        LEDGER.put(LedgerRow("epoch", start.epoch.number)),
        FEES.delete_below(height),
        LEAVES.delete_below(height),
        HEADERS.delete_below(height + 1),
        *peak_records(height, start.peaks),
    ]


@dataclass(frozen=True, slots=True)
class Applied:
    """What applying one block gave: the header to be certified, the outcome, and the records to persist."""

    header: CheckpointHeader
    result: BlockResult
    records: tuple[Record, ...]


class SupplyMismatch(CommonError, LocalProtocolError):
    """The accounts do not sum to the supply: the node must stop and must not pay, vote or serve (C1).

    It is the protocol's, too: found while a node is made, it says that what was read back is damaged.
    """


class HistoryDamaged(CommonError, LocalProtocolError):
    """What is stored of the chain of headers is not whole, or not that of the newest header: the node must not go on.

    It is the protocol's, too: found while a node is made, it says that what was read back is damaged.
    """


class Ledger:
    """State of one chain.

    Args:
        chain: the network.
        reader: durable state to start from; an empty one starts at genesis.
        keep_blocks: how many heights keep their headers and receipts; None: all, or whoever has the ledger prunes.

    Raises:
        SupplyMismatch: the stored accounts do not sum to the supply.
        HistoryDamaged: the stored headers or their history are not whole.
    """

    def __init__(self, chain: Chain, reader: Reader, *, keep_blocks: int | None = None) -> None:
        self._chain = chain
        self._reader = reader
        self._keep_blocks = keep_blocks
        self._history = History(reader)
        self._unwritten_receipts: OrderedDict[int, BlockResult] = OrderedDict()
        self._views: OrderedDict[int, TrieView] = OrderedDict()
        self.state = TreeState()
        """The state; the same object for as long as the ledger lives."""
        self.reload()

    def reload(self) -> None:
        """Take the state from disk: at start, and after the write of `adopt_records` is durable.

        Raises:
            SupplyMismatch: the stored accounts do not sum to the supply, or are not those of the header.
            HistoryDamaged: the stored headers or their history are not whole.
        """
        reader, chain = self._reader, self._chain
        self._views.clear()
        self._unwritten_receipts.clear()
        self.fees: dict[bytes, FeesByTier] = {}
        """Fees split since genesis or since the snapshot that this state began with: asset -> by tier."""
        self.base_height = 0
        """Height of the snapshot that this state began with; 0 if it began with genesis."""
        self.base_epoch = 0
        """Number of the epoch that begins there."""
        self.header = chain.anchor
        self.block_header: BlockHeader = chain.genesis_header
        base = SNAPSHOT.get(reader, "base")
        if base is not None:
            start = decode_snapshot_start(base.value)
            self.base_height, self.base_epoch = start.height, start.epoch.number
            self.header = start.checkpoint.header
            self.block_header = start.epoch.root
        stored = LEDGER.get(reader, "applied_height")
        self._load(stored is not None)
        if stored is not None:
            if stored.value > self.base_height:
                newest = HEADERS.get(reader, stored.value)
                if newest is None:
                    raise HistoryDamaged(f"the database says height {stored.value} is executed but lacks its header")
                self.header = decode(CheckpointHeader, newest.checkpoint)
                self.block_header = decode(BlockHeader, newest.block)
            for fees in FEES.rows(reader, first=(self.base_height,)):
                self.fees[fees.asset] = (fees.l1, fees.l2, fees.l3, fees.l4)
        if not self._history.load(self.height) or self._history.root != self.header.history_root:
            raise HistoryDamaged(f"the stored history is not the one that the header of height {self.height} names")
        self.pruning = LedgerPruning(reader, self._history)
        """What of old heights has left the ledger."""
        self.epoch = chain.first_epoch
        """The epoch of the next block."""
        self.proposed: ValidatorSet | None = None
        """The set that this epoch's executed blocks propose for the next one."""
        epoch = EPOCHS.get(reader, stored_number(reader, "epoch"))
        if epoch is not None:
            self.epoch = decode(EpochRecord, epoch.epoch)
            self.proposed = None if epoch.proposed is None else _read_set(epoch.proposed)
        self.rules: ChainRules = chain.rules_of(self.epoch)
        """The rules of the next block."""
        self._views[self.height] = self.state.view()
        if self.state.root != self.header.state_root:
            raise SupplyMismatch(
                f"the stored state hashes to {self.state.root.hex()}, but the header of height {self.height} says "
                f"{self.header.state_root.hex()}"
            )
        self.check_full_sum()

    def _load(self, stored: bool) -> None:
        """Build the state from the first one, unless it began with a snapshot, and the stored leaves: one pass."""
        leaf_id = b""

        def leaves() -> Iterator[tuple[bytes, bytes]]:
            nonlocal leaf_id
            if not self.base_height:
                yield from self._chain.first_leaves()
            if stored:
                for leaf in LEAVES.rows(self._reader, first=(self.base_height,)):
                    if leaf.since != self.base_height:
                        break  # leaves of a snapshot that is not complete
                    leaf_id = leaf.leaf_id
                    yield leaf_id, leaf.value

        try:
            self.state.load(leaves())
        except RemoteProtocolError as error:
            raise SupplyMismatch(f"a stored leaf, {leaf_id.hex()[:80]}, is damaged: {error.reason}") from error

    @property
    def height(self) -> int:
        """Height of the last applied block."""
        return self.header.height

    def check_full_sum(self) -> None:
        """Sum all balances of every asset and compare with its supply.

        Raises:
            SupplyMismatch: they differ.
        """
        problem = self.state.supply_problem(self.header.supply)
        if problem is not None:
            raise SupplyMismatch(f"height {self.height}: {problem}")

    def apply(self, block: Block, batches: Sequence[CertifiedBatch]) -> Applied:
        """Execute the next finalized block; its batches are given in reference order.

        Raises:
            LocalProtocolError: the block is not the next one.
            SupplyMismatch: money was created or lost.
        """
        header = block.header
        if header.height != self.height + 1 or header.parent_hash != self.block_header.hash:
            raise LocalProtocolError(f"block {header.height} does not follow the applied height {self.height}")
        if header.epoch != self.epoch.number:
            raise LocalProtocolError(
                f"block {header.height} is of epoch {header.epoch}; the next block is of {self.epoch.number}"
            )
        try:
            result = execute_block(
                self.state,
                batches,
                ts_ms=header.ts_ms,
                payout_of_miner=self._chain.payout_of_miner,
                fee_shares_bps=self._chain.parameters.fee_shares_bps,
            )
        except LocalProtocolError as error:
            raise SupplyMismatch(str(error)) from error
        history = self._history.append(self.header.hash)
        leaves = result.change.leaves()
        if leaves:
            self.state.take(result.change, leaves)
        previous, rules = self.header, self.rules
        epoch_records = tuple(self._follow_epoch(block))
        self.header = CheckpointHeader(
            1,
            self._chain.chain_id,
            header.epoch,
            header.height,
            block.hash,
            previous.hash,
            header.ts_ms,
            self.state.root,
            result.receipts_root,
            self._history.root,
            rules.validators.hash,
            ZERO_HASH if self.rules is rules else self.rules.validators.hash,
            self._chain.supply,
        )
        self.block_header = header
        self._views[header.height] = self.state.view()
        while len(self._views) > UNDO_HEIGHTS:
            self._views.popitem(last=False)
        for asset, given in result.fees.items():
            one, two, three, four = map(add, self.fees.get(asset, (0, 0, 0, 0)), given)
            self.fees[asset] = (one, two, three, four)
        if header.height % FULL_SUM_EVERY == 0:
            self.check_full_sum()
        return Applied(self.header, result, (*self._records(block, leaves, result), *history, *epoch_records))

    def _follow_epoch(self, block: Block) -> Iterable[Record]:
        """Note a proposed set, and go to the next epoch after a sealing block."""
        if block.body.set_changes:
            proposed = block.body.set_changes[0].validators
            self.proposed = ValidatorSet(proposed.members)
            yield EPOCHS.put(EpochRow(self.epoch.number, encode(self.epoch), encode(proposed)))
        if self.rules.is_sealed(block.header):
            self.epoch = next_epoch(block.header, self.rules, self.proposed)
            self.rules, self.proposed = self._chain.rules_of(self.epoch), None
            yield EPOCHS.put(EpochRow(self.epoch.number, encode(self.epoch), None))
            yield LEDGER.put(LedgerRow("epoch", self.epoch.number))

    def epoch_record(self, number: int) -> EpochRecord | None:
        """Return an epoch that has begun, or None."""
        if number == self.epoch.number:
            return self.epoch
        row = EPOCHS.get(self._reader, number)
        if row is not None:
            return decode(EpochRecord, row.epoch)
        return self._chain.first_epoch if number == 0 else None

    def _records(self, block: Block, leaves: Mapping[bytes, bytes], result: BlockResult) -> Iterable[Record]:
        height = block.header.height
        for leaf_id, value in leaves.items():
            # a leaf of genesis that is gone must stay gone; any other is in the database alone
            if value or not self.base_height:
                yield LEAVES.put(LeafRow(self.base_height, leaf_id, value))
            else:
                yield LEAVES.delete(self.base_height, leaf_id)
        yield HEADERS.put(HeaderRow(height, encode(self.header), encode(block.header)))
        yield LEDGER.put(LedgerRow("applied_height", height))
        if result.receipts:
            for asset in result.fees:
                yield FEES.put(FeesRow(self.base_height, asset, *self.fees[asset]))
            self._unwritten_receipts[height] = result
            while len(self._unwritten_receipts) > UNDO_HEIGHTS:
                self._unwritten_receipts.popitem(last=False)
            yield BLOCK_RECEIPTS.put(ReceiptsRow(height, encode(BlockReceipts(1, result.receipts))))
            for receipt in result.receipts:
                yield RECEIPT_INDEX.put(ReceiptIndexRow(short_id(receipt.transaction_id), height, receipt.position))
        if self._keep_blocks is not None and self.pruning.is_due(floor := height + 1 - self._keep_blocks):
            yield from self.pruning.slice(floor)

    def view(self, height: int) -> TrieView | None:
        """Return the state tree as of `height`, if it is among the last 32."""
        return self._views.get(height)

    def peaks(self) -> list[bytes]:
        """Return the peaks of the history under the last applied header (`History.peaks`)."""
        return self._history.peaks()

    def prove_leaves(self, height: int, leaf_ids: Iterable[bytes]) -> list[tuple[bytes, bytes]] | None:
        """Return (leaf id, `TrieProof` bytes) pairs under `height`, or None if that height is no longer kept."""
        view = self._views.get(height)
        if view is None:
            return None
        return [(leaf_id, encode(view.prove(leaf_id))) for leaf_id in leaf_ids]

    def leaf_ids_of(self, account: bytes) -> list[bytes]:
        """Return the ids of the leaves that say what an account has now: its own, then at most `HOLDINGS_TOLD_MAX`."""
        held = nsmallest(HOLDINGS_TOLD_MAX, self.state.holdings.get(account, ()))
        return [account_leaf_id(account), *(holding_leaf_id(account, asset) for asset in held)]

    def fees_shown(self) -> dict[str, dict[str, int]]:
        """Return asset -> tier -> what it was given, by names: native first, then `FEES_SHOWN_MAX` at most."""
        given = {NATIVE: self.fees.get(NATIVE, (0, 0, 0, 0))}
        given.update((asset, self.fees[asset]) for asset in nsmallest(FEES_SHOWN_MAX, filter(None, self.fees)))
        return {write_asset(asset): dict(zip(_TIERS, tiers, strict=True)) for asset, tiers in given.items()}

    def prove_receipt(self, transaction_id: bytes, checkpoint: CertifiedCheckpoint) -> bytes | None:
        """Return the `ReceiptProof` bytes of an executed transaction under a certified checkpoint, or None.

        None also for a transaction that was executed below the snapshot that this state began with.
        """
        found = self._find_receipt(transaction_id)
        if found is None or not self.base_height < found[0] <= checkpoint.header.height:
            return None
        height, receipts = found
        position = next(index for index, item in enumerate(receipts.receipts) if item.transaction_id == transaction_id)
        path = merkle_path([encode(item) for item in receipts.receipts], position, RECEIPTS)
        newest = checkpoint.header
        if height == newest.height:
            header, history = newest, None
        else:
            row = HEADERS.get(self._reader, height)
            if row is None:
                return None
            header = decode(CheckpointHeader, row.checkpoint)
            history = self._history.prove(height, newest.height)
            if history is None:
                return None
        return receipt_proof(
            receipts=receipts.receipts,
            position=position,
            path=path,
            header=header,
            history=history,
            checkpoint=checkpoint,
        )

    def _find_receipt(self, transaction_id: bytes) -> tuple[int, BlockReceipts] | None:
        for height, result in self._unwritten_receipts.items():
            if any(item.transaction_id == transaction_id for item in result.receipts):
                return height, BlockReceipts(1, result.receipts)
        short = short_id(transaction_id)
        for place in RECEIPT_INDEX.rows(self._reader, first=(short, 0, 0), limit=8):
            if place.short_id != short:
                break
            row = BLOCK_RECEIPTS.get(self._reader, place.height)
            if row is not None:
                receipts = decode(BlockReceipts, row.receipts, bytes_max=RECEIPTS_BYTES_MAX)
                if receipts.receipts[place.position].transaction_id == transaction_id:
                    return place.height, receipts
        return None


def _read_set(raw: bytes) -> ValidatorSet:
    return ValidatorSet(decode(ValidatorList, raw).members)
