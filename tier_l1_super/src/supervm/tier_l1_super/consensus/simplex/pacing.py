"""Timers and time-outs of the Simplex core (consensus.md 2.5 and 2.6). Instants in microseconds, spans named in ms.

A leader that has nothing to put into a block waits: for `block_interval_ms` while something is under way that further
blocks finish, or else for the beat, `idle_interval_ms` after the last notarization. So patience with a leader begins
when a block is *wanted*: at once, or at the beat. When work turns up in an idle view, a block is wanted from then on;
a leader that has crashed on an idle chain costs new work what it costs on a busy one.
"""

from __future__ import annotations

from supervm.protocol.chain.genesis import Parameters

RETRY_US = 1_000_000
"""How long without a new finalization before everything that matters is sent again."""
VIEWS_BEFORE_BACKOFF = 3
_DOUBLINGS_MAX = 128
"""1.5**128 exceeds the ratio of any two 63-bit integers, so the exponent need not grow further."""


def timeout_us(parameters: Parameters, views_since_final: int) -> int:
    """Return d(v): D0, times 1.5 for each view beyond three since the last finalization, at most DMAX.

    Only a finalization brings it down again; a run of views without a skip does not (pitfall P10).
    """
    exponent = min(max(0, views_since_final - VIEWS_BEFORE_BACKOFF), _DOUBLINGS_MAX)
    growth: int = 3**exponent
    span_us = parameters.view_timeout_ms * 1000 * growth >> exponent
    return min(parameters.view_timeout_ms_max * 1000, span_us)


class Timers:
    """The instants at which a view's patience ends; None where nothing is awaited.

    Attributes:
        wanted_us: a block is wanted from then on; the two timers of the view count from it.
        lead_us: no proposal by then: nullify.
        advance_us: still in the view by then: nullify.
        clock_us: the time of a proposal from the future comes into the allowed drift.
        retry_us: no finalization by then: send again.
    """

    __slots__ = ("_pause_us", "_span_us", "advance_us", "clock_us", "lead_us", "retry_us", "wanted_us")

    def __init__(self) -> None:
        self.wanted_us = self._span_us = self._pause_us = 0
        self.lead_us: int | None = None
        self.advance_us: int | None = None
        self.clock_us: int | None = None
        self.retry_us: int | None = None

    def enter_view(self, wanted_us: int, span_us: int, block_interval_us: int) -> None:
        """Start the two timers of a new view: 2d and 3d, plus the pause a leader may make."""
        self._span_us, self._pause_us = span_us, block_interval_us
        self.clock_us = None
        self.want(wanted_us)

    def want(self, wanted_us: int) -> None:
        """Start the two timers anew: a block of this view is wanted from another instant on."""
        self.wanted_us = wanted_us
        self.lead_us = wanted_us + 2 * self._span_us + self._pause_us
        self.advance_us = self.lead_us + self._span_us

    def proposed(self, now_us: int) -> None:
        """The view has its proposal: it ends as soon as if that had been wanted now."""
        latest_us = now_us + 3 * self._span_us + self._pause_us
        if self.advance_us is not None and latest_us < self.advance_us:
            self.advance_us = latest_us

    def stop_view(self) -> None:
        """Nothing of the view is awaited any more."""
        self.lead_us = self.advance_us = self.clock_us = None

    def fired(self, name: str, now_us: int) -> bool:
        """Return whether the named timer has passed, and stop it if so."""
        at_us: int | None = getattr(self, name)
        if at_us is None or now_us < at_us:
            return False
        setattr(self, name, None)
        return True

    @property
    def deadline_us(self) -> int | None:
        """The earliest instant, or None."""
        first_us = self.retry_us
        for at_us in (self.lead_us, self.advance_us, self.clock_us):  # no call: drivers ask after every input
            if at_us is not None and (first_us is None or at_us < first_us):
                first_us = at_us
        return first_us
