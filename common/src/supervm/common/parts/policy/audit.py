"""The record of what a policy decided: counted in memory, told as events, which go into the node's log.

Nothing in it can be traced to a person: of what a decision was about there is a mark, eight digits of a keyed hash. The
key is drawn at each start and kept nowhere, so that marks of one run can be compared with each other and with nothing
else. A decision that repeats itself is told once a minute, with how often it was made: nobody fills a disk by asking.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import Final

from ...contract.core import Outbox
from ..events import PolicyDecision

AGAIN_US: Final = 60_000_000
"""Between two events about the same decision."""
REMEMBERED_MAX: Final = 256
"""Decisions of which it is remembered when they were told last; beyond it the oldest go."""


class Audit:
    """The record of one node.

    Args:
        outbox: where the events go.
        secret: makes the marks; 16 random bytes of this start.

    Attributes:
        counts: how often each was decided, by ``act.verdict`` and, where a rule decided, ``.rule``.
    """

    def __init__(self, outbox: Outbox, secret: bytes) -> None:
        self._outbox, self._secret = outbox, secret
        self.counts: dict[str, int] = {}
        self._told: OrderedDict[tuple[str, str, str, str], tuple[int, int]] = OrderedDict()  # -> when, and since then

    def note(self, now_us: int, act: str, verdict: str, rule: str, reason: str, subject: str) -> None:
        """Count a decision, and tell of it unless everything is as without a policy.

        Args:
            now_us: present time.
            act: what was to be done, one of a few words.
            verdict: likewise.
            rule: key that decided; empty: none.
            reason: for people; it must name nobody.
            subject: whom or what it was about; only its mark is told. Empty: nobody.
        """
        name = ".".join(filter(None, (act, verdict, rule)))
        self.counts[name] = self.counts.get(name, 0) + 1
        if verdict == "allow":
            return
        key = (act, verdict, rule, self._mark(subject))
        told_us, times = self._told.pop(key, (now_us - AGAIN_US, 0))
        times += 1
        if now_us >= told_us + AGAIN_US:
            self._outbox.publish(PolicyDecision(act, verdict, rule, reason, key[3], times))
            told_us, times = now_us, 0
        self._told[key] = told_us, times
        if len(self._told) > REMEMBERED_MAX:
            self._told.popitem(last=False)

    def _mark(self, subject: str) -> str:
        if not subject:
            return ""
        return blake2b(subject.encode(), key=self._secret, digest_size=4, person=b"svm.audit").hexdigest()
