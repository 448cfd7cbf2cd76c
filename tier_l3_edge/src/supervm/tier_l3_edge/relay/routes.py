"""Which miner is best: up, taking the fee, giving news, least loaded, quickest to answer (architecture.md 3).

Only miners that genesis names count: whoever else says it is an L2 could take payments in and let them lie. A miner
that owes an answer and has given no news for 3 s is *silent* (consensus.md 3.9.5): for 10 s, or until it speaks, it is
used only when nothing better is up. Loads and latencies are compared coarsely and ties are drawn, so that a thousand
edges do not all pick the one miner that was a hair better.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from supervm.common.contract.core import PeerDown, PeerUp
from supervm.common.parts.fee_policy import FeePolicy
from supervm.common.parts.part import Part
from supervm.common.parts.shell import unexpected
from supervm.protocol.base.address import encode_node_id
from supervm.protocol.money.transaction import Kind
from supervm.protocol.wire.fields import Message

NEWS_US_MAX = 3_000_000
"""An L2 that owes news and gives none for this long is left for another (consensus.md 3.9.5)."""
SILENT_US = 10_000_000
"""How long a silent miner is passed over."""
LOAD_STEP_PERCENT = 10
LATENCY_STEP_US = 20_000


@dataclass(slots=True)
class Route:
    """One miner that is up.

    Attributes:
        news_us: when it last said something about transactions or checkpoints, or came up.
        latency_us: smoothed time from a submission to the first word about it; 0 before the first.
        silent_until_us: until when it is passed over; 0 if it is not.
        fees: what it takes; None: it has not said yet.
    """

    news_us: int
    latency_us: int = 0
    silent_until_us: int = 0
    fees: FeePolicy | None = None

    def accepts_fee(self, body: Kind) -> bool:
        """Return whether it takes a transaction's fee; who has not said may."""
        if self.fees is None:
            return True
        least = self.fees.least.get(body.fee_asset)
        return least is not None and body.fee >= least


class Routes(Part):
    """The miners that are up, and how good they are.

    Args:
        miners: node ids that genesis names.
        loads: load in percent by peer, as heartbeats report it; read on every choice.
        rng: draws between equals.
    """

    def __init__(self, miners: Collection[bytes], loads: Mapping[bytes, int], rng: random.Random) -> None:
        self._miners = miners
        self._loads = loads
        self._rng = rng
        self._lies: dict[bytes, int] = {}
        self.up: dict[bytes, Route] = {}
        self.fees_version = 0
        """Counts the changes of what those that are up take."""

    def is_miner(self, peer: bytes, tier: int) -> bool:
        """Return whether a peer that says it is of `tier` is a miner of this network."""
        return tier == 2 and peer in self._miners

    def is_named(self, peer: bytes) -> bool:
        """Return whether genesis names a peer as a miner, whether it is up or not."""
        return peer in self._miners

    def check_miner(self, peer: bytes, message: Message) -> None:
        """Refuse what only a miner may say.

        Raises:
            RemoteProtocolError: code ``direction``, if the peer is none.
        """
        if peer not in self.up:
            raise unexpected(3, message)

    def check_client(self, peer: bytes, message: Message) -> None:
        """Refuse what a miner has no business to say.

        Raises:
            RemoteProtocolError: code ``direction``, if the peer is one.
        """
        if peer in self.up:
            raise unexpected(3, message)

    def peer_up(self, now_us: int, event: PeerUp) -> None:
        """Note a miner that came up."""
        if self.is_miner(event.peer, event.tier):
            before = self.up.get(event.peer)  # another connection of a miner that was there: it says its fees anew
            self.up[event.peer] = Route(now_us, fees=None if before is None else before.fees)

    def peer_down(self, now_us: int, event: PeerDown) -> None:
        """Forget a miner that went down."""
        if self.up.pop(event.peer, None) is not None:
            self.fees_version += 1

    def info(self, now_us: int) -> Mapping[str, Any]:
        """Return who is up."""
        return {"miners": [encode_node_id(peer) for peer in self.up]}

    def says_fees(self, peer: bytes, fees: FeePolicy) -> None:
        """A miner that is up said what it takes from now on."""
        self.up[peer].fees = fees
        self.fees_version += 1

    def accepts_fee(self, peer: bytes, body: Kind) -> bool:
        """Return whether a miner is up and takes a transaction's fee."""
        route = self.up.get(peer)
        return route is not None and route.accepts_fee(body)

    def news(self, now_us: int, peer: bytes) -> None:
        """A miner said something that matters."""
        route = self.up.get(peer)
        if route is not None:
            route.news_us = now_us
            route.silent_until_us = 0

    def lied(self, peer: bytes) -> None:
        """A miner sent something that does not hold: it comes after all that lied less, also once it is back."""
        self._lies[peer] = self._lies.get(peer, 0) + 1

    def owes(self, now_us: int, peer: bytes) -> None:
        """A miner that owed nothing was sent something: its time starts now."""
        route = self.up.get(peer)
        if route is not None:
            route.news_us = now_us

    def answered(self, peer: bytes, latency_us: int) -> None:
        """A miner gave its first word about a submission after `latency_us`."""
        route = self.up.get(peer)
        if route is not None:
            route.latency_us = (7 * route.latency_us + latency_us) // 8 if route.latency_us else latency_us

    def is_silent(self, now_us: int, peer: bytes) -> bool:
        """Return whether a miner that owes an answer has been without news for too long, and remember it."""
        route = self.up.get(peer)
        if route is None:
            return True
        if route.silent_until_us <= now_us and now_us - route.news_us >= NEWS_US_MAX:
            route.silent_until_us = now_us + SILENT_US
        return route.silent_until_us > now_us

    def passed_over(self, now_us: int, peer: bytes) -> bool:
        """Return whether a miner has been found silent and not heard since."""
        route = self.up.get(peer)
        return route is not None and route.silent_until_us > now_us

    def best(
        self, now_us: int, *, but: Collection[bytes] = (), silent: bool = True, bodies: Sequence[Kind] = ()
    ) -> bytes | None:
        """Return the best miner, or None.

        Args:
            now_us: the time now.
            but: those that are not meant.
            silent: whether silent ones come last; else they do not come at all.
            bodies: transactions whose fees it takes; those that have not said what they take come after those that do.
        """
        choice: bytes | None = None
        best = (0, True, True, 0, 0, 0)
        for peer, route in self.up.items():
            is_silent = route.silent_until_us > now_us
            if peer in but or (is_silent and not silent) or not all(map(route.accepts_fee, bodies)):
                continue
            rank = (
                self._lies.get(peer, 0),
                is_silent,
                bool(bodies) and route.fees is None,
                self._loads.get(peer, 0) // LOAD_STEP_PERCENT,
                route.latency_us // LATENCY_STEP_US,
                self._rng.getrandbits(32),
            )
            if choice is None or rank < best:
                choice, best = peer, rank
        return choice
