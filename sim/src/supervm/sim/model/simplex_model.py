"""Simplex with four validators, one of them faulty, explored exhaustively.

Theory of operation. Validators 0, 1 and 2 are shipped cores on `simplex_host.Host`s; validator 3 belongs to the
adversary, who also owns the network: whatever a host has let out may arrive anywhere, in any order, twice or never. The
adversary's own messages come from a menu (`Adversary`) and need no state: it signs anything at any time.

A message counts as what can be read out of it. A signature inside a certificate, a proposal or a justification is as
public as one sent alone, so one that leaves too early is seen in whatever envelope. What must hold is read from all
signatures that exist, not from what anybody has noticed: a certificate exists once a quorum has signed, even if nobody
has put it together yet.

Reductions, each exact for what is asked here:

* A vote that completes no quorum changes nothing but a tally - except that a leader's Nullify makes others give up the
  view, which a time-out may do at any time too. So votes arrive together, when they are a quorum or would be with the
  receiver's own (`Votes`), or as the certificate they make (`Held`). That the order of votes is nothing to the shipped
  tally, `tally_model` checks.
* The rules never ask *who* signed, so of all quorums one is delivered. Validators with the same part (`roles`) are then
  interchangeable, and a state is the same state with two of them swapped. Such validators run on the same shipped
  object with the same index; to each of them the others bear the names that are left.
* One step of the model is one *move* of one validator (`automaton.Moves`): what shows is a new signature or block, a
  commit, an alarm, a crash.
* A host answers its own core at once; `late_verdicts` makes the check of a block a step of its own.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.header import BlockHeader, genesis_block_header
from supervm.protocol.chain.votes import Vote

from .automaton import Automaton, Moves
from .simplex_adversary import (
    BYZANTINE,
    CHAIN_ID,
    FINALIZE,
    NOTARIZE,
    NULLIFY,
    Adversary,
    Statement,
    model_certificate,
    model_rules,
    model_vote,
    short,
)
from .simplex_host import (
    Crash,
    Held,
    Host,
    Proposal,
    Setup,
    Sync,
    TimeOut,
    Verdict,
    Votes,
    host_mirror,
)

State = tuple[int, int, int]
"""Local states of the three correct validators, sorted among those with the same role."""
Step = tuple[int, tuple[Hashable, ...]]
"""A place (0, 1, 2) and the events there; place -1 is all three."""
PLACES = (0, 1, 2)


@dataclass(frozen=True, slots=True)
class SimplexCase:
    """A bounded question.

    Attributes:
        leaders: of view 1, 2, ...: an index, 3 being the adversary. As many views are explored.
        roles: index of the validator at each place; equal ones are interchangeable and must not lead.
        delivery: how a quorum's signatures arrive: ``votes``, ``certificates`` or ``both``.
        crashes: how often the validators at the three places may crash.
        power_cut: whether a crash hits all three at once instead of one.
        byzantine: whether the adversary signs anything; if not, its validator is silent.
        rivals: whether the adversary, leading view 1, signs two blocks in it.
        late_verdicts: whether the check of a block takes time.
        patient_view: a view that no time-out ends, 0 for none; what giving up does in the last of several views is
            what it does in the only one.
        progress: whether every state must lead past the last view once the network is kind.
    """

    leaders: tuple[int, ...]
    roles: tuple[int, int, int] = (0, 0, 0)
    delivery: str = "certificates"
    crashes: tuple[int, int, int] = (0, 0, 0)
    power_cut: bool = False
    byzantine: bool = True
    rivals: bool = True
    late_verdicts: bool = False
    patient_view: int = 0
    progress: bool = False


@dataclass(frozen=True, slots=True)
class _Known:
    """What follows from what each validator has let out: events at each place, and what is wrong."""

    events: tuple[int, ...]
    violation: str | None


class SimplexModel:
    """The model of one case; see `checker.Model`."""

    def __init__(self, case: SimplexCase) -> None:
        self.case = case
        self.rules = model_rules(case.leaders)
        self.views = range(1, len(case.leaders) + 1)
        self.genesis = genesis_block_header(CHAIN_ID, 1000, ZERO_HASH)
        self.automaton: Automaton[Host] = Automaton(host_mirror(signers=any(case.crashes)))
        self._adversary = Adversary(self.rules, self.genesis, rivals=case.rivals) if case.byzantine else None
        self._headers: dict[bytes, BlockHeader] = {self.genesis.hash: self.genesis}
        self._known: dict[tuple[int, ...], _Known] = {}
        self._sent: dict[frozenset[Vote | Block], int] = {}
        self._sent_of: dict[int, int] = {}
        self._sent_values: list[tuple[Vote | Block, ...]] = []
        self._local: dict[int, tuple[Hashable, ...]] = {}
        self._moves = Moves(self.automaton, self._shown, self._local_events)
        self._faces: dict[int, tuple[int, ...]] = {}

    # --- checker.Model -----------------------------------------------------------------------------------------------

    def initial(self) -> Iterable[State]:
        """Return the state after everybody's start."""
        setup = Setup(self.rules, self.genesis, len(self.views), self.case.late_verdicts)
        numbers = []
        for place in PLACES:
            host = Host(setup, self.case.roles[place], crashes=self.case.crashes[place])
            host.started()
            numbers.append(self.automaton.add(host))
        return [self._canonical(numbers)]

    def steps(self, state: State) -> Iterator[tuple[Step, State]]:
        """Return every event at every validator that changes something."""
        known = self._knowledge(state)
        for place in PLACES:
            for following, path in self._moves.of(state[place], known.events[place]):
                yield (place, path), self._canonical([*state[:place], following, *state[place + 1 :]])
        if self.case.power_cut:
            yield from self._power_cuts(state)

    def violation(self, state: State) -> str | None:
        """Return the first rule that the signatures in existence, a commit or a standstill breaks."""
        wrong = self._knowledge(state).violation
        if wrong is not None:
            return wrong
        committed: list[bytes] = []
        for number in state:
            host = self.automaton.part(number)
            if host.alarms:
                return f"a validator stops: {host.alarms[0]}"
            committed.extend(host.commits)
        wrong = self._fork(committed, "committed")
        if wrong is None and self.case.progress and not self._gets_on(state):
            wrong = "standstill: with every message delivered and every time-out over, the view does not end"
        return wrong

    def describe(self, step: Step) -> str:
        """Return a readable line; places are not names: a swap of interchangeable validators may lie in between."""
        place, path = step
        if place < 0:
            return f"all validators crash and restart; waiting records on disk: {path}"
        return f"the validator at place {place} {', '.join(_what(event) for event in path)}"

    def _canonical(self, numbers: list[int]) -> State:
        roles = self.case.roles
        if roles[0] == roles[2]:
            numbers.sort()
        elif roles[1] == roles[2] and numbers[1] > numbers[2]:
            numbers[1], numbers[2] = numbers[2], numbers[1]
        return numbers[0], numbers[1], numbers[2]

    # --- what was sent, and what follows from it ---------------------------------------------------------------------

    def _sent_number(self, number: int) -> int:
        found = self._sent_of.get(number)
        if found is None:
            sent = self.automaton.part(number).sent
            found = self._sent.setdefault(frozenset(sent), len(self._sent))
            if found == len(self._sent_values):
                self._sent_values.append(tuple(sent))
            self._sent_of[number] = found
        return found

    def _knowledge(self, state: State) -> _Known:
        key = (self._sent_number(state[0]), self._sent_number(state[1]), self._sent_number(state[2]))
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._learn([self._sent_values[number] for number in key])
        return known

    def _learn(self, sent: list[tuple[Vote | Block, ...]]) -> _Known:
        """Work out which events what was sent allows, and whether it breaks a rule."""
        blocks: dict[bytes, Block] = {}
        voters: dict[Statement, list[int]] = {}
        for place, items in enumerate(sent):
            for item in items:
                if isinstance(item, Block):
                    blocks[item.hash] = item
                else:
                    voters.setdefault((item.number, item.kind, item.digest), []).append(place)
        validators = self.rules.validators
        help_of_three = validators.weights[BYZANTINE] if self._adversary is not None else 0
        needed = validators.quorum - help_of_three  # of equal weights, so weights of correct validators are counts
        if self._adversary is not None:
            for view in self.views:
                reached = [statement for statement, places in voters.items() if len(places) >= needed]
                blocks.update((block.hash, block) for block in self._adversary.blocks(view, blocks, reached))
                if needed <= 0:
                    voters.setdefault((view, NULLIFY, ZERO_HASH), [])
        certified = [statement for statement, places in voters.items() if len(places) >= needed]
        self._headers.update((block.hash, block.header) for block in blocks.values())
        events: list[int] = []
        for place in PLACES:
            found: list[Hashable] = [
                Proposal(block.header.proposer, block) for block in blocks.values() if block.header.view in self.views
            ]
            for statement, places in voters.items():
                if len(places) >= needed:
                    found.extend(self._deliveries(place, statement, places))
                elif len(places) == needed - 1 and place not in places and self.case.delivery != "certificates":
                    found.append(self._votes(place, statement, places))  # its own vote would complete them
            if self._adversary is not None:
                found.extend(Held(BYZANTINE, forged) for forged in self._adversary.forged)
            events.append(self._moves.offer(tuple(found)))
        return _Known(tuple(events), self._unsafe(certified))

    def _names(self, place: int) -> dict[int, int]:
        """Return by which index a place is known to the validator at `place`."""
        roles = self.case.roles
        names = {place: roles[place]}
        others = [other for other in PLACES if other != place]
        left = [index for index in PLACES if index != roles[place]]
        for other in others:
            if roles.count(roles[other]) == 1:
                names[other] = roles[other]
                left.remove(roles[other])
        for other in others:
            if other not in names:
                names[other] = left.pop(0)
        return names

    def _deliveries(self, place: int, statement: Statement, places: list[int]) -> Iterator[Hashable]:
        """Return how a quorum's signatures may reach a validator: those of others first, its own only if needed."""
        names = self._names(place)
        signers = [names[other] for other in places if other != place]
        if self._adversary is not None:
            signers.insert(0, BYZANTINE)
        if place in places:
            signers.append(names[place])
        validators = self.rules.validators
        while len(signers) > 1 and validators.weight_of(signers[:-1]) >= validators.quorum:
            signers.pop()
        signers.sort()
        if self.case.delivery != "votes":
            yield Held(BYZANTINE, model_certificate(statement, signers))
        if self.case.delivery != "certificates":
            yield self._votes(place, statement, places)

    def _votes(self, place: int, statement: Statement, places: list[int]) -> Votes:
        """Return the arrival of the votes of others, the adversary's first."""
        names = self._names(place)
        view, kind, digest = statement
        signers = [BYZANTINE] if self._adversary is not None else []
        signers.extend(names[other] for other in places if other != place)
        return Votes(tuple(model_vote(index, kind, view, digest) for index in signers))

    # --- what the validators may do of themselves --------------------------------------------------------------------

    def _shown(self, number: int) -> tuple[int, ...]:
        face = self._faces.get(number)
        if face is None:
            host = self.automaton.part(number)
            face = (self._sent_number(number), len(host.commits), len(host.alarms), host.crashes)
            self._faces[number] = face
        return face

    def _local_events(self, number: int) -> tuple[Hashable, ...]:
        events = self._local.get(number)
        if events is None:
            host = self.automaton.part(number)
            found: list[Hashable] = []
            if host.verifying:
                found.append(Verdict())
            if host.core.view in self.views and host.core.view != self.case.patient_view:
                found.append(TimeOut())
            if host.crashes:
                if host.log:
                    found.append(Sync())
                if not self.case.power_cut:
                    found.extend(Crash(kept) for kept in range(len(host.log) + 1))
            events = self._local[number] = tuple(found)
        return events

    def _power_cuts(self, state: State) -> Iterator[tuple[Step, State]]:
        hosts = [self.automaton.part(number) for number in state]
        if not all(host.crashes for host in hosts):
            return
        spans = [range(len(host.log) + 1) for host in hosts]
        for kept in ((a, b, c) for a in spans[0] for b in spans[1] for c in spans[2]):
            numbers = [self.automaton.after(state[place], Crash(kept[place])) for place in PLACES]
            yield (-1, kept), self._canonical(numbers)

    # --- what must hold ----------------------------------------------------------------------------------------------

    def _unsafe(self, certified: list[Statement]) -> str | None:
        finals: list[bytes] = []
        for view in self.views:
            notarized = [digest for at, kind, digest in certified if at == view and kind is NOTARIZE]
            final = [digest for at, kind, digest in certified if at == view and kind is FINALIZE]
            if len(notarized) > 1:
                return f"S4: view {view} has two notarized blocks, {short(notarized[0])} and {short(notarized[1])}"
            if final and (view, NULLIFY, ZERO_HASH) in certified:
                return f"S3: view {view} has a nullification and a finalization of {short(final[0])}"
            finals.extend(final)
        return self._fork(finals, "finalized")

    def _fork(self, digests: Iterable[bytes], what: str) -> str | None:
        """Return S1 if two of these blocks are not one above the other."""
        unique = list(dict.fromkeys(digests))
        for digest in unique:
            if digest not in self._headers:
                return f"S1: {short(digest)} is {what}, and there is no such block"
        headers = [self._headers[digest] for digest in unique]
        headers.sort(key=lambda header: (header.view, header.hash))
        for lower, upper in pairwise(headers):
            below = upper
            while below.view > lower.view:
                below = self._headers[below.parent_hash]
            if below.hash != lower.hash:
                return (
                    f"S1: {short(lower.hash)} of view {lower.view} and {short(upper.hash)} of view {upper.view} are "
                    f"both {what}, and neither extends the other"
                )
        return None

    def _gets_on(self, state: State) -> bool:
        """Return whether a kind network, without the adversary, brings all three past the last view.

        Needs three different roles: every single vote arrives, so names must be real.
        """
        numbers = list(state)
        after = self.automaton.after
        idle = 0
        while idle < 2:
            before = tuple(numbers)
            hosts = [self.automaton.part(number) for number in numbers]
            events: dict[Hashable, None] = {Sync(): None, Verdict(): None}
            for host in hosts:
                events.update((_arrival(item), None) for item in host.sent)
                events.update((event, None) for event in host.repeats())
            for place in PLACES:
                for event in events:
                    numbers[place] = after(numbers[place], event)
                if idle and self.automaton.part(numbers[place]).core.view in self.views:
                    numbers[place] = after(numbers[place], TimeOut())
            idle = 0 if tuple(numbers) != before else idle + 1
        return all(self.automaton.part(number).core.view not in self.views for number in numbers)


def _arrival(item: Vote | Block) -> Hashable:
    return Proposal(item.header.proposer, item) if isinstance(item, Block) else Votes((item,))


def _what(event: Hashable) -> str:
    match event:
        case Votes(votes):
            one = votes[0]
            signers = ", ".join(str(vote.signer) for vote in votes)
            return f"gets {one.kind.name}({one.number}, {short(one.digest)}) of {signers}"
        case Proposal(sender, block):
            header = block.header
            return (
                f"gets block {short(block.hash)} of view {header.view} on {short(header.parent_hash)} of view "
                f"{header.parent_view}, from {sender}"
            )
        case Held(_, held):
            signers = ", ".join(str(signer) for signer, _ in held.signatures)
            return f"gets the {held.kind.name} certificate of view {held.number}, {short(held.digest)}, by {signers}"
        case TimeOut():
            return "runs out of patience"
        case Sync():
            return "has written its log"
        case Crash(kept):
            return f"crashes with {kept} of the waiting records on disk, and restarts"
        case _:
            return "has checked the block"
