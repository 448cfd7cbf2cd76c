"""The line that a payment walks: queued, accepted, certified, final, proved.

An edge only claims the first steps; what is proved is checked on this device. So a payment is called paid at the last
step alone, and only if its proof says that it was executed and nothing known here contradicts it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ...wallet.payments import CANCELLED, EXPIRED, FAILED, PROGRESS, QUEUED, R4, REFUSED
from ..values import Moment, Text, say

DONE, NEXT, OPEN, ENDED = "done", "next", "open", "ended"
"""How far a step is: passed; the one that is waited for; one after that; never to come."""

_LEVELS: Final = (("r0", "step.accepted"), ("r1", "step.certified"), ("r3", "step.final"), ("r4", "step.proved"))

_STATUS: Final[Mapping[str, str]] = {
    QUEUED: "status.queued",
    "R0": "status.accepted",
    "R1": "status.certified",
    "R3": "status.final",
    REFUSED: "status.refused",
    EXPIRED: "status.expired",
    CANCELLED: "status.cancelled",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a payment.

    Attributes:
        name: its text.
        state: `DONE`, `NEXT`, `OPEN` or `ENDED`.
        at: when it was first seen; None if it was not.
    """

    name: Text
    state: str
    at: Moment | None


def is_paid(payment: Mapping[str, Any]) -> bool:
    """Return whether a payment may be called paid."""
    return payment["status"] == R4 and bool(payment["proof_verified"]) and payment["result"] != FAILED


def is_open(payment: Mapping[str, Any]) -> bool:
    """Return whether a payment is still on its way."""
    return payment["status"] in PROGRESS


def note_open(under_way: dict[int, Mapping[str, Any]], payments: Iterable[Mapping[str, Any]]) -> None:
    """Keep payments, by number, that are on their way as they are shown now; those that are over leave."""
    for payment in payments:
        if is_open(payment):
            under_way[payment["number"]] = payment
        else:
            under_way.pop(payment["number"], None)


def status_text(payment: Mapping[str, Any]) -> Text:
    """Return the status of a payment in a word or two."""
    if payment["status"] != R4:
        return Text(_STATUS.get(payment["status"], "status.unknown"))
    if payment["result"] == FAILED:
        return say("status.failed")
    return say("status.paid") if is_paid(payment) else say("status.doubted")


def steps_of(payment: Mapping[str, Any]) -> list[Step]:
    """Return the five steps of a payment as the node shows it.

    A payment that has never left this device is `queued` still, however long ago that was.
    """
    created_ms = payment["created_us"] // 1000
    steps = [Step(say("step.queued"), DONE, Moment(created_ms))]
    pending = NEXT if is_open(payment) else ENDED
    for level, key in _LEVELS:
        latency_ms = payment["latency_ms"][level]
        reached = latency_ms is not None and (level != "r4" or is_paid(payment))
        if reached:
            steps.append(Step(Text(key), DONE, Moment(created_ms + int(latency_ms))))
            continue
        steps.append(Step(Text(key), pending, None))
        if pending == NEXT:
            pending = OPEN
    return steps
