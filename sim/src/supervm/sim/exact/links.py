"""Connections: dialling, coming up, being replaced, going down, as `supervm.common.driver.links` does it over TCP.

Theory of operation. A dial takes TCP's handshake, Noise XX's three messages and a Hello each way: the answering end
is up after five one-way delays, the dialling end after six. Whoever is not there refuses after a round trip; over a
path that is cut, or is cut before that is done, nothing answers within `DIAL_TIMEOUT_US`. Of two connections made at
about the same time from both sides the one that the lower node id dialled is kept; to a later one the traffic of an
earlier one moves (`moves`).

When one end goes down its core is told at once; what it had sent still arrives, in order, and then the other end goes
down; a cut holds that news up like anything else. Everything a core is told goes through the queue, so no core is
ever entered twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from supervm.common.contract.core import DialFailed, Input
from supervm.common.link.connection import CLOCK_OFFSET_MS_MAX, frame_bytes_max
from supervm.protocol.wire.directions import DESPITE_CLOCK

from .events import Event, LinkDown, LinkUp
from .host import CALL, INPUT, Host, Lane, Link
from .moves import NEWER, Moves
from .network import Network
from .queue import BucketQueue

ANSWERER_UP_DELAYS: Final = 5
"""One-way delays until the answering end is up: SYN, SYN-ACK, Noise 1, Noise 2, Noise 3 with Hello."""
DIALLER_UP_DELAYS: Final = 6
"""The same for the dialling end: and the answer's Hello."""
DIAL_TIMEOUT_US: Final = 5_000_000
"""How long a dial waits for any answer (`dial_s` of the driver's limits)."""
SIMULTANEOUS_US: Final = 3_000_000
"""Connections made within this time of each other count as dialled at the same time."""
DUPLICATE: Final = "duplicate: another connection between the two nodes is kept"
NOWHERE_US: Final = 3_000
"""Time until a dial to an address that nobody has is refused."""


