"""How a node treats its peers: budgets before work, blame, bans (network.md 7; decisions.md, "Manners").

Theory of operation. One rule for all tiers. Everything a peer sends is charged, *before* any work, to a bucket of that
peer and of the message's class (`costs`). A peer that owes is *held*: the driver reads nothing more from it until the
debt is paid off, so its own connection fills up and pressure goes back to where it came from; nothing is lost, and a
flood costs its sender the link. Only questions for history wait apart, one of a kind per peer, so that a peer that
catches up, or floods, goes on with everything else it has to say. What turns out to be of use to the network may be
refunded. Peers have one of three ranks: members of the validator set come before those that the node works with
otherwise, and these before strangers. Peers of a rank may have a budget *together*, too: a thousand keys of one
stranger get no more than one. While that common budget is in debt, what peers of that rank say is not looked at.

What breaks a rule is blamed: it is published, and its penalty is added to the peer's score, which is forgiven with
time. A grave fault, or a full score, ends the connection and bans the peer for a while, longer each time; the ban
outlives the connection. A stranger can make new keys as it likes, so after `KEYS_BANNED` of them the address they came
from is banned for strangers, too - unless it is this very machine, where honest nodes share an address, and never for
peers that the chain names.

Memory is bounded: scores and bans are kept for at most `REMEMBERED_MAX` peers and addresses.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.wire.fields import Message
from supervm.protocol.wire.link import Heartbeat
from supervm.protocol.wire.messages import AnyMessage

from ..contract.core import Outbox, PeerDown, PeerUp
from .buckets import Bucket, Rate
from .costs import ANSWER_KIB, CLASSES, COSTS, Cost, CostClass
from .events import PeerFault, Throttled
from .sources import source_of

SCORE_MAX: Final = 100
"""Penalty points at which a peer is hung up on and banned."""
GRAVE: Final = 50
"""A single fault of so many points is enough for that."""
FORGIVE_US: Final = 100_000
"""Time in which one point is forgiven."""
BAN_US_MIN: Final[Mapping[int, int]] = {0: 1_000_000, 1: 5_000_000, 2: 10_000_000}
"""The first ban, by rank: a member is missed more than a stranger. Each further one is twice as long, less
one doubling for each `FORGIVE_BAN_US`."""
BAN_US_MAX: Final[Mapping[int, int]] = {0: 60_000_000, 1: 600_000_000, 2: 3_600_000_000}
"""The longest ban, by rank."""
FORGIVE_BAN_US: Final = 3_600_000_000
"""Time since the end of the last ban in which one ban is forgiven: who broke a rule once a year, with an old version or
bad memory, is not kept away for an hour at the tenth time."""
KEYS_BANNED: Final = 3
"""Banned strangers from one address, after which the address is banned for strangers."""
REMEMBERED_MAX: Final = 4_096
"""Peers, and addresses, whose faults are remembered; beyond it those that were last at fault longest ago go."""
REPORT_US: Final = 1_000_000
"""Shortest time between two events about one peer and code; what comes in between is counted."""


UNEXPECTED: Final = Rate(1_000, 10_000)
"""What a peer has in a class that its rank has nothing to say in."""


class Rank(IntEnum):
    """What a peer is to this node."""

    MEMBER = 0
    """A validator of the present set."""
    NAMED = 1
    """Whom it works with otherwise: at a validator the chain's miners and whom its owner has configured, at a miner the
    edges, at an edge the miners, at a phone its edges."""
    STRANGER = 2
    """Anybody else; at an edge, its clients."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What peers of one rank may cost.

    Attributes:
        classes: units per second and burst of one peer, by class of message; a class that is missing
            has `UNEXPECTED`.
        together: the same for all peers of the rank and all classes; None: no common bound.
        peers_max: peers of the rank that may be up at once; None: as many as the driver lets in.
    """

    classes: Mapping[CostClass, Rate]
    together: Rate | None = None
    peers_max: int | None = None


@dataclass(slots=True)
class _Peer:
    rank: Rank
    remote: str
    buckets: dict[CostClass, Bucket]
    together: Bucket | None
    held_until_us: int = 0
    open: dict[type[Message], AnyMessage] = field(default_factory=dict)
    """Questions for history that wait until they can be paid for, the newest of each kind."""


@dataclass(slots=True)
class _Record:
    """Faults of a peer or of an address."""

    points: int = 0
    since_us: int = 0
    bans: int = 0
    until_us: int = 0


class Manners:
    """Budgets, scores and bans of one node.

    Args:
        outbox: where holds, hang-ups and events go.
        budgets: what peers of each rank may cost.
        name: how a node id is written in events.
        grave: points of a single fault that end a connection at once.
        costs: what each kind of message costs.
    """

    def __init__(
        self,
        outbox: Outbox,
        budgets: Mapping[Rank, Budget],
        *,
        name: Callable[[bytes], str] = bytes.hex,
        grave: int = GRAVE,
        costs: Mapping[type[Message], Cost] = COSTS,
    ) -> None:
        self._costs = costs
        self._outbox = outbox
        self._budgets = budgets
        self._name = name
        self._grave = grave
        self._peers: dict[bytes, _Peer] = {}
        self._gone: OrderedDict[bytes, _Peer] = OrderedDict()  # who comes back owes what it owed
        self._together: dict[Rank, Bucket] = {}
        self._count = dict.fromkeys(Rank, 0)
        self.waiting: dict[bytes, None] = {}
        """Peers with open questions."""
        self._records: OrderedDict[bytes | str, _Record] = OrderedDict()
        self._reported: OrderedDict[tuple[bytes, str], tuple[int, int]] = OrderedDict()  # when, and how many since
        self.bans = 0
        """Bans so far: whether there was a new one can be told by it."""

    # --- who is there -----------------------------------------------------------------------------------------------

    def peer_up(self, now_us: int, event: PeerUp, rank: Rank) -> bool:
        """Take a peer in; return False if it is banned or one too many, and hung up on again.

        A connection that replaces another keeps what the peer owes, and so does one that comes after it: nothing more
        is read from it before that is paid off.
        """
        peer = event.peer
        until_us = self._banned_until_us(now_us, peer, event.remote, rank)
        if until_us:
            self._outbox.hang_up(peer, "banned", f"for {-(-(until_us - now_us) // 1_000_000)} s more")
            return False
        known = self._peers.get(peer)
        if known is None:
            most = self._budgets[rank].peers_max
            if most is not None and self._count[rank] >= most:
                self._outbox.hang_up(peer, "full", f"{most} peers of your rank are connected; try another node")
                return False
            known = self._gone.pop(peer, None)
            if known is None or known.rank is not rank:
                known = self._new(now_us, rank)
            self._peers[peer] = known
            self._count[rank] += 1
        else:
            self._rank(now_us, known, rank)
        known.remote = event.remote
        known.held_until_us = 0
        self._hold(now_us, peer, known)
        return True

    def peer_down(self, now_us: int, event: PeerDown) -> None:
        """Note that a peer is gone; what it owes and what it did wrong is remembered for a while.

        If it broke a rule of the link, it is blamed for that: the driver has hung up on it already.
        """
        if event.penalty:
            error = RemoteProtocolError(event.reason, penalty=event.penalty, code=event.code)
            self.blame(now_us, event.peer, error)
        self._forget(event.peer)

    def _forget(self, peer: bytes) -> None:
        known = self._peers.pop(peer, None)
        if known is not None:
            self._count[known.rank] -= 1
            known.open.clear()
            self._gone[peer] = known
            if len(self._gone) > REMEMBERED_MAX:
                self._gone.popitem(last=False)

    def is_up(self, peer: bytes) -> bool:
        """Return whether a peer is connected and not about to be hung up."""
        return peer in self._peers

    def is_banned(self, now_us: int, peer: bytes) -> bool:
        """Return whether a peer was hung up on for what it did, and may not come back yet."""
        record = self._records.get(peer)
        return record is not None and record.until_us > now_us

    def rerank(self, now_us: int, rank_of: Callable[[bytes], Rank]) -> None:
        """Look at everybody's rank anew: the set of validators is another."""
        for peer, known in self._peers.items():
            self._rank(now_us, known, rank_of(peer))

    def _rank(self, now_us: int, known: _Peer, rank: Rank) -> None:
        if known.rank is not rank:
            self._count[known.rank] -= 1
            self._count[rank] += 1
            fresh = self._new(now_us, rank)
            known.rank, known.buckets, known.together = rank, fresh.buckets, fresh.together

    def _new(self, now_us: int, rank: Rank) -> _Peer:
        budget = self._budgets[rank]
        together = self._together.get(rank)
        if together is None and budget.together is not None:
            together = self._together[rank] = Bucket(budget.together, now_us)
        buckets = {name: Bucket(budget.classes.get(name, UNEXPECTED), now_us) for name in CLASSES}
        return _Peer(rank, "", buckets, together)

    # --- what they cost ---------------------------------------------------------------------------------------------

    def admit(self, now_us: int, peer: bytes, message: AnyMessage) -> bool:
        """Charge a message to its sender before it is looked at; return whether it is to be looked at.

        It is not if the sender is not up any more, or a stranger while strangers owe together.
        """
        known = self._peers.get(peer)
        if known is None:
            return False
        cost = self._costs[type(message)]
        bucket, together = known.buckets[cost.cost_class], known.together
        units = cost.message if cost.items is None and cost.size is None else cost.of(message)
        if together is not None and together.is_short(now_us):
            bucket.charge(now_us, cost.message)
            self._hold(now_us, peer, known)
            return False
        if cost.cost_class == "history" and known.rank is not Rank.STRANGER:
            if known.open or bucket.is_short(now_us):
                known.open[type(message)] = message
                self.waiting[peer] = None
                if not known.buckets["link"].charge(now_us, self._costs[Heartbeat].message):
                    self._hold(now_us, peer, known)
                return False
            bucket.charge(now_us, units)
        elif not bucket.charge(now_us, units):
            self._hold(now_us, peer, known)
        if together is not None and not together.charge(now_us, units):
            self._hold(now_us, peer, known)
        return True

    @property
    def deadline_us(self) -> int | None:
        """When an open question can be paid for."""
        return min(
            (known.buckets["history"].ready_us(0) for peer in self.waiting if (known := self._peers.get(peer))),
            default=None,
        )

    def due(self, now_us: int) -> list[tuple[bytes, AnyMessage]]:
        """Return the open questions that can be paid for now, one of each peer, and charge them."""
        found = []
        for peer in list(self.waiting):
            known = self._peers.get(peer)
            if known is not None and known.open and not known.buckets["history"].is_short(now_us):
                message = known.open.pop(next(iter(known.open)))
                known.buckets["history"].charge(now_us, self._costs[type(message)].of(message))
                found.append((peer, message))
            if known is None or not known.open:
                del self.waiting[peer]
        return found

    def spend(self, now_us: int, peer: bytes, cost_class: CostClass, units: int) -> None:
        """Charge work that a peer has caused and whose size shows only now; it is held if that was too much."""
        known = self._peers.get(peer)
        if known is None:
            return
        together = known.together
        is_short = not known.buckets[cost_class].charge(now_us, units)
        is_short = is_short and (cost_class != "history" or known.rank is Rank.STRANGER)  # questions wait apart
        if together is not None:
            is_short = not together.charge(now_us, units) or is_short
        if is_short:
            self._hold(now_us, peer, known)

    def answered(self, now_us: int, peer: bytes, cost_class: CostClass, size_bytes: int) -> None:
        """Charge the bytes of an answer."""
        self.spend(now_us, peer, cost_class, ANSWER_KIB * size_bytes >> 10)

    def can_afford(self, now_us: int, peer: bytes, cost_class: CostClass) -> bool:
        """Return whether a peer has nothing to pay off in a class: whether it may be sent what it once asked for."""
        known = self._peers.get(peer)
        return known is not None and not any(
            bucket is not None and bucket.is_short(now_us) for bucket in (known.buckets[cost_class], known.together)
        )

    def take(self, now_us: int, peer: bytes, cost_class: CostClass, count: int, *, each: int = 1) -> int:
        """Grant a peer up to `count` things of `each` units; return how many it can pay for. What is left is refused.

        The grant is also charged to what peers of its rank may cost together.
        """
        known = self._peers.get(peer)
        if known is None:
            return 0
        together = known.together
        if together is not None:
            count = together.take(now_us, count, each=each)
        granted = known.buckets[cost_class].take(now_us, count, each=each)
        if together is not None:
            together.refund((count - granted) * each)
        return granted

    def refund(self, peer: bytes, message: Message, *, part: int = 1, of: int = 1) -> None:
        """Give back what was charged for a message, or a part of it, that turned out to be of use to the network."""
        known = self._peers.get(peer)
        if known is not None:
            cost = self._costs[type(message)]
            units = cost.of(message) * part // of
            for bucket in (known.buckets[cost.cost_class], known.together):
                if bucket is not None:
                    bucket.refund(units)

    def _hold(self, now_us: int, peer: bytes, known: _Peer) -> None:
        """Keep a peer waiting until it owes nothing more in any class."""
        debt: str
        until_us, debt = max(
            (bucket.ready_us(now_us), name)
            for name, bucket in known.buckets.items()
            if name != "history" or known.rank is Rank.STRANGER
        )
        if known.together is not None and (ready_us := known.together.ready_us(now_us)) > until_us:
            until_us, debt = ready_us, "together"
        if until_us <= max(now_us, known.held_until_us):
            return
        known.held_until_us = until_us
        self._outbox.hold(peer, until_us)
        repeated = self._report(now_us, peer, "throttled", 10 * REPORT_US)
        if repeated is not None:
            for_ms = (until_us - now_us) // 1000
            self._outbox.publish(Throttled(self._name(peer), known.rank.name.lower(), debt, for_ms, repeated + 1))

    # --- what they do wrong -----------------------------------------------------------------------------------------

    def blame(self, now_us: int, peer: bytes, error: RemoteProtocolError) -> bool:
        """Count a fault of a peer; return whether it has to go, which has been arranged then.

        Publishes ``peer-fault``, at most once a second for one peer and code; `times` says how many there were.
        A peer that is not connected may be blamed, too: it finds itself banned when it comes.
        """
        repeated = self._report(now_us, peer, error.code, REPORT_US)
        if repeated is not None:
            self._outbox.publish(
                PeerFault(self._name(peer), error.code, error.reason, error.penalty, times=repeated + 1)
            )
        if not error.penalty:
            return False
        record = self._record(now_us, peer)
        record.points += error.penalty
        if record.points < SCORE_MAX and error.penalty < self._grave:
            return False
        self._ban(now_us, peer, record, error)
        return True

    def _ban(self, now_us: int, peer: bytes, record: _Record, error: RemoteProtocolError) -> None:
        known = self._peers.get(peer)
        if known is None and record.until_us > now_us:
            record.points = 0
            return  # what it had sent before it was hung up on; that is no further ban, nor one of a stranger
        rank = Rank.STRANGER if known is None else known.rank
        self._extend(now_us, record, rank)
        if known is not None:
            self._forget(peer)
            self._outbox.hang_up(peer, error.code, error.reason[:256])
            if rank is Rank.STRANGER and _can_ban(known.remote):
                address = self._record(now_us, source_of(known.remote))
                address.points += SCORE_MAX // KEYS_BANNED + 1
                if address.points >= SCORE_MAX:
                    self._extend(now_us, address, rank)

    def _extend(self, now_us: int, record: _Record, rank: Rank) -> None:
        self.bans += 1
        forgiven = max(0, now_us - record.until_us) // FORGIVE_BAN_US if record.bans else 0
        record.bans = max(0, record.bans - forgiven)
        record.until_us = now_us + min(BAN_US_MIN[rank] << min(record.bans, 16), BAN_US_MAX[rank])
        record.bans += 1
        record.points = 0

    def _banned_until_us(self, now_us: int, peer: bytes, remote: str, rank: Rank) -> int:
        names: tuple[bytes | str, ...] = (peer, source_of(remote)) if rank is Rank.STRANGER else (peer,)
        latest_us = max((self._records[name].until_us for name in names if name in self._records), default=0)
        return latest_us if latest_us > now_us else 0

    def _record(self, now_us: int, name: bytes | str) -> _Record:
        """Return a peer's or an address's faults, forgiven as far as time has passed."""
        record = self._records.get(name)
        if record is None:
            record = self._records[name] = _Record(since_us=now_us)
            if len(self._records) > REMEMBERED_MAX:
                self._records.popitem(last=False)
        self._records.move_to_end(name)
        forgiven = max(0, now_us - record.since_us) // FORGIVE_US
        record.points = max(0, record.points - forgiven)
        record.since_us += forgiven * FORGIVE_US
        return record

    def _report(self, now_us: int, peer: bytes, code: str, pause_us: int) -> int | None:
        """Return None if the last event of this peer and code is too new, else how many were left out since."""
        key = (peer, code)
        last = self._reported.get(key)
        if last is not None and now_us - last[0] < pause_us:
            self._reported[key] = (last[0], last[1] + 1)
            return None
        self._reported[key] = (now_us, 0)
        self._reported.move_to_end(key)
        if len(self._reported) > REMEMBERED_MAX:
            self._reported.popitem(last=False)
        return 0 if last is None else last[1]


def _can_ban(remote: str) -> bool:
    """Return whether an address may be banned: one that is known, and not this machine's own."""
    try:
        return not ipaddress.ip_network(source_of(remote)).is_loopback
    except ValueError:
        return False


def charged(message: Message) -> tuple[CostClass, int]:
    """Return what a message is charged: its class and the units, for tests, tables and the simulator's accounts."""
    cost = COSTS[type(message)]
    return cost.cost_class, cost.of(message)
