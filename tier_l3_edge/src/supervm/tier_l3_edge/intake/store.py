"""The transactions that an edge has accepted: on disk until their fate is known, indexed in memory.

The index is built again from the disk at start. Fates are remembered for a while, so that a phone which submits again
is answered at once; a refusal is not, because what refused the transaction may pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, ValuesView
from dataclasses import dataclass, field
from typing import Any

from supervm.common.contract.core import Outbox
from supervm.common.contract.records import Reader
from supervm.common.parts.part import Part
from supervm.protocol.base.errors import ProtocolError
from supervm.protocol.money.transaction import SignedTransaction, parse_transaction
from supervm.protocol.wire.payments import LEVEL_EXPIRED, LEVEL_R0, LEVEL_R3, LEVEL_REFUSED

from ..errors import EdgeError
from ..options import STORE_OPTIONS
from ..tables import PENDING, PendingRow

INTERESTED_MAX = 8
"""Most peers that are told about one transaction."""
FINALS_MAX = 32_768
"""Most fates that are remembered."""
FINAL_US_MAX = 30_000_000
"""How long a fate is answered from memory."""


@dataclass(slots=True, eq=False)
class Entry:
    """One accepted transaction.

    Attributes:
        number: its key on disk.
        transaction: the transaction.
        token: the persist that makes it durable; 0 once it is.
        holder: the peer that submitted it first, which it counts against; empty after a restart.
        level: highest level told: `LEVEL_R0` or `LEVEL_R1`.
        interested: peers to tell, in the order they asked.
        miner: where it is out, or None while it is ready.
        asked: miners it was ever forwarded to.
        declined: miners that refused it for its fee.
        sent_us: when it was forwarded last.
        retry_us: when it is forwarded again.
        timer_us: when its timer fires; 0 if it has none.
        unanswered: it is out and the miner has not said a word about it.
        tries: submissions to this miner without a word.
        moved: whether a refusal has already sent it to another miner.
    """

    number: int
    transaction: SignedTransaction
    token: int
    holder: bytes = b""
    level: int = LEVEL_R0
    interested: list[bytes] = field(default_factory=list)
    miner: bytes | None = None
    asked: list[bytes] = field(default_factory=list)
    declined: list[bytes] = field(default_factory=list)
    sent_us: int = 0
    retry_us: int = 0
    timer_us: int = 0
    unanswered: bool = False
    tries: int = 0
    moved: bool = False

    def join(self, peer: bytes) -> None:
        """Tell `peer` of it from now on, if there is room."""
        if peer not in self.interested and len(self.interested) < INTERESTED_MAX:
            self.interested.append(peer)


class Store(Part):
    """The accepted transactions, by id, number and sender.

    Args:
        outbox: where writes go.
        reader: durable state to start from.
        chain_id: the network.
        store_max: most transactions kept; one peer may fill half of it.

    Raises:
        EdgeError: the database holds something that is not a transaction of this network.
    """

    tables = (PENDING,)
    options = STORE_OPTIONS

    def __init__(self, outbox: Outbox, reader: Reader, *, chain_id: bytes, store_max: int) -> None:
        self._outbox = outbox
        self._store_max = store_max
        self._entries: dict[bytes, Entry] = {}
        self._by_number: dict[int, Entry] = {}
        self._by_sender: dict[bytes, dict[bytes, Entry]] = {}
        self._held: dict[bytes, int] = {}
        self._finals: dict[bytes, tuple[int, int]] = {}  # id -> level, and since when
        self._next_number = 1
        self.fates: dict[int, int] = {LEVEL_R3: 0, LEVEL_REFUSED: 0, LEVEL_EXPIRED: 0}
        """Transactions that left the store, by the level that ended them."""
        for row in PENDING.rows(reader):
            self._restore(row.number, row.raw, chain_id)

    def _restore(self, number: int, raw: bytes, chain_id: bytes) -> None:
        try:
            transaction = parse_transaction(raw, chain_id)
        except ProtocolError as error:
            raise EdgeError(
                f"table {PENDING.name}: number {number} is no transaction of this network ({error}); "
                "the database belongs to another network or is damaged"
            ) from error
        self._next_number = number + 1
        self._index(Entry(number, transaction, 0))

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def load_percent(self) -> int:
        """How full it is."""
        return min(100, 100 * len(self._entries) // self._store_max)

    def info(self, now_us: int) -> Mapping[str, Any]:
        """Return how many wait."""
        return {"pending": len(self._entries)}

    def all(self) -> ValuesView[Entry]:
        """Return every entry, in the order of acceptance."""
        return self._entries.values()

    def get(self, transaction_id: bytes) -> Entry | None:
        """Return the entry of a transaction."""
        return self._entries.get(transaction_id)

    def numbered(self, number: int) -> Entry | None:
        """Return the entry with a number."""
        return self._by_number.get(number)

    def of_sender(self, sender: bytes) -> Iterable[Entry]:
        """Return a sender's entries."""
        return self._by_sender.get(sender, {}).values()

    def room(self, peer: bytes) -> int:
        """Return how many more transactions may come from `peer`."""
        return min(self._store_max - len(self._entries), self._store_max // 2 - self._held.get(peer, 0))

    def add(self, peer: bytes, transaction: SignedTransaction) -> Entry:
        """Write a transaction and return its entry; `token` says what to wait for."""
        number = self._next_number
        self._next_number += 1
        token = self._outbox.persist(PENDING.put(PendingRow(number, transaction.raw)))
        entry = Entry(number, transaction, token, peer, interested=[peer])
        self._index(entry)
        self._held[peer] = self._held.get(peer, 0) + 1
        return entry

    def end(self, now_us: int, entry: Entry, level: int) -> None:
        """Forget an entry whose fate is known; remember the fate if it is one for good."""
        identity, sender = entry.transaction.id, entry.transaction.body.sender
        del self._entries[identity]
        del self._by_number[entry.number]
        siblings = self._by_sender[sender]
        del siblings[identity]
        if not siblings:
            del self._by_sender[sender]
        if entry.holder:
            self._held[entry.holder] -= 1
            if not self._held[entry.holder]:
                del self._held[entry.holder]
        self._outbox.persist(PENDING.delete(entry.number))
        self.fates[level] += 1
        if level != LEVEL_REFUSED:
            self._finals.pop(identity, None)
            self._finals[identity] = (level, now_us)
            while len(self._finals) > FINALS_MAX or next(iter(self._finals.values()))[1] < now_us - FINAL_US_MAX:
                del self._finals[next(iter(self._finals))]

    def fate(self, now_us: int, transaction_id: bytes) -> int | None:
        """Return the remembered fate of a transaction that has left, or None."""
        final = self._finals.get(transaction_id)
        if final is None or now_us - final[1] > FINAL_US_MAX:
            return None
        return final[0]

    def _index(self, entry: Entry) -> None:
        transaction = entry.transaction
        self._entries[transaction.id] = entry
        self._by_number[entry.number] = entry
        self._by_sender.setdefault(transaction.body.sender, {})[transaction.id] = entry
