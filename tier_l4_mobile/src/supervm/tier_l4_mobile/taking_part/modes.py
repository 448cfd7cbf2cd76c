"""The mode of a phone: reviewed every five minutes by its ability, and never more than its owner wants.

Theory of operation. The owner's word is the mode of the configuration or, once it was given, that of `TakePart`, which
is kept on disk. `AUTO` leaves it to the phone: at each review `ability.suited` says which mode suits, and a step up is
taken only when two reviews in a row say so; a step down is taken at once. The owner's limits - charge, data in a day,
only while charging - hold in every mode.

What others wanted lately is counted over about an hour: each review keeps eleven twelfths of what there was.

A phone that finds no peers has nobody to do anything for: it answers its owner and otherwise stands still.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec.structs import astuple, replace

from supervm.common.contract.core import Outbox, Sensed
from supervm.common.contract.records import Reader
from supervm.common.parts.part import Part
from supervm.common.parts.participation import ACTIVE, PASSIVE, STANDARD, Participation, TakingPart

from ..events import ModeChanged
from ..messages import TakePart
from ..options import AUTO, MODE_OPTIONS
from ..tables import TAKING_PART, TakingPartRow
from .ability import Demand, is_powered, suited

REVIEW_US: Final = 300_000_000
"""Between reviews."""
KEPT_OF_12: Final = 11
"""Twelfths of what others wanted that a review keeps."""
DAY_US: Final = 86_400_000_000
MIB: Final = 1 << 20


class Modes(Part):
    """Decides what this phone does for others.

    Args:
        outbox: where rows, events and answers go.
        taking_part: what other parts read, and what they count in.
        reader: what is durable.
        mode: the owner's word in the configuration.
        metered: whether the owner pays for the connection by volume; None: whatever the machine says.
        finds_peers: whether there is anybody to do something for.
    """

    answers = (TakePart,)
    tables = (TAKING_PART,)
    options = MODE_OPTIONS
    events = (ModeChanged,)

    def __init__(
        self,
        outbox: Outbox,
        taking_part: TakingPart,
        reader: Reader,
        *,
        mode: str,
        metered: bool | None = None,
        finds_peers: bool = True,
    ) -> None:
        self._outbox, self._taking_part = outbox, taking_part
        self._configured, self._metered, self._finds_peers = mode, metered, finds_peers
        self._row = _readable(TAKING_PART.get(reader, 0)) or TakingPartRow(0)
        self._facts = Sensed(metered=metered)
        self._demand = Demand()
        self._suited = self._wished = STANDARD
        self._review_us: int | None = None
        self._seen = (0, 0)  # questions asked and found, at the last review
        self._before = self._row  # what was done before this start
        self._day_bytes = 0  # carried since this start when the day began
        self._reason = "the owner's choice"
        self._decide()

    # --- time and the machine -----------------------------------------------------------------------------------------

    @property
    def deadline_us(self) -> int | None:
        """When the next review is due."""
        return self._review_us

    def started(self, now_us: int) -> None:
        """Count the first five minutes, and the day."""
        if self._finds_peers:
            self._review_us = now_us + REVIEW_US

    def sensed(self, now_us: int, facts: Sensed) -> None:
        """Take what the machine says of itself; the first time it counts at once."""
        is_first = self._facts.memory_bytes is None and facts.memory_bytes is not None
        metered = facts.metered if self._metered is None else self._metered
        self._facts = Sensed(facts.memory_bytes, facts.battery_percent, facts.charging, metered)
        if is_first and self._finds_peers:
            self._review(now_us)

    def tick(self, now_us: int) -> None:
        """Review when it is time."""
        if self._review_us is not None and self._review_us <= now_us:
            self._review_us = now_us + REVIEW_US
            self._review(now_us)

    def settle(self, now_us: int) -> None:
        """Stop at the owner's limit of data; a new day begins a new count."""
        day = now_us // DAY_US
        if day != self._row.day:
            self._day_bytes = self._taking_part.carried_bytes
            self._before = replace(self._before, day=day, day_bytes=0)
            self._row = replace(self._row, day=day, day_bytes=0)
            self._decide()
        elif self._taking_part.now.carries and self._is_spent():
            self._decide()

    # --- the owner ----------------------------------------------------------------------------------------------------

    def command(self, now_us: int, token: int, request: TakePart) -> None:
        """Take the owner's word; it is answered once it is durable."""
        self._row = replace(
            self._totals(),
            mode=request.mode,
            battery_percent_min=request.battery_percent_min,
            on_battery=int(request.on_battery),
            data_mib_per_day_max=request.data_mib_per_day_max,
        )
        self._decide()
        self._outbox.reply(token, self._told(), after=self._outbox.persist(TAKING_PART.put(self._row)))

    def info(self, now_us: int) -> Mapping[str, Any]:
        """Return what this phone does for others, why, and what it has done."""
        return {"taking_part": self._told()}

    def _told(self) -> dict[str, Any]:
        now, row = self._taking_part.now, self._totals()
        return {
            "mode": now.mode,
            "choice": self._choice,
            "reason": self._reason,
            "answers": now.answers,
            "carries": now.carries,
            "punches": now.punches,
            "asked": row.asked,
            "found": row.found,
            "carried": row.carried,
            "carried_bytes": row.carried_bytes,
        }

    # --- deciding -----------------------------------------------------------------------------------------------------

    @property
    def _choice(self) -> str:
        return self._row.mode or self._configured

    def _review(self, now_us: int) -> None:
        """Look at what others wanted and at the machine, and write down what was done."""
        asked, found = self._taking_part.asked, self._taking_part.found
        kept = Demand(self._demand.asked * KEPT_OF_12 // 12, self._demand.found * KEPT_OF_12 // 12)
        self._demand = Demand(kept.asked + asked - self._seen[0], kept.found + found - self._seen[1])
        self._seen = asked, found
        order = (PASSIVE, STANDARD, ACTIVE)
        mode = suited(self._facts, self._demand, self._suited)
        if order.index(mode) <= order.index(self._suited) or mode == self._wished:
            self._suited = mode
        self._wished = mode
        self._decide()
        row = self._totals()
        if row != self._row:
            self._row = row
            self._outbox.persist(TAKING_PART.put(row))

    def _decide(self) -> None:
        mode, reason = self._mode()
        answers = mode == ACTIVE or (mode == STANDARD and self._demand.pays)
        before, self._reason = self._taking_part.now, reason
        now = Participation(mode, answers=answers, carries=mode == ACTIVE, punches=mode == ACTIVE)
        self._taking_part.decide(now)
        if now.mode != before.mode and self._finds_peers and self._review_us is not None:
            self._outbox.publish(ModeChanged(mode, reason))

    def _mode(self) -> tuple[str, str]:
        """Return the mode and what decides it, for people."""
        row, facts, choice = self._row, self._facts, self._choice
        mode, reason = (
            (self._suited, "what this device can spare") if choice == AUTO else (choice, "the owner's choice")
        )
        if mode == PASSIVE:
            return mode, reason
        if facts.battery_percent is not None and facts.battery_percent < row.battery_percent_min:
            return PASSIVE, f"the battery is below {row.battery_percent_min} %, the owner's limit"
        if self._is_spent():
            return PASSIVE, f"{row.data_mib_per_day_max} MiB were carried today, the owner's limit"
        if mode == ACTIVE and not row.on_battery and not is_powered(facts):
            return STANDARD, "it is not charging"
        return mode, reason

    def _is_spent(self) -> bool:
        most = self._row.data_mib_per_day_max
        return most > 0 and self._totals().day_bytes >= most * MIB

    def _totals(self) -> TakingPartRow:
        """Return the row with what was done since it was written."""
        done, before = self._taking_part, self._before
        return replace(
            self._row,
            asked=before.asked + done.asked,
            found=before.found + done.found,
            carried=before.carried + done.carried,
            carried_bytes=before.carried_bytes + done.carried_bytes,
            day_bytes=before.day_bytes + done.carried_bytes - self._day_bytes,
        )


def _readable(row: TakingPartRow | None) -> TakingPartRow | None:
    """Return a row as it could have been written; None of one that the disk gave back changed."""
    if row is None or row.mode not in ("", PASSIVE, STANDARD, ACTIVE, AUTO) or row.battery_percent_min > 100:
        return None
    return row if all(number >= 0 for number in astuple(row) if isinstance(number, int)) else None
