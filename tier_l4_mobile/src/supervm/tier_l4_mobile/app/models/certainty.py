"""How sure a balance is, in one line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from supervm.protocol.light.client import MAX_AGE_MS

from ..values import Span, Text, say

FRESH_MS_MAX: Final = MAX_AGE_MS
"""A proof that is older is called the last one, not a present one."""


@dataclass(frozen=True, slots=True)
class Certainty:
    """What a `messages.Balance` answer proved.

    Attributes:
        balance: in smallest units; None: nothing was ever proved.
        height: of the header that it was proved under.
        proved_ms: chain time of that header; None where it is dated ahead of this device's clock, or nothing is proved.
        is_proved: whether the node called it proved when it answered.
        reason: why there is no newer proof, as the node says it; empty if there is nothing to say.
    """

    balance: int | None = None
    height: int = 0
    proved_ms: int | None = None
    is_proved: bool = False
    reason: str = ""

    @classmethod
    def of(cls, answer: Mapping[str, Any], now_ms: int) -> Certainty:
        """Return what an answer that has just come says."""
        age_s = answer["age_s"]
        proved_ms = None if age_s is None else now_ms - int(age_s * 1000)
        return cls(
            answer["balance"], answer["height"] or 0, proved_ms, answer["proof_verified"], answer["reason"] or ""
        )

    def is_fresh(self, now_ms: int) -> bool:
        """Return whether it may be called proved now: it was, and it has not grown old since."""
        return self.is_proved and self.proved_ms is not None and now_ms - self.proved_ms <= FRESH_MS_MAX

    def text(self, now_ms: int) -> Text:
        """Say it."""
        if self.balance is None:
            return say("home.unproved")
        if self.proved_ms is None:
            return say("home.ahead", height=self.height)
        age = Span.between(self.proved_ms, now_ms)
        if self.is_fresh(now_ms):
            return say("home.proved", height=self.height, age=age)
        return say("home.last-proved", age=age)
