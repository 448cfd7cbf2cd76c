"""What nodes with a ledger write down, held against each other and against the reference (S7, S11-S13, S16, C1-C5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from supervm.common.contract.records import Delete, Put, Record
from supervm.common.parts.ledger import Ledger
from supervm.common.parts.ledger_tables import (
    HEADERS,
    LEAVES,
    HeaderRow,
    LeafRow,
    LedgerRow,
    ReceiptsRow,
    stored_number,
)
from supervm.common.storage.memory import MemoryStore
from supervm.protocol.base.codec import decode, encode
from supervm.protocol.base.errors import ProtocolError
from supervm.protocol.chain.batch_certificate import CertifiedBatch, certified_bits
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint
from supervm.protocol.money.execution import STATUS_EXECUTED, BlockReceipts
from supervm.protocol.state.account import Account, decode_account, encode_account
from supervm.protocol.state.leaves import (
    ACCOUNT,
    HOLDING,
    Asset,
    decode_asset,
    decode_holding,
    encode_asset,
    encode_holding,
    parse_leaf_id,
)
from supervm.protocol.state.receipts import RECEIPTS, merkle_root
from supervm.tier_l1_super.node import ValidatorNode
from supervm.tier_l1_super.tables import BLOCKS, TABLES, BatchRow, BlockRow, CheckpointRow
from supervm.tier_l2_miner.node import MinerNode

from ..exact import Host, Persisted
from .facts import BYTES_MAX, Facts
from .finality import Finality
from .reference import Outcome, Reference, Value, nothing_of
from .roots import history_root, rebuilt_root

LAG_STOP = 3
"""Heights that the network may be ahead of a node that does not know yet that it computes something else."""


@dataclass(slots=True)
class _Written:
    """One block as one host wrote it."""

    host: str
    height: int
    header: bytes
    leaves: dict[bytes, bytes]
    receipts: bytes | None


class ExecutionWatch:
    """Watches ledgers.

    Args:
        facts: shared knowledge.
        finality: which blocks are final.
        reference: the second opinion.
    """

    def __init__(self, facts: Facts, finality: Finality, reference: Reference) -> None:
        self._facts, self._finality, self.reference = facts, finality, reference
        self._pending: list[_Written] = []
        self._differs_from: dict[str, int] = {}  # host whose memory lied -> from which height on
        self._certified: dict[int, bytes] = {}
        self._base: dict[str, int] = {}  # host -> height of the snapshot that its state began with
        self.top: dict[str, int] = {}
        """Host -> the highest height that it has ever written."""

    def persisted(self, event: Persisted) -> None:
        """Look at records that are durable from now on."""
        host = event.host
        if host.tier > 2:
            return
        facts = self._facts
        honest = facts.is_honest(host)
        leaves: dict[bytes, bytes] = {}
        last: _Written | None = None
        for record in event.records:
            self._leaf(host.name, record, leaves)
            if type(record) is not Put:
                continue
            row = record.row
            if isinstance(row, LedgerRow) and row.name == "base_height":
                self._base[host.name] = row.value
            elif isinstance(row, HeaderRow) and honest:
                last = _Written(host.name, row.height, row.checkpoint, leaves, None)
                self._header(last)
                leaves = {}
                self._pending.append(last)
            elif isinstance(row, ReceiptsRow) and last is not None and last.height == row.height:
                last.receipts = row.receipts
            elif isinstance(row, BlockRow):
                block = facts.block(row.block)
                if block is not None and honest:
                    self._finality.committed(host.name, row.height, block.hash)
            elif isinstance(row, BatchRow):
                facts.batch(row.batch)
            elif isinstance(row, CheckpointRow) and honest:
                self._checkpoint(host, row.height, row.checkpoint)
        if self._pending:
            self._compare()

    def _leaf(self, name: str, record: Record, leaves: dict[bytes, bytes]) -> None:
        """Note a leaf that a host has written, or removed; those of a snapshot on its way in are not its state yet."""
        base = self._base.get(name, 0)
        if type(record) is Put and isinstance(record.row, LeafRow):
            if record.row.since == base:
                leaves[record.row.leaf_id] = record.row.value
        elif type(record) is Delete and record.table == LEAVES.name and record.key[0] == base:
            leaves[cast(bytes, record.key[1])] = b""

    def started(self, host: Host) -> None:
        """Look at what a host finds on its disk beyond what it was told is durable: the tables of a torn write."""
        if not self._facts.is_honest(host):
            return
        self._base[host.name] = stored_number(host.disk, "base_height")  # 0 if it has every block
        first = self.top.get(host.name, 0) + 1
        if host.tier == 1:
            for row in BLOCKS.rows(host.disk, first=(first,)):
                block = self._facts.block(row.block)
                if block is not None:
                    self._finality.committed(host.name, row.height, block.hash)
        for header in HEADERS.rows(host.disk, first=(first,)):
            self._header(_Written(host.name, header.height, header.checkpoint, {}, None))
        while self.reference.advance():
            pass

    def _header(self, written: _Written) -> None:
        facts = self._facts
        known = facts.headers.setdefault(written.height, written.header)
        if known != written.header:
            facts.book.note("S7", f"{written.host} has another header of height {written.height} than others had")
        elif written.height > self.top.get("", 0):
            self.top[""] = written.height
            header = facts.checkpoint_header(written.header)
            facts.executed_ts_ms = max(facts.executed_ts_ms, header.ts_ms)
            if header.epoch > facts.epoch:
                facts.epoch, facts.epoch_began_ms = header.epoch, header.ts_ms
            if header.supply != self.reference.supply:
                facts.book.note("C1", f"height {written.height}: the header says {header.supply} grain")
            self._finality.header_known(written.height)
        self.top[written.host] = max(written.height, self.top.get(written.host, 0))

    def _checkpoint(self, host: Host, height: int, raw: bytes) -> None:
        facts = self._facts
        checkpoint = decode(CertifiedCheckpoint, raw, bytes_max=BYTES_MAX)
        header = encode(checkpoint.header)
        if self._certified.setdefault(height, header) != header or facts.headers.get(height, header) != header:
            facts.book.note("S8", f"{host.name} holds another certified checkpoint of height {height}")
        if not facts.genuine(checkpoint.certificate()):
            facts.book.note("N4", f"{host.name} wrote down a checkpoint of height {height} that no quorum signed")

    def _compare(self) -> None:
        reference = self.reference
        while reference.advance():
            pass
        waiting = self._pending
        self._pending = []
        for written in waiting:
            outcome = reference.outcomes.get(written.height)
            if outcome is None:
                self._pending.append(written)
            else:
                self._judge(written, outcome)

    def _judge(self, written: _Written, outcome: Outcome) -> None:
        note, reference = self._facts.book.note, self.reference
        where = f"{written.host}, height {written.height}"
        before = written.height - 1
        got = {leaf_id: _read(leaf_id, leaf) for leaf_id, leaf in written.leaves.items()}
        changed = {leaf_id: value for leaf_id, value in got.items() if value != reference.value_at(leaf_id, before)}
        deltas: dict[bytes, int] = {}
        for leaf_id, value in changed.items():
            asset = parse_leaf_id(leaf_id).asset
            delta = _amount(value) - _amount(reference.value_at(leaf_id, before))
            deltas[asset] = deltas.get(asset, 0) + delta
        for asset, delta in deltas.items():
            if delta:
                note("C2", f"{where}: the block changes the supply of {asset.hex()[:16] or 'svm'} by {delta}")
        if any(_amount(value) < 0 for value in got.values() if not isinstance(value, Asset)):
            note("C4", f"{where}: a balance is negative")
        # what a block puts back as it was is no change: a holding that is spent whole and earned again
        wanted = {
            leaf_id: value for leaf_id, value in outcome.changes.items() if value != reference.value_at(leaf_id, before)
        }
        if changed != wanted:
            self._differs(where, before, changed, outcome)
        if written.receipts is not None or outcome.executed:
            self._receipts(where, written.header, written.receipts, outcome)

    def _differs(self, where: str, before: int, changed: dict[bytes, Value], outcome: Outcome) -> None:
        note = self._facts.book.note
        for leaf_id in sorted({**changed, **outcome.changes}):
            earlier = self.reference.value_at(leaf_id, before)
            ours, theirs = outcome.changes.get(leaf_id, earlier), changed.get(leaf_id, earlier)
            if ours == theirs:
                continue
            same_slot = not isinstance(ours, Account) or not isinstance(theirs, Account) or ours[1:3] == theirs[1:3]
            rule = "C3" if same_slot else "S11"
            note(rule, f"{where}: leaf {leaf_id.hex()[:18]} has {_show(theirs)}, by the rules {_show(ours)}")

    def _receipts(self, where: str, written_header: bytes, raw: bytes | None, outcome: Outcome) -> None:
        receipts = () if raw is None else decode(BlockReceipts, raw, bytes_max=BYTES_MAX).receipts
        ids = tuple(receipt.transaction_id for receipt in receipts)
        if len(dict.fromkeys(ids)) != len(ids):
            self._facts.book.note("S12", f"{where}: a transaction has two receipts")
        if ids != outcome.executed:
            self._facts.book.note("C5", f"{where}: its receipts are not for what was executed")
            return
        header = self._facts.checkpoint_header(written_header)
        if merkle_root([encode(receipt) for receipt in receipts], RECEIPTS) != header.receipts_root:
            self._facts.book.note("C5", f"{where}: its header does not commit to its receipts")
        if sum(receipt.fee for receipt in receipts) != outcome.fees:
            self._facts.book.note("C5", f"{where}: its receipts' fees do not sum to what was paid")
        for receipt in receipts:
            if (receipt.status != STATUS_EXECUTED) != (receipt.transaction_id in outcome.failed):
                self._facts.book.note("C5", f"{where}: the receipt of {receipt.transaction_id.hex()[:16]} is not true")

    # --- the end ------------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Look at running ledgers, and replay the longest chain from genesis (C1, S16)."""
        facts = self._facts
        hosts = [host for host in facts.world.hosts.values() if host.tier <= 2 and facts.is_honest(host)]
        for host in hosts:
            core = host.core
            if isinstance(core, ValidatorNode | MinerNode):
                ledger = core.ledger if isinstance(core, ValidatorNode) else core.replica.ledger
                problem = ledger.state.supply_problem(self.reference.supply)
                if problem is not None:
                    facts.book.note("C1", f"{host.name}: {problem}")
        self._roots()
        chains = [host for host in hosts if host.tier == 1 and stored_number(host.disk, "base_height") == 0]
        if chains:
            self.replay(max(chains, key=lambda host: (self.top.get(host.name, 0), -host.index)))

    def _roots(self) -> None:
        """Compute the state root and the history root of the newest height once more, from all accounts and headers."""
        facts, height = self._facts, self.reference.height
        raw = facts.headers.get(height)
        if raw is None or any(before not in facts.headers for before in range(height)):
            return
        header = facts.checkpoint_header(raw)
        leaves = {leaf_id: _written(value) for leaf_id, value in self.reference.values.items() if value}
        if rebuilt_root(leaves) != header.state_root:
            facts.book.note("S7", f"height {height}: the header does not commit to every leaf")
        before = [facts.checkpoint_header(facts.headers[place]).hash for place in range(height)]
        if history_root(before) != header.history_root:
            facts.book.note("S7", f"height {height}: the header does not commit to the headers before it")

    def sample(self) -> None:
        """Look at nodes whose memory lied: none may go on with a state that is not the network's (2.7)."""
        facts = self._facts
        for host in facts.world.hosts.values():
            core = host.core
            if host.tier > 2 or facts.faulty.get(host.name) != "its memory lied":
                continue
            if isinstance(core, ValidatorNode):
                height, header = core.executor.tally.height, core.ledger.header
            elif isinstance(core, MinerNode):
                height, header = core.replica.certified_height, core.replica.ledger.header
            else:
                continue
            known = facts.headers.get(header.height)
            if known is None or known == encode(header):
                self._differs_from.pop(host.name, None)
                continue
            first = self._differs_from.setdefault(host.name, header.height)
            told = core.replica.ledger.block_header.last_checkpoint.height if isinstance(core, MinerNode) else 0
            if told > first + LAG_STOP or self._top_certified() > header.height + LAG_STOP:
                facts.book.note(
                    "2.7", f"{host.name} goes on at height {header.height} (certified: {height}) with another state"
                )

    def _top_certified(self) -> int:
        return max(self._certified, default=0)

    def replay(self, host: Host) -> int:
        """Execute the blocks on a host's disk from genesis with a new ledger; return how many (S16)."""
        facts = self._facts
        ledger = Ledger(facts.chain, MemoryStore(TABLES))
        done = 0
        for row in BLOCKS.rows(host.disk):
            height = row.height
            block = decode(Block, row.block, bytes_max=BYTES_MAX)
            batches = []
            for ref in block.body.refs:
                seen = facts.batches.get(ref.digest)
                if seen is None:
                    return done
                batches.append(
                    CertifiedBatch(ref.header, seen.transactions, certified_bits(ref, ledger.rules.validators))
                )
            try:
                applied = ledger.apply(block, batches)
            except ProtocolError as error:
                facts.book.note("S16", f"replay of {host.name}'s chain stops at height {height}: {error}")
                return done
            known = facts.headers.get(height)
            if known is not None and known != encode(applied.header):
                facts.book.note("S16", f"replay of {host.name}'s chain gives another header at height {height}")
                return done
            done += 1
        return done


def _read(leaf_id: bytes, value: bytes) -> Value:
    """Return what the bytes of a leaf say; empty ones say that there is none."""
    if not value:
        return nothing_of(leaf_id)
    kind = leaf_id[0]
    return (
        decode_account(value) if kind == ACCOUNT else decode_holding(value) if kind == HOLDING else decode_asset(value)
    )


def _written(value: Value) -> bytes:
    """Return the bytes of a leaf that is there."""
    if isinstance(value, Account):
        return encode_account(value)
    return encode_asset(value) if isinstance(value, Asset) else encode_holding(value or 0)


def _amount(value: Value) -> int:
    """Return what a leaf adds to the sum of its asset: an asset's own leaf takes its supply away, so that all is 0."""
    if isinstance(value, Account):
        return value.balance
    return -value.supply if isinstance(value, Asset) else value or 0


def _show(account: Value) -> str:
    if not isinstance(account, Account):
        return str(account)
    return f"balance {account.balance}, next {account.next_seq}, head {account.head.hex()[:8]}"
