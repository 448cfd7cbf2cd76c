"""Simplex consensus, sans-I/O (consensus.md 2.1, 2.5, 2.8).

Theory of operation. Views are numbered; each has one leader. The leader proposes a block, every validator that finds it
valid and well placed signs Notarize, and a quorum of those is a notarization: the view is over, the next leader builds
on it. Whoever holds the notarization of a view that he has not nullified signs Finalize; a quorum of those makes the
block and all its ancestors final, three message delays after the proposal. If the leader is slow or bad, validators
sign Nullify; a quorum of those is a nullification, and the view is over as well.

Three rules make it safe, all else is liveness: (R1) one Notarize per view; (R2) never both Nullify and Finalize in a
view; (R3) Notarize only with the parent's certificate and a nullification of every view skipped in between. R1 and R2
stand in `Round.may`, asked by `Voting._promise`, where this validator commits itself to one view, and in
`Voting._cast_spans`, where it commits itself to many (`skips`); R3 stands in `State._well_placed`. Nothing is forgotten
above the last finalized view but where nothing is signed any more, so neither a repeat nor a restart finds another way
to a vote (pitfall P1).

Blocks may arrive after the certificates that name them. A vote or a build that needs an absent parent stays pending and
is tried again whenever something arrives (P7: there is no verdict "absent"); a commit waits in the same way, and the
block is asked of the signers, who have it on disk (see `promises`).

When the committed chain reaches the sealing block of the epoch, the instance is done: it votes on nothing any more and
only helps those who are behind with the finalization that it has (2.11.5). The host starts another one for the next
epoch. A sealing block can become final through a descendant; those are handed out as `Committed.tail` and discarded.

`state` holds what is known, `voting` turns votes into certificates and commits, this module takes the events and drives
the current view.
"""

from __future__ import annotations

from supervm.protocol.base.codec import encode
from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.base.hashing import ZERO_HASH, hash_block_body, hash_justification
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.body import BlockBody
from supervm.protocol.chain.controls import progress_after
from supervm.protocol.chain.header import SKIP_SIGNATURES_MAX, SKIPS_MAX, BlockHeader, Justification
from supervm.protocol.chain.spans import Span, span_of
from supervm.protocol.chain.votes import Certificate, Vote
from supervm.protocol.wire.consensus import VoteMessage

from .effects import (
    AskBuild,
    AskVerify,
    BlockVerified,
    BlockWanted,
    Broadcast,
    Built,
    CertificateReceived,
    Effect,
    Event,
    FinalizedChain,
    ForkFound,
    ProposalReceived,
    Started,
    Tick,
    VoteReceived,
)
from .pacing import RETRY_US, timeout_us
from .promises import (
    HeldCertificate,
    NotarizePromise,
    NullifyPromise,
    SpanPromise,
    view_of,
)
from .rounds import FINALIZE, KINDS, NOTARIZE, NULLIFY, NULLIFY_SPAN, Round
from .skips import SPAN_DELAY_VIEWS
from .voting import Voting

VIEWS_AHEAD_MAX = 8
"""Votes and proposals further ahead of our view are ignored; their senders repeat them."""
LAG_VIEWS = 4
"""Whoever votes this many views below our last finalization has missed it and is told."""


