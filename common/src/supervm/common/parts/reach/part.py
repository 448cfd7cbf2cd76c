"""Finding peers, as a part of a node: records in and out, questions for them, and the peers that the node chooses.

Theory of operation. Each node tells those it meets its own record, passes on none of others unless it is asked, and
asks whoever is up while it has too few peers. What it hears goes into `KnownNodes` if its signature holds; whom it
dials of those is `Neighbours`' choice. Only what it has dialled itself is kept on disk.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from supervm.protocol.base.errors import LocalProtocolError, RemoteProtocolError
from supervm.protocol.chain.votes import Verify
from supervm.protocol.reach.record import NodeRecord, check_record, read_record
from supervm.protocol.wire.fields import Message
from supervm.protocol.wire.reach import FOUND_MAX, Find, Found, Observed, RecordPut, Wanted
from supervm.protocol.wire.subjects import REACH

from ...contract.core import DialFailed, PeerDown, PeerUp, earliest
from ...contract.options import OptionSpec
from ...contract.tables import AnyTable
from ..directory.directory import Directory
from ..directory.root import DIRECTORY
from ..directory.table import ASKED
from ..part import Part
from ..policy.policy import ALLOWED, Policy
from ..shell import Shell
from .costs import REACH_COSTS
from .keeping import Keeping
from .known import KnownNodes
from .neighbours import Neighbours
from .options import ENDPOINT_OPTIONS, FIND_OPTIONS, PHONE_OPTIONS
from .own import CHANGE_US, OwnNode, OwnRecord
from .spots import Scope, group_of, spot_of
from .tables import REACH_TABLES

NEIGHBOURS_OF: Final[Mapping[int, tuple[int, tuple[int, ...]]]] = {
    1: (0, ()),
    2: (0, ()),
    3: (8, (3,)),
    4: (4, (3,)),
}
"""Tier -> how many peers a node chooses, and of which tiers: L1 and L2 have theirs from genesis (network.md 7)."""
ASK_US: Final = 5_000_000
"""How often somebody is asked while peers are missing."""
ASK_IDLE_US: Final = 600_000_000
"""The same while none is: so that more is known than those that are up."""
SEEN_MAX: Final = 8
"""Neighbours whose word for where they see us is remembered."""
PHONE: Final = 4


class Reach(Part):
    """Records, questions for them, and the node's own choice of peers.

    Args:
        shell: the node.
        own: what the node says of itself.
        verify: signature verification.
        rng: choices, and the secret of the buckets.

    Attributes:
        nodes: whom this node may choose from.
        neighbours: who is chosen.
        directory: what is kept for whoever asks.
    """

    takes = frozenset({Observed, RecordPut, Find, Found})
    sends = frozenset({Observed, RecordPut, Find, Found})
    tables: ClassVar[tuple[AnyTable, ...]] = REACH_TABLES
    options: ClassVar[Mapping[str, OptionSpec]] = {**FIND_OPTIONS, **PHONE_OPTIONS}
    subjects = (REACH,)
    costs = REACH_COSTS

    def __init__(self, shell: Shell, own: OwnNode, verify: Verify, rng: random.Random) -> None:
        if shell.reader is None:
            raise LocalProtocolError("a node that finds its peers gives its shell the reader")
        self._shell, self._verify, self._rng = shell, verify, rng
        self._outbox, self._peering = shell.outbox, shell.peering
        count, tiers = NEIGHBOURS_OF[shell.TIER]
        self.nodes = KnownNodes(own.key.public, _scope_of(own), rng)
        self.neighbours = Neighbours(self._outbox, self._peering, self.nodes, rng, tiers=tiers, count=count)
        self.directory = Directory(shell, rng, own)
        self._own = OwnRecord(own, shell.chain_id, shell.TIER, self._outbox, shell.reader)
        self._keeping = Keeping(self._outbox, shell.reader, self.nodes)
        self._tiers = tiers
        self._knowing: dict[bytes, str] = {}  # peers that name the subject, and the network that they count for
        self._ask_at_us: int | None = None
        self._change_at_us: int | None = None
        self._seen: dict[bytes, str] = {}

    # --- time ---------------------------------------------------------------------------------------------------------

    @property
    def deadline_us(self) -> int | None:
        """When somebody is to be dialled or asked, or our record is due."""
        choosing_us = self.neighbours.deadline_us if self._tiers else None
        return earliest(choosing_us, self._ask_at_us, self._own.due_us, self._change_at_us, self.directory.deadline_us)

    def started(self, now_us: int) -> None:
        """Take up what was known before the last stop."""
        self._keeping.restore(now_us)
        self.neighbours.anchors = list(self._keeping.anchors)
        self.directory.started(now_us)

    def tick(self, now_us: int) -> None:
        """Renew our record, dial and ask."""
        home = self._home()
        if self._own.is_due(now_us, self._shell.features, home):
            self._change_at_us = None
            raw = self._own.renew(now_us, self._peering.load_percent, self._shell.features, home)
            for peer in self._knowing:
                self._outbox.send(peer, RecordPut((raw,)), after=self._own.token)
        elif self._change_at_us is not None and self._change_at_us <= now_us:
            self._change_at_us = None
        self.directory.tick(now_us)
        if self._tiers:
            self.neighbours.tick(now_us)
            if self._ask_at_us is not None and self._ask_at_us <= now_us:
                self._ask(now_us)
            self._keeping.note_anchors(now_us, self.neighbours.oldest(now_us))

    def settle(self, now_us: int) -> None:
        """Delete from disk who is known no more."""
        self._keeping.drop_forgotten()
        self.directory.settle()

    # --- peers --------------------------------------------------------------------------------------------------------

    def peer_up(self, now_us: int, event: PeerUp) -> None:
        """Greet a peer that knows the subject with our record, and ask it for others if peers are missing."""
        self._prove(now_us, event.peer, event.address)
        if not self.neighbours.peer_up(now_us, event) or REACH.name not in event.features:
            return
        is_known = event.peer in self._knowing
        self._knowing[event.peer] = _source_of(event)
        self.directory.peer_up(now_us, event.peer, event.tier)
        if not self._own.raw:
            self._own.renew(now_us, self._peering.load_percent, self._shell.features, self._home())
        self._outbox.send(event.peer, RecordPut((self._own.raw,)), after=self._own.token)
        seen = _seen_at(event.remote)
        if seen:
            self._outbox.send(event.peer, Observed(seen))
        if self._tiers and not is_known:
            if self.neighbours.missing > 0:
                self._seek(event.peer)
            if self._ask_at_us is None:
                self._ask_at_us = now_us + ASK_US
        self._change(now_us)

    def peer_down(self, now_us: int, event: PeerDown) -> None:
        """Have another one dialled instead of a neighbour."""
        self._knowing.pop(event.peer, None)
        self.directory.peer_down(now_us, event.peer)
        self._seen.pop(event.peer, None)
        known = self.nodes.get(event.peer)
        was_proven = known is not None and known.proven
        self.neighbours.peer_down(now_us, event)
        if known is not None and was_proven:
            self._keeping.keep(now_us, known)
        if self._tiers:
            self._ask_at_us = earliest(self._ask_at_us, now_us + ASK_US)
        self._change(now_us)

    def peer_moved(self, now_us: int, event: PeerUp) -> None:
        """A peer that we have dialled while it was up is proven by that."""
        self._prove(now_us, event.peer, event.address)

    def dial_failed(self, now_us: int, event: DialFailed) -> None:
        """Have another one dialled; who answered there, and is up already, is proven by it."""
        if event.peer is not None:
            self._prove(now_us, event.peer, event.address)
        self.neighbours.dial_failed(now_us, event)

    # --- messages -----------------------------------------------------------------------------------------------------

    def receive(self, now_us: int, peer: bytes, message: Message) -> None:
        """Take records, answer questions."""
        match message:
            case RecordPut(records):
                self._hear(now_us, peer, records)
            case Find():
                self.directory.answer(now_us, peer, message)
            case Found(items=items):
                if self.directory.is_sought(peer, message):
                    self._hear(now_us, peer, tuple(item.record for item in items))
                else:
                    self.directory.found(now_us, peer, message, lambda item: self._take(now_us, peer, item.record))
            case Observed(address):
                if peer in self._seen or len(self._seen) < SEEN_MAX:
                    self._seen[peer] = address

    def governed(self, policy: Policy) -> None:
        """Keep to what the owner allows."""
        self._keeping.policy = policy

    def region_of(self, peer: bytes) -> str | None:
        """Return where a node's record says it is."""
        known = self.nodes.get(peer) or self.directory.table.peek(peer)
        return None if known is None else known.record.region

    def info(self, now_us: int) -> Mapping[str, Any]:
        """Return how many nodes are known and chosen, and where neighbours see us."""
        chosen = self.neighbours.chosen.values()
        return {
            "nodes_known": len(self.nodes),
            "neighbours": sum(item.up_us is not None for item in chosen),
            "seen_at": sorted(dict.fromkeys(self._seen.values())),
            **self.directory.info(),
        }

    def _hear(self, now_us: int, peer: bytes, records: tuple[bytes, ...]) -> None:
        """Take records that a peer has brought unasked, its own or others', or when we looked for neighbours."""
        source, news = self._knowing.get(peer, ""), False
        for raw in records:
            record = self._take(now_us, peer, raw, source)
            known = None if record is None else self.nodes.get(record.node_id)
            news = news or (known is not None and bool(known.places))
        if news and self._tiers and self.neighbours.missing > 0:
            self.neighbours.look()

    def _take(self, now_us: int, peer: bytes, raw: bytes, source: str = ASKED) -> NodeRecord | None:
        """Check a record, and keep it if it is new; return it, None if it has ended."""
        record = read_record(raw)
        before = self.directory.table.peek(record.node_id)
        if before is not None and before.record.counter >= record.counter:
            return before.record  # nothing new, so nothing to check
        try:
            check_record(raw, chain_id=self._shell.chain_id, now_ms=now_us // 1_000, verify=self._verify)
        except RemoteProtocolError as error:
            if error.code == "expired":
                return None
            raise
        self.directory.learn(now_us, record, raw, source, peer)
        known = self.nodes.hear(now_us, record, raw, self._knowing.get(peer, ""))
        if known is not None:
            up = self._peering.up.get(record.node_id)
            decided = ALLOWED
            if up is not None:
                decided = self._shell.policy.link(now_us, up.address or "", record.region)
            if not decided.goes_on:
                self._outbox.hang_up(record.node_id, "policy", decided.refusal)
            elif up is not None:
                self._prove(now_us, record.node_id, up.address)
            elif known.proven:
                self._keeping.keep(now_us, known)
        return record

    # --- questions ----------------------------------------------------------------------------------------------------

    def _ask(self, now_us: int) -> None:
        """Ask one of those who are up and owe no answer."""
        free = self.directory.idle
        if free:
            self._seek(self._rng.choice(free))
        if not self._knowing:
            self._ask_at_us = None  # until somebody comes
        else:
            self._ask_at_us = now_us + (ASK_US if self.neighbours.missing > 0 else ASK_IDLE_US)

    def _seek(self, peer: bytes) -> None:
        self.directory.seek(peer, Wanted(tiers=self._tiers), FOUND_MAX)

    # --- what is proven -----------------------------------------------------------------------------------------------

    def _prove(self, now_us: int, node_id: bytes, address: str | None) -> None:
        """Note that a node answered where we dialled it, if we did."""
        if address is not None:
            known = self.nodes.prove(now_us, node_id, address)
            if known is not None:
                self._keeping.keep(now_us, known)

    # --- our own record -----------------------------------------------------------------------------------------------

    def _home(self) -> tuple[bytes, ...]:
        """Return the edges that a phone has chosen and is attached to."""
        if self._shell.TIER != PHONE:
            return ()
        return tuple(item.node_id for item in self.neighbours.chosen.values() if item.up_us is not None)

    def _change(self, now_us: int) -> None:
        """Have our record looked at soon: it may say something else now."""
        if self._shell.TIER == PHONE:
            self._change_at_us = now_us + CHANGE_US


class DialableReach(Reach):
    """The same for nodes that others dial: their owner says where."""

    options: ClassVar[Mapping[str, OptionSpec]] = {**FIND_OPTIONS, **ENDPOINT_OPTIONS}


class RootReach(DialableReach):
    """The same for validators, which keep the whole directory on disk."""

    tables: ClassVar[tuple[AnyTable, ...]] = (*REACH_TABLES, DIRECTORY)


def _scope_of(own: OwnNode) -> Scope:
    """Return which addresses may be dialled: the world's, and those of a site or machine if we are of one ourselves."""
    spots = [spot for spot in map(spot_of, (*own.endpoints, *own.targets)) if spot is not None]
    return min((spot.scope for spot in spots), default=Scope.WORLD)


def _source_of(event: PeerUp) -> str:
    """Return the network that a peer counts for as a teller of others."""
    spot = None if event.address is None else spot_of(event.address)
    if spot is not None:
        return spot.group
    group = group_of(event.remote)
    return event.remote if group is None else group[1]


def _seen_at(remote: str) -> str:
    """Return a peer's IP address as `Observed` tells it; its port is not known here. Empty: there is none."""
    if group_of(remote) is None:
        return ""
    return f"[{remote}]:0" if ":" in remote else f"{remote}:0"
