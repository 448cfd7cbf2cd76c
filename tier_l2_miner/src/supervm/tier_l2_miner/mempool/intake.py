"""From `Submit` to mempool: form, repetition, share and signature (architecture.md 3, network.md 7).

Cheap checks come first. Signatures are checked in chunks outside the core, one lane per peer, so that the transfers of
one sender that came over one link reach the mempool in the order they were sent.

A transfer under verification is told apart by its *bytes*: its id does not cover the signature, so by id a copy
with a bad signature could push the honest one out.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from supervm.common.contract.core import Outbox
from supervm.common.parts.costs import TRANSFER
from supervm.common.parts.manners import Manners
from supervm.protocol.base.codec import Hash
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.chain.genesis import Chain
from supervm.protocol.money.transfer import SignedTransfer, parse_transfer, signature_items, transfer_id
from supervm.protocol.wire.fields import FORWARD_MAX
from supervm.protocol.wire.payments import LEVEL_REFUSED, Status, StatusItem

from ..config import MinerOptions
from .mempool import BUSY, Mempool

VERIFY_CHUNK = 256
"""Signatures per piece of work (limits.md, Rules 1)."""
BAD_SIGNATURE = "bad signature"
WRONG_CHAIN = "signed for another chain"
EXECUTED_IDS_MAX = 200_000
"""Ids of executed transfers that are remembered, so that a repetition gets R3 and not a refusal."""
REGISTER_US_MIN = 1_000_000
"""Time between two records of one edge; an honest one sends one when it connects."""


class StatusLines:
    """Collects news of transfers during a step and sends them in as few messages as possible."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._items: dict[bytes, list[StatusItem]] = {}

    def tell(self, peers: Iterable[bytes], transfer: Hash, level: int, reason: str) -> None:
        """Note one piece of news for `peers`."""
        item = StatusItem(transfer, level, reason)
        for peer in peers:
            items = self._items.get(peer)
            if items is None:
                self._items[peer] = [item]
            else:
                items.append(item)

    def flush(self, is_up: Callable[[bytes], bool]) -> None:
        """Send what was noted to the peers that are still there."""
        if not self._items:
            return
        for peer, items in self._items.items():
            if is_up(peer):
                for start in range(0, len(items), FORWARD_MAX):
                    self._outbox.send(peer, Status(tuple(items[start : start + FORWARD_MAX])))
        self._items = {}


class ExecutedIds:
    """Ids of the transfers executed last."""

    def __init__(self) -> None:
        self._ids: OrderedDict[bytes, None] = OrderedDict()

    def __contains__(self, identity: object) -> bool:
        return identity in self._ids

    def add(self, identities: Iterable[bytes]) -> None:
        """Remember ids, forgetting the oldest beyond the bound."""
        self._ids.update(dict.fromkeys(identities))
        while len(self._ids) > EXECUTED_IDS_MAX:
            self._ids.popitem(last=False)


@dataclass(frozen=True, slots=True)
class _Job:
    peer: bytes
    edge: bytes | None
    transfers: Sequence[SignedTransfer]


class Intake:
    """Takes transfers from peers.

    Args:
        chain: the network.
        mempool: where verified transfers go.
        options: bounds.
        outbox: where work and penalties go.
        lines: where refusals go.
        manners: how many transfers a peer may submit.
    """

    def __init__(
        self, chain: Chain, mempool: Mempool, options: MinerOptions, outbox: Outbox, lines: StatusLines,
        manners: Manners,
    ) -> None:
        self._manners = manners
        self._chain_id = chain.chain_id
        self._mempool = mempool
        self._options = options
        self._outbox = outbox
        self._lines = lines
        self._edges: dict[bytes, tuple[int, bytes]] = {}
        self._registered_us: dict[bytes, int] = {}
        self._jobs: dict[int, _Job] = {}
        self._verifying: dict[bytes, tuple[bytes, ...]] = {}  # raw bytes -> peers that sent them meanwhile

    @property
    def unverified(self) -> int:
        """Transfers whose signature check is under way."""
        return len(self._verifying)

    def peer_down(self, peer: bytes) -> None:
        """Forget a peer; what it submitted stays."""
        self._edges.pop(peer, None)
        self._registered_us.pop(peer, None)

    def may_register(self, now_us: int, peer: bytes) -> bool:
        """Return whether an edge's record may be looked at: its signature is checked here and now, so not often."""
        earlier_us = self._registered_us.get(peer)
        if earlier_us is not None and now_us - earlier_us < REGISTER_US_MIN:
            return False
        self._registered_us[peer] = now_us
        return True

    def register_edge(self, peer: bytes, payout: bytes, counter: int) -> bool:
        """Note where an edge is paid; return False if it has told us something newer already."""
        known = self._edges.get(peer)
        if known is not None and known[0] > counter:
            return False
        self._edges[peer] = (counter, payout)
        return True

    def submit(self, now_us: int, peer: bytes, raws: Sequence[bytes], *, is_ready: bool = True) -> None:
        """Take transfers: answer what is decided already, hand the rest to verification.

        Args:
            now_us: the time now.
            peer: who submits.
            raws: canonical signed bytes.
            is_ready: whether this node knows the state well enough to judge; if not, all are refused as busy.

        Raises:
            RemoteProtocolError: some were malformed or for another chain; the others were taken.
        """
        room = max(0, self._options.unverified_max - len(self._verifying))
        granted = 0
        if is_ready:
            granted = self._manners.take(now_us, peer, "transfers", min(room, len(raws)), each=TRANSFER)
        for raw in raws[granted:]:
            self._lines.tell((peer,), transfer_id(raw), LEVEL_REFUSED, BUSY)
        problem: RemoteProtocolError | None = None
        fresh: list[SignedTransfer] = []
        for raw in raws[:granted]:
            waiting = self._verifying.get(raw)
            if waiting is not None:
                if peer not in waiting:
                    self._verifying[raw] = (*waiting, peer)
                continue
            try:
                transfer = parse_transfer(raw, self._chain_id)
            except RemoteProtocolError as error:
                problem = error
                if error.code == "wrong-chain":
                    self._lines.tell((peer,), transfer_id(raw), LEVEL_REFUSED, WRONG_CHAIN)
                continue
            if not self._mempool.join(transfer.id, peer) and not self._mempool.decided(transfer, (peer,)):
                self._verifying[raw] = (peer,)
                fresh.append(transfer)
        edge = self._edges.get(peer)
        for start in range(0, len(fresh), VERIFY_CHUNK):
            chunk = fresh[start : start + VERIFY_CHUNK]
            token = self._outbox.verify(peer, signature_items(chunk))
            self._jobs[token] = _Job(peer, None if edge is None else edge[1], chunk)
        if problem is not None:
            raise problem

    def verified(self, now_us: int, token: int, result: Sequence[bool]) -> bytes | None:
        """Put verified transfers into the mempool; return the peer if it sent a bad signature."""
        job = self._jobs.pop(token)
        culprit = None
        for transfer, good in zip(job.transfers, result, strict=True):
            peers = self._verifying.pop(transfer.raw)
            if not good:
                culprit = job.peer
                self._lines.tell(peers, transfer.id, LEVEL_REFUSED, BAD_SIGNATURE)
                continue
            if transfer.id not in self._mempool:
                self._mempool.add(now_us, transfer, peers, job.edge)
                continue
            for peer in peers:
                self._mempool.join(transfer.id, peer)
        return culprit