class Links:
    """All connections of a world.

    Args:
        queue: the world's events.
        network: the paths.
        by_address: who is where.
        tell: told every `LinkUp` and `LinkDown`.
    """

    def __init__(
        self, queue: BucketQueue[Any], network: Network, by_address: dict[str, Host], tell: Callable[[Event], None]
    ) -> None:
        self._queue = queue
        self._network = network
        self._by_address = by_address
        self._tell = tell
        self._count = 0
        self.moves = Moves(queue, network, self, self._feed)

    # --- coming up ----------------------------------------------------------------------------------------------------

    def dial(self, host: Host, address: str, expected: bytes | None) -> None:
        """Connect a host to whoever has the address; its core learns of either outcome."""
        peer = self._by_address.get(address)
        if peer is None or peer is host:
            self._fail(host, address, "connection refused", NOWHERE_US)
            return
        delay_us = self._network.delay_us(host, peer)
        if self._is_cut(host, peer):
            if self._network.refuses(host, peer):
                self._fail(host, address, "connection refused", 2 * delay_us)
            else:
                self._fail(host, address, "no answer within 5 s", DIAL_TIMEOUT_US)
            return
        life, began_us = host.life, self._queue.now_us

        def no_answer() -> None:
            left_us = max(0, began_us + DIAL_TIMEOUT_US - self._queue.now_us)
            if self._network.refuses(host, peer):
                self._fail(host, address, "connection refused", delay_us)
            else:
                self._fail(host, address, "no answer within 5 s", left_us)

        def knock() -> None:
            if host.life != life:
                return
            if self._is_cut(host, peer):
                no_answer()
            elif peer.core is None:
                self._fail(host, address, "connection refused", delay_us)
            elif expected is not None and expected != peer.node_id:
                self._fail(host, address, "another node answers there", 3 * delay_us)
            else:
                there = peer.life
                self._call((ANSWERER_UP_DELAYS - 1) * delay_us, lambda: answer(there))

        def answer(there: int) -> None:
            if host.life != life:
                return
            if self._is_cut(host, peer):
                no_answer()
                return
            if peer.life != there:
                self._fail(host, address, "the connection is lost", delay_us)
                return
            refusal = self._accept(host, peer, address, delay_us)
            if refusal:
                self._fail(host, address, refusal, delay_us)

        self._call(delay_us, knock)

    def _accept(self, host: Host, peer: Host, address: str, delay_us: int) -> str:
        """Make the connection; return why not, empty if it is made."""
        now_us = self._queue.now_us
        ahead_ms = (peer.local_us(now_us) - host.local_us(now_us)) // 1000
        wrong = abs(ahead_ms) > CLOCK_OFFSET_MS_MAX
        if wrong and not {host.tier, peer.tier} & {0, 4}:
            return f"clock: the clocks are {abs(ahead_ms)} ms apart"
        old = peer.links.get(host.node_id)
        if old is not None:
            if self._is_second(host, old) or old.before is not None:
                return DUPLICATE
            if old.after is not None:  # neither end has moved to it yet, and its dialler has dialled again
                self.end(old.after, NEWER)
        link = self._make(host, peer, wrong=wrong)
        link.back.offset_ms, link.forth.offset_ms, link.forth.address = -ahead_ms, ahead_ms, address
        self._network.open(link)
        # what the answerer's core says at once comes behind the Hello by which the dialler's learns that it is up
        link.back.last_us = now_us + delay_us + 1
        if old is None:
            self.moves.up(link.back)
        else:
            self.moves.begin(link.back, old, first=False)
        life = host.life

        def confirmed() -> None:
            if host.life == life and link.number in host.made:
                self._confirm(link)

        self._call(delay_us, confirmed)
        return ""

    def _make(self, host: Host, peer: Host, *, wrong: bool) -> Link:
        """Return a new connection; `wrong`: the clocks of its ends are too far apart."""
        self._count += 1
        link = Link(self._count, host, peer)
        link.up_at_us = self._queue.now_us
        host.made[link.number] = peer.made[link.number] = link
        for lane in (link.forth, link.back):
            strange = lane.src.wire.unknown_to(lane.dst.wire.features)
            kinds = lane.src.wire.accepted_kinds(lane.src.tier, lane.dst.tier) - strange
            lane.kinds = kinds & DESPITE_CLOCK if wrong else kinds
            lane.frame_bytes_max = frame_bytes_max(lane.src.tier, lane.dst.tier)
        return link

    def _confirm(self, link: Link) -> None:
        """The answer has come to the dialler."""
        host, peer = link.forth.src, link.forth.dst
        if link.back.held is not None:  # the answer's Hello is held up; nobody waits for it that long
            self._call(DIAL_TIMEOUT_US, lambda: self.end(link.forth, "no answer within 5 s"))
            return
        older = host.links.get(peer.node_id)
        if older is None:
            self.moves.up(link.forth)
            self._tell(LinkUp(self._queue.now_us, host, peer))
        elif self._is_second(host, older) or older.before is not None or older.after is not None:
            self.end(link.forth, DUPLICATE)
        else:
            self.moves.begin(link.forth, older, first=True)

    def _is_second(self, dialler: Host, old: Lane) -> bool:
        """Return whether an end of another connection is to be kept, and not the one that a host has dialled now."""
        return (
            old.link.forth.src is not dialler
            and self._queue.now_us - old.link.up_at_us < SIMULTANEOUS_US
            and dialler.node_id > (old.dst if old.src is dialler else old.src).node_id
        )

    # --- going down ---------------------------------------------------------------------------------------------------

    def end(self, lane: Lane, reason: str) -> None:
        """Take the connection down at the end where `lane` begins; the other end follows when the news gets there."""
        self.close(lane, reason)
        if lane.dst.made.get(lane.link.number) is lane.link:
            self._tell_other(lane, reason)

    def _tell_other(self, lane: Lane, reason: str) -> None:
        """Have the other end go down when the news that this one is down gets there, behind what was sent before."""
        if lane.held is not None:
            lane.afterwards = lambda: self._tell_other(lane, reason)
            return

        def arrive() -> None:
            if lane.held is not None:
                lane.afterwards = lambda: self._tell_other(lane, reason)
            else:
                self.close(lane.back, reason)

        at_us = max(self._queue.now_us + self._network.delay_us(lane.src, lane.dst), lane.last_us)
        self._queue.push(at_us, (CALL, arrive))

    def close(self, lane: Lane, reason: str) -> None:
        """Take down one end; its core is told if the end was up."""
        host, peer, link = lane.src, lane.dst, lane.link
        if host.made.pop(link.number, None) is None:
            return
        if lane.open:
            lane.open = False
            if self.moves.ended(lane, reason):
                self._tell(LinkDown(self._queue.now_us, host, peer, reason))
        elif link.forth is lane and host.core is not None:
            self._feed(host, DialFailed(peer.address, reason))
        if link.number not in peer.made:
            self._network.close(link)

    def give_up(self, lane: Lane, reason: str) -> None:
        """The transport has given a connection up: both ends notice by themselves."""
        self.close(lane, reason)
        self.close(lane.back, reason)

    def host_off(self, host: Host, reason: str, *, silent_us: int | None) -> None:
        """A host went off: its ends are gone; the others notice.

        Args:
            host: the host.
            reason: for the others.
            silent_us: None: its kernel says so at once; else how long the others take to find out by themselves.
        """
        for link in list(host.made.values()):
            lane = link.lane_of(host)
            del host.made[link.number]
            lane.open = False
            lane.before = lane.after = None
            host.links.pop(lane.dst.node_id, None)
            if silent_us is None:
                self._tell_other(lane, reason)
            else:
                at_us = self._queue.now_us + silent_us
                self._queue.push(at_us, (CALL, lambda other=lane.back: self.close(other, reason)))
            if link.number not in lane.dst.made:
                self._network.close(link)

    # --- small things -------------------------------------------------------------------------------------------------

    def _is_cut(self, one: Host, other: Host) -> bool:
        return self._network.is_cut(one, other) or self._network.is_cut(other, one)

    def _call(self, after_us: int, function: Callable[[], None]) -> None:
        self._queue.push(self._queue.now_us + after_us, (CALL, function))

    def _feed(self, host: Host, event: Input) -> None:
        if host.core is not None:
            self._queue.push(self._queue.now_us, (INPUT, host, host.life, event))

    def _fail(self, host: Host, address: str, reason: str, after_us: int) -> None:
        self._queue.push(self._queue.now_us + after_us, (INPUT, host, host.life, DialFailed(address, reason)))
