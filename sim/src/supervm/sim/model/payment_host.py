"""One validator of the payment model: the shipped batch voter, its slots and its disk.

Theory of operation. The host does what `tier_l1_super.node` and its executor do around `BatchVoter` and `Slots`: it
answers their persists, hands them batches whose signatures are good, applies finalized blocks with `execute_block` and
tells the slots. Its disk has the three things that matter: stored batches, the write-ahead log, and how many blocks are
executed. The records of one step become durable together, at the latest when the next event comes; a crash before that
loses them and what waited for them.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import cast

from supervm.common.contract.core import Outbox, Persist, Send, Work
from supervm.common.contract.records import Append, Key, Put, Record
from supervm.common.parts.ledger import Ledger
from supervm.common.parts.manners import Manners
from supervm.common.parts.peering import Peering
from supervm.protocol.base.codec import encode
from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.base.keys import SigningKey
from supervm.protocol.chain.batch import Batch, BatchHeader
from supervm.protocol.chain.batch_certificate import CertifiedBatch, bitmap_bits
from supervm.protocol.chain.genesis import Chain
from supervm.protocol.chain.validators import ValidatorSet
from supervm.protocol.money.execution import BlockResult, execute_block
from supervm.protocol.money.transaction import SignedTransaction
from supervm.protocol.state.account import EMPTY_ACCOUNT
from supervm.protocol.state.state import State
from supervm.protocol.wire.chain import BatchMessage, BatchVoteMessage
from supervm.tier_l1_super.batches.pool import Pool
from supervm.tier_l1_super.batches.slots import Slots, _Lane
from supervm.tier_l1_super.batches.voting import BatchVoter
from supervm.tier_l1_super.consensus.accuse import Accuser
from supervm.tier_l1_super.consensus.seat import Seat
from supervm.tier_l1_super.consensus.simplex.promises import BatchPromise, decode_promise, encode_promise
from supervm.tier_l1_super.ground import Ground
from supervm.tier_l1_super.head import Head
from supervm.tier_l1_super.tables import BATCHES, BatchRow

from .mirror import Mirror
from .simplex_host import ModelKey

INDEX = 0
"""All validators of the model are alike, so each runs as this one."""


@dataclass(frozen=True, slots=True)
class ModelBatch:
    """A batch with its transactions parsed."""

    name: str
    batch: Batch
    digest: bytes
    transactions: tuple[SignedTransaction, ...]

    @property
    def header(self) -> BatchHeader:
        """Its header."""
        return self.batch.header


@dataclass(frozen=True, slots=True)
class ModelBlock:
    """A finalized block: its time and the batches it references with the bits that their certificates prove."""

    ts_ms: int
    refs: tuple[tuple[ModelBatch, int], ...]


@dataclass(frozen=True, slots=True)
class Offered:
    """A batch arrives, from its miner."""

    batch: ModelBatch


@dataclass(frozen=True, slots=True)
class Execute:
    """The finalized block on top of `height` blocks is there; it is executed if it is the next."""

    height: int
    block: ModelBlock


@dataclass(frozen=True, slots=True)
class Restart:
    """The process ends and starts again.

    Attributes:
        written: whether the records of the last step got to the disk.
        compacted: whether the write-ahead log was rewritten just before.
    """

    written: bool
    compacted: bool


def apply_block(chain: Chain, state: State, block: ModelBlock) -> BlockResult:
    """Execute a block by the shipped rules; `state` is not changed."""
    batches = [CertifiedBatch(item.header, item.transactions, certified) for item, certified in block.refs]
    return execute_block(
        state,
        batches,
        ts_ms=block.ts_ms,
        payout_of_miner=chain.payout_of_miner,
        fee_shares_bps=chain.parameters.fee_shares_bps,
    )


@dataclass(slots=True)
class Disk:
    """What survives: the part of a `Reader` that the voter uses."""

    batches: dict[bytes, bytes] = field(default_factory=dict)
    payloads: list[bytes] = field(default_factory=list)
    executed: list[ModelBlock] = field(default_factory=list)

    def get(self, table: str, key: Key) -> BatchRow | None:
        """Return a stored batch."""
        if table != BATCHES.name:
            return None
        (digest,) = key
        raw = self.batches.get(cast(bytes, digest))
        return None if raw is None else BatchRow(cast(bytes, digest), raw)

    def scan(self, table: str, *, first: Key | None = None, limit: int | None = None) -> Iterator[BatchRow]:
        """Return nothing: the voter reads single rows."""
        del table, first, limit
        return iter(())

    def count(self, table: str) -> int:
        """Return the number of stored batches."""
        return len(self.batches) if table == BATCHES.name else 0

    def log(self) -> list[bytes]:
        """Return the write-ahead payloads."""
        return list(self.payloads)


class Voter:
    """One validator's part in certificate-only mode.

    Args:
        chain: the network.
        restarts: how often it may restart yet.
    """

    def __init__(self, chain: Chain, *, restarts: int) -> None:
        self.chain = chain
        self.restarts = restarts
        self.disk = Disk()
        self.sent: dict[tuple[bytes, int], None] = {}
        self.waiting: list[tuple[bytes, int]] = []
        self.unwritten: list[Record | ModelBlock] = []
        self.height = 0
        self._start()

    def _start(self) -> None:
        chain = self.chain
        self.state = chain.first_state()
        ts_ms = chain.genesis.time_ms
        for block in self.disk.executed:
            self.state.apply(apply_block(chain, self.state, block).change)
            ts_ms = block.ts_ms
        self.height = len(self.disk.executed)
        self.slots = Slots(self.state, chain.parameters)
        self.slots.executed_ts_ms = ts_ms
        key = cast(SigningKey, ModelKey(chain.validators.keys[INDEX]))
        seat = Seat(chain.validators.node_ids[INDEX], key, chain.rules, amnesia=False)
        self.pool = Pool(self.state, seat)
        self.outbox = Outbox()
        promises = [decode_promise(payload) for payload in self.disk.payloads]
        ground = Ground(  # a voter looks at neither ledger nor peers
            chain,
            seat,
            cast(Ledger, None),
            self.disk,
            self.outbox,
            cast(Peering, None),
            Manners(self.outbox, {}),
            Accuser(seat, self.outbox),
            Head(),
        )
        self.voter = BatchVoter(
            ground,
            self.slots,
            self.pool,
            [promise for promise in promises if isinstance(promise, BatchPromise)],
            lambda: (),
        )

    def take(self, event: Hashable) -> None:
        """Take one event."""
        if not isinstance(event, Restart) or event.written:
            self._write()
        match event:
            case Offered(batch):
                self.voter.batch(batch.header.miner, BatchMessage(encode(batch.batch)))
            case Execute(height, block):
                if height == self.height:
                    self._execute(block)
            case Restart(_, compacted):
                if compacted:
                    self.disk.payloads = [encode_promise(promise) for promise in self.voter.live_promises()]
                self.unwritten, self.waiting = [], []
                self.restarts -= 1
                self._start()
            case _:
                raise LocalProtocolError(f"no event of this model: {event}")
        self._carry_out()

    def _execute(self, block: ModelBlock) -> None:
        before = {}
        for item, _ in block.refs:
            for transaction in item.transactions:
                account = self.state.accounts.get(transaction.body.sender, EMPTY_ACCOUNT)
                before[transaction.body.sender] = (account.next_seq, account.head)
        result = apply_block(self.chain, self.state, block)
        self.state.apply(result.change)
        self.height += 1
        self.unwritten.append(block)
        self.slots.executed(result.change.accounts, before, block.ts_ms)
        self.voter.forget(self.pool.forget_dead(block.ts_ms, (), self.slots.anchored))

    def _carry_out(self) -> None:
        effects = self.outbox.drain()
        while effects:
            for effect in effects:
                if isinstance(effect, Persist):
                    self.unwritten.extend(effect.records)
                elif isinstance(effect, Work):
                    self.voter.verified(0, effect.token, [True] * len(effect.job.items))
                elif isinstance(effect, Send) and isinstance(effect.message, BatchVoteMessage):
                    vote = effect.message.vote
                    bits = bitmap_bits(vote.bitmap, vote.count)
                    votes = [(vote.digest, place) for place in range(vote.count) if bits >> place & 1]
                    if self._must_wait(effect.after):
                        self.waiting.extend(votes)
                    else:
                        self.sent.update((item, None) for item in votes)
            effects = self.outbox.drain()
        if not self.restarts:  # nothing will ever be read back but batches
            self._write()
            self.disk.payloads, self.disk.executed = [], []

    def _must_wait(self, after: int) -> bool:
        """Return whether a message waits for the disk (rule P0)."""
        return after != 0

    def _write(self) -> None:
        for record in self.unwritten:
            if isinstance(record, ModelBlock):
                self.disk.executed.append(record)
            elif isinstance(record, Append):
                self.disk.payloads.append(record.payload)
            elif isinstance(record, Put) and isinstance(record.row, BatchRow):
                self.disk.batches[record.row.digest] = record.row.batch
        self.sent.update((item, None) for item in self.waiting)
        self.unwritten, self.waiting = [], []


def _disk_view(disk: Disk) -> tuple[object, ...]:
    return frozenset(disk.batches), tuple(disk.payloads), tuple(disk.executed)


def voter_mirror() -> Mirror:
    """Return how voters are copied and compared.

    Left out of the comparison: what is the same for all, what follows from something compared (accounts from the
    executed blocks, parsed bodies from their digests), tokens, and the empty outbox.
    """
    return Mirror(
        mutable=(Voter, Disk, Slots, _Lane, Pool, BatchVoter, Outbox, State),
        shared=(Accuser, Chain, Head, Manners, Seat, ValidatorSet),
        view={Disk: _disk_view, Pool: lambda pool: frozenset(pool.bodies)},
        omit=(
            "Voter.chain",
            "Voter.outbox",
            "Slots._state",
            "Pool._state",
            "Slots._parameters",
            "BatchVoter._chain",
            "BatchVoter._floor_news",
            "BatchVoter._head",
            "BatchVoter._seat",
            "Pool._seat",
            "BatchVoter._slots",
            "BatchVoter._pool",
            "BatchVoter._outbox",
            "BatchVoter._reader",
            "BatchVoter._written",
            "BatchVoter._accuser",
            "BatchVoter._good",
            "BatchVoter._manners",
            "Slots._expiry",
        ),
        ordered=("BatchVoter._bits",),
    )
