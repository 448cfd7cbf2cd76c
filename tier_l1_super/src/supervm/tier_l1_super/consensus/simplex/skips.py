"""Spans of skipped views: this validator's promises, others' votes, certificates (`supervm.protocol.chain.spans`).

Theory of operation. While a quorum nullifies view after view and nothing becomes final, each view leaves a
nullification and promises behind. Sixteen views later validators sign spans of them, always the widest ones between the
newest notarized view and there, so that all sign the same. A certified span replaces what it covers: nullifications,
narrower spans, promises, in memory and - with the next rewrite - in the log. What is held is thereby bounded by the
logarithm of the gap. Rounds with a notarization or an own Notarize stay: a later block may build on their block.

The rule that makes forgetting safe is `binds`: in a view under a certified span, or under a span that it has signed
itself, this validator signs nothing any more, neither Nullify nor Notarize nor Finalize. R1 and R2 hold there without
anybody knowing what was signed before.
"""

from __future__ import annotations

from supervm.protocol.chain.header import ChainRules
from supervm.protocol.chain.spans import SPAN_BASE, Span, span_at
from supervm.protocol.chain.votes import Certificate, Vote

from .rounds import Tally

SPAN_DELAY_VIEWS = 16
"""Views behind the current one that no span covers: short gaps are proved view by view (consensus.md 2.4)."""
SPANS_PER_SIGNER_MAX = 128
"""Uncertified spans for which a vote of one validator is kept; a correct one repeats at most 96 at a time."""


class Skips:
    """What a node holds of one epoch's spans.

    Args:
        rules: the epoch.
    """

    def __init__(self, rules: ChainRules) -> None:
        self._rules = rules
        self._width = 0  # of the widest span that is certified or promised
        self.certificates: dict[Span, Certificate] = {}
        """Certified spans; none lies in another one."""
        self.own: dict[Span, Vote] = {}
        """This validator's promises that no certified span covers."""
        self.tallies: dict[Span, Tally] = {}
        """Votes for spans that are not certified, own votes included."""
        self._voted: dict[int, dict[Span, None]] = {}  # signer -> spans in `tallies` with its vote, oldest first

    def covering(self, view: int) -> Span | None:
        """Return the certified span that holds `view`, or None."""
        return self._find(view, self.certificates) if self.certificates else None

    def binds(self, view: int) -> bool:
        """Return whether this validator must not sign anything in `view` any more."""
        if not self._width:
            return False
        return self._find(view, self.certificates) is not None or self._find(view, self.own) is not None

    def is_covered(self, span: Span) -> bool:
        """Return whether a certified span holds all views of this one."""
        held = self.covering(span.last)
        return held is not None and held.holds(span)

    def _find(self, view: int, spans: dict[Span, Certificate] | dict[Span, Vote]) -> Span | None:
        width = self._width
        while width >= SPAN_BASE:  # the widest first
            span = span_at(view, width)
            if span in spans:
                return span
            width //= SPAN_BASE
        return None

    def promise(self, span: Span, vote: Vote) -> None:
        """Note an own vote; narrower promises go into it."""
        self._width = max(self._width, span.width)
        self.own = {held: item for held, item in self.own.items() if not span.holds(held)}
        self.own[span] = vote

    def certify(self, span: Span, certificate: Certificate) -> None:
        """Note a valid certificate and forget what it covers."""
        self._width = max(self._width, span.width)
        self.certificates = {held: item for held, item in self.certificates.items() if not span.holds(held)}
        self.certificates[span] = certificate
        self.own = {held: item for held, item in self.own.items() if not span.holds(held)}
        for covered in [held for held in self.tallies if span.holds(held)]:
            self._drop(covered)

    def count(self, span: Span, vote: Vote, *, checked: bool) -> Tally | None:
        """Count a vote and return its span's tally, or None if its signer's vote is there already."""
        tally = self.tallies.get(span)
        if tally is None:
            tally = self.tallies[span] = Tally(self._rules)
        if vote.signer in tally.votes:
            return None
        tally.put(vote, checked=checked)
        voted = self._voted.setdefault(vote.signer, {})
        voted[span] = None
        if len(voted) > SPANS_PER_SIGNER_MAX:
            self.uncount(next(iter(voted)), vote.signer)
        return tally

    def uncount(self, span: Span, signer: int) -> None:
        """Forget a vote of one signer."""
        self._voted[signer].pop(span, None)
        tally = self.tallies[span]
        if signer in tally.votes:
            tally.drop(signer)
        if not tally.votes:
            del self.tallies[span]

    def _drop(self, span: Span) -> None:
        for signer in self.tallies.pop(span).votes:
            self._voted[signer].pop(span, None)

    def forget(self, view: int) -> None:
        """Forget spans of which every view is at or below `view`, where all is final."""
        if not self._width and not self.tallies:
            return
        self.certificates = {span: item for span, item in self.certificates.items() if span.last > view}
        self.own = {span: item for span, item in self.own.items() if span.last > view}
        for past in [span for span in self.tallies if span.last <= view]:
            self._drop(past)
        self._width = max((span.width for span in (*self.certificates, *self.own)), default=0)
