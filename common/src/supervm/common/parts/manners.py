"""How a node treats its peers: budgets before work, blame, bans (network.md 7; decisions.md, "Manners").

Theory of operation. One rule for all tiers. Everything a peer sends is charged, *before* any work, to a bucket of that
peer and of the message's class (`costs`). A peer that owes is *held*: the driver reads nothing more from it until the
debt is paid off, so its own connection fills up and pressure goes back to where it came from; nothing is lost, and a
flood costs its sender the link. Peers stand in one of three ranks. Members - the validators of the present set - come
before those that the chain names otherwise, and these before strangers, who have a budget *together*, too: a thousand
keys of one stranger get no more than one. While that common budget is in debt, what strangers say is not looked at.

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
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from supervm.protocol.errors import RemoteProtocolError
from supervm.protocol.wire.messages import AnyMessage, Message

from ..core import Outbox, PeerUp
from .buckets import Bucket, Rate
from .costs import ANSWER_KIB, COSTS, CostClass

SCORE_MAX: Final = 100
"""Penalty points at which a peer is hung up on and banned."""
GRAVE: Final = 50
"""A single fault of so many points is enough for that."""
FORGIVE_US: Final = 100_000
"""Time in which one point is forgiven."""
BAN_US_MIN: Final = 10_000_000
"""The first ban; each further one is twice as long, as long as the one before is remembered."""
BAN_US_MAX: Final[Mapping[int, int]] = {0: 60_000_000, 1: 600_000_000, 2: 3_600_000_000}
"""The longest ban, by rank: a member is missed more than a stranger."""
KEYS_BANNED: Final = 3
"""Banned strangers from one address, after which the address is banned for strangers."""
REMEMBERED_MAX: Final = 4_096
"""Peers, and addresses, whose faults are remembered; beyond it those that were last at fault longest ago go."""
REPORT_US: Final = 1_000_000
"""Shortest time between two events about one peer and code; what comes in between is counted."""


class Standing(IntEnum):
    """What a peer is to this node."""

    MEMBER = 0
    """A validator of the present set; at an edge, nobody."""
    NAMED = 1
    """Named otherwise: a miner of genesis, whom this node has chosen itself, or one that the owner has configured."""
    STRANGER = 2
    """Anybody else."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What peers of one standing may cost.

    Attributes:
        classes: units per second and burst of one peer, by class of message; a class that is missing is not bounded.
        together: the same for all peers of the standing and all classes; None: no common bound.
        peers_max: peers of the standing that may be up at once; None: as many as the driver lets in.
    """

    classes: Mapping[CostClass, Rate]
    together: Rate | None = None
    peers_max: int | None = None


@dataclass(slots=True)
class _Peer:
    standing: Standing
    remote: str
    buckets: dict[CostClass, Bucket]
    together: Bucket | None
    held_until_us: int = 0


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
        budgets: what peers of each standing may cost.
        name: how a node id is written in events.
        grave: points of a single fault that end a connection at once.
    """

    def __init__(
        self, outbox: Outbox, budgets: Mapping[Standing, Budget], *, name: Callable[[bytes], str] = bytes.hex,
        grave: int = GRAVE,
    ) -> None:
        self._outbox = outbox
        self._budgets = budgets
        self._name = name
        self._grave = grave
        self._peers: dict[bytes, _Peer] = {}
        self._gone: OrderedDict[bytes, _Peer] = OrderedDict()  # who comes back owes what it owed
        self._together: dict[Standing, Bucket] = {}
        self._count = dict.fromkeys(Standing, 0)
        self._records: OrderedDict[bytes | str, _Record] = OrderedDict()
        self._reported: OrderedDict[tuple[bytes, str], tuple[int, int]] = OrderedDict()  # when, and how many since

    # --- who is there -----------------------------------------------------------------------------------------------

    def peer_up(self, now_us: int, event: PeerUp, standing: Standing) -> bool:
        """Take a peer in; return False if it is banned or one too many, and hung up on again.

        A connection that replaces another keeps what the peer owes.
        """
        peer = event.peer
        until_us = self._banned_until_us(now_us, peer, event.remote, standing)
        if until_us:
            self._outbox.hang_up(peer, "banned", f"for {-(-(until_us - now_us) // 1_000_000)} s more")
            return False
        known = self._peers.get(peer)
        if known is None:
            most = self._budgets[standing].peers_max
            if most is not None and self._count[standing] >= most:
                self._outbox.hang_up(peer, "full", f"{most} peers of your standing are connected; try another node")
                return False
            known = self._gone.pop(peer, None)
            if known is None or known.standing is not standing:
                known = self._new(now_us, standing)
            self._peers[peer] = known
            self._count[standing] += 1
        else:
            self._rank(now_us, known, standing)
        known.remote = event.remote
        known.held_until_us = 0
        return True

    def peer_down(self, peer: bytes) -> None:
        """Note that a peer is gone; what it owes and what it did wrong is remembered for a while."""
        known = self._peers.pop(peer, None)
        if known is not None:
            self._count[known.standing] -= 1
            self._gone[peer] = known
            if len(self._gone) > REMEMBERED_MAX:
                self._gone.popitem(last=False)

    def is_up(self, peer: bytes) -> bool:
        """Return whether a peer is connected and not about to be hung up."""
        return peer in self._peers

    def rank(self, now_us: int, standing_of: Callable[[bytes], Standing]) -> None:
        """Look at everybody's standing anew: the set of validators is another."""
        for peer, known in self._peers.items():
            self._rank(now_us, known, standing_of(peer))

    def _rank(self, now_us: int, known: _Peer, standing: Standing) -> None:
        if known.standing is not standing:
            self._count[known.standing] -= 1
            self._count[standing] += 1
            fresh = self._new(now_us, standing)
            known.standing, known.buckets, known.together = standing, fresh.buckets, fresh.together

    def _new(self, now_us: int, standing: Standing) -> _Peer:
        budget = self._budgets[standing]
        together = self._together.get(standing)
        if together is None and budget.together is not None:
            together = self._together[standing] = Bucket(budget.together, now_us)
        buckets = {cost_class: Bucket(rate, now_us) for cost_class, rate in budget.classes.items()}
        return _Peer(standing, "", buckets, together)

    # --- what they cost ---------------------------------------------------------------------------------------------

    def admit(self, now_us: int, peer: bytes, message: AnyMessage) -> bool:
        """Charge a message to its sender before it is looked at; return whether it is to be looked at.

        It is not if the sender is not up any more, or a stranger while strangers owe together.
        """
        known = self._peers.get(peer)
        if known is None:
            return False
        cost = COSTS[type(message)]
        bucket, together = known.buckets.get(cost.cost_class), known.together
        units = cost.message if cost.items is None and cost.size is None else cost.of(message)
        if together is not None and together.is_short(now_us):
            if bucket is not None:
                bucket.charge(now_us, cost.message)
            self._hold(now_us, peer, known)
            return False
        if bucket is not None and not bucket.charge(now_us, units):
            self._hold(now_us, peer, known)
        if together is not None and not together.charge(now_us, units):
            self._hold(now_us, peer, known)
        return True

    def spend(self, now_us: int, peer: bytes, cost_class: CostClass, units: int) -> None:
        """Charge work that a peer has caused and whose size shows only now; it is held if that was too much."""
        known = self._peers.get(peer)
        if known is None:
            return
        bucket, together = known.buckets.get(cost_class), known.together
        is_short = bucket is not None and not bucket.charge(now_us, units)
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
            bucket is not None and bucket.is_short(now_us)
            for bucket in (known.buckets.get(cost_class), known.together))

    def take(self, now_us: int, peer: bytes, cost_class: CostClass, count: int, *, each: int = 1) -> int:
        """Grant a peer up to `count` things of `each` units; return how many it can pay for. What is left is refused.

        The grant is also charged to what peers of its standing may cost together.
        """
        known = self._peers.get(peer)
        if known is None:
            return 0
        bucket, together = known.buckets.get(cost_class), known.together
        if together is not None:
            count = together.take(now_us, count, each=each)
        if bucket is None:
            return count
        granted = bucket.take(now_us, count, each=each)
        if together is not None:
            together.refund((count - granted) * each)
        return granted

    def refund(self, peer: bytes, cost_class: CostClass, units: int) -> None:
        """Give back what was charged for something that turned out to be of use to the network."""
        known = self._peers.get(peer)
        if known is not None and (bucket := known.buckets.get(cost_class)) is not None:
            bucket.refund(units)

    def _hold(self, now_us: int, peer: bytes, known: _Peer) -> None:
        """Keep a peer waiting until it owes nothing more in any class."""
        until_us = max(bucket.ready_us(now_us) for bucket in known.buckets.values()) if known.buckets else now_us
        if known.together is not None:
            until_us = max(until_us, known.together.ready_us(now_us))
        if until_us <= max(now_us, known.held_until_us):
            return
        known.held_until_us = until_us
        self._outbox.hold(peer, until_us)
        repeated = self._report(now_us, peer, "throttled", 10 * REPORT_US)
        if repeated is not None:
            self._outbox.publish(
                "throttled", level="info", peer=self._name(peer), standing=known.standing.name.lower(),
                for_ms=(until_us - now_us) // 1000, times=repeated + 1)

    # --- what they do wrong -----------------------------------------------------------------------------------------

    def blame(self, now_us: int, peer: bytes, error: RemoteProtocolError) -> bool:
        """Count a fault of a peer; return whether it has to go, which has been arranged then.

        Publishes ``peer-fault``, at most once a second for one peer and code; `times` says how many there were.
        A peer that is not connected may be blamed, too: it finds itself banned when it comes.
        """
        repeated = self._report(now_us, peer, error.code, REPORT_US)
        if repeated is not None:
            self._outbox.publish(
                "peer-fault", level="warning", peer=self._name(peer), code=error.code, reason=error.reason,
                penalty=error.penalty, times=repeated + 1)
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
        standing = Standing.STRANGER if known is None else known.standing
        self._extend(now_us, record, standing)
        if known is not None:
            self.peer_down(peer)
            self._outbox.hang_up(peer, error.code, error.reason[:256])
            if standing is Standing.STRANGER and _can_ban(known.remote):
                address = self._record(now_us, known.remote)
                address.points += SCORE_MAX // KEYS_BANNED + 1
                if address.points >= SCORE_MAX:
                    self._extend(now_us, address, standing)

    def _extend(self, now_us: int, record: _Record, standing: Standing) -> None:
        record.until_us = now_us + min(BAN_US_MIN << min(record.bans, 16), BAN_US_MAX[standing])
        record.bans += 1
        record.points = 0

    def _banned_until_us(self, now_us: int, peer: bytes, remote: str, standing: Standing) -> int:
        names: tuple[bytes | str, ...] = (peer, remote) if standing is Standing.STRANGER else (peer,)
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
        return not ipaddress.ip_address(remote.partition("%")[0]).is_loopback
    except ValueError:
        return False


def charged(message: Message) -> tuple[CostClass, int]:
    """Return what a message is charged: its class and the units, for tests, tables and the simulator's accounts."""
    cost = COSTS[type(message)]
    return cost.cost_class, cost.of(message)
