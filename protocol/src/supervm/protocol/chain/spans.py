"""Spans of views: how any number of skipped views is proved in little space (consensus.md 2.4, 2.5).

Theory of operation. A proposal proves each view that it skips by a nullification. Over a long standstill these are too
many: 4 MiB hold 1,402 nullifications of 64 validators, 354 of 255. So once views lie far enough behind, validators also
sign `VoteKind.NULLIFY_SPAN`: *never finalize any view of this span*. A span has 4, 16, 64, ... views and ends at a
multiple of its width, hence n consecutive views fall into at most 6 spans for each factor of four, and three single
views at either end: 54 certificates prove 100,000 skipped views, and 190 any number below 2**63.

Why it is as safe as the nullifications it stands for. Whoever signs a span has finalized no view of it and never will:
the same promise as Nullify, for all its views at once. A quorum of such signatures and a quorum of Finalize of one of
the views would share an honest signer, so a span certificate excludes a finalization in each of its views exactly as
their nullifications would; rule R3 and every proof that uses it read as before with "nullified" meaning "by one or the
other". It needs no witness that any of the views was nullified alone, for the promise is not about the past. That the
views are behind costs no liveness: the next view is entered already. Who has finalized a view does not sign a span over
it; but then its block is notarized, and once all know that, nobody needs a proof of the views up to it.

The vote's `number` is the span's last view, its `digest` the width as 32 big-endian bytes.
"""

from __future__ import annotations

from typing import NamedTuple

SPAN_BASE = 4
"""Widths of spans are its powers. Twice as many certificates or so would be needed with 16, a third more votes are
signed than with none; with 2 they would be twice as many."""
WIDTH_MAX = SPAN_BASE**31
"""The widest span below 2**63 views."""


class Span(NamedTuple):
    """The views from `first` to `last`: `width` of them."""

    last: int
    width: int

    @property
    def first(self) -> int:
        """The first view of the span, at least 1."""
        return self.last - self.width + 1

    @property
    def digest(self) -> bytes:
        """What a vote for the span carries as its digest."""
        return self.width.to_bytes(32, "big")

    def holds(self, other: Span) -> bool:
        """Return whether every view of `other` is one of this span."""
        return self.first <= other.first and other.last <= self.last


def span_at(view: int, width: int) -> Span:
    """Return the span of this width that `view` (from 1) lies in."""
    return Span((view + width - 1) // width * width, width)


def span_of(number: int, digest: bytes) -> Span | None:
    """Return the span that a vote with this number and digest is about, or None if there is no such span."""
    width = int.from_bytes(digest, "big")
    is_width = SPAN_BASE <= width <= WIDTH_MAX and not width & (width - 1) and width.bit_length() % 2 == 1
    return Span(number, width) if is_width and number > 0 and number % width == 0 else None


def spans_within(first: int, last: int) -> list[Span]:
    """Return the widest spans among the views `first` (at least 1) to `last`, ascending; none of them meet.

    Up to three views at either end belong to none.
    """
    found = []
    view = first
    while view + SPAN_BASE - 1 <= last:
        width = 1
        while (view - 1) % (width * SPAN_BASE) == 0 and view + width * SPAN_BASE - 1 <= last:
            width *= SPAN_BASE
        if width > 1:
            found.append(Span(view + width - 1, width))
        view += width
    return found
