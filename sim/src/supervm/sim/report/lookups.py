"""Look-ups of a run: how long each took, and which tier had the answer; an observer that changes nothing.

Theory of operation. A phone that does not know a node asks an edge, which may have to ask a miner, and so on
(network.md 2). A look-up *waits* at a host: at its phone first, then wherever the question was put last, and the tier
of that host is the one that had the answer. Questions are shared, so a look-up also goes on where it comes to a host
that has asked the same a moment ago and is not answered yet. All of that is seen from the messages alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from supervm.common.contract.core import Reply
from supervm.common.parts.directory.questions import QUESTIONS_FROM, Sought
from supervm.protocol.wire.fields import Message
from supervm.protocol.wire.reach import Find, Found

from ..exact import Delivered, Deployment, Host, Sent, Stepped
from .statistics import quantile, spread_ms

TIERS: Final = (4, 3, 2, 1)
"""In the order in which they are asked."""

_Spot = tuple[int, Sought]
"""A host, and what is asked for there."""


@dataclass(slots=True, eq=False)
class Lookup:
    """One question of a phone's owner.

    Attributes:
        asked_us: when it was put.
        spot: where it waits.
        tier: of the host where it waits.
    """

    asked_us: int
    spot: _Spot
    tier: int


@dataclass(frozen=True, slots=True)
class Answer:
    """How a look-up ended: how long it took, the tier that had the answer, and whether a node is in it."""

    took_us: int
    tier: int
    found: bool


class Lookups:
    """Follows them.

    Args:
        deployment: what is simulated.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._world = deployment.world
        self._open: dict[tuple[int, int], Lookup] = {}  # by phone and token
        self._waiting: dict[_Spot, list[Lookup]] = {}
        self._asked: dict[_Spot, Host] = {}  # what a host has asked and is not answered -> whom
        self._numbers: dict[tuple[int, int, int], tuple[Sought, ...]] = {}  # asker, asked, number -> what
        self.answers: list[Answer] = []
        self._world.observe(self._sent, Sent)
        self._world.observe(self._delivered, Delivered)
        self._world.observe(self._stepped, Stepped, idle_steps=False)

    def ask(self, phone: Host, token: int, sought: Sought) -> None:
        """Follow a question that was just put to a phone."""
        early = phone.replies.pop(token, None)
        if early is not None:
            self.answers.append(Answer(0, phone.tier, bool(early.value)))
            return
        spot = phone.index, sought
        lookup = self._open[phone.index, token] = Lookup(self._world.now_us, spot, phone.tier)
        self._waiting.setdefault(spot, []).append(lookup)
        self._go_on(spot)

    def _go_on(self, spot: _Spot) -> None:
        """Move who waits at a host to whom that host has asked, and on."""
        while (asked := self._asked.get(spot)) is not None and self._move(spot, asked):
            spot = asked.index, spot[1]

    def _move(self, spot: _Spot, asked: Host) -> bool:
        moving = self._waiting.pop(spot, [])
        there = asked.index, spot[1]
        for lookup in moving:
            lookup.spot, lookup.tier = there, asked.tier
        if moving:
            self._waiting.setdefault(there, []).extend(moving)
        return bool(moving)

    def _sent(self, event: Sent) -> None:
        message = event.message
        if type(message) is Find and message.number >= QUESTIONS_FROM:
            keys = tuple(map(Sought, message.nodes)) or (Sought(b"", message.wanted, message.limit),)
            self._numbers[event.sender.index, event.receiver.index, message.number] = keys
            for key in keys:
                self._asked[event.sender.index, key] = event.receiver
                self._move((event.sender.index, key), event.receiver)

    def _delivered(self, event: Delivered) -> None:
        message: Message = event.message  # a node with the subject reads more than every node does
        if type(message) is Find:
            for node_id in message.nodes:
                self._go_on((event.receiver.index, Sought(node_id)))
            if not message.nodes:
                self._go_on((event.receiver.index, Sought(b"", message.wanted, message.limit)))
        elif type(message) is Found:
            keys = self._numbers.pop((event.receiver.index, event.sender.index, message.number), ())
            for key in keys:
                self._asked.pop((event.receiver.index, key), None)

    def _stepped(self, event: Stepped) -> None:
        if event.host.tier != 4:
            return
        for effect in event.effects:
            if type(effect) is Reply:
                lookup = self._open.pop((event.host.index, effect.token), None)
                if lookup is not None:
                    self._waiting[lookup.spot].remove(lookup)
                    if not self._waiting[lookup.spot]:
                        del self._waiting[lookup.spot]
                    self.answers.append(Answer(event.at_us - lookup.asked_us, lookup.tier, bool(effect.value)))

    def summary(self) -> dict[str, float | None]:
        """Return the figures that ``[expect]`` may bound."""
        found = [answer for answer in self.answers if answer.found]
        by_tier = {tier: sum(answer.tier == tier for answer in found) for tier in TIERS}
        times_us = sorted(answer.took_us for answer in found)
        figures: dict[str, float | None] = {
            "lookups": len(self.answers),
            "lookups_open": len(self._open),
            "lookups_found_percent": _percent(len(found), len(self.answers)),
            **{f"lookups_l{tier}_percent": _percent(count, len(found)) for tier, count in by_tier.items()},
            "lookups_edge_hit_percent": _percent(by_tier[3], by_tier[3] + by_tier[2] + by_tier[1]),
            "lookups_miner_hit_percent": _percent(by_tier[2], by_tier[2] + by_tier[1]),
            "lookup_ms_mean": round(sum(times_us) / len(times_us) / 1000, 3) if times_us else None,
        }
        for percent in (50, 99):
            value = quantile(times_us, percent)
            figures[f"lookup_ms_p{percent}"] = None if value is None else value / 1000
        return figures

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per tier, in the order in which they are asked: how many it answered, and how fast."""
        return [
            {"tier": f"L{tier}", "answers": len(times_us), "ms": spread_ms(times_us)}
            for tier in TIERS
            for times_us in [[answer.took_us for answer in self.answers if answer.found and answer.tier == tier]]
        ]


def _percent(part: int, whole: int) -> float | None:
    return round(100 * part / whole, 3) if whole else None
