"""Timers and time-outs of the Simplex core (consensus.md 2.5 and 2.6). Instants in microseconds, spans named in ms."""

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
        lead_us: no proposal by then: nullify.
        advance_us: still in the view by then: nullify.
        clock_us: the time of a proposal from the future comes into the allowed drift.
        retry_us: no finalization by then: send again.
    """

    __slots__ = ("advance_us", "clock_us", "lead_us", "retry_us")

    def __init__(self) -> None:
        self.lead_us: int | None = None
        self.advance_us: int | None = None
        self.clock_us: int | None = None
        self.retry_us: int | None = None

    def enter_view(self, now_us: int, span_us: int, block_interval_us: int) -> None:
        """Start the two timers of a new view: 2d and 3d, plus the pause a leader may make."""
        self.lead_us = now_us + 2 * span_us + block_interval_us
        self.advance_us = now_us + 3 * span_us + block_interval_us
        self.clock_us = None

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