class Simplex(Voting):
    """One epoch's consensus at one node: takes events, answers with effects; `State` describes the arguments."""

    def wants(self, header: BlockHeader) -> bool:
        """Return whether a proposal with this header is worth reading: it could be voted on, or was asked for."""
        view, block_hash = header.view, header.hash
        if self._sealed or not self._is_open(header) or self._tree.get(block_hash) is not None:
            return False
        if block_hash in self._wanted:
            return True
        if not self._final.view < view <= self._view + VIEWS_AHEAD_MAX or not self.is_in_turn(header):
            return False
        round_ = self._rounds.get(view)
        if round_ is None:
            return self._skips.covering(view) is None
        return round_.proposal is None or self._is_certified(round_, block_hash)

    def knows(self, certificate: Certificate) -> bool:
        """Return whether a certificate says nothing new, so that its signatures are not checked."""
        return self._sealed or self._is_past(certificate) or self._is_held(certificate)

    def is_rival(self, header: BlockHeader) -> bool:
        """Return whether this is the header of another proposal than the one that is held for its view."""
        round_ = self._rounds.get(header.view) if self._is_open(header) else None
        return round_ is not None and round_.proposal is not None and round_.proposal_hash != header.hash

    def _is_open(self, header: BlockHeader) -> bool:
        return header.epoch == self.rules.epoch and header.view > self._tree.committed_view

    def is_in_turn(self, header: BlockHeader) -> bool:
        """Return whether a header of this epoch is of this chain, by its view's leader, and above its parent."""
        rules = self.rules
        return (
            header.chain_id == rules.chain_id
            and header.proposer == rules.leader(header.view)
            and header.parent_view < header.view
        )

    # --- events ----------------------------------------------------------------------------------------------------

    def step(self, now_us: int, event: Event) -> list[Effect]:
        """Take one event at `now_us` and return what has to be done, in order.

        Raises:
            LocalProtocolError: anything before `Started`, or a vote that is not consensus's.
        """
        self._now_us = now_us
        if isinstance(event, VoteReceived) and self._running and not self._sealed:  # what comes most often first
            self._on_vote(event.from_index, event.vote)
        elif isinstance(event, Started):
            self._start()
        elif not self._running:
            raise LocalProtocolError(f"{type(event).__name__} came before Started")
        elif self._sealed:
            self._when_sealed(event)
        elif isinstance(event, CertificateReceived):
            self._on_certificate(event.from_index, event.certificate)
        elif isinstance(event, ProposalReceived):
            self._on_proposal(event.from_index, event.block)
        elif isinstance(event, Tick):
            self._on_tick()
        elif isinstance(event, Built):
            self._on_built(event)
        elif isinstance(event, BlockVerified):
            self._on_verified(event)
        elif isinstance(event, BlockWanted):
            self._on_wanted()
        elif isinstance(event, FinalizedChain):
            self._on_chain(event)
        effects, self._effects = self._effects, []
        return effects

    def _start(self) -> None:
        """Rebuild the rounds by view, count own votes again, and say again what was said (consensus.md 2.8)."""
        if self._running:
            raise LocalProtocolError("Started came twice")
        for record in sorted(self._records, key=view_of):
            if isinstance(record, HeldCertificate):
                certificate = record.certificate
                span = span_of(certificate.number, certificate.digest)
                if certificate.kind is not NULLIFY_SPAN:
                    self._round(certificate.number).certificates.setdefault(certificate.kind, certificate)
                elif span is not None and not self._skips.is_covered(span):
                    self._skips.certify(span, certificate)
            elif isinstance(record, NotarizePromise):
                for block in record.block:
                    self._tree.add(record.digest, block)
                    if block.header.proposer == self.index:
                        round_ = self._round(record.view)
                        round_.proposal, round_.proposal_hash = block, record.digest
                self._recall(record.view, NOTARIZE, record.digest)
            elif isinstance(record, NullifyPromise):
                self._recall(record.view, NULLIFY, ZERO_HASH)
            elif isinstance(record, SpanPromise):
                self._recall_span(Span(record.view, record.width))
            else:
                self._recall(record.view, FINALIZE, record.digest)
        for span in list(self._skips.certificates):  # records that it made void may be in the log still
            self._forget_skipped(span)
        certified = [view for view, round_ in sorted(self._rounds.items()) if round_.certificates]
        self._notarized_view = max(
            (view for view, round_ in self._rounds.items() if NOTARIZE in round_.certificates), default=0
        )
        certified.extend(span.last for span in self._skips.certificates)
        self._timers.retry_us = self._now_us + RETRY_US
        self._beat_us = self._final_at_us = self._now_us  # whoever was off knows of no younger block
        if self._sealed:
            self._running = True
            self._repeat()
            return
        self._enter(max([self._final.view, *certified]) + 1)
        self._repeat()
        self._running = True
        for round_ in list(self._rounds.values()):
            if NOTARIZE in round_.certificates:
                self._cast_finalize(round_)
            for kind, vote in list(round_.own.items()):
                self._settle(round_, kind, vote.digest)
        for span in list(self._skips.own):
            self._settle_span(span)
        self._progress()

    def _when_sealed(self, event: Event) -> None:
        """Tell whoever still votes in this epoch that it is over."""
        if isinstance(event, Tick):
            if self._timers.fired("retry_us", self._now_us):
                self._timers.retry_us = self._now_us + RETRY_US
                self._repeat()
        elif isinstance(event, VoteReceived) and event.vote.epoch == self.rules.epoch:
            self._help(event.from_index)

    def _on_wanted(self) -> None:
        """Count the patience with this view's leader from now on, unless it has been counted already."""
        if self._timers.wanted_us > self._now_us and self._round(self._view).proposal is None:
            self._timers.want(self._now_us)

    def _on_tick(self) -> None:
        timers, view = self._timers, self._view
        if timers.fired("clock_us", self._now_us):
            self._progress()
        if self._waits_for_beat():
            timers.want(self._beat_us)
        if timers.fired("lead_us", self._now_us) and self._round(view).proposal is None:
            self._cast_nullify(view)
        if view == self._view and timers.fired("advance_us", self._now_us):
            self._cast_nullify(view)
        if view == self._view and self._round(view).proposal is None and self._is_shunned(self.rules.leader(view)):
            self._cast_nullify(view)
        if timers.fired("retry_us", self._now_us):
            self._retry_us = self._pause_after_retry()
            timers.retry_us = self._now_us + self._retry_us
            self._repeat()

    def _waits_for_beat(self) -> bool:
        """Return whether patience with the leader was counted too early: what was under way then is finished."""
        timers, lead_us = self._timers, self._timers.lead_us
        return (
            timers.wanted_us < self._beat_us
            and lead_us is not None
            and lead_us <= self._now_us
            and self._round(self._view).proposal is None
            and not self._is_busy()
        )

    def _pause_after_retry(self) -> int:
        """Return how long not to repeat anything again: longer and longer while there is nothing but what is final."""
        is_quiet = self._final.hash == self._tree.committed_hash and not any(
            round_.own or round_.certificates for round_ in self._rounds.values()
        )
        return min(2 * self._retry_us, max(RETRY_US, self._idle_interval_us)) if is_quiet else RETRY_US

    def _on_vote(self, sender: int, vote: Vote) -> None:
        if vote.kind not in KINDS and vote.kind is not NULLIFY_SPAN:
            raise LocalProtocolError(f"a {vote.kind.name} vote was handed to consensus")
        if vote.signer != sender or sender >= len(self.rules.validators.members):
            self._blame(sender, f"it sent a vote of validator {vote.signer}", "bad-vote")
            return
        if vote.epoch != self.rules.epoch or sender == self.index:
            return
        if vote.kind is NULLIFY and vote.digest != ZERO_HASH:
            self._blame(sender, "its Nullify carries a hash; it must be zero", "bad-vote")
            return
        if vote.number <= self._final.view:
            self._on_late_vote(sender, vote)
            return
        if vote.number > self._view + VIEWS_AHEAD_MAX:
            return
        self._heard(sender, vote.number)
        if vote.kind is NULLIFY_SPAN:
            span = span_of(vote.number, vote.digest)
            if span is None:
                self._blame(sender, f"there is no span up to view {vote.number} with the width in its vote", "bad-vote")
            elif not self._skips.is_covered(span):
                self._count_span(span, vote)
            return
        if vote.number not in self._rounds and self._skips.covering(vote.number) is not None:
            return  # nothing can come of it any more
        self._count(self._round(vote.number), vote, checked=False)
        if vote.kind is NULLIFY and vote.number == self._view and self._is_given_up(vote.number):
            self._cast_nullify(vote.number)

    def _on_late_vote(self, sender: int, vote: Vote) -> None:
        """Help who seems to have missed the last finalization."""
        self._heard(sender, vote.number)  # far from the others, its votes come late every time: late is not silent
        is_repeat = self._now_us - self._final_at_us >= RETRY_US // 2  # nothing newer tells it on an idle chain
        if is_repeat or vote.number + LAG_VIEWS <= self._final.view:
            self._help(sender)

    def _on_certificate(self, sender: int, certificate: Certificate) -> None:
        if certificate.epoch != self.rules.epoch or certificate.number <= self._final.view:
            return
        if certificate.kind not in KINDS and certificate.kind is not NULLIFY_SPAN:
            self._blame(sender, f"a {certificate.kind.name} certificate is not one of consensus", "bad-certificate")
        elif self._admit(sender, certificate):
            self._progress()

    def _on_proposal(self, sender: int, block: Block) -> None:
        header, block_hash, rules = block.header, block.hash, self.rules
        view = header.view
        if not self._is_open(header) or self._tree.get(block_hash) is not None:
            return
        wanted = block_hash in self._wanted
        if not wanted and not self._final.view < view <= self._view + VIEWS_AHEAD_MAX:
            return
        if not self.is_in_turn(header):
            self._blame(sender, f"its proposal for view {view} is of another chain, leader or order", "bad-proposal")
            return
        if (
            hash_block_body(encode(block.body)) != header.body_hash
            or hash_justification(encode(block.just)) != header.just_hash
        ):
            self._blame(sender, f"its proposal for view {view} does not match its own header", "bad-proposal")
            return
        vote = Vote(1, NOTARIZE, header.epoch, view, block_hash, header.proposer, block.signature)
        if not rules.verify(rules.validators.keys[vote.signer], vote.statement(rules.chain_id), vote.signature):
            self._blame(sender, f"the leader did not sign its proposal for view {view}", "bad-signature")
            return
        self._heard(vote.signer, view)
        if view > self._final.view:
            round_ = self._round(view)
            if round_.proposal is None:
                round_.proposal, round_.proposal_hash = block, block_hash
            elif round_.proposal_hash != block_hash:
                round_.poisoned = True
            known = round_.proposal_hash == block_hash or wanted or self._is_certified(round_, block_hash)
            if known:
                self._tree.add(block_hash, block)
            if vote.signer != self.index:
                self._count(round_, vote, checked=True)
            for certificate in (block.just.parent + block.just.nullifications) if known else ():
                if not (self._is_past(certificate) or self._is_held(certificate) or self._admit(sender, certificate)):
                    break  # one bad certificate is enough
        else:
            self._tree.add(block_hash, block)
        self._wanted.pop(block_hash, None)
        self._await_end()
        self._commit()
        self._progress()

    def _on_built(self, event: Built) -> None:
        if self._building is None or event.view != self._view or self._building[0] != event.view:
            return
        parent = self._building[1]
        self._building = None
        round_ = self._round(event.view)
        if event.body is None:
            self._cast_nullify(event.view)
        elif round_.may(NOTARIZE):
            just = self._justify(event.view, parent)
            if just is None:  # a finalization above the parent came meanwhile: ask again on the right one
                self._progress()
                return
            self._propose(round_, parent, just, event.body, event)

    def _propose(self, round_: Round, parent: BlockHeader, just: Justification, body: BlockBody, event: Built) -> None:
        rules = self.rules
        header = BlockHeader(
            1,
            rules.chain_id,
            rules.epoch,
            round_.view,
            parent.height + 1,
            parent.hash,
            rules.view_of(parent),
            rules.leader(round_.view),
            max(event.ts_ms, parent.ts_ms + 1),
            hash_justification(encode(just)),
            hash_block_body(encode(body)),
            event.last_checkpoint,
            progress_after(rules.progress_of(parent), body),
        )
        block_hash = header.hash
        signature = self._sign(NOTARIZE, round_.view, block_hash)
        block = Block(1, header, just, body, signature)
        if self._promise(round_, NOTARIZE, block_hash, block):
            round_.proposal, round_.proposal_hash = block, block_hash
            self._tree.add(block_hash, block)
            self._send_proposal(round_, block)
            self._count_own(round_, NOTARIZE)

    def _on_verified(self, event: BlockVerified) -> None:
        round_ = self._round(self._view)
        block = round_.proposal
        if block is None or round_.asked != event.hash or round_.proposal_hash != event.hash:
            return
        if not event.ok:
            round_.refused = True
            self._cast_nullify(round_.view)
        elif self._may_notarize(round_, block) and self._promise(round_, NOTARIZE, event.hash, block):
            self._emit(Broadcast(VoteMessage((round_.own[NOTARIZE],)), self._token))
            self._count_own(round_, NOTARIZE)

    def _on_chain(self, event: FinalizedChain) -> None:
        """Commit blocks that the host has checked against an earlier committed header (consensus.md 2.8)."""
        chain = event.chain
        tip = chain.blocks[-1].header
        height = self._tree.committed.height
        if tip.height <= height:
            return
        fresh = tuple(block for block in chain.blocks if block.header.height > height)
        if fresh[0].header.parent_hash != self._tree.committed_hash:
            self._emit(ForkFound(f"finalized block {height + 1} does not extend the committed one", chain.finalization))
            return
        self._finalize(chain.finalization)
        self._hand_out(fresh, chain.finalization)
        self._commit()
        self._enter(chain.finalization.number + 1)
        self._progress()

    # --- the current view ------------------------------------------------------------------------------------------

    def _enter(self, view: int) -> None:
        if view <= self._view or self._sealed:
            return
        self._view = view
        self._building = None
        span_us = timeout_us(self._parameters, view - self._final.view)
        wanted_us = self._now_us if self._is_busy() else max(self._now_us, self._beat_us)
        self._timers.enter_view(wanted_us, span_us, self._parameters.block_interval_ms * 1000)
        self._await_end()
        leader = self.rules.leader(view)
        if self._is_given_up(view) or self._is_silent(leader):
            self._cast_nullify(view)
        self._cast_spans()

    def _await_end(self) -> None:
        """Give the view the usual time to end if its proposal is here, whenever that was wanted."""
        if self._round(self._view).proposal is not None:
            self._timers.proposed(self._now_us)

    def _is_given_up(self, view: int) -> bool:
        """Return whether nobody need wait for a view: its leader, or one honest validator at least, has given it up."""
        given_up = self._round(view).tallies[NULLIFY].votes
        members = self.rules.validators
        return self.rules.leader(view) in given_up or members.weight_of(given_up) >= members.witness

    def _is_silent(self, leader: int) -> bool:
        """Return whether a leader has said nothing for as many views as there are validators (2.6, local skip).

        Nobody then waits for it: its views cost one delay instead of a time-out. Patience is nobody's promise, so
        this is safe; it is fair because one vote, also inside a certificate, ends it, and because views that pass
        faster than a leader could speak do not count. At first everybody is new. A leader that this node has hung up
        on can say nothing here, whatever it tells the others: else one that comes back to misbehave, again and again,
        would cost a time-out each time.
        """
        if leader == self.index:
            return False
        if self._is_shunned(leader):
            return True
        view, at_us = self._heard_at.setdefault(leader, (self._view, self._now_us))
        patience_us = (2 * self._parameters.view_timeout_ms + self._parameters.block_interval_ms) * 1000
        return self._view - view >= len(self.rules.validators) and self._now_us - at_us >= patience_us

    def _is_shunned(self, leader: int) -> bool:
        return self._shuns is not None and leader != self.index and self._shuns(leader)

    def _progress(self) -> None:
        """Try what the current view waits for; called whenever something has arrived."""
        if not self._running or self._sealed:
            return
        round_ = self._round(self._view)
        if self.index is None or not round_.may(NOTARIZE):
            return
        if self.rules.leader(self._view) == self.index and round_.proposal is None:
            self._ask_build()
        elif round_.proposal is not None and round_.asked is None and self._may_notarize(round_, round_.proposal):
            header = round_.proposal.header
            parent = self._tree.header(header.parent_hash)
            early_ms = header.ts_ms - self._parameters.clock_drift_ms
            if parent is None:
                self._want(header.parent_view, header.parent_hash, self._certificate_of(header.parent_view))
            elif early_ms * 1000 > self._now_us:
                self._timers.clock_us = early_ms * 1000
            else:
                round_.asked = round_.proposal_hash
                self._emit(AskVerify(round_.proposal, parent))

    def _ask_build(self) -> None:
        if self._building is not None:
            return
        place = self._parent_for(self._view)
        if place is None or not self._is_provable(place[0]):
            return
        parent = self._tree.header(place[1])
        if parent is None:
            self._want(place[0], place[1], self._certificate_of(place[0]))
            return
        self._building = (self._view, parent)
        self._emit(AskBuild(self._view, place[1], parent))

    def _is_provable(self, parent_view: int) -> bool:
        """Return whether the proof of what a proposal skips fits into it; if not, spans will soon make it short."""
        if self._view - parent_view - 1 <= SPAN_DELAY_VIEWS:
            return True
        skips = self._skips_between(parent_view, self._view)
        return len(skips) <= SKIPS_MAX and sum(len(item.signatures) for item in skips) <= SKIP_SIGNATURES_MAX

    def _may_notarize(self, round_: Round, block: Block) -> bool:
        return (
            round_.view == self._view
            and round_.may(NOTARIZE)
            and not round_.poisoned
            and not round_.refused
            and self._well_placed(block.header)
        )
