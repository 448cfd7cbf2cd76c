"""How long a message takes and what becomes of it: delay, bandwidth, loss, cuts.

Theory of operation. Nodes talk over TCP, so a connection is a stream (simulation.md 2). Within one direction of one
connection order is kept; a lost message comes later, after one or more retransmission times, and everything behind it
waits; what cannot get through in `RETRANSMISSIONS_MAX` tries breaks the connection. Duplicates and overtaking exist
only across connections. A path can be declared a *datagram* path, where loss is loss and messages are doubled and
overtaken: no transport of ours does that, but a core must survive it.

Time is spent in three places: the sender's uplink (transmission), the path (propagation: the regions' one-way delay,
both last miles, jitter) and the receiver's downlink (transmission). A message below `fair_from_bytes` is a short
burst of packets: it waits its turn at both ends, first come, first served, at line rate. A longer one is a flow,
whose rate is the max-min fair share among all flows (`flows`), recomputed whenever one begins or ends. Bursts are not
taken off the flows' shares. Whatever follows a flow on its connection waits for it.

A cut path delivers nothing: what is sent there is held, as TCP would hold it, and so is what was on its way when the
path was cut. A retransmission time after the path is mended, and once nothing older is on its way any more, it goes
on in order. If nothing is acknowledged for `dead_after_us` from the first cut on, both ends give the connection up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from .choices import Choices, Stream
from .cuts import Cause, Cut, Cuts
from .flows import fair_rates
from .geography import Geography
from .host import CALL, DELIVER, LATE, SHARE, Host, Lane, Link, Parcel
from .queue import BucketQueue

QUEUE_BYTES_MAX_CORE: Final = 16 << 20
"""Bytes that may wait for a peer on a link between L1 and L2, as in `supervm.common.driver.limits`."""
QUEUE_BYTES_MAX: Final = 4 << 20
"""The same for any other link."""
RETRANSMISSION_US_MIN: Final = 200_000
"""Shortest retransmission time-out (Linux's default)."""
RETRANSMISSIONS_MAX: Final = 8
"""Tries after which a connection is given up: with doubling, about a minute."""
FAIR_FROM_BYTES: Final = 16_384
"""Length from which a message is a flow."""
DEAD_AFTER_US: Final = 15_000_000
"""How long without acknowledgement until both ends give a connection up."""

_HALF: Final = 1 << 63


@dataclass(frozen=True, slots=True)
class Rules:
    """What a path does to messages beside its delay.

    Attributes:
        loss_ppm: lost, in a million; adds to the last miles' loss.
        duplicate_ppm: come twice; on datagram paths only.
        reorder_ppm: are overtaken by later ones; on datagram paths only.
        extra_us: additional one-way delay.
        datagram: lost is lost, and order is not kept.
    """

    loss_ppm: int = 0
    duplicate_ppm: int = 0
    reorder_ppm: int = 0
    extra_us: int = 0
    datagram: bool = False


class Network:
    """Paths between hosts.

    Args:
        geography: delays between regions.
        queue: where arrivals go.
        choices: decides about loss and the like.
        gave_up: told of a lane whose connection is lost, and why.
        dead_after_us: see above.
        fair_from_bytes: length from which a message is a flow.
    """

    def __init__(
        self,
        geography: Geography,
        queue: BucketQueue[Any],
        choices: Choices,
        gave_up: Callable[[Lane, str], None],
        *,
        dead_after_us: int = DEAD_AFTER_US,
        fair_from_bytes: int = FAIR_FROM_BYTES,
    ) -> None:
        self.geography = geography
        self.dead_after_us = dead_after_us
        self.fair_from_bytes = fair_from_bytes
        self._queue = queue
        self._choices = choices
        self._gave_up = gave_up
        self._links: dict[int, Link] = {}
        self._delays_us: dict[tuple[int, int], int] = {}
        self._rules: dict[tuple[int | None, int | None], Rules] = {}
        self._impaired: dict[int, dict[Cause, Rules]] = {}
        self._cuts = Cuts()
        self._flows: dict[Lane, None] = {}
        self._flows_at_us = 0
        self._generation = 0
        self._share_at_us = -1

    # --- paths --------------------------------------------------------------------------------------------------------

    def delay_us(self, src: Host, dst: Host) -> int:
        """Return the one-way delay from one host to another, without jitter."""
        fixed = self._delays_us.get((src.index, dst.index))
        if fixed is not None:
            return fixed
        a, b = src.place, dst.place
        return self.geography.delay_us(a.region, b.region) + a.access.last_mile_us + b.access.last_mile_us

    def set_delay(self, src: Host, dst: Host, delay_us: int | None) -> None:
        """Fix the one-way delay of a directed path, without jitter; None: as geography says."""
        if delay_us is None:
            self._delays_us.pop((src.index, dst.index), None)
        else:
            self._delays_us[src.index, dst.index] = delay_us
        self._refresh()

    def set_rules(self, rules: Rules, src: Host | None = None, dst: Host | None = None) -> None:
        """Set what paths do to messages: all of them, those from a host, those to one, or one directed path.

        The most particular rules hold: of the path, else of its sender, else of its receiver, else of all.
        """
        self._rules[None if src is None else src.index, None if dst is None else dst.index] = rules
        self._refresh()

    def impair(self, cause: Cause, hosts: Iterable[Host], rules: Rules | None) -> None:
        """Let everything from and to some hosts be lost or late for a cause; None: that cause is over.

        Beside what `set_rules` says the strongest of all causes holds, at either end of a path: the greatest loss and
        the greatest delay (other rules are not taken from here).
        """
        for host in hosts:
            causes = self._impaired.setdefault(host.index, {})
            if rules is None:
                causes.pop(cause, None)
            else:
                causes[cause] = rules
        self._refresh()

    def rules_of(self, src: Host, dst: Host) -> Rules:
        """Return the rules of a directed path."""
        for name in ((src.index, dst.index), (src.index, None), (None, dst.index), (None, None)):
            rules = self._rules.get(name)
            if rules is not None:
                return rules
        return _PLAIN

    def open(self, link: Link) -> None:
        """Take a new connection into account."""
        self._links[link.number] = link
        for lane in (link.forth, link.back):
            self._set(lane)
        self._look_at(link)

    def close(self, link: Link) -> None:
        """Forget a connection that is down at both ends, and what waits in it."""
        self._links.pop(link.number, None)
        for lane in (link.forth, link.back):
            if self._flows.pop(lane, self) is None:
                self._share_soon()
            lane.bulk.clear()
            lane.held = lane.afterwards = None
            lane.queued_bytes = 0

    def _refresh(self) -> None:
        for link in self._links.values():
            self._set(link.forth)
            self._set(link.back)

    def _set(self, lane: Lane) -> None:
        src, dst = lane.src, lane.dst
        rules = self.rules_of(src, dst)
        fixed = (src.index, dst.index) in self._delays_us
        loss_ppm, extra_us = rules.loss_ppm, rules.extra_us
        for host in (src, dst):
            for worse in self._impaired.get(host.index, _NOTHING).values():
                loss_ppm, extra_us = max(loss_ppm, worse.loss_ppm), max(extra_us, worse.extra_us)
        lane.base_us = self.delay_us(src, dst)
        lane.extra_us = extra_us
        lane.spread_us = 0 if fixed else self.geography.spread_us(src.place.region, dst.place.region)
        lane.loss_ppm = loss_ppm + src.place.access.loss_ppm + dst.place.access.loss_ppm
        lane.draw_losses = losses(lane.loss_ppm)
        lane.duplicate_ppm = rules.duplicate_ppm
        lane.reorder_ppm = rules.reorder_ppm
        lane.datagram = rules.datagram

    # --- cuts ---------------------------------------------------------------------------------------------------------

    def is_cut(self, src: Host, dst: Host) -> bool:
        """Return whether nothing gets from one host to another now."""
        return self._cuts.stop(src, dst)

    def refuses(self, src: Host, dst: Host) -> bool:
        """Return whether the cuts between two hosts answer a dial with a refusal, instead of silence."""
        return self._cuts.refuse(src, dst)

    def set_cut(self, cause: Cause, cut: Cut | None) -> None:
        """Say what a cause cuts from now on, instead of what it cut before; None: it cuts nothing any more."""
        if cut is None:
            if self._cuts.by_cause.pop(cause, None) is None:
                return
        else:
            self._cuts.by_cause[cause] = cut
        self._review()

    def heal(self) -> None:
        """End every cut."""
        self._cuts.by_cause.clear()
        self._review()

    def _review(self) -> None:
        for link in list(self._links.values()):
            self._look_at(link)

    def _look_at(self, link: Link) -> None:
        """Hold what waits for paths that are cut, let go what waits for others."""
        was_held = link.forth.held is not None or link.back.held is not None
        for lane in (link.forth, link.back):
            cut = self.is_cut(lane.src, lane.dst)
            if cut == lane.cut:
                continue
            lane.cut = cut
            if not cut:
                lane.resume_us = self._queue.now_us + RETRANSMISSION_US_MIN
                self._queue.push(lane.resume_us, (CALL, partial(self._resume, lane)))
            elif lane.held is None:
                lane.held, lane.caught = list(lane.bulk), 0
                lane.bulk.clear()
                if self._flows.pop(lane, self) is None:
                    self._share_soon()
        if not was_held and (link.forth.held is not None or link.back.held is not None):
            link.cut_number += 1
            self.watch(link)

    def _resume(self, lane: Lane) -> None:
        """Let go what was held by a cut that is mended, unless something older is still on its way."""
        now_us = self._queue.now_us
        if lane.cut or lane.held is None or now_us < lane.resume_us:
            return
        if lane.last_us > now_us:
            self._queue.push(lane.last_us, (CALL, partial(self._resume, lane)))
            return
        held, lane.held = lane.held, None
        lane.queued_bytes = 0
        for parcel in held:
            if lane.link.number not in self._links:
                return  # one of them broke the connection
            self.carry(lane, parcel, held=True)
        afterwards, lane.afterwards = lane.afterwards, None
        if afterwards is not None:
            afterwards()

    def catch(self, lane: Lane, parcel: Parcel) -> bool:
        """Hold a message that was on its way when its path was cut, or lose it on a datagram path; False: it passes."""
        if lane.held is None or lane.datagram:
            return lane.cut
        lane.held.insert(lane.caught, parcel)
        lane.caught += 1
        lane.queued_bytes += parcel.size_bytes
        return True

    def watch(self, link: Link) -> None:
        """Give a connection up if its path stays cut for `dead_after_us` from now."""
        cut_number = link.cut_number

        def look() -> None:
            held = link.forth.held is not None or link.back.held is not None
            if link.number in self._links and held and link.cut_number == cut_number:
                for lane in (link.forth, link.back):
                    if lane.open:
                        self._gave_up(lane, "nothing was acknowledged")

        self._queue.push(max(self._queue.now_us, 0) + self.dead_after_us, (CALL, look))

    # --- messages -----------------------------------------------------------------------------------------------------

    def carry(self, lane: Lane, parcel: Parcel, *, held: bool = False) -> bool:
        """Take a message; return False if too much waits there already: it was dropped, or the connection has to be.

        Args:
            lane: an open direction of a connection.
            parcel: the message.
            held: it was held by a cut that is mended, and was counted then.
        """
        now_us = self._queue.now_us
        size = parcel.size_bytes
        if lane.held is not None:
            if self._too_much(lane, size):
                return False
            lane.held.append(parcel)
            lane.queued_bytes += size
            return True
        left_us = now_us
        rate = lane.up_bps
        if rate or lane.down_bps:
            if lane.bulk or size >= self.fair_from_bytes:
                if not held and self._too_much(lane, size):
                    return False
                lane.queued_bytes += size
                lane.bulk.append(parcel)
                if len(lane.bulk) == 1:
                    lane.left = size * 1_000_000
                    lane.rate = 0
                    self._flows[lane] = None
                    self._share_soon()
                return True
            if rate:
                src = lane.src
                if src.up_free_us > left_us:
                    left_us = src.up_free_us
                left_us += size * 8_000_000 // rate
                src.up_free_us = left_us
            if lane.down_bps:
                left_us += size * 8_000_000 // lane.down_bps
        self._propagate(lane, parcel, left_us)
        return True

    def _too_much(self, lane: Lane, size_bytes: int) -> bool:
        core = lane.src.tier <= 2 and lane.dst.tier <= 2
        return lane.queued_bytes + size_bytes > (QUEUE_BYTES_MAX_CORE if core else QUEUE_BYTES_MAX)

    def _propagate(self, lane: Lane, parcel: Parcel, at_us: int, kind: int = DELIVER) -> None:
        at_us += lane.base_us + lane.extra_us
        spread_us = lane.spread_us
        if spread_us:
            # below the median the delay is the path's; above, it grows evenly and passes p90 nine times in ten
            word = lane.src.jitter.word()
            if word > _HALF:
                at_us += ((word - _HALF) * spread_us * 5) >> 65
        if lane.loss_ppm:
            lost = self._choices.fault("loss", lane.name, self._queue.now_us, lane.draw_losses)
            if lost:
                if lane.datagram:
                    return
                if lost >= RETRANSMISSIONS_MAX:
                    self._gave_up(lane, "a message could not be delivered")
                    return
                at_us += max(RETRANSMISSION_US_MIN, 2 * lane.base_us) * ((1 << lost) - 1)
        if lane.datagram:
            if lane.duplicate_ppm:
                later = self._choices.fault("duplicate", lane.name, self._queue.now_us, _some(lane.duplicate_ppm, lane))
                if later:
                    self._queue.push(at_us + later, (kind, lane, parcel))
            if lane.reorder_ppm:
                at_us += self._choices.fault("reorder", lane.name, self._queue.now_us, _some(lane.reorder_ppm, lane))
        elif at_us < lane.last_us:
            at_us = lane.last_us
        else:
            lane.last_us = at_us
        self._queue.push(at_us, (kind, lane, parcel))

    # --- bandwidth ----------------------------------------------------------------------------------------------------

    def _share_soon(self) -> None:
        """Share the bandwidth anew, once, after everything else of this microsecond that is known by now."""
        now_us = self._queue.now_us
        if self._share_at_us != now_us:
            self._share_at_us = now_us
            self._generation += 1
            self._queue.push(now_us, (SHARE, self._generation))

    def share(self, generation: int) -> None:
        """Move the flows on to now, let finished messages go, share the bandwidth anew, and plan the next finish."""
        if generation != self._generation:
            return
        now_us = self._queue.now_us
        self._share_at_us = -1
        gone_us = now_us - self._flows_at_us
        self._flows_at_us = now_us
        for lane in list(self._flows):
            if lane not in self._flows:
                continue  # the other direction broke the connection a moment ago
            lane.left -= lane.rate * gone_us
            if lane.left <= 0:
                parcel = lane.bulk.popleft()
                lane.queued_bytes -= parcel.size_bytes
                self._propagate(lane, parcel, now_us, LATE)
                if lane not in self._flows:
                    continue  # the connection broke, and took its flows along
                if lane.bulk:
                    lane.left = lane.bulk[0].size_bytes * 1_000_000
                else:
                    del self._flows[lane]
        if not self._flows:
            return
        flows = list(self._flows)
        up = {lane.src.index: lane.up_bps // 8 for lane in flows}
        down = {lane.dst.index: lane.down_bps // 8 for lane in flows}
        rates = fair_rates([(lane.src.index, lane.dst.index) for lane in flows], up, down)
        first_us = None
        for lane, rate in zip(flows, rates, strict=True):
            lane.rate = rate
            taken_us = -(-lane.left // rate)
            if first_us is None or taken_us < first_us:
                first_us = taken_us
        if first_us is not None and self._share_at_us < 0:
            self._generation += 1
            self._queue.push(now_us + first_us, (SHARE, self._generation))


_PLAIN: Final = Rules()
_NOTHING: Final[dict[Cause, Rules]] = {}


def losses(loss_ppm: int) -> Callable[[Stream], int]:
    """Return a draw of how many times in a row a message is lost."""

    def draw(stream: Stream) -> int:
        lost = 0
        while lost < RETRANSMISSIONS_MAX and stream.chance_ppm(loss_ppm):
            lost += 1
        return lost

    return draw


def _some(ppm: int, lane: Lane) -> Callable[[Stream], int]:
    """Return a draw of a delay that is 0 but `ppm` times in a million."""
    most_us = max(1_000, 4 * lane.base_us)
    return lambda stream: stream.between(1, most_us) if stream.chance_ppm(ppm) else 0
